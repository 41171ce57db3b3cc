"""Who asks before the others have heard how the range is divided is answered as soon as they have."""

from __future__ import annotations

import pytest

from sim.actions import ClaimAddress, HostIndex
from sim.run import Run
from sim.scenario import HostSpec, Scenario, Step

SOON_MS = 2_000
"""Lost, an ask is repeated only when its owner counts as silent: after 25 seconds."""


@pytest.mark.parametrize("seed", range(10))
def test_a_claim_at_the_very_beginning_is_answered_at_once(seed: int) -> None:
    scenario = Scenario(
        seed=str(seed),
        hosts=(HostSpec("a"), HostSpec("b", (HostIndex(0),))),
        universe="10.32.0.0/24",
        ring="consensus",
        until_ms=60_000,
        steps=(
            Step(20, ClaimAddress(HostIndex(0), "c1", "10.32.0.200")),
            Step(20, ClaimAddress(HostIndex(1), "c2", "10.32.0.20")),
        ),
    )
    run = Run(scenario)
    run.until(SOON_MS)
    assert run.stage.books.done["claim-address"] == 2
