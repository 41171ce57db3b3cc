"""Chooses what happens to agents, machines, disks and clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim import actions
from sim.actions import Action, HostIndex
from sim.chooser import DOWN_MS, PAUSE_MS, REPAIR_MS, Chooser, Kind, starting

CLOCK_STEP_MAX_MS = 3_600_000
GAP_MAX = 12
"""Effects of one event: nearly all have fewer."""


def _take_down(chooser: Chooser, kind: Callable[[HostIndex], Action]) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        yield kind(HostIndex(host.index))
        chooser.later(DOWN_MS, starting(host))


def _doom(chooser: Chooser) -> Iterator[Action]:
    """Let a host crash between two effects of whatever it does next."""
    host = chooser.host()
    if host is not None:
        gap, power = chooser.entropy.randint(0, GAP_MAX), chooser.entropy.random() < 0.5
        yield actions.Doom(HostIndex(host.index), gap, power)
        chooser.later(DOWN_MS, starting(host))


def _fill_disk(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        index = HostIndex(host.index)
        yield actions.FillDisk(index)
        chooser.later(REPAIR_MS[0], lambda: iter((actions.EmptyDisk(index),)))


def _step_clock(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        by_ms = chooser.entropy.randint(-CLOCK_STEP_MAX_MS, CLOCK_STEP_MAX_MS)
        yield actions.StepClock(HostIndex(host.index), by_ms)


def _forget(chooser: Chooser, kind: Callable[[HostIndex], Action]) -> Iterator[Action]:
    """Take what is on a disk, if others remember it."""
    host = chooser.entropy.choice(chooser.stage.world.hosts)
    if chooser.stage.is_remembered(host):
        yield kind(HostIndex(host.index))
        chooser.later(DOWN_MS, starting(host))


def _back_up(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        yield actions.BackUp(HostIndex(host.index))


def _keep_backups(chooser: Chooser) -> Iterator[Action]:
    """Let disks be copied now and then, so that there is something to return to."""
    chooser.agenda.every(0, PAUSE_MS, chooser.entropy, lambda: _back_up(chooser))
    yield from ()


BEGIN: dict[str, Kind] = {"rollbacks": _keep_backups}
KINDS: dict[str, Kind] = {
    "kills": lambda chooser: _take_down(chooser, actions.Kill),
    "power": lambda chooser: _take_down(chooser, actions.CutPower),
    "gaps": _doom,
    "disk": _fill_disk,
    "clocks": _step_clock,
    "wipes": lambda chooser: _forget(chooser, actions.Wipe),
    "rollbacks": lambda chooser: _forget(chooser, actions.RollBack),
}
