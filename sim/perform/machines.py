"""Performs what happens to agents, machines, disks and clocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim import actions
from sim.actions import Action
from sim.host import Host
from sim.scene import Scene


def calm(scene: Scene) -> None:
    """End all trouble of those who must come right; the others lose power and stay away."""
    members = dict.fromkeys(scene.scenario.members())
    for host in scene.world.hosts:
        if host.index not in members:
            scene.world.crash(host, power=True)
            continue
        host.disk.is_full = False
        host.doom = None
        if host.heart is None:
            scene.world.start(host)


def _kill(scene: Scene, action: actions.Kill) -> bool:
    return _down(scene, action.host, power=False)


def _cut_power(scene: Scene, action: actions.CutPower) -> bool:
    return _down(scene, action.host, power=True)


def _doom(scene: Scene, action: actions.Doom) -> bool:
    host = scene.world.hosts[action.host]
    if host.heart is None:
        return False
    host.doom = (action.gap, action.power)
    return True


def _start(scene: Scene, action: actions.Start) -> bool:
    host = scene.world.hosts[action.host]
    if host.heart is not None or not scene.may_start(host):
        return False
    scene.world.start(host)
    return True


def _fill_disk(scene: Scene, action: actions.FillDisk) -> bool:
    scene.world.hosts[action.host].disk.is_full = True
    return True


def _empty_disk(scene: Scene, action: actions.EmptyDisk) -> bool:
    scene.world.hosts[action.host].disk.is_full = False
    return True


def _back_up(scene: Scene, action: actions.BackUp) -> bool:
    scene.world.hosts[action.host].disk.back_up()
    return True


def _roll_back(scene: Scene, action: actions.RollBack) -> bool:
    host = scene.world.hosts[action.host]
    if not _may_forget(scene, host):
        return False
    scene.world.crash(host, power=False)
    host.disk.roll_back()
    return True


def _wipe(scene: Scene, action: actions.Wipe) -> bool:
    host = scene.world.hosts[action.host]
    if not _may_forget(scene, host):
        return False
    scene.world.crash(host, power=False)
    host.disk.wipe()
    return True


def _step_clock(scene: Scene, action: actions.StepClock) -> bool:
    scene.world.hosts[action.host].clock.step(action.by_ms * 1000)
    return True


def _down(scene: Scene, index: int, *, power: bool) -> bool:
    host = scene.world.hosts[index]
    if host.is_dark or (host.heart is None and not power):
        return False
    scene.world.crash(host, power=power)
    return True


def _may_forget(scene: Scene, host: Host) -> bool:
    return "amnesia" in scene.scenario.allow or scene.is_remembered(host)


# Each performs the action that its key names; the table is the proof.
PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    actions.Kill: _kill,
    actions.CutPower: _cut_power,
    actions.Doom: _doom,
    actions.Start: _start,
    actions.FillDisk: _fill_disk,
    actions.EmptyDisk: _empty_disk,
    actions.BackUp: _back_up,
    actions.RollBack: _roll_back,
    actions.Wipe: _wipe,
    actions.StepClock: _step_clock,
}
