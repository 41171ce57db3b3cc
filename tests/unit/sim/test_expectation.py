"""What must be seen is seen, and what is missing is a violation that quotes what is there."""

from __future__ import annotations

import pytest
from watched import A, B, Watched

from sim.actions import Kill, Take
from sim.books import Violation
from sim.expectation import PARTS, Expectation
from sim.run import play
from sim.scenario import HostSpec, Scenario, Step
from sim.witness import lines_of, look

STORY = Scenario("1", (HostSpec("a"),), "10.32.0.0/24", "seed", 9_000, (Step(2_000, Take(A, ("web",))),))


@pytest.mark.parametrize(
    ("pattern", "lines", "is_met"),
    [
        ("ready", ("idle", "ready"), True),
        ("ready", ("not ready",), False),
        ("… removed …", ("h1 removed h2 on Monday",), True),
        ("h1…h2…", ("h2 after h1",), False),
        ("a.c", ("abc",), False),
        ("first…last", ("first\nlast",), True),
        ("", (), True),
        ("", ("anything",), False),
    ],
)
def test_a_line_matches_a_pattern(pattern: str, lines: tuple[str, ...], is_met: bool) -> None:
    assert Expectation(0, (A,), "state", pattern).is_met_by(lines) is is_met
    assert Expectation(0, (A,), "state", pattern, never=True).is_met_by(lines) is not is_met


def test_every_part_can_be_looked_at() -> None:
    watched = Watched()
    watched.perform(Take(A, ("web",)))
    watched.wait(1_000)
    host = watched.world.hosts[A]
    shown = {part: lines_of(watched.stage, host, part) for part in PARTS}
    assert shown["answers"] == ("take web: 10.32.0.1/24",)
    assert shown["held"] == ("web 10.32.0.1/24",)
    assert shown["owners"] == ("a 128", "b 128")
    assert shown["state"] == ("ready",)
    assert shown["terminations"] == ("0",)
    assert shown["connections"][0].startswith("b established ")
    watched.perform(Kill(A))
    assert lines_of(watched.stage, host, "state") == ()
    assert lines_of(watched.stage, host, "answers") == ("take web: 10.32.0.1/24",)


def test_what_is_missing_is_told_with_what_is_there() -> None:
    watched = Watched()
    look(watched.stage, Expectation(0, (A, B), "state", "ready"))
    with pytest.raises(Violation, match="a should show 'idle' among its state, and shows 'ready'"):
        look(watched.stage, Expectation(0, (A,), "state", "idle"))
    with pytest.raises(Violation, match="a must not show 'r…' among its state"):
        look(watched.stage, Expectation(0, (A,), "state", "r…", never=True))


@pytest.mark.parametrize(("at_ms", "shown"), [(2_000, ""), (8_000, "web …"), (9_000, "web …")])
def test_a_story_is_looked_at_on_the_way_and_at_the_end(at_ms: int, shown: str) -> None:
    seen, unseen = Expectation(at_ms, (A,), "held", shown), Expectation(at_ms, (A,), "held", shown, never=True)
    assert play(with_expectation(seen)).violation == ""
    assert play(with_expectation(unseen)).violation.startswith("story: ")


def with_expectation(expectation: Expectation) -> Scenario:
    return Scenario(
        STORY.seed, STORY.hosts, STORY.universe, STORY.ring, STORY.until_ms, STORY.steps, expect=(expectation,)
    )
