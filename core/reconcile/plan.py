"""The ordered difference between what the kernel should hold and what it holds.

Invariant: the kernel fails closed after every prefix of a plan. The overlay device comes after its guard. An endpoint
is up only while it has its veth pair and an address, and comes up only after all its addresses; on the way out it goes
down first. So a crash between any two operations leaves nothing that carries traffic unguarded. Laws P1 to P4. Source:
Felix ("think about what happens if Felix crashes or stops at this exact point").

Only observed objects are ever removed, and drivers observe only what is ours: foreign objects cannot appear here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core.reconcile.objects import (
    Again,
    Bridge,
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    Guard,
    Hop,
    Identity,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Seal,
    Tap,
    Tree,
    Tunnel,
    Verb,
    VxlanPort,
)

Key = tuple[str, ...]
Objects = dict[Key, KernelObject]
HELD_BACK_MS = 100
AttachmentId = tuple[str, str]
"""Container and inner interface name."""


def plan(desired: Iterable[KernelObject], observed: Iterable[KernelObject], *, may_remove: bool) -> tuple[Op, ...]:
    """Return the operations that lead from `observed` to `desired`: removals descending, then the rest ascending.

    Without `may_remove` (not in sync yet), what is not desired stays; what is desired in another form is still
    replaced, for the desire proves that we know about it.
    """
    want: Objects = {item.key: item for item in desired}
    have: Objects = {item.key: item for item in observed}
    doomed = _doomed(want, have, may_remove)
    removals = sorted(doomed.values(), key=creation_order, reverse=True)
    ops = [Op(Verb.REMOVE, item) for item in removals]
    for item in sorted(want.values(), key=creation_order):
        before = None if item.key in doomed else have.get(item.key)
        if before is None:
            ops.append(Op(Verb.CREATE, item))
        elif before != item:
            ops.append(Op(Verb.CHANGE, item))
    return tuple(ops)


def creation_order(item: KernelObject) -> tuple[int, bool, Key]:
    """Return the sort key of creation; removal runs the other way."""
    # The kernel takes a link route only on an interface that is up.
    return (item.stage, isinstance(item, EndpointRoute), item.key)


def held_back(op: Op, results: Iterable[tuple[Op, OpResult]]) -> Again | None:
    """Say that an operation must not be tried, because an earlier one that guards it has just failed.

    For whoever carries out a plan: it is what keeps a failure in the middle closed.
    """
    place = attachment_of(op.object)
    if place is None and not is_guarded(op):
        return None
    for earlier, result in results:
        is_it = isinstance(earlier.object, Guard) if place is None else attachment_of(earlier.object) == place
        if isinstance(result, Again | Refused) and is_it:
            name = " ".join(earlier.object.key)
            return Again(HELD_BACK_MS, f"waits for {earlier.verb.value} {name}, which failed: {result.why}")
    return None


def is_guarded(op: Op) -> bool:
    """Say whether an operation opens a way for frames that the guard must watch first, where one is wanted."""
    return isinstance(op.object, VxlanPort) and op.verb is not Verb.REMOVE


def attachment_of(item: KernelObject) -> AttachmentId | None:
    """Return which attachment an object belongs to; None for the host's own objects."""
    if isinstance(item, Endpoint | EndpointAddress | EndpointRoute | EndpointUp):
        return (item.container, item.ifname)
    return None


def vanish_with(item: KernelObject, objects: Iterable[KernelObject]) -> tuple[KernelObject, ...]:
    """Return which of `objects` the kernel drops by itself when `item` is removed."""
    if isinstance(item, Endpoint):
        return tuple(other for other in objects if attachment_of(other) == attachment_of(item) and other != item)
    if isinstance(item, EndpointUp):
        return tuple(
            other
            for other in objects
            if isinstance(other, EndpointRoute) and attachment_of(other) == attachment_of(item)
        )
    return ()


def _doomed(want: Objects, have: Objects, may_remove: bool) -> Objects:
    doomed: Objects = {}
    parts: dict[AttachmentId, list[KernelObject]] = {}
    for key, item in have.items():
        wanted = want.get(key)
        if may_remove if wanted is None else not _fits_in_place(item, wanted):
            doomed[key] = item
        attachment = attachment_of(item)
        if attachment is not None:
            parts.setdefault(attachment, []).append(item)
    wanted_addresses = {attachment_of(item): True for item in want.values() if isinstance(item, EndpointAddress)}
    for attachment, members in parts.items():
        for item in members:
            if isinstance(item, Endpoint) and item.key in doomed:
                doomed.update((other.key, other) for other in vanish_with(item, members))
        guarded = any(isinstance(item, EndpointAddress) and item.key not in doomed for item in members)
        ipv4 = [item.key in doomed for item in members if isinstance(item, EndpointAddress) and item.is_ipv4]
        if ipv4 and all(ipv4):
            # The kernel drops these routes with the last IPv4 address, whatever else the interface has.
            doomed.update((item.key, item) for item in members if isinstance(item, EndpointRoute))
        for item in members:
            if not isinstance(item, EndpointUp):
                continue
            if not guarded and attachment in wanted_addresses:
                # Between its last old address and its first new one an interface must be down.
                doomed[item.key] = item
            if item.key in doomed:
                doomed.update((other.key, other) for other in vanish_with(item, members))
    return doomed


def _fits_in_place(before: KernelObject, after: KernelObject) -> bool:
    """Say whether the kernel can get from one form to the other without removing the object."""
    if before == after:
        return True
    if isinstance(before, VxlanPort) and isinstance(after, VxlanPort):
        return before.port == after.port
    if isinstance(before, Endpoint) and not before.is_whole:
        # Made whole where it is: the container keeps its interface, and what it has open there.
        return replace(before, is_whole=True) == after
    if isinstance(before, Tap) and isinstance(after, Tap):
        return before.port == after.port
    return isinstance(before, Bridge | Identity | Guard | Tunnel | Seal | Hop | Tree)
