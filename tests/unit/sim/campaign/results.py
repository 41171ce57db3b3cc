"""Results for tests of campaigns, made without running anything."""

from __future__ import annotations

from dataclasses import replace

from sim.campaign.code import code_id
from sim.campaign.result import Result

GOOD = Result(
    seed=0,
    profile="all",
    code=code_id(),
    hosts=3,
    proof="00ff",
    virtual_ms=60_000,
    cpu_ms=100,
    events=10,
    converged_ms=300,
    violation="",
    marks={"gossip.asked-again": 2},
    actions={"cut": 1},
    outcomes={"take": 5, "no take": 1},
)


def good(seed: int) -> Result:
    return replace(GOOD, seed=seed)


def bad(seed: int, violation: str = "I2: 10.32.0.1 was given twice") -> Result:
    return replace(GOOD, seed=seed, violation=violation)
