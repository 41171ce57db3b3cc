"""The simulator finds planted bugs, each by the invariant that stands against it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import mutants
import pytest

from sim.explore import run_seed

SEEDS_MAX = 60
"""A mutant that survives so many seeds would survive in earnest, too."""


@pytest.mark.parametrize(
    ("mutant", "invariants"),
    [
        (mutants.publish_before_durable, ("I1",)),
        (mutants.take_over_on_own_view, ("I2", "I3")),
        (mutants.resurrect_what_was_deleted, ("I4",)),
    ],
)
def test_a_planted_bug_is_found(mutant: type[AbstractContextManager[None]], invariants: tuple[str, ...]) -> None:
    found = []
    with mutant():
        for seed in range(SEEDS_MAX):
            violation = run_seed(seed).violation
            if violation:
                found.append(violation)
                if violation[:2] in invariants:
                    return
    pytest.fail(f"{SEEDS_MAX} seeds found nothing of the kind {invariants}, but {found}")
