"""Chooses what happens to paths and connections."""

from __future__ import annotations

from collections.abc import Iterator

from sim import actions
from sim.actions import Action, HostIndex
from sim.chooser import REPAIR_MS, Chooser, Kind

LOSS_MAX_PERCENT = 20


def _cut(chooser: Chooser) -> Iterator[Action]:
    """Split the hosts in two, or stop one direction between two of them; some time later all cuts heal."""
    count = len(chooser.stage.world.hosts)
    if count < 2:
        return
    if chooser.entropy.random() < 0.3:
        source, target = chooser.entropy.sample(range(count), 2)
        yield actions.Cut(HostIndex(source), HostIndex(target))
    else:
        side = sorted(chooser.entropy.sample(range(count), chooser.entropy.randint(1, count - 1)))
        yield actions.Split(tuple(HostIndex(index) for index in side))
    chooser.later(chooser.entropy.choice(REPAIR_MS), lambda: iter((actions.Heal(),)))


def _reset(chooser: Chooser) -> Iterator[Action]:
    count = len(chooser.stage.world.hosts)
    if count > 1:
        one, other = chooser.entropy.sample(range(count), 2)
        yield actions.Reset(HostIndex(one), HostIndex(other))


def lose(chooser: Chooser) -> Iterator[Action]:
    """Let every path lose messages."""
    yield actions.Lose(chooser.entropy.randint(1, LOSS_MAX_PERCENT))


KINDS: dict[str, Kind] = {"cuts": _cut, "resets": _reset}
