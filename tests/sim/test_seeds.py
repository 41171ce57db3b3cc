"""Many clusters live through trouble, each its own, and come out of it with every promise kept."""

from __future__ import annotations

import pytest
from rare import RARE, UNIT

from core.marks import MARKS
from sim.campaign.tally import Tally
from sim.explore import Campaign, explore

SEEDS = (*range(150), 246)
"""The last one has what is drawn seldom: NATs that forget who is behind them."""
TAKEOVER_SEEDS = range(40)
ANSWERS_LEAST = 100
"""Per seed, on average: a workload that gets nothing done proves nothing."""


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return explore(SEEDS)


@pytest.fixture(scope="module")
def takeovers() -> Campaign:
    return explore(TAKEOVER_SEEDS, profile="takeover")


@pytest.fixture(scope="module")
def tally(campaign: Campaign) -> Tally:
    return campaign.tally


def test_no_seed_breaks_a_promise(campaign: Campaign) -> None:
    assert campaign.is_clean, str(campaign)


def test_no_removal_of_dead_hosts_breaks_a_promise(takeovers: Campaign) -> None:
    assert takeovers.is_clean, str(takeovers)


def test_every_kind_of_action_takes_place(tally: Tally) -> None:
    assert tally.undone == ()


def test_every_mark_is_passed_by_seeds_or_has_a_story(tally: Tally, takeovers: Campaign) -> None:
    missed = [mark for mark in tally.unmarked if mark in takeovers.tally.unmarked]
    assert sorted(MARKS & {*RARE, *UNIT}) == sorted({*RARE, *UNIT}), "stories lead to marks that there are"
    assert [mark for mark in missed if mark not in RARE and mark not in UNIT] == [], "give it a story in rare.py"


def test_the_workload_gets_work_done(tally: Tally) -> None:
    answers = sum(count for name, count in tally.outcomes.items() if not name.startswith("no "))
    assert answers > ANSWERS_LEAST * len(SEEDS)
