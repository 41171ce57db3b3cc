"""What is done to the network is felt by agents as in reality, and ends with the trouble."""

from __future__ import annotations

import pytest
from watched import THREE, A, B, C, Watched

from core.events import DialFailed, LinkDown, LinkUp, Misbehaved, Received
from core.messages import Deltas
from sim.actions import (
    Action,
    Attach,
    BlackHole,
    Clog,
    Corrupt,
    Cut,
    Delay,
    Disturb,
    ForgetIdle,
    HostIndex,
    Reset,
    RestartNat,
    Sever,
    Take,
    Throttle,
)
from sim.perform.network import CLOG_MAX_MS
from sim.scenario import HostSpec

HIDDEN = (HostSpec("a"), HostSpec("b", (A,), behind_nat=True))


def arrivals(watched: Watched, host: HostIndex) -> list[int]:
    """Return when pieces of streams arrived at a host, in virtual milliseconds."""
    return [
        at_ms
        for at_ms, index, event, _ in watched.told
        if index == host and isinstance(event, Received) and isinstance(event.message, Deltas)
    ]


def test_a_long_way_takes_long() -> None:
    watched = Watched()
    watched.perform(Delay(A, B, 400_000, 0, 0), Attach(A, "web"))
    watched.forget()
    watched.wait(3_000)
    assert arrivals(watched, B)[0] >= 1_000 + 2 * 400, "announced, needed and sent"


def test_a_slow_line_delays_what_is_large() -> None:
    watched = Watched()
    watched.perform(Throttle(A, B, 1_000, 60_000))
    watched.forget()
    watched.perform(Take(A, tuple(f"c{index}" for index in range(40))))
    watched.wait(20_000)
    assert arrivals(watched, B)[-1] > 3_000, "40 facts of some 100 bytes"
    assert not watched.events(B, LinkDown)


def test_a_clog_holds_everything_and_nobody_hangs_up() -> None:
    watched = Watched()
    watched.perform(Clog(A, B, 20_000), Attach(A, "web"))
    watched.forget()
    watched.wait(19_900)
    assert watched.events(B, Received) == []
    watched.wait(5_000)
    assert watched.events(B, Received)
    assert not watched.events(B, LinkDown)
    assert watched.are_equal()


def test_garbage_makes_an_agent_hang_up_and_call_again() -> None:
    watched = Watched()
    watched.perform(Corrupt(A, B, 95), Attach(A, "web"))
    watched.forget()
    watched.wait(30_000)
    assert watched.events(B, Misbehaved)
    assert watched.events(B, LinkUp)
    watched.perform(Corrupt(A, B, 0))
    watched.wait(60_000)
    assert watched.are_equal()


def test_a_black_hole_takes_what_is_large_and_so_the_connection() -> None:
    watched = Watched()
    watched.perform(BlackHole(A, B, 100))
    watched.forget()
    watched.perform(Attach(A, "web"))
    watched.wait(29_000)
    assert not watched.events(A, LinkDown), "heartbeats and announcements are small"
    watched.wait(15_000)
    assert "connection timed out" in [event.reason for event in watched.events(A, LinkDown)]
    watched.perform(BlackHole(A, B, 0))
    watched.wait(60_000)
    assert watched.are_equal()


def test_a_severed_connection_is_found_out_by_the_other_when_it_speaks() -> None:
    watched = Watched()
    watched.perform(Cut(B, A))
    watched.wait(100)
    watched.forget()
    watched.perform(Sever(A, B))
    watched.wait(1_000)
    assert len(watched.events(A, LinkDown)) == 1
    assert watched.events(B, LinkDown) == []
    watched.settle()
    watched.wait(30_000)
    assert watched.links(A) == watched.links(B) == 1


def test_a_reset_ends_a_connection_for_both() -> None:
    watched = Watched()
    watched.perform(Reset(A, B))
    assert watched.links(A) == watched.links(B) == 0
    watched.wait(10_000)
    assert watched.links(A) == watched.links(B) == 1


def test_nobody_gets_through_to_a_host_behind_a_nat_which_calls_itself() -> None:
    watched = Watched((HostSpec("a", (B,)), HIDDEN[1]))
    watched.wait(10_000)
    assert "connection timed out" in [event.reason for event in watched.events(A, DialFailed)]
    assert [event.outbound for event in watched.events(A, LinkUp)] == [False]
    assert watched.links(A) == watched.links(B) == 1


def test_heartbeats_keep_a_mapping_that_is_forgotten_after_15_seconds() -> None:
    watched = Watched(HIDDEN)
    watched.perform(ForgetIdle(B, 15_000))
    watched.forget()
    watched.wait(200_000)
    assert watched.events(B, LinkDown) == watched.events(A, LinkDown) == []


def test_a_mapping_that_is_forgotten_between_heartbeats_costs_the_connection_which_is_made_anew() -> None:
    watched = Watched(HIDDEN)
    watched.perform(ForgetIdle(B, 3_000))
    watched.forget()
    watched.wait(200_000)
    assert watched.events(A, LinkDown) or watched.events(B, LinkDown)
    assert len(watched.events(B, LinkUp)) > 1
    watched.settle()


def test_a_nat_that_restarts_costs_the_connection() -> None:
    watched = Watched(HIDDEN)
    watched.perform(RestartNat(B))
    watched.forget()
    watched.wait(60_000)
    assert watched.events(B, LinkUp)
    assert watched.links(A) == watched.links(B) == 1


def test_all_trouble_together_ends() -> None:
    watched = Watched(THREE)
    for source, target in ((A, B), (B, C), (C, A)):
        watched.perform(
            Delay(source, target, 10_000, 20_000, 60),
            Disturb(source, target, 40, 40, 40),
            Throttle(source, target, 2_000, 4_000),
            Clog(source, target, 9_000),
            Corrupt(source, target, 30),
            BlackHole(source, target, 500),
        )
    watched.perform(Attach(A, "one"), Attach(B, "two"))
    watched.wait(60_000)
    watched.settle()
    assert watched.are_equal()


@pytest.mark.parametrize(
    "action",
    [
        Delay(A, A, 1, 1, 0),
        Delay(A, B, -1, 0, 0),
        Delay(A, B, 1, -1, 0),
        Delay(A, C, 1, 1, 0),
        Disturb(B, B, 1, 1, 1),
        Throttle(A, B, -1, 1),
        Throttle(A, B, 1, -1),
        Clog(A, B, 0),
        Clog(C, A, 5),
        Corrupt(A, A, 5),
        BlackHole(A, B, -5),
        Sever(A, C),
        Sever(A, A),
        ForgetIdle(A, 5_000),
        ForgetIdle(B, -1),
        RestartNat(A),
    ],
)
def test_what_makes_no_sense_does_not_take_place(action: Action) -> None:
    watched = Watched((*HIDDEN, HostSpec("c", (B,))), walls=((A, C), (C, A)))
    assert watched.perform(action) == [False]


def test_chances_leave_a_way_through_and_clogs_end_before_tcp_does() -> None:
    watched = Watched()
    watched.perform(Disturb(A, B, 100, 100, 100), Corrupt(A, B, 1_000), Delay(A, B, 10, 10, 100))
    path = watched.world.network._road(A, B).path
    chances = (path.loss_percent, path.repeat_percent, path.corrupt_percent, path.tail_percent)
    assert max(chances) < 100
    watched.perform(Clog(A, B, 10**9))
    assert watched.world.network._road(A, B).clogged_until_us == watched.world.now_us + CLOG_MAX_MS * 1_000
