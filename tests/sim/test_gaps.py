"""A host may crash between any two effects, with and without its machine: every gap of a small story, one by one."""

from __future__ import annotations

import multiprocessing
import os
from unittest.mock import patch

import pytest

from core.commits import Commits
from sim.actions import Attach, Detach, EndContainer, GiveBack, HostIndex, Take
from sim.gaps import effect_counts, gaps
from sim.run import Report, play
from sim.scenario import HostSpec, Scenario, Step

A, B = HostIndex(0), HostIndex(1)
STORY = Scenario(
    seed="5",
    hosts=(HostSpec("a"), HostSpec("b", (A,))),
    # Four addresses each, so that one has to ask the other.
    universe="10.32.0.0/29",
    ring="consensus",
    until_ms=3_000,
    steps=(
        Step(300, Attach(A, "one")),
        Step(600, Take(B, ("x", "y"))),
        Step(700, Attach(B, "two")),
        Step(800, Attach(B, "three")),
        Step(900, Detach(A, "one")),
        Step(1_000, GiveBack(B, ("x",))),
        Step(1_200, EndContainer(B, "two")),
        Step(1_300, Attach(A, "four")),
    ),
)
WORKERS = os.cpu_count() or 1


@pytest.mark.parametrize("host", [A, B])
def test_no_crash_between_two_effects_breaks_a_promise(host: HostIndex) -> None:
    cases = list(gaps(STORY, host))
    assert len(cases) > 200
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        reports: list[Report] = pool.map(play, cases, chunksize=10)
    broken = [f"{report.scenario.title}: {report.violation}" for report in reports if report.violation]
    assert not broken, "\n".join(broken)
    assert all(report.actions["doom"] == 1 for report in reports)
    crashes = [report.actions.get("start", 0) - 1 for report in reports]
    assert sum(crashes) > 0.8 * len(cases), "what crashes near the end of trouble is started by its end"


def test_every_gap_is_a_case_of_its_own() -> None:
    counts = effect_counts(STORY, A)
    assert counts[0] > 3, "an agent that starts has much to do"
    cases = list(gaps(STORY, A))
    assert len(cases) == 2 * sum(count + 1 for count in counts)
    assert len({case.title for case in cases}) == len(cases)


def test_a_case_is_a_scenario_that_replays() -> None:
    case = list(gaps(STORY, B))[40]
    report = play(case)
    assert play(report.scenario).proof == report.proof


def test_an_answer_that_does_not_wait_for_the_disk_is_found() -> None:
    def hasty(self: Commits) -> None:
        while self._waiting:
            self._context.emit(self._waiting.popleft()[1])

    with patch.object(Commits, "_release", hasty):
        assert any(play(case).violation for case in gaps(STORY, B))
