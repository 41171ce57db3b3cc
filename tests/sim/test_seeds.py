"""Many clusters live through trouble, each its own, and come out of it with every promise kept."""

from __future__ import annotations

import pytest

from sim.campaign.tally import Tally
from sim.explore import Campaign, explore

SEEDS = range(150)
ANSWERS_LEAST = 100
"""Per seed, on average: a workload that gets nothing done proves nothing."""


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return explore(SEEDS)


@pytest.fixture(scope="module")
def tally(campaign: Campaign) -> Tally:
    return campaign.tally


def test_no_seed_breaks_a_promise(campaign: Campaign) -> None:
    assert campaign.is_clean, str(campaign)


def test_every_kind_of_action_takes_place(tally: Tally) -> None:
    assert tally.undone == ()


def test_the_workload_gets_work_done(tally: Tally) -> None:
    answers = sum(count for name, count in tally.outcomes.items() if not name.startswith("no "))
    assert answers > ANSWERS_LEAST * len(SEEDS)
