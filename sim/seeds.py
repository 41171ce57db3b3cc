"""A seed is a run: the same on every machine and in every process."""

from __future__ import annotations

from core.replica import Replica
from sim.draw import PROFILES as PROFILES
from sim.draw import draw
from sim.run import MakeReplica, Report, play


def run_seed(seed: int, make: MakeReplica = Replica, *, profile: str = "all") -> Report:
    """Run what a seed stands for in a profile, one of `PROFILES`."""
    assert profile in PROFILES, f"{profile} is no profile"
    return play(draw(seed, profile), make, profile=profile)
