"""Connections keep order, stall, break and are half-open as those of TCP do and are."""

from __future__ import annotations

import pytest
from cables import LATENCY_US, Cables

from core.messages import Digest, Have
from crdt.fact import Origin
from sim.names import peer_name
from sim.network import TCP_TIMEOUT_US
from sim.paths import STALL_US, Path

S = 1_000_000
RESET = "connection reset by peer"
LARGE = Have(tuple((Origin(peer_name(index), 1), 1) for index in range(100)))
"""Some 2,000 bytes."""


@pytest.fixture
def cables() -> Cables:
    return Cables()


def test_a_connection_keeps_order_whatever_the_path_does() -> None:
    cables = Cables(Path(1_000, 30_000, tail_percent=50, loss_percent=20, repeat_percent=50, shuffle_percent=50))
    connection, near, _ = cables.connect()
    cables.run(20 * S)
    cables.say(connection, near, *range(300))
    cables.run(200 * S)
    assert cables.numbers(1) == list(range(300)), "nothing is lost, doubled or reordered"


def test_what_is_said_overtakes_what_was_said_before_on_another_connection() -> None:
    cables = Cables(Path(1_000, 30_000))
    one, other = cables.connect(), cables.connect()
    cables.run(S)
    for number in range(0, 40, 2):
        cables.say(one[0], one[1], number)
        cables.say(other[0], other[1], number + 1)
    cables.run(2 * S)
    assert sorted(cables.numbers(1)) == list(range(40)) != cables.numbers(1)


def test_the_other_end_opens_with_the_first_thing_that_arrives(cables: Cables) -> None:
    connection, near, far = cables.connect()
    assert far.is_open
    cables.say(connection, near, 7)
    cables.say(connection, far, 8)
    cables.run(S)
    assert (cables.numbers(1), cables.numbers(0)) == ([7], [8])


def test_a_call_that_nobody_takes_is_reset(cables: Cables) -> None:
    cables.deaf[1] = None
    connection, _, far = cables.connect()
    cables.run(S)
    assert cables.ends(0) == [RESET]
    assert not far.is_open
    assert connection not in cables.network.connections


def test_a_cut_holds_what_is_sent_and_a_heal_lets_it_go(cables: Cables) -> None:
    connection, near, far = cables.connect()
    cables.network.cut(0, 1)
    cables.say(connection, near, 1, 2)
    cables.say(connection, far, 3)
    cables.run(5 * S)
    assert (cables.numbers(1), cables.numbers(0)) == ([], [3]), "the way back is open"
    cables.network.heal()
    cables.run(6 * S)
    assert cables.numbers(1) == [1, 2]
    assert cables.heard[-1][0] > 5 * S + STALL_US


def test_who_cannot_get_through_gives_up_and_the_other_end_finds_out_when_it_speaks(cables: Cables) -> None:
    connection, near, far = cables.connect()
    cables.network.cut(0, 1)
    cables.say(connection, near, 1)
    cables.run(cables.now_us + TCP_TIMEOUT_US)
    assert cables.ends(0) == ["connection timed out"]
    assert far.is_open, "half-open"
    cables.network.heal()
    cables.say(connection, far, 2)
    cables.run(cables.now_us + S)
    assert cables.ends(1) == [RESET]
    assert cables.numbers(0) == []
    assert connection not in cables.network.connections


def test_a_severed_end_is_gone_and_the_other_finds_out_when_it_speaks(cables: Cables) -> None:
    connection, near, far = cables.connect()
    cables.network.sever(connection, near)
    cables.run(60 * S)
    assert cables.ends(0) == [RESET]
    assert cables.ends(1) == []
    cables.say(connection, far, 1)
    cables.run(61 * S)
    assert cables.ends(1) == [RESET]


def test_nobody_answers_for_a_machine_without_power(cables: Cables) -> None:
    connection, near, far = cables.connect()
    cables.dark[0] = None
    cables.network.close(connection, near, silent=True)
    cables.say(connection, far, 1)
    cables.run(60 * S)
    assert cables.heard == []
    del cables.dark[0]
    cables.say(connection, far, 2)
    cables.run(61 * S)
    assert cables.ends(1) == [RESET], "it is back, and knows nothing of this connection"


def test_a_close_comes_after_what_was_sent(cables: Cables) -> None:
    connection, near, far = cables.connect()
    cables.say(connection, near, 1)
    cables.network.close(connection, near)
    cables.say(connection, far, 2)
    cables.run(S)
    assert [what for _, _, what in cables.heard] == [Digest(1), "EOF"], "what crosses the end is dropped"
    assert connection not in cables.network.connections


def test_a_reset_takes_what_is_under_way(cables: Cables) -> None:
    connection, near, _ = cables.connect()
    cables.say(connection, near, 1)
    cables.network.reset(connection)
    cables.run(S)
    assert cables.numbers(1) == []
    assert (cables.ends(0), cables.ends(1)) == ([RESET], [RESET])


def test_garbage_ends_the_reading(cables: Cables) -> None:
    connection, near, _ = cables.connect()
    cables.network.change(0, 1, corrupt_percent=100)
    cables.say(connection, near, 1)
    cables.network.change(0, 1, corrupt_percent=0)
    cables.say(connection, near, 2)
    cables.run(S)
    assert [what for _, _, what in cables.heard] == ["garbage"]


