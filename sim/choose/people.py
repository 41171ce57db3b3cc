"""Chooses what operators do when something has gone wrong, or right."""

from __future__ import annotations

from collections.abc import Iterator

from sim import actions
from sim.actions import Action, HostIndex
from sim.chooser import DOWN_MS, REPAIR_MS, Chooser, Kind, starting


def _operate(chooser: Chooser) -> Iterator[Action]:
    """Let people do what they do when something has gone wrong, or right."""
    count = len(chooser.stage.world.hosts)
    if count < 2:
        return
    one, other = (HostIndex(index) for index in chooser.entropy.sample(range(count), 2))
    draw = chooser.entropy.random()
    if draw < 0.5:
        yield actions.ConnectTo(one, other)
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
