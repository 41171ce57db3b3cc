"""Interfaces of ours in the kernel of which nobody knows: their containers run, so they are taken up again.

A host whose journal is lost, or was put back to an earlier state, finds what its containers have in two places: with
its peers, who remember what it told them, and in its own kernel. What only the kernel remembers is claimed before
anything else is given, and becomes an attachment again; until that is settled the interface stays as it is. If the
address belongs to somebody else by now, the interface is taken away.

Looked at is only what the first dump of this life shows: later on, what has no record is about to go. And only what was
made by an agent of our name: its MAC address tells. Source: Weave Net claims at start what it finds on its bridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from core.context import Context
from core.kinds import AttachmentRecord, attachment_key, put
from core.reconcile.objects import Endpoint, EndpointAddress, EndpointRoute, KernelObject
from core.reconcile.plan import AttachmentId, attachment_of
from core.types import Cidr, cidr_of

WHY = "attach, found in the kernel"
"""Led to the addresses and attachments that are taken up."""

Callback = Callable[[tuple[Cidr, ...] | str], None]


class AddressSource(Protocol):
    """What is needed of the allocator."""

    def want_back(self, key: str, ident: str, cidrs: tuple[Cidr, ...], callback: Callback, why: str) -> None:
        """Get these very addresses, before anybody else gets any."""

    def cancel_wait(self, key: str) -> None:
        """Want nothing any more."""


@dataclass(frozen=True, slots=True)
class Stray:
    """An interface without a record."""

    pair: Endpoint
    """Its two ends."""
    objects: tuple[KernelObject, ...]
    """All of it, as the kernel showed it."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """CIDRs on it."""
        return tuple(item.cidr for item in self.objects if isinstance(item, EndpointAddress))


class Strays:
    """What the kernel holds for containers and no fact tells of."""

    def __init__(
        self,
        context: Context,
        allocator: AddressSource,
        mac_of: Callable[[AttachmentId], str],
        is_known: Callable[[AttachmentId], bool],
        dirty: Callable[[], None],
    ) -> None:
        """`mac_of` is the MAC address that we give an interface; known is what has a record or a request under way.

        `dirty` is called when what the kernel should hold has changed.
        """
        self._context = context
        self._allocator = allocator
        self._mac_of = mac_of
        self._is_known = is_known
        self._dirty = dirty
        self._found: dict[AttachmentId, Stray] | None = None if context.config.datapath else {}
        self.has_looked = not context.config.datapath
        """What was found has been claimed, as far as it will be."""

    def kernel_dumped(self, objects: Iterable[KernelObject]) -> None:
        """Remember what the first dump shows, and forget what later ones show no more."""
        parts: dict[AttachmentId, list[KernelObject]] = {}
        for item in objects:
            place = attachment_of(item)
            if place is not None:
                parts.setdefault(place, []).append(item)
        if self._found is not None:
            for place in [place for place in self._found if place not in parts]:
                del self._found[place]
                self._allocator.cancel_wait(_key(place))
            return
        self._found = {}
        for place, items in parts.items():
            for item in items:
                if isinstance(item, Endpoint) and item.mac == self._mac_of(place):
                    self._found[place] = Stray(item, tuple(items))

    def look(self) -> None:
        """Claim what was found, once it is certain that nobody remembers it; to be called when facts are complete."""
        if self.has_looked or self._found is None:
            return
        for place, stray in tuple(self._found.items()):
            if self._is_known(place) or not stray.addresses:
                del self._found[place]
                continue
            self._context.mark("strays.found")
            cidrs = tuple(cidr_of(text) for text in stray.addresses)
            self._allocator.want_back(_key(place), place[0], cidrs, self._claimed(place, stray), WHY)
        # Only now: the first of them could let others have what the next wants back.
        self.has_looked = True

    def objects(self) -> tuple[KernelObject, ...]:
        """Return what is to stay as it is until its attachment is on disk."""
        return tuple(item for stray in (self._found or {}).values() for item in stray.objects if self.has_looked)

    def saved(self, durable: Iterable[AttachmentId]) -> None:
        """Let go of what is an attachment like all others now."""
        if self._found:
            for place in durable:
                self._found.pop(place, None)

    def _claimed(self, place: AttachmentId, stray: Stray) -> Callback:
        def claimed(result: tuple[Cidr, ...] | str) -> None:
            assert self._found is not None, "something was found"
            container, ifname = place
            what = f"{ifname} of {container} with {' '.join(stray.addresses)}"
            if isinstance(result, str):
                self._found.pop(place, None)
                self._dirty()
                self._context.mark("strays.refused")
                text = f"{what} is in the kernel, and nothing is known of it: it is taken away, for {result}; attach it"
                self._context.note("WARN", f"{text} again to get another address")
                return
            has_route = any(isinstance(item, EndpointRoute) for item in stray.objects)
            at_ms = self._context.at.wall_ms
            record = AttachmentRecord(stray.pair.mac, stray.addresses, stray.pair.netns, has_route, WHY, at_ms)
            self._context.write(put(attachment_key(*place), record))
            self._context.note("INFO", f"{what} was found in the kernel, and nothing was known of it: it is kept")

        return claimed


def _key(place: AttachmentId) -> str:
    return f"stray/{place[0]}/{place[1]}"