def test_a_black_hole_swallows_what_is_large_and_all_behind_it_until_tcp_gives_up(cables: Cables) -> None:
    connection, near, far = cables.connect()
    cables.network.change(0, 1, size_max=1_000)
    cables.say(connection, near, 1)
    cables.network.send(connection, near, LARGE)
    cables.say(connection, near, 2)
    cables.network.send(connection, far, LARGE)
    begin_us = cables.now_us
    cables.run(begin_us + TCP_TIMEOUT_US - 1)
    assert cables.numbers(1) == [1]
    assert cables.heard[-1][1:] == (0, LARGE), "the other direction is as it was"
    cables.run(begin_us + TCP_TIMEOUT_US)
    assert cables.ends(0) == ["connection timed out"]


def test_what_a_black_hole_held_gets_through_when_it_closes(cables: Cables) -> None:
    connection, near, _ = cables.connect()
    cables.network.change(0, 1, size_max=1_000)
    cables.network.send(connection, near, LARGE)
    cables.say(connection, near, 2)
    cables.run(10 * S)
    cables.network.ease()
    cables.run(11 * S)
    assert [what for _, _, what in cables.heard] == [LARGE, Digest(2)]


def test_a_slow_line_delays_by_the_bytes_before(cables: Cables) -> None:
    connection, near, _ = cables.connect()
    cables.network.change(0, 1, bytes_per_s=1_000)
    begin_us = cables.now_us
    cables.network.send(connection, near, LARGE)
    cables.say(connection, near, 1)
    cables.run(60 * S)
    (large_us, _, _), (small_us, _, _) = cables.heard
    assert 1.8 * S < large_us - begin_us < 2.6 * S
    assert 10_000 < small_us - large_us < 40_000


def test_what_a_full_queue_drops_is_sent_again(cables: Cables) -> None:
    connection, near, _ = cables.connect()
    cables.network.change(0, 1, bytes_per_s=100_000, queue_size=1_000)
    begin_us = cables.now_us
    for _ in range(3):
        cables.network.send(connection, near, LARGE)
    cables.run(60 * S)
    spent_us = cables.heard[-1][0] - begin_us
    assert 2 * STALL_US < spent_us < 2 * STALL_US + 200_000


def test_a_new_connection_does_not_wait_for_the_bytes_of_an_old_one(cables: Cables) -> None:
    connection, near, _ = cables.connect()
    cables.network.change(0, 1, bytes_per_s=100)
    cables.network.send(connection, near, LARGE)
    cables.network.reset(connection)
    connection, near, _ = cables.connect()
    begin_us = cables.now_us
    cables.say(connection, near, 1)
    cables.run(60 * S)
    assert cables.heard[0][0] - begin_us < S


def test_a_clogged_direction_lets_everything_go_at_once(cables: Cables) -> None:
    connection, near, far = cables.connect()
    cables.network.clog(0, 1, 9 * S)
    cables.say(connection, near, 1, 2)
    cables.say(connection, far, 3)
    cables.run(60 * S)
    assert [at_us // S for at_us, host, _ in cables.heard if host == 1] == [9, 9]
    assert [at_us // S for at_us, host, _ in cables.heard if host == 0] == [0]


def test_a_nat_keeps_what_is_used_and_swallows_what_was_idle(cables: Cables) -> None:
    cables.network.hide(0)
    connection, near, far = cables.connect()
    nat = cables.network.nat(0)
    assert nat is not None
    nat.expiry_us = 15 * S
    for number in range(6):
        cables.run(cables.now_us + 10 * S)
        cables.say(connection, near, number)
    cables.run(cables.now_us + 10 * S)
    assert cables.numbers(1) == list(range(6)), "a heartbeat keeps it alive"
    cables.run(cables.now_us + 16 * S)
    cables.say(connection, far, 77)
    cables.say(connection, near, 78)
    cables.run(cables.now_us + TCP_TIMEOUT_US)
    assert (cables.numbers(0), cables.numbers(1)) == ([], list(range(6)))
    assert (cables.ends(0), cables.ends(1)) == (["connection timed out"],) * 2


def test_a_nat_that_restarts_knows_only_what_is_new(cables: Cables) -> None:
    cables.network.hide(0)
    old, old_near, _ = cables.connect()
    nat = cables.network.nat(0)
    assert nat is not None
    nat.restarted_us = cables.now_us
    cables.run(cables.now_us + S)
    new, new_near, _ = cables.connect()
    cables.say(old, old_near, 1)
    cables.say(new, new_near, 2)
    cables.run(cables.now_us + S)
    assert cables.numbers(1) == [2]


def test_calm_forgets_all_trouble(cables: Cables) -> None:
    network = cables.network
    network.change(0, 1, latency_us=5 * S, loss_percent=90, corrupt_percent=100, bytes_per_s=1, size_max=1)
    network.clog(0, 1, 50 * S)
    network.lose(90)
    network.ease()
    assert network.delay_us(0, 1) == LATENCY_US
    connection, near, _ = cables.connect()
    cables.say(connection, near, 5)
    cables.run(S)
    assert cables.numbers(1) == [5]
