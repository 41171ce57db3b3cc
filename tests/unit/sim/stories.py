"""Small runs that several tests look at, each played once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from sim.actions import (
    Attach,
    CutPower,
    Detach,
    Doom,
    EmptyDisk,
    FillDisk,
    GiveBack,
    Heal,
    HostIndex,
    Kill,
    Split,
    Start,
    StepClock,
    Take,
)
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


def _stormy() -> Iterator[Step]:
    """Yield splits, crashes in the middle of decisions, power cuts, full disks and bursts of addresses."""
    for number in range(8):
        at_ms = 1_000 + 2_500 * number
        one, other, third = (HostIndex((number + more) % 5) for more in (0, 1, 3))
        names = tuple(f"n{number}-{count}" for count in range(40))
        yield Step(at_ms, Take(one, names))
        yield Step(at_ms + 300, Split((one, other)))
        yield Step(at_ms + 320, Attach(third, f"c{number}"))
        yield Step(at_ms + 400, GiveBack(one, names))
        yield Step(at_ms + 800, FillDisk(other))
        yield Step(at_ms + 820, Take(other, (f"refused{number}",)))
        yield Step(at_ms + 1_000, Doom(third, 1, number % 2 == 0))
        yield Step(at_ms + 1_010, Take(third, (f"lost{number}",)))
        yield Step(at_ms + 1_400, EmptyDisk(other))
        yield Step(at_ms + 1_600, CutPower(other))
        yield Step(at_ms + 1_700, Start(third))
        yield Step(at_ms + 2_000, Start(other))
        yield Step(at_ms + 2_300, Heal())


def _long() -> Iterator[Step]:
    """Yield so many steps that a picture has no room for all."""
    for number in range(120):
        at_ms, host = 500 + 760 * number, HostIndex(number % 3)
        yield Step(at_ms, Take(host, (f"n{number}",)) if number % 2 else Attach(host, f"c{number}"))
        yield Step(at_ms + 400, Kill(host) if number % 5 == 0 else StepClock(host, 1_000))
        yield Step(at_ms + 600, Start(host))


STORMY = replace(
    PARTED,
    hosts=tuple(HostSpec(f"h{index}", tuple(map(HostIndex, range(index)))) for index in range(5)),
    until_ms=21_000,
    steps=tuple(_stormy()),
    title="",
)
LONG = replace(PARTED, until_ms=100_000, steps=tuple(_long()), title="")


@cache
def parted() -> Story:
    """Tell of three hosts, a split, a power cut and a burst of addresses."""
    return tell(PARTED)


@cache
def stormy() -> Story:
    """Tell of five hosts in all sorts of trouble."""
    return tell(STORMY)


@cache
def long() -> Story:
    """Tell of a long time with hundreds of steps."""
    return tell(LONG)
