"""What was asked of whom, and who else has it: each piece is asked for once, and of another when no answer comes.

Neighbours announce the same news within a moment. The first to do so is asked; the others are remembered, for two
reasons: they need not be told what they know, and one of them is asked when the first does not answer in time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.types import LinkId
from crdt.fact import Origin

ASK_AGAIN_MS = 2_000
"""What was asked of one neighbour is not asked of another for this long."""


@dataclass(slots=True)
class _Ask:
    """News of one origin that somebody was asked for."""

    link: LinkId
    """Who was asked."""
    at_ms: int
    """When, on the monotonic clock."""
    offers: dict[LinkId, int] = field(default_factory=dict)
    """Who has announced news, and up to which number."""


class Asked:
    """Everything that was asked for and has not arrived, by origin."""

    def __init__(self) -> None:
        self._asks: dict[Origin, _Ask] = {}

    def __bool__(self) -> bool:
        return bool(self._asks)

    def offered(self, origin: Origin, seq: int, link: LinkId, now_ms: int) -> bool:
        """Note that a neighbour has news of an origin; say whether it shall be asked for it now."""
        ask = self._asks.get(origin)
        if ask is None:
            self._asks[origin] = _Ask(link, now_ms, {link: seq})
            return True
        ask.offers[link] = seq
        if now_ms - ask.at_ms < ASK_AGAIN_MS:
            return False
        ask.link, ask.at_ms = link, now_ms
        return True

    def answered(self, origin: Origin, seq: int, link: LinkId, now_ms: int) -> tuple[dict[LinkId, int], LinkId | None]:
        """Note that a neighbour has sent an origin's facts up to a number.

        Returns the neighbours known to have news of it and up to which number, and who shall be asked for what is newer
        still, if somebody has announced that.
        """
        ask = self._asks.get(origin)
        if ask is None:
            return {}, None
        if ask.offers.get(link, 0) > seq:
            # It has less than it announced; whoever is honest sends all there is.
            del ask.offers[link]
        if max(ask.offers.values(), default=0) <= seq:
            del self._asks[origin]
            return ask.offers, None
        return ask.offers, self._turn(origin, now_ms) if ask.link == link else None

    def lost(self, link: LinkId, now_ms: int) -> tuple[tuple[Origin, LinkId | None], ...]:
        """Forget a neighbour; return what it had been asked for, and who, if anybody, shall be asked instead."""
        orphaned = []
        for origin, ask in self._asks.items():
            ask.offers.pop(link, None)
            if ask.link == link:
                orphaned.append(origin)
        return tuple((origin, self._turn(origin, now_ms)) for origin in orphaned)

    def overdue(self, now_ms: int) -> tuple[tuple[Origin, LinkId | None], ...]:
        """Return what was not answered in time, and who shall be asked instead, if there is anybody."""
        late = [origin for origin, ask in self._asks.items() if now_ms - ask.at_ms >= ASK_AGAIN_MS]
        for origin in late:
            self._asks[origin].offers.pop(self._asks[origin].link, None)
        return tuple((origin, self._turn(origin, now_ms)) for origin in late)

    def _turn(self, origin: Origin, now_ms: int) -> LinkId | None:
        """Turn to whoever has announced the most; without anybody the ask is over."""
        ask = self._asks[origin]
        if not ask.offers:
            del self._asks[origin]
            return None
        ask.link, ask.at_ms = max(ask.offers, key=ask.offers.__getitem__), now_ms
        return ask.link
