"""Performs what happens to agents, machines, disks and clocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core.events import NamesAsked
from sim import actions
from sim.actions import Action
from sim.host import Doomed, Host
from sim.releases import RELEASES, install
from sim.scene import Scene

PAUSE_MAX_MS = 120_000
"""Longer than any time-out of others."""
SLOW_MAX_MS = 10_000
DRIFT_MAX_PPM = 50_000
"""A clock that gains or loses a twentieth: worse than any that works."""
STEP_MAX_MS = 20 * 365 * 86_400_000
"""Twenty years: from before a machine without a battery knows the time to after."""


def calm(scene: Scene) -> None:
    """End all trouble of those who must come right; the others lose power and stay away."""
    members = dict.fromkeys(scene.scenario.members())
    for host in scene.world.hosts:
        if host.index not in members:
            scene.world.crash(host, power=True)
            continue
        host.disk.is_full = host.disk.is_read_only = False
        host.disk.slow_us = 0
        host.disk.lie(False)
        host.doom = None
        if host.heart is None:
            scene.world.start(host)
        scene.world.resume(host, at_once=True)


def _kill(scene: Scene, action: actions.Kill) -> bool:
    return _down(scene, action.host, power=False)


def _cut_power(scene: Scene, action: actions.CutPower) -> bool:
    return _down(scene, action.host, power=True)


def _doom(scene: Scene, action: actions.Doom) -> bool:
    if action.gap < 0 or action.spared < 0:
        return False
    scene.world.hosts[action.host].doom = Doomed(action.spared, action.gap, action.power)
    return True


def _start(scene: Scene, action: actions.Start) -> bool:
    host = scene.world.hosts[action.host]
    if host.heart is not None or not scene.may_start(host):
        return False
    scene.world.start(host)
    return True


def _upgrade(scene: Scene, action: actions.Upgrade) -> bool:
    host = scene.world.hosts[action.host]
    if action.release not in RELEASES or action.release == host.release:
        return False
    scene.world.crash(host, power=False)
    install(host, action.release)
    return True


def _pause(scene: Scene, action: actions.Pause) -> bool:
    host = scene.world.hosts[action.host]
    if host.heart is None or action.for_ms <= 0:
        return False
    scene.world.pause(host, min(action.for_ms, PAUSE_MAX_MS) * 1000)
    return True


def _restart_names(scene: Scene, action: actions.RestartNames) -> bool:
    host = scene.world.hosts[action.host]
    if host.heart is None or action.for_ms < 0:
        return False
    host.served.clear()
    host.is_serving = False
    scene.world.later(host, min(action.for_ms, PAUSE_MAX_MS) * 1000, NamesAsked())
    return True


def _fill_disk(scene: Scene, action: actions.FillDisk) -> bool:
    scene.world.hosts[action.host].disk.is_full = True
    return True


def _empty_disk(scene: Scene, action: actions.EmptyDisk) -> bool:
    scene.world.hosts[action.host].disk.is_full = False
    return True


def _slow_disk(scene: Scene, action: actions.SlowDisk) -> bool:
    if action.by_ms < 0:
        return False
    scene.world.hosts[action.host].disk.slow_us = min(action.by_ms, SLOW_MAX_MS) * 1000
    return True


def _mount_read_only(scene: Scene, action: actions.MountReadOnly) -> bool:
    scene.world.hosts[action.host].disk.is_read_only = True
    return True


def _mount_writable(scene: Scene, action: actions.MountWritable) -> bool:
    scene.world.hosts[action.host].disk.is_read_only = False
    return True


def _lie_about_sync(scene: Scene, action: actions.LieAboutSync) -> bool:
    if action.is_lying and "lying-fsync" not in scene.scenario.allow:
        return False
    scene.world.hosts[action.host].disk.lie(action.is_lying)
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


def _clone(scene: Scene, action: actions.Clone) -> bool:
    host, source = scene.world.hosts[action.host], scene.world.hosts[action.source]
    if host.life or source.life == 0 or source.is_copy or action.host in scene.scenario.members():
        return False
    host.config = replace(source.config, nickname=host.name)
    host.disk = source.disk.copied()
    host.is_copy = True
    scene.world.start(host)
    return True


def _step_clock(scene: Scene, action: actions.StepClock) -> bool:
    if abs(action.by_ms) > STEP_MAX_MS:
        return False
    scene.world.hosts[action.host].clock.step(action.by_ms * 1000)
    return True


def _drift_clock(scene: Scene, action: actions.DriftClock) -> bool:
    ppm = max(-DRIFT_MAX_PPM, min(action.ppm, DRIFT_MAX_PPM))
    scene.world.hosts[action.host].clock.drift(scene.world.now_us, ppm)
    return True


def _down(scene: Scene, index: int, *, power: bool) -> bool:
    host = scene.world.hosts[index]
    if host.is_dark or (host.heart is None and not power):
        return False
    scene.world.crash(host, power=power)
    return True


def _may_forget(scene: Scene, host: Host) -> bool:
    return "amnesia" in scene.scenario.allow or scene.may_forget(host)


# Each performs the action that its key names; the table is the proof.
PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    actions.Kill: _kill,
    actions.CutPower: _cut_power,
    actions.Doom: _doom,
    actions.Start: _start,
    actions.Upgrade: _upgrade,
    actions.Pause: _pause,
    actions.RestartNames: _restart_names,
    actions.FillDisk: _fill_disk,
    actions.EmptyDisk: _empty_disk,
    actions.SlowDisk: _slow_disk,
    actions.MountReadOnly: _mount_read_only,
    actions.MountWritable: _mount_writable,
    actions.LieAboutSync: _lie_about_sync,
    actions.BackUp: _back_up,
    actions.RollBack: _roll_back,
    actions.Wipe: _wipe,
    actions.Clone: _clone,
    actions.StepClock: _step_clock,
    actions.DriftClock: _drift_clock,
}
