"""What must hold in the end is missed while it does not: routes without ghosts, ranges that their owners speak for."""

from __future__ import annotations

import pytest
from watched import THREE, TWO, A, B, C, Watched

from core.replica import Replica
from core.types import LinkId
from sim.actions import CutPower, Pause, Take
from sim.books import Violation
from sim.bounds import LINKS_PER_PEER_MAX

NAMES = tuple(f"c{number}" for number in range(80))


def heart(watched: Watched, host: int) -> Replica:
    found = watched.world.hosts[host].heart
    assert isinstance(found, Replica)
    return found


def test_routes_to_who_is_long_without_power_are_missed_until_they_are_gone() -> None:
    watched = Watched(THREE, core=(A, B))
    watched.wait(5_000)
    watched.perform(CutPower(C))
    watched.wait(1_000)
    assert [problem for problem in watched.run.checks.unfinished() if "routes to c" in problem] == [
        "a has routes to c, long without power",
        "b has routes to c, long without power",
    ]
    watched.wait(60_000)
    assert watched.run.checks.unfinished() == []


def test_a_gift_is_missed_until_its_owner_says_that_it_has_it() -> None:
    watched = Watched(TWO, universe="10.32.0.0/25", kernels=False)
    watched.perform(Take(A, NAMES))
    seen: list[str] = []
    for _ in range(400):
        watched.wait(5)
        seen += [problem for problem in watched.run.checks.unfinished() if "has not said that it owns" in problem]
    assert seen[0] == "a has not said that it owns what 02:00:00:00:00:02 gave it, from 10.32.0.95 up to 10.32.0.128"
    assert watched.run.checks.unfinished() == []


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        ("gossip.equivocation", "I4: a was told two things under one number"),
        ("gossip.corrupt-replaced", "I4: a was told what does not fit its fingerprint"),
    ],
)
def test_who_is_told_a_contradiction_has_been_told_it_by_a_bug(mark: str, text: str) -> None:
    watched = Watched(TWO)
    heart(watched, A).marks[mark] = 1
    with pytest.raises(Violation, match=text):
        watched.run.checks.snapshot()
    trusted = Watched(TWO, allow=("lying-fsync",))
    heart(trusted, A).marks[mark] = 1
    trusted.run.checks.snapshot()


def test_connections_that_wait_for_who_stands_still_are_not_its_own() -> None:
    watched = Watched(TWO, kernels=False)
    host = watched.world.hosts[A]
    watched.wait(1_000)
    link = next(iter(host.links.values()))
    waiting = map(LinkId, range(100, 100 + LINKS_PER_PEER_MAX * 2))
    host.links.update(dict.fromkeys(waiting, link))
    with pytest.raises(Violation, match=r"I7: at a \d+ connections stand"):
        watched.run.checks.snapshot()
    watched.perform(Pause(A, 10_000))
    watched.run.checks.snapshot()
