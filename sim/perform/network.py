"""Performs what happens to paths and connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim import actions
from sim.actions import Action
from sim.scene import Scene


def calm(scene: Scene) -> None:
    """End all trouble of the network."""
    scene.world.network.heal()
    scene.world.network.ease()


def _cut(scene: Scene, action: actions.Cut) -> bool:
    if action.source == action.target:
        return False
    scene.world.network.cut(action.source, action.target)
    return True


def _split(scene: Scene, action: actions.Split) -> bool:
    side = dict.fromkeys(action.side)
    others = [index for index in range(len(scene.world.hosts)) if index not in side]
    for one in side:
        for other in others:
            scene.world.network.cut(one, other)
            scene.world.network.cut(other, one)
    return bool(side) and bool(others)


def _heal(scene: Scene, _action: actions.Heal) -> bool:
    scene.world.network.heal()
    return True


def _reset(scene: Scene, action: actions.Reset) -> bool:
    network = scene.world.network
    found = network.between(action.one, action.other)
    for connection in found:
        network.reset(connection)
    return bool(found)


def _lose(scene: Scene, action: actions.Lose) -> bool:
    scene.world.network.lose(min(action.percent, 95))
    return True


# Each performs the action that its key names; the table is the proof.
PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    actions.Cut: _cut,
    actions.Split: _split,
    actions.Heal: _heal,
    actions.Reset: _reset,
    actions.Lose: _lose,
}
