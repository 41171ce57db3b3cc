"""Clusters whose hosts are launched again and again with different ranges, and different ideas of how to divide one."""

from __future__ import annotations

import pytest

from sim.draw import draw
from sim.run import play

SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_rings_never_mix_and_all_is_told(seed: int) -> None:
    report = play(draw(seed, "rings"), profile="rings")
    assert not report.violation, f"see: weave sim timeline {seed} --profile rings"
    assert report.actions["relaunch"] > 1
