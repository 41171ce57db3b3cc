"""A kernel made of a dictionary, with the manners of the real driver.

The contract that both keep is in `tests/kernel/test_kernel_contract.py`. Not here: packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.reconcile.objects import (
    Again,
    AlreadySo,
    Bridge,
    Done,
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Verb,
    VxlanPort,
)
from core.reconcile.plan import creation_order, vanish_with

RETRY_MS = 100


class FakeKernel:
    """Holds objects of ours and foreign ones; carries out operations on ours only."""

    def __init__(
        self, foreign: Iterable[KernelObject] = (), fail: Callable[[Op], OpResult | None] | None = None
    ) -> None:
        """`fail` is asked before each operation; what it returns, if anything, is the result and nothing happens."""
        self.foreign = tuple(foreign)
        self.fail = fail
        self._objects: dict[tuple[str, ...], KernelObject] = {}

    def observe(self) -> tuple[KernelObject, ...]:
        """Return everything of ours, in creation order."""
        return tuple(sorted(self._objects.values(), key=creation_order))

    def using(self, ip: str) -> tuple[EndpointAddress, ...]:
        """Return the interfaces' addresses with this IP address, whatever their prefix."""
        items = (item for item in self._objects.values() if isinstance(item, EndpointAddress))
        return tuple(item for item in items if item.cidr.partition("/")[0] == ip)

    def execute(self, op: Op) -> OpResult:
        """Carry out one operation."""
        injected = self.fail(op) if self.fail is not None else None
        if injected is not None:
            return injected
        item = op.object
        if self._is_foreign(item):
            return Refused(f"{' '.join(item.key)} exists and is not ours", "remove or rename it")
        if op.verb is Verb.REMOVE:
            return self._remove(item)
        present = self._objects.get(item.key)
        if present == item:
            return AlreadySo()
        missing = self._missing(item)
        if missing:
            return Again(RETRY_MS, f"{' '.join(item.key)}: no {missing}")
        if op.verb is Verb.CREATE and present is not None:
            return Refused(f"{' '.join(item.key)} exists in another form", "remove or change it first")
        if op.verb is Verb.CHANGE:
            if isinstance(item, Endpoint | EndpointAddress | EndpointRoute | EndpointUp):
                return Refused(f"{' '.join(item.key)} cannot change in place", "remove and create it")
            if present is None and isinstance(item, Bridge | VxlanPort):
                return Again(RETRY_MS, f"{' '.join(item.key)} is gone")
        self._objects[item.key] = item
        return Done()

    def lose(self, item: KernelObject) -> None:
        """Drop an object behind the agent's back, as an operator would."""
        self._remove(item)

    def _remove(self, item: KernelObject) -> OpResult:
        present = self._objects.pop(item.key, None)
        if present is None:
            return AlreadySo()
        for other in vanish_with(present, tuple(self._objects.values())):
            del self._objects[other.key]
        return Done()

    def _missing(self, item: KernelObject) -> str:
        """Name what has to exist first and does not; empty when nothing is missing."""
        if isinstance(item, VxlanPort):
            return "" if ("bridge", item.bridge) in self._objects else f"bridge {item.bridge}"
        if isinstance(item, Endpoint):
            return "" if any(isinstance(other, Bridge) for other in self._objects.values()) else "bridge"
        if isinstance(item, EndpointAddress | EndpointRoute | EndpointUp):
            pair = self._objects.get(("endpoint", item.container, item.ifname))
            if not isinstance(pair, Endpoint) or pair.netns != item.netns:
                return f"interface {item.ifname} in {item.netns}"
        if isinstance(item, EndpointRoute) and ("up", item.container, item.ifname) not in self._objects:
            return f"interface {item.ifname} that is up"
        return ""

    def _is_foreign(self, item: KernelObject) -> bool:
        for other in self.foreign:
            if other.key == item.key:
                return True
            if isinstance(item, Endpoint) and isinstance(other, Endpoint) and item.host_ifname == other.host_ifname:
                return True
        return False
