"""What a seed chose is a scenario: written to a file and played again it is the same run."""

from __future__ import annotations

import pytest

from sim.explore import run_seed
from sim.run import play
from sim.scenario import dump, load


@pytest.mark.parametrize("seed", [1, 5, 6, 8])
def test_a_recorded_run_plays_again(seed: int) -> None:
    report = run_seed(seed)
    assert report.scenario.steps
    again = play(load(dump(report.scenario)))
    assert again.proof == report.proof
    assert again.scenario == report.scenario
