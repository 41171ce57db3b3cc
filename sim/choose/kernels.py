"""Chooses what happens to kernels."""

from __future__ import annotations

from collections.abc import Iterator

from core.reconcile.objects import Bridge, Endpoint, EndpointAddress, Guard, KernelObject, Tunnel, VxlanPort
from core.types import SHORT_ID_MAX, Address, address_of, address_text
from sim import actions
from sim.actions import Action, HostIndex
from sim.chooser import DOWN_MS, REPAIR_MS, Chooser, Kind, starting
from sim.host import Host
from sim.netlink import TROUBLES

KERNEL_TROUBLE_MAX_PERCENT = 30
STRANGERS_MAX = 6
"""Addresses of one machine, and one more."""
KINDS_MAX = 3
"""Kinds of failure in one kernel."""


def _disturb_kernels(chooser: Chooser) -> Iterator[Action]:
    """Let operations fail, in each kernel in its own ways."""
    for host in chooser.stage.world.hosts:
        for kind in chooser.entropy.sample(TROUBLES, chooser.entropy.randint(1, KINDS_MAX)):
            percent = chooser.entropy.randint(0, KERNEL_TROUBLE_MAX_PERCENT)
            yield actions.KernelTrouble(HostIndex(host.index), percent, kind)


def _meddle(chooser: Chooser) -> Iterator[Action]:
    """Let somebody delete something of ours behind the agent's back, or take it apart."""
    host = chooser.host()
    objects = () if host is None else _deletable(host)
    if host is None or not objects:
        return
    item, index = chooser.entropy.choice(objects), HostIndex(host.index)
    if isinstance(item, Endpoint) and chooser.entropy.random() < 0.5:
        yield actions.Unplug(index, " ".join(item.key))
    else:
        yield actions.LoseObject(index, " ".join(item.key))


def _end_sleeve(chooser: Chooser) -> Iterator[Action]:
    host = chooser.host()
    if host is not None:
        yield actions.EndSleeve(HostIndex(host.index))


def _mute(chooser: Chooser) -> Iterator[Action]:
    """Let a kernel's news get lost for a while, and something happen of which there is none."""
    host = chooser.host()
    if host is None:
        return
    index = HostIndex(host.index)
    yield actions.MuteKernel(index)
    chooser.later(REPAIR_MS[0], lambda: iter((actions.UnmuteKernel(index),)))
    objects = _deletable(host)
    if objects:
        yield actions.LoseObject(index, " ".join(chooser.entropy.choice(objects).key))


def _deletable(host: Host) -> tuple[KernelObject, ...]:
    """Return what somebody might delete: tunnels are in a process' memory, and who deletes the guard wants it so."""
    return tuple(item for item in host.kernel.observe() if not isinstance(item, Tunnel | Guard))


def _squat(chooser: Chooser) -> Iterator[Action]:
    """Let somebody else's device have one of our names for a while."""
    host = chooser.host()
    objects = () if host is None else host.kernel.observe()
    named = [item for item in objects if isinstance(item, Bridge | VxlanPort | Endpoint)]
    if host is not None and named and not host.kernel.foreign:
        index = HostIndex(host.index)
        yield actions.Squat(index, " ".join(chooser.entropy.choice(named).key))
        chooser.later(chooser.entropy.choice(REPAIR_MS), lambda: iter((actions.ClearAway(index),)))


def _leave_behind(chooser: Chooser) -> Iterator[Action]:
    """Let an agent find what one before it has left."""
    host = chooser.host()
    if host is None:
        return
    index, entropy = HostIndex(host.index), chooser.entropy
    numbers = [other.kernel.tables().number for other in chooser.stage.world.hosts]
    yield actions.Kill(index)
    number = entropy.choice((*numbers, SHORT_ID_MAX)) or SHORT_ID_MAX
    yield actions.LeaveBehind(index, f"left{entropy.randint(1, 999)}", number, entropy.random() < 0.5)
    chooser.later(DOWN_MS, starting(host))


def _intrude(chooser: Chooser) -> Iterator[Action]:
    """Let a machine that nobody knows have the addresses that a host gives next."""
    host, entropy = chooser.host(), chooser.entropy
    universe = None if host is None else host.config.universe
    if host is None or universe is None or not host.config.datapath:
        return
    index = HostIndex(host.index)
    part = entropy.choice(universe.parts)
    used = [item.cidr.partition("/")[0] for item in host.kernel.observe() if isinstance(item, EndpointAddress)]
    start = address_of(entropy.choice(used)) if used else part.lo
    for offset in range(1, entropy.randint(2, STRANGERS_MAX)):
        yield actions.Intrude(index, address_text(Address(min(start + offset, part.hi - 1))))
    chooser.later(entropy.choice(REPAIR_MS), lambda: iter((actions.Expel(index),)))


BEGIN: dict[str, Kind] = {"kernel": _disturb_kernels}
KINDS: dict[str, Kind] = {
    "kernel": _meddle,
    "sleeves": _end_sleeve,
    "mute": _mute,
    "squatters": _squat,
    "leftovers": _leave_behind,
    "strangers": _intrude,
}
