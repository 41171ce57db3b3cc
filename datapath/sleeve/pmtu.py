"""How large a datagram gets through to a neighbour: found by trying, checked again and again, never trusted to ICMP.

Sizes are bytes of UDP payload, multiples of 8. Probes are acknowledged by the neighbour. Time is an argument.
Source: RFC 8899 (packetization layer path MTU discovery for datagrams); the search halves, as RFC 4821 §7.3.
"""

from __future__ import annotations

from datapath.sleeve.sealer import CAPACITY_MAX, CAPACITY_MIN

INTERVAL_MS = 150
"""Between two tries of a size."""
TRIES_MAX = 5
"""Of a size, before it counts as too large: at 30 % loss one in thirty is given up wrongly, until the next search."""
CONFIRM_MS = 1_000
"""Between checks of the size in use…"""
CONFIRM_AGAIN_MS = 250
"""…and when one was not answered."""
MISSES_MAX = 16
"""Checks without answer, after which the size in use gets through no more."""
RAISE_MS = 30_000
"""After which larger sizes are tried again: paths change."""
OVERHEAD = 28
"""Bytes of IPv4 and UDP headers."""


class PathMtu:
    """The search on one path."""

    def __init__(self, now_ms: int) -> None:
        self.size = CAPACITY_MIN
        """What gets through."""
        self._limit = CAPACITY_MIN
        self._failed = CAPACITY_MIN + 8
        self._candidate: int | None = None
        self._tries = 0
        self._misses = 0
        self._due_ms = now_ms
        self._raise_ms = now_ms

    def limit(self, mtu: int, now_ms: int) -> None:
        """Say what the first link carries, in bytes of IP packet."""
        limit = min(CAPACITY_MAX, max(CAPACITY_MIN, (mtu - OVERHEAD) & ~7))
        if limit == self._limit:
            return
        self._limit = limit
        self.size = min(self.size, limit)
        self._search(limit + 8, limit, now_ms)

    def resume(self, now_ms: int) -> None:
        """Note that datagrams get through again after a break: it was not their size that made them fail."""
        self._misses = 0
        if self.size < self._limit:
            self._search(self._limit + 8, self._limit, now_ms)

    def tick(self, now_ms: int) -> int | None:
        """Return the size of a probe to send now, if any."""
        if now_ms < self._due_ms:
            return None
        if self._candidate is not None and self._tries >= TRIES_MAX:
            self._search(self._candidate, None, now_ms)
        if self._candidate is not None:
            self._tries += 1
            self._due_ms = now_ms + INTERVAL_MS
            return self._candidate
        if now_ms >= self._raise_ms and self.size < self._limit:
            self._search(self._limit + 8, self._limit, now_ms)
            return self.tick(now_ms)
        if self.size == CAPACITY_MIN:
            self._due_ms = now_ms + CONFIRM_MS
            return None
        if self._misses >= MISSES_MAX:
            failed, self.size = self.size, CAPACITY_MIN
            self._search(failed, None, now_ms)
            return self.tick(now_ms)
        self._misses += 1
        self._due_ms = now_ms + (CONFIRM_MS if self._misses == 1 else CONFIRM_AGAIN_MS)
        return self.size

    def acked(self, size: int, now_ms: int) -> None:
        """Note that a probe got through. Sizes that were never tried are ignored."""
        if size == self.size:
            self._misses = 0
        if size % 8 or not self.size < size <= self._limit:
            return
        self.size, self._misses = size, 0
        self._search(max(self._failed, size + 8), None, now_ms)

    def _search(self, failed: int, first: int | None, now_ms: int) -> None:
        """Go on between what gets through and what does not: with a size, or in the middle."""
        self._failed = failed
        middle = (self.size + failed) // 2 & ~7
        candidate = middle if first is None else first
        self._tries = 0
        self._due_ms = now_ms
        if candidate > self.size:
            self._candidate = candidate
            return
        self._candidate = None
        self._misses = 0
        self._due_ms = now_ms + CONFIRM_MS
        self._raise_ms = now_ms + RAISE_MS
