"""The way to a host's kernel and back: requests fail, are half done, or take long; news gets lost.

What fails says so, as the real driver would; whether anything was done is another matter. News tells of links only, as
`datapath/observe.py` hears it: what changes inside a namespace or a map, nobody is told.
"""

from __future__ import annotations

import random

from core.reconcile.objects import (
    Again,
    Bridge,
    Endpoint,
    EndpointUp,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Tap,
    Tunnel,
    Verb,
    VxlanPort,
)
from sim.kernel import FakeKernel

TROUBLES = ("busy", "answer", "half", "refused", "slow")
"""Nothing was done; it was done, and nobody hears so; a veth pair was only half made; nothing was done, and trying
again soon is no use; it takes long."""
SLOW_US = (10_000, 3_000_000)
RETRY_MS = 100


class Netlink:
    """Requests to one kernel, and news from it."""

    def __init__(self, entropy: random.Random) -> None:
        self.is_mute = False
        """No news arrives."""
        self.heard_again_us = 0
        """When news was last taken up again."""
        self._entropy = entropy
        self._percents: dict[str, int] = {}

    @property
    def has_trouble(self) -> bool:
        """Say whether requests go wrong."""
        return bool(self._percents)

    def trouble(self, kind: str, percent: int) -> None:
        """Set how often something goes wrong; 0 ends it."""
        if percent:
            self._percents[kind] = percent
        else:
            self._percents.pop(kind, None)

    def end_trouble(self) -> None:
        """Let everything work."""
        self._percents.clear()
        self.is_mute = False

    def delay_us(self, usual_us: tuple[int, int]) -> int:
        """Draw how long a request takes."""
        return self._entropy.randint(*(SLOW_US if self._strikes("slow") else usual_us))

    def execute(self, kernel: FakeKernel, op: Op) -> OpResult:
        """Carry out an operation, or something like it."""
        if not self._percents:
            return kernel.execute(op)
        name = " ".join(op.object.key)
        if self._strikes("busy"):
            return Again(RETRY_MS, f"{name}: device or resource busy")
        if self._strikes("refused"):
            return Refused(f"{name}: operation not permitted", "run the agent as root")
        if self._strikes("half") and isinstance(op.object, Endpoint) and op.verb is Verb.CREATE:
            kernel.half_make(op.object)
            return Again(RETRY_MS, f"{name}: cannot allocate memory")
        result = kernel.execute(op)
        if self._strikes("answer") and not isinstance(result, Again | Refused):
            return Again(RETRY_MS, f"{name}: no buffer space available")
        return result

    def _strikes(self, kind: str) -> bool:
        percent = self._percents.get(kind)
        return percent is not None and self._entropy.random() * 100 < percent


def is_news(item: KernelObject) -> bool:
    """Say whether anybody tells when this changes: the kernel of links and of the outer end whose inner one goes up or
    down, and the end of the sleeve's process is heard."""
    return isinstance(item, Bridge | VxlanPort | Tap | Tunnel | Endpoint | EndpointUp)
