"""Rarely reached places are reached: each by a story of its own, in which every promise is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rare import RARE, SEEDS, UNIT

from sim.campaign.tally import UNHEARD_OF
from sim.run import play

TESTS = Path(__file__).parents[1] / "unit"


@pytest.mark.parametrize("mark", RARE)
def test_a_story_passes_its_mark(mark: str) -> None:
    for seed in SEEDS:
        report = play(replace(RARE[mark], seed=seed))
        assert not report.violation
        assert len(report.scenario.steps) == len(RARE[mark].steps), "all of it takes place"
        if report.marks.get(mark):
            return
    pytest.fail(f"none of the seeds {', '.join(SEEDS)} passes {mark}: is it still where the story leads?")


@pytest.mark.parametrize(("mark", "path"), UNIT.items())
def test_what_no_story_passes_is_passed_in_a_test_of_its_own(mark: str, path: str) -> None:
    assert f'marks["{mark}"] == 1' in (TESTS / path).read_text("utf-8")


def test_what_campaigns_do_not_miss_is_tested_elsewhere() -> None:
    assert set(UNHEARD_OF) <= set(UNIT)
