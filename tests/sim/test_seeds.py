"""A hundred clusters live through trouble, each its own, and come out of it with every promise kept."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from sim.explore import run_seed
from sim.run import Report
from sim.scenario import ACTIONS

SEEDS = range(100)
WORKERS = os.cpu_count() or 1
SCRIPTED = {"relaunch"}
"""Goes beyond the promises by itself, so only stories have it: see `test_scenarios.py`."""


@pytest.fixture(scope="module")
def outcomes() -> list[Report]:
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        return pool.map(run_seed, SEEDS, chunksize=5)


def test_no_seed_breaks_a_promise(outcomes: list[Report]) -> None:
    broken = [f"seed {outcome.scenario.seed}: {outcome.violation}" for outcome in outcomes if outcome.violation]
    assert not broken, "\n".join([*broken, "see: python -m sim.explore SEED"])


def test_every_kind_of_action_takes_place(outcomes: list[Report]) -> None:
    done = {name for outcome in outcomes for name in outcome.actions}
    assert done == set(ACTIONS) - SCRIPTED


def test_the_workload_gets_work_done(outcomes: list[Report]) -> None:
    assert sum(outcome.answers for outcome in outcomes) > 100 * len(SEEDS)
