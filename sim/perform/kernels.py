"""Performs what happens to kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.reconcile.desired import host_ifname
from core.reconcile.objects import (
    Bridge,
    Endpoint,
    EndpointAddress,
    EndpointUp,
    Hop,
    KernelObject,
    Tree,
    VxlanPort,
)
from core.types import ShortId
from core.types import address_of as ip_of
from sim import actions
from sim.actions import Action
from sim.host import Host
from sim.names import netns_of
from sim.netlink import TROUBLES
from sim.scene import Scene

PERCENT_MAX = 95
NOWHERE = "192.168.255.255"
"""A neighbour of long ago."""
LEFT_ADDRESS = "192.168.77.7/24"
"""Of an agent with another range."""


def calm(scene: Scene) -> None:
    """End all trouble of kernels; what was lost and what was left behind is for the agents to see to."""
    for host in scene.world.hosts:
        host.netlink.end_trouble()
        _clear(scene, host)
        host.kernel.strangers.clear()


def _intrude(scene: Scene, action: actions.Intrude) -> bool:
    host = scene.world.hosts[action.host]
    try:
        address = ip_of(action.address)
    except ValueError:
        return False
    if host.is_dark or not host.config.datapath or address in host.kernel.strangers:
        return False
    host.kernel.strangers[address] = scene.world.now_us
    return True


def _expel(scene: Scene, action: actions.Expel) -> bool:
    host = scene.world.hosts[action.host]
    is_any = bool(host.kernel.strangers)
    host.kernel.strangers.clear()
    return is_any


def _kernel_trouble(scene: Scene, action: actions.KernelTrouble) -> bool:
    if action.kind not in TROUBLES:
        return False
    scene.world.hosts[action.host].netlink.trouble(action.kind, min(action.percent, PERCENT_MAX))
    return True


def _mute_kernel(scene: Scene, action: actions.MuteKernel) -> bool:
    scene.world.hosts[action.host].netlink.is_mute = True
    return True


def _unmute_kernel(scene: Scene, action: actions.UnmuteKernel) -> bool:
    netlink = scene.world.hosts[action.host].netlink
    netlink.is_mute, netlink.heard_again_us = False, scene.world.now_us
    return True


def _lose_object(scene: Scene, action: actions.LoseObject) -> bool:
    host = scene.world.hosts[action.host]
    item = _find(host, action.key)
    if item is None:
        return False
    host.kernel.lose(item, is_held=host.heart is not None)
    scene.world.tell(host, item)
    return True


def _end_sleeve(scene: Scene, action: actions.EndSleeve) -> bool:
    host = scene.world.hosts[action.host]
    gone = host.kernel.end_sleeve()
    scene.world.tell(host, *gone)
    return bool(gone)


def _unplug(scene: Scene, action: actions.Unplug) -> bool:
    host = scene.world.hosts[action.host]
    item = _find(host, action.key)
    if not isinstance(item, Endpoint):
        return False
    host.kernel.unplug(item)
    scene.world.tell(host, item)
    return True


def _squat(scene: Scene, action: actions.Squat) -> bool:
    host = scene.world.hosts[action.host]
    item = _find(host, action.key)
    if not isinstance(item, Bridge | VxlanPort | Endpoint) or host.kernel.foreign:
        return False
    host.kernel.squat(item)
    scene.world.tell(host, item)
    return True


def _clear_away(scene: Scene, action: actions.ClearAway) -> bool:
    return _clear(scene, scene.world.hosts[action.host])


def _leave_behind(scene: Scene, action: actions.LeaveBehind) -> bool:
    host, name = scene.world.hosts[action.host], action.container
    is_taken = (host.index, name) in scene.leftovers or name in scene.books.users[host.index]
    if host.heart is not None or host.is_dark or is_taken or not host.config.datapath:
        return False
    scene.leftovers[host.index, name] = None
    netns, number = netns_of(name), ShortId(action.number)
    host.netns[netns] = None
    pair = Endpoint(name, "ethwe", host_ifname(name, "ethwe"), netns, "02:77:00:00:00:01", host.config.mtu)
    host.kernel.leave_behind(
        (
            Bridge(host.config.bridge, "02:77:00:00:00:02", 1500),
            Hop(number, number, NOWHERE, host.config.port + 1),
            Tree(number, NOWHERE, ((number, NOWHERE),)),
            pair,
            EndpointAddress(name, "ethwe", netns, LEFT_ADDRESS),
            EndpointUp(name, "ethwe", netns),
        )
    )
    if action.is_apart:
        host.kernel.unplug(pair)
    return True


def _find(host: Host, key: str) -> KernelObject | None:
    return next((item for item in host.kernel.observe() if " ".join(item.key) == key), None)


def _clear(scene: Scene, host: Host) -> bool:
    """Let what is in the way of ours go; say whether there was anything."""
    gone, host.kernel.foreign = host.kernel.foreign, ()
    scene.world.tell(host, *gone)
    return bool(gone)


# Each performs the action that its key names; the table is the proof.
PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    actions.KernelTrouble: _kernel_trouble,
    actions.MuteKernel: _mute_kernel,
    actions.UnmuteKernel: _unmute_kernel,
    actions.LoseObject: _lose_object,
    actions.EndSleeve: _end_sleeve,
    actions.Unplug: _unplug,
    actions.Squat: _squat,
    actions.ClearAway: _clear_away,
    actions.LeaveBehind: _leave_behind,
    actions.Intrude: _intrude,
    actions.Expel: _expel,
}
