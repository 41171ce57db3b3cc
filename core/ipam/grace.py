"""Addresses that nobody uses any more: they are kept for a while, for their container may come back, and then freed.

An address is left behind when it is known to have served an interface that is gone: its container has ended, or the
agent died between giving the address and recording the interface. What scripts and plugins asked for by themselves is
never left behind: nobody but they knows its use. Which is which is told by the record of the address, so a new life of
the agent goes on where the earlier one stopped; it gives the whole grace anew.

Who is back in time has its addresses again, but for those that belong to others by now or are used elsewhere: whoever
restarts a container because an address is used twice shall get another one. Source: Weave Net keeps them as long.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.context import Context
from core.ipam.held import Held
from core.ipam.space import Space
from core.kinds import AddressRecord, AttachmentRecord
from core.types import Cidr

TIMER = "ipam/gone/"
GRACE_MS = 30_000
"""How long addresses are kept: stopping, pulling an image and starting again."""
ATTACH = "attach"
"""Begins the reason of an address that an interface was to have."""
ENDED = ", ended"
"""Ends the reason of an address, whatever it was given for, once the container that held it has ended."""


class Grace:
    """Who has ended lately, or is found to have."""

    def __init__(self, context: Context, held: Held) -> None:
        self._context = context
        self._held = held
        self._ended: dict[str, None] = {}
        self._unchecked: dict[str, None] = {}
        self.found = 0
        """Addresses that an earlier life of the agent had left behind."""
        self.freed = 0
        """Addresses freed because nobody came back for them."""

    def begin(self, ident: str) -> None:
        """Keep what a container holds, for its restart."""
        for cidr in self._held.of(ident):
            record = self._held.record(ident, cidr.address)
            if record is not None and not _is_suspect(record):
                self._held.restate(ident, cidr, record.why + ENDED)
        self._wait_for(ident)

    def resume(self) -> None:
        """Take up what earlier lives of the agent left behind."""
        for ident, left in tuple(self.left()):
            if ident not in self._ended:
                self._context.mark("ipam.left-behind")
                self.found += len(left)
                self._wait_for(ident)

    def back(self, ident: str, space: Space | None) -> None:
        """Take a container back, if it had ended; `space` is ours, if we may act on it.

        Without it, what the container has is looked at by `check`: it may be from another ring than the one that this
        host will live in.
        """
        if ident not in self._ended:
            return
        self._context.mark("ipam.container-back-in-time")
        self._unchecked[ident] = None
        if space is not None:
            self.check(space)

    def check(self, space: Space) -> None:
        """Drop what containers that are back may not have any more. Cheap when none is."""
        universe = self._context.config.universe
        assert universe is not None, "there is no space without a universe"
        for ident in self._unchecked:
            for cidr in self.left_by(ident):
                if cidr.address in universe and not _is_good(space, cidr):
                    self._held.drop(ident, cidr.address)
        self._unchecked.clear()

    def given(self, ident: str, cidrs: tuple[Cidr, ...], why: str) -> None:
        """Note what a request got: from now on that is in use, and for what was asked."""
        for cidr in cidrs:
            record = self._held.record(ident, cidr.address)
            if record is None or not _is_suspect(record):
                continue
            if not why.startswith(ATTACH) and record.why.startswith(ATTACH):
                # Else it would be taken from who asked, with the interface that had it.
                self._held.restate(ident, cidr, why)
            elif ENDED in record.why:
                self._held.restate(ident, cidr, record.why.replace(ENDED, ""))
        if ident in self._ended and not self.left_by(ident):
            del self._ended[ident]
            self._context.timer(TIMER + ident, None)

    def over(self, ident: str, *, is_waiting: bool) -> tuple[Cidr, ...]:
        """React to a timer; return what is to be freed. Nothing while the container is on its way back."""
        if ident not in self._ended:
            return ()
        if is_waiting:
            self._wait_for(ident)
            return ()
        del self._ended[ident]
        left = self.left_by(ident)
        if left:
            self._context.mark("ipam.grace-over")
            self.freed += len(left)
        return left

    def left(self) -> Iterator[tuple[str, tuple[Cidr, ...]]]:
        """Yield who left what behind, by ident. O(addresses held)."""
        for ident, cidrs in unattached(self._context, self._held):
            left = tuple(cidr for cidr in cidrs if self._is_left(ident, cidr))
            if left:
                yield ident, left

    def left_by(self, ident: str) -> tuple[Cidr, ...]:
        """Return what a container left behind. O(interfaces)."""
        used = _used(self._context).get(ident, {})
        return tuple(cidr for cidr in self._held.of(ident) if str(cidr) not in used and self._is_left(ident, cidr))

    def _is_left(self, ident: str, cidr: Cidr) -> bool:
        record = self._held.record(ident, cidr.address)
        return record is not None and _is_suspect(record)

    def _wait_for(self, ident: str) -> None:
        if self._held.of(ident):
            self._ended[ident] = None
            self._context.timer(TIMER + ident, GRACE_MS)


def unattached(context: Context, held: Held) -> Iterator[tuple[str, tuple[Cidr, ...]]]:
    """Yield who holds addresses that are on no interface, by ident; the host itself is not asked. O(addresses held)."""
    used = _used(context)
    for ident in sorted(dict.fromkeys(ident for _, ident in held.items())):
        idle = tuple(cidr for cidr in held.of(ident) if str(cidr) not in used.get(ident, {}))
        if idle and not ident.startswith("weave:"):
            yield ident, idle


def _used(context: Context) -> dict[str, dict[str, None]]:
    """Return the containers of this host and the addresses on their interfaces."""
    used: dict[str, dict[str, None]] = {}
    for key, record in context.board.of(context.me, AttachmentRecord):
        used.setdefault(key.split("/", 2)[1], {}).update(dict.fromkeys(record.addresses))
    return used


def _is_suspect(record: AddressRecord) -> bool:
    """Say whether an address was given to an interface, or to somebody who has ended."""
    return record.why.startswith(ATTACH) or ENDED in record.why


def _is_good(space: Space, cidr: Cidr) -> bool:
    return space.owns(cidr.address) and space.squatter(cidr.address) is None
