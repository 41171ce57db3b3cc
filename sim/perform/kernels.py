"""Performs what happens to kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.events import KernelChanged
from sim import actions
from sim.actions import Action
from sim.scene import Scene

NOTICE_US = 2_000
"""The kernel tells of a change after this long."""


def calm(scene: Scene) -> None:
    """End all trouble of kernels."""
    for host in scene.world.hosts:
        host.kernel_trouble = 0.0


def _kernel_trouble(scene: Scene, action: actions.KernelTrouble) -> bool:
    scene.world.hosts[action.host].kernel_trouble = min(action.percent, 95) / 100
    return True


def _lose_object(scene: Scene, action: actions.LoseObject) -> bool:
    host = scene.world.hosts[action.host]
    found = [item for item in host.kernel.observe() if " ".join(item.key) == action.key]
    for item in found:
        host.kernel.lose(item)
        scene.world.later(host, NOTICE_US, KernelChanged())
    return bool(found)


# Each performs the action that its key names; the table is the proof.
PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    actions.KernelTrouble: _kernel_trouble,
    actions.LoseObject: _lose_object,
}
