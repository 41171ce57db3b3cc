"""Small runs that several tests look at, each played once."""

from __future__ import annotations

from functools import cache

from sim.actions import Attach, CutPower, Detach, Heal, HostIndex, Split, Start, Take
from sim.draw import draw
from sim.narrator import tell
from sim.scenario import HostSpec, Scenario, Step
from sim.story import Story

A, B, C = HostIndex(0), HostIndex(1), HostIndex(2)
HOSTS = (HostSpec("ash"), HostSpec("birch", (A,)), HostSpec("cedar", (A, B)))
PARTED = Scenario(
    seed="3",
    hosts=HOSTS,
    universe="10.32.0.0/24",
    ring="seed",
    until_ms=6_000,
    steps=(
        Step(500, Attach(A, "web")),
        Step(900, Take(B, tuple(f"name{number}" for number in range(40)))),
        Step(2_000, Split((C,))),
        Step(2_300, Attach(C, "cache")),
        Step(2_400, Detach(A, "web")),
        Step(2_500, CutPower(B)),
        Step(3_500, Start(B)),
        Step(4_800, Heal()),
    ),
    title="Two hosts go on <while> a third & last one is cut off",
)


@cache
def parted() -> Story:
    """Tell of three hosts, a split, a power cut and a burst of addresses."""
    return tell(PARTED)


@cache
def drawn(seed: int) -> Story:
    """Tell of the run of a seed."""
    return tell(draw(seed), profile="all")
