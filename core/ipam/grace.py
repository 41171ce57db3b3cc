"""Containers that have ended: their addresses are kept for a while, for they may be restarted.

Who is back in time has its addresses again, but for those that belong to others by now or are used elsewhere: whoever
restarts a container because an address is used twice shall get another one. Source: Weave Net keeps them as long.
"""

from __future__ import annotations

from core.context import Context
from core.ipam.held import Held
from core.ipam.space import Space
from core.types import Cidr

TIMER = "ipam/gone/"
GRACE_MS = 30_000
"""How long addresses are kept: stopping, pulling an image and starting again."""


class Grace:
    """Who has ended lately."""

    def __init__(self, context: Context, held: Held) -> None:
        self._context = context
        self._held = held
        self._ended: dict[str, None] = {}

    def begin(self, ident: str) -> None:
        """Keep what a container holds, for its restart."""
        if self._held.of(ident):
            self._ended[ident] = None
            self._context.timer(TIMER + ident, GRACE_MS)

    def end(self, ident: str, space: Space | None) -> None:
        """Take a container back, if it had ended; `space` is ours, if we may act on it."""
        if ident not in self._ended:
            return
        self._context.mark("ipam.container-back-in-time")
        del self._ended[ident]
        self._context.timer(TIMER + ident, None)
        universe = self._context.config.universe
        for cidr in self._held.of(ident):
            if space is not None and universe is not None and cidr.address in universe and not _is_good(space, cidr):
                self._held.drop(ident, cidr.address)

    def is_over(self, ident: str) -> bool:
        """React to a timer; say whether a container has not come back."""
        if ident not in self._ended:
            return False
        self._context.mark("ipam.grace-over")
        del self._ended[ident]
        return True


def _is_good(space: Space, cidr: Cidr) -> bool:
    return space.owns(cidr.address) and space.squatter(cidr.address) is None
