"""Chooses what operators do when something has gone wrong, or right."""

from __future__ import annotations

from collections.abc import Iterator

from core.replica import Replica
from sim import actions
from sim.actions import Action, HostIndex
from sim.agenda import Choice
from sim.choose import removals
from sim.chooser import DOWN_MS, REPAIR_MS, Chooser, Kind, starting
from sim.draw import Settings, settings
from sim.host import Host

BURIALS_MS = (15_000, 70_000)
"""Between two burials when nothing else is looked at."""
BURIAL_MS = (30_000, 65_000)
"""How long after a death it is removed: until its links have been silent for half a minute that is refused."""
RETURN_MS = (50_000, 130_000)
"""How long the dead stay dead."""
FORCED = 0.15
RELAUNCHES_MS = (3_000, 60_000)
"""Between two launches with other settings where nothing else is looked at."""
ASTRAY = 0.6
"""Share of them with settings that are not those of the scenario."""
AGAIN = (0.4, 0.2)
"""Chances that a second and a third operator remove the same dead."""
LOOKS_FIRST = 0.85
"""Chance that an operator asks for the status first, and removes all that are dead and out of reach."""


GIVERS = 0.4
"""Share of burials for which somebody is waited for who has just given something away."""
GIVERS_AWAITED = 100
"""Looks, before anybody is taken."""
LOOK_MS = (20, 60)
INTERRUPTED = 0.5
"""Share of removals in the middle of which something happens."""


def bury_any(chooser: Chooser) -> Iterator[Action]:
    """Bury one host or several at once, while two are left."""
    yield from _bury_giver(chooser, GIVERS_AWAITED if chooser.entropy.random() < GIVERS else 0)


def _bury_giver(chooser: Chooser, looks: int) -> Iterator[Action]:
    """Bury whoever has just given space away and is remembered by few; after so many looks, anybody."""
    up = chooser.stage.up()
    if len(up) <= 2:
        return
    found = removals.giver(chooser) if looks else None
    if found is not None:
        giver, witness = found
        yield from removals.part(chooser, witness)
        yield from _bury(chooser, (HostIndex(giver.index),))
    elif looks:
        chooser.later(LOOK_MS, lambda: _bury_giver(chooser, looks - 1))
    else:
        count = min(chooser.entropy.choice((1, 1, 2, 3)), len(up) - 2)
        yield from _bury(chooser, tuple(HostIndex(host.index) for host in chooser.entropy.sample(up, count)))


def _bury(chooser: Chooser, dead: tuple[HostIndex, ...]) -> Iterator[Action]:
    """Let machines die, have them removed by others, and find that they live again."""
    entropy = chooser.entropy
    for index in dead:
        if chooser.stage.world.hosts[index].heart is not None:
            yield actions.CutPower(index)
    chooser.later(BURIAL_MS, _removing(chooser, dead, force=entropy.random() < FORCED))
    for chance in AGAIN:
        if entropy.random() < chance:
            chooser.later(BURIAL_MS, _removing(chooser, dead, force=False))
    for index in dead:
        chooser.later(RETURN_MS, starting(chooser.stage.world.hosts[index]))


def _removing(chooser: Chooser, dead: tuple[HostIndex, ...], *, force: bool) -> Choice:
    """Return the decision of somebody who is up then to remove the dead."""

    def remove() -> Iterator[Action]:
        host = chooser.host()
        if host is None:
            return
        named = dead
        if chooser.entropy.random() < LOOKS_FIRST:
            others = chooser.stage.world.hosts
            named = tuple(HostIndex(other.index) for other in others if other.is_dark and _has_lost(host, other))
        if named:
            yield actions.RemovePeers(HostIndex(host.index), named, force)
            if chooser.entropy.random() < INTERRUPTED:
                chooser.later(removals.SOON_MS, lambda: removals.interrupt(chooser))

    return remove


def _has_lost(host: Host, other: Host) -> bool:
    return isinstance(host.heart, Replica) and not host.heart.mesh.reachable(other.config.peer)


def relaunch_any(chooser: Chooser) -> Iterator[Action]:
    """Launch a host with other settings of the range, or with those that it had at first."""
    host = chooser.host()
    if host is not None:
        told = settings(chooser.entropy, len(chooser.stage.world.hosts))
        told = told if chooser.entropy.random() < ASTRAY else Settings()
        yield actions.Relaunch(HostIndex(host.index), told.universe, told.ring, told.among)


def _operate(chooser: Chooser) -> Iterator[Action]:
    """Let people do what they do when something has gone wrong, or right."""
    count = len(chooser.stage.world.hosts)
    if count < 2:
        return
    one, other = (HostIndex(index) for index in chooser.entropy.sample(range(count), 2))
    draw = chooser.entropy.random()
    if draw < 0.3:
        yield actions.ConnectTo(one, other)
    elif draw < 0.6:
        yield from _bury(chooser, (other,))
    else:
        yield actions.ForgetTarget(one, other)
        chooser.later(REPAIR_MS[0], lambda: iter((actions.ConnectTo(one, other),)))


def _leave(chooser: Chooser) -> Iterator[Action]:
    """Let a host be reset, and come back as a new one of the same name."""
    host = chooser.host()
    if host is not None:
        yield actions.ResetHost(HostIndex(host.index))
        chooser.later(DOWN_MS, starting(host))


KINDS: dict[str, Kind] = {"operators": _operate, "leavers": _leave}
