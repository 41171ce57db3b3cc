"""Performs what happens to paths and connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim import actions
from sim.actions import Action
from sim.paths import TAIL_MAX_US
from sim.scene import Scene
from sim.tunnels import TRANSPORTS

PERCENT_MAX = 95
CLOG_MAX_MS = 25_000
"""TCP gives up after 30 seconds; what stands still for longer is a cut."""


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
    scene.world.network.lose(_percent(action.percent))
    return True


def _delay(scene: Scene, action: actions.Delay) -> bool:
    if not _is_path(scene, action.source, action.target) or action.least_us < 0 or action.jitter_us < 0:
        return False
    scene.world.network.change(
        action.source,
        action.target,
        latency_us=min(action.least_us, TAIL_MAX_US),
        jitter_us=min(action.jitter_us, TAIL_MAX_US),
        tail_percent=_percent(action.tail_percent),
    )
    return True


def _disturb(scene: Scene, action: actions.Disturb) -> bool:
    if not _is_path(scene, action.source, action.target):
        return False
    scene.world.network.change(
        action.source,
        action.target,
        loss_percent=_percent(action.loss_percent),
        repeat_percent=_percent(action.repeat_percent),
        shuffle_percent=_percent(action.shuffle_percent),
    )
    return True


def _throttle(scene: Scene, action: actions.Throttle) -> bool:
    if not _is_path(scene, action.source, action.target) or action.bytes_per_s < 0 or action.queue_size < 0:
        return False
    fields = {"bytes_per_s": action.bytes_per_s, "queue_size": action.queue_size}
    scene.world.network.change(action.source, action.target, **fields)
    return True


def _clog(scene: Scene, action: actions.Clog) -> bool:
    if not _is_path(scene, action.source, action.target) or action.for_ms <= 0:
        return False
    until_us = scene.world.now_us + min(action.for_ms, CLOG_MAX_MS) * 1000
    scene.world.network.clog(action.source, action.target, until_us)
    scene.world.tunnels.look_after(until_us - scene.world.now_us)
    return True


def _corrupt(scene: Scene, action: actions.Corrupt) -> bool:
    if not _is_path(scene, action.source, action.target):
        return False
    scene.world.network.change(action.source, action.target, corrupt_percent=_percent(action.percent))
    return True


def _black_hole(scene: Scene, action: actions.BlackHole) -> bool:
    if not _is_path(scene, action.source, action.target) or action.size_max < 0:
        return False
    scene.world.network.change(action.source, action.target, size_max=action.size_max)
    return True


def _sever(scene: Scene, action: actions.Sever) -> bool:
    network = scene.world.network
    found = [
        (connection, end)
        for connection in network.between(action.host, action.other)
        for end in connection.ends
        if end.host == action.host and end.is_open
    ]
    for connection, end in found:
        network.sever(connection, end)
    return bool(found) and action.host != action.other


def _block(scene: Scene, action: actions.Block) -> bool:
    if not _is_path(scene, action.source, action.target) or action.transport not in TRANSPORTS:
        return False
    scene.world.network.block(action.source, action.target, action.transport)
    return True


def _unblock(scene: Scene, action: actions.Unblock) -> bool:
    scene.world.network.unblock(action.source, action.target, action.transport)
    return True


def _forget_idle(scene: Scene, action: actions.ForgetIdle) -> bool:
    nat = scene.world.network.nat(action.host)
    if nat is None or action.after_ms < 0:
        return False
    nat.expiry_us = action.after_ms * 1000
    return True


def _restart_nat(scene: Scene, action: actions.RestartNat) -> bool:
    nat = scene.world.network.nat(action.host)
    if nat is None:
        return False
    nat.restarted_us = scene.world.now_us
    scene.world.tunnels.moved(action.host)
    return True


def _is_path(scene: Scene, source: int, target: int) -> bool:
    return source != target and not scene.world.network.has_wall(source, target)


def _percent(value: int) -> int:
    """Return a chance that leaves a way through."""
    return max(0, min(value, PERCENT_MAX))


# Each performs the action that its key names; the table is the proof.
PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    actions.Cut: _cut,
    actions.Split: _split,
    actions.Heal: _heal,
    actions.Reset: _reset,
    actions.Lose: _lose,
    actions.Delay: _delay,
    actions.Disturb: _disturb,
    actions.Throttle: _throttle,
    actions.Clog: _clog,
    actions.Corrupt: _corrupt,
    actions.BlackHole: _black_hole,
    actions.Sever: _sever,
    actions.Block: _block,
    actions.Unblock: _unblock,
    actions.ForgetIdle: _forget_idle,
    actions.RestartNat: _restart_nat,
}
