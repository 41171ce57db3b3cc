"""Chooses what happens to kernels."""

from __future__ import annotations

from collections.abc import Iterator

from sim import actions
from sim.actions import Action, HostIndex
from sim.chooser import Chooser, Kind

KERNEL_TROUBLE_MAX_PERCENT = 30


def _disturb_kernels(chooser: Chooser) -> Iterator[Action]:
    for host in chooser.stage.world.hosts:
        yield actions.KernelTrouble(HostIndex(host.index), chooser.entropy.randint(0, KERNEL_TROUBLE_MAX_PERCENT))


def _meddle(chooser: Chooser) -> Iterator[Action]:
    """Let somebody delete something of ours behind the agent's back."""
    host = chooser.host()
    objects = () if host is None else host.kernel.observe()
    if host is not None and objects:
        yield actions.LoseObject(HostIndex(host.index), " ".join(chooser.entropy.choice(objects).key))


BEGIN: dict[str, Kind] = {"kernel": _disturb_kernels}
KINDS: dict[str, Kind] = {"kernel": _meddle}
