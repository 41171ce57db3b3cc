"""I6 is missed when a name server says too much, too little, or in the wrong order."""

from __future__ import annotations

import pytest
from watched import TWO, A, B, Watched

from core.naming.presence import HOLD_DOWN_MS
from core.replica import Replica
from sim.actions import AddName, Attach, Pause, RemoveName, RestartNames, Split
from sim.books import Violation
from sim.host import Host
from sim.naming import SLACK_MS


def named() -> tuple[Watched, Host]:
    """Return two hosts with a container each, and the first of them."""
    watched = Watched(TWO)
    watched.perform(Attach(A, "c1"), Attach(B, "c2"))
    watched.wait(3_000)
    return watched, watched.world.hosts[A]


def snapshot(watched: Watched) -> None:
    watched.run.checks._naming.snapshot()


def heart(host: Host) -> Replica:
    assert isinstance(host.heart, Replica)
    return host.heart


def test_names_are_added_once_for_attached_containers_and_removed_when_they_are_there() -> None:
    watched, host = named()
    add, remove = AddName(A, "c1", "N1", has_port=True, has_text=True), RemoveName(A, "N1")
    assert watched.perform(remove, AddName(A, "c2", "N2"), add, add) == [False, False, True, False]
    watched.wait(1_000)
    assert sorted(key for key in host.served if "n1" in key) == ["_http._tcp.n1.weave.local.", "n1.weave.local."]
    assert watched.run.checks.unfinished() == []
    assert watched.perform(remove, remove) == [True, False]
    watched.wait(1_000)
    assert [key for key in host.served if "n1" in key] == []
    assert watched.run.checks.unfinished() == []


def test_a_name_that_comes_back_is_missed_in_the_end() -> None:
    watched, host = named()
    watched.perform(AddName(A, "c1", "N1"))
    watched.wait(1_000)
    kept = host.served["n1.weave.local."]
    watched.perform(RemoveName(A, "N1"))
    watched.wait(1_000)
    host.served[kept.key] = kept
    (problem,) = watched.run.checks.unfinished()
    assert problem.endswith("for n1.weave.local., of which nobody within reach says so")


def test_a_name_server_that_restarts_answers_nothing_and_then_everything() -> None:
    watched, host = named()
    served = dict(host.served)
    watched.perform(RestartNames(A, 500))
    watched.wait(100)
    assert (host.is_serving, host.served) == (False, {})
    snapshot(watched)
    watched.wait(1_000)
    assert host.served == served != {}


def test_names_out_of_reach_may_be_answered_for_a_moment_only() -> None:
    watched, host = named()
    heart(host).zone.timer = lambda name: None  # type: ignore[method-assign]  # it forgets to withhold
    watched.perform(Split((A,)))
    frames = heart(host).zone.reached
    while heart(host).zone.reached == frames:
        watched.wait(100)
    watched.wait(HOLD_DOWN_MS)
    snapshot(watched)
    with pytest.raises(Violation, match=r"I6: a answers .* for .*, which nobody says in reach"):
        watched.wait(20 * SLACK_MS)


def test_an_agent_that_stands_still_withholds_nothing_meanwhile() -> None:
    watched, host = named()
    watched.perform(Split((A,)))
    frames = heart(host).zone.reached
    while heart(host).zone.reached == frames:
        watched.wait(100)
    watched.perform(Pause(A, 60_000))
    watched.wait(30_000)
    assert "c2.weave.local." in host.served
    snapshot(watched)
    watched.wait(32_000)
    assert "c2.weave.local." not in host.served


def test_others_addresses_before_our_own_are_missed() -> None:
    watched, host = named()
    snapshot(watched)
    together = host.served["all.weave.local."]
    assert len(together.hosts) == 2
    object.__setattr__(together, "hosts", tuple(reversed(together.hosts)))
    with pytest.raises(Violation, match="with others' addresses before its own"):
        snapshot(watched)
