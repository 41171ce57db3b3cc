"""Which counters have been seen: each passes once, in any order within a window.

The window is one integer, so a whole run of datagrams is tested and accepted by a shift and a mask. Nothing is accepted
before it is authentic. Source: RFC 6479 (sliding windows), RFC 4303 §3.4.3.
"""

from __future__ import annotations

WINDOW = 16_384
"""Counters. At 1 million small frames a second in datagrams of 14 that is 230 ms of reordering."""
_MASK = (1 << WINDOW) - 1


class Replay:
    """The window of one sender."""

    __slots__ = ("_seen", "top")

    def __init__(self, top: int = 0) -> None:
        """Nothing below `top` is accepted."""
        self.top = top
        """One past the highest counter accepted."""
        self._seen = _MASK
        """Bit k is set when counter top - 1 - k was accepted."""

    def fresh(self, first: int, count: int) -> int:
        """Return which of the counters from `first` on may still be accepted: bit i for first + i."""
        if first >= self.top:
            return (1 << count) - 1
        mask = 0
        for index in range(count):
            back = self.top - 1 - first - index
            if back < 0 or (back < WINDOW and not self._seen >> back & 1):
                mask |= 1 << index
        return mask

    def accept(self, first: int, count: int, mask: int) -> None:
        """Note counters as seen: first + i for each bit i of the mask, i < count."""
        if mask == 0:
            return
        ahead = first + mask.bit_length() - self.top
        if ahead > 0:
            self._seen = (self._seen << ahead) & _MASK if ahead < WINDOW else 0
            self.top += ahead
        if mask == (1 << count) - 1:
            back = self.top - first - count
            self._seen |= mask << back if back < WINDOW else 0
        else:
            for index in range(count):
                if mask >> index & 1:
                    self._seen |= 1 << (self.top - 1 - first - index)
        self._seen &= _MASK
