"""Chooses what happens to agents, machines, disks and clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim import actions
from sim.actions import Action, HostIndex
from sim.agenda import Choice
from sim.chooser import DOWN_MS, PAUSE_MS, REPAIR_MS, Chooser, Kind, starting
from sim.host import Host
from sim.names import NEXT, TODAY

CLOCK_STEPS_MS = (3_600_000, 86_400_000, 10 * 365 * 86_400_000)
"""Largest step of an operator, of a wrong time zone, and of a machine that did not know the time at all."""
DRIFT_PPM = 50_000
PAUSES_MS = ((200, 5_000), (20_000, 90_000))
"""A collector or a busy machine; a virtual machine that is moved or frozen."""
SILENCE_MS = (5, 3_000)
"""How long a name server takes to be there again."""
SLOW_MS = (50, 4_000)
SLUGGISH_MS = (0, 0, 100, 300, 1_000)
WANTED = 0.7
"""Chance that a host without memory is asked for an address as soon as it starts."""
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


def _upgrade(chooser: Chooser) -> Iterator[Action]:
    """Let a host go on with another version of the software, on the disk that it has."""
    host = chooser.host()
    if host is not None:
        yield actions.Upgrade(HostIndex(host.index), NEXT if host.release == TODAY else TODAY)
        chooser.later(DOWN_MS, starting(host))


def _pause(chooser: Chooser) -> Iterator[Action]:
    """Let an agent stand still: its machine is busy or frozen."""
    host = chooser.host()
    if host is not None:
        yield actions.Pause(HostIndex(host.index), chooser.entropy.randint(*chooser.entropy.choice(PAUSES_MS)))


def _restart_names(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        yield actions.RestartNames(HostIndex(host.index), chooser.entropy.randint(*SILENCE_MS))


def _slow_disk(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        index = HostIndex(host.index)
        yield actions.SlowDisk(index, chooser.entropy.randint(*SLOW_MS))
        chooser.later(chooser.entropy.choice(REPAIR_MS), lambda: iter((actions.SlowDisk(index, 0),)))


def slow_down(chooser: Chooser) -> Iterator[Action]:
    """Let some disks be so slow that whatever takes several commits can be interrupted anywhere."""
    for host in chooser.stage.world.hosts:
        yield actions.SlowDisk(HostIndex(host.index), chooser.entropy.choice(SLUGGISH_MS))


def _protect_disk(chooser: Chooser) -> Iterator[Action]:
    """Let a disk be remounted read-only, as Linux does after an error; whoever repairs it starts the agent, too."""
    host = chooser.host()
    if host is not None:
        index = HostIndex(host.index)
        yield actions.MountReadOnly(index)
        chooser.later(REPAIR_MS[0], lambda: iter((actions.MountWritable(index), actions.Start(index))))


def lie(chooser: Chooser) -> Iterator[Action]:
    """Let a disk say that it has written what it has not, until the power goes."""
    host = chooser.host()
    if host is not None:
        index = HostIndex(host.index)
        yield actions.LieAboutSync(index, True)
        chooser.later(REPAIR_MS[0], lambda: iter((actions.CutPower(index), actions.LieAboutSync(index, False))))
        chooser.later(REPAIR_MS[1], starting(host))


def _step_clock(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        largest_ms = chooser.entropy.choice(CLOCK_STEPS_MS)
        yield actions.StepClock(HostIndex(host.index), chooser.entropy.randint(-largest_ms, largest_ms))


def _draw_drifts(chooser: Chooser) -> Iterator[Action]:
    """Let every clock run at a speed of its own."""
    for host in chooser.stage.world.hosts:
        yield actions.DriftClock(HostIndex(host.index), chooser.entropy.randint(-DRIFT_PPM, DRIFT_PPM))


def _drift(chooser: Chooser) -> Iterator[Action]:
    host = chooser.entropy.choice(chooser.stage.world.hosts)
    yield actions.DriftClock(HostIndex(host.index), chooser.entropy.randint(-DRIFT_PPM, DRIFT_PPM))


def _forget(chooser: Chooser, kind: Callable[[HostIndex], Action]) -> Iterator[Action]:
    """Take what is on a disk, if others remember it or nobody needs it."""
    host = chooser.entropy.choice(chooser.stage.world.hosts)
    if chooser.stage.may_forget(host):
        yield kind(HostIndex(host.index))
        chooser.later(DOWN_MS, _wanted(chooser, host))


def _wanted(chooser: Chooser, host: Host) -> Choice:
    """Return the decision to start a host and, mostly, to want an address of it before it can know anything."""

    def start() -> Iterator[Action]:
        index = HostIndex(host.index)
        yield actions.Start(index)
        if chooser.entropy.random() < WANTED:
            yield actions.Take(index, (f"early{host.index}-{host.life}",))

    return start


def _back_up(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        yield actions.BackUp(HostIndex(host.index))


def _keep_backups(chooser: Chooser) -> Iterator[Action]:
    """Let disks be copied now and then, so that there is something to return to."""
    chooser.agenda.every(0, PAUSE_MS, chooser.entropy, lambda: _back_up(chooser))
    yield from ()


BEGIN: dict[str, Kind] = {"drift": _draw_drifts, "rollbacks": _keep_backups}
KINDS: dict[str, Kind] = {
    "kills": lambda chooser: _take_down(chooser, actions.Kill),
    "power": lambda chooser: _take_down(chooser, actions.CutPower),
    "gaps": _doom,
    "upgrades": _upgrade,
    "pauses": _pause,
    "name-server": _restart_names,
    "disk": _fill_disk,
    "slow-disk": _slow_disk,
    "read-only": _protect_disk,
    "clocks": _step_clock,
    "drift": _drift,
    "wipes": lambda chooser: _forget(chooser, actions.Wipe),
    "rollbacks": lambda chooser: _forget(chooser, actions.RollBack),
}
