"""A map from ranges of integers to values, where each point keeps the greatest value ever assigned to it.

Ranges are half-open. Pointwise maximum is commutative, associative and idempotent, so the map does not depend on the
order of assignments: that is what makes address ownership a view and not a negotiation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from sortedcontainers import SortedDict

V = TypeVar("V")


class IntervalMap(Generic[V]):
    """Values by range. An assignment costs O(log n + ranges it touches)."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        # lo -> (hi, value); runs never overlap, and neighbours with equal values are merged.
        self._runs: SortedDict[int, tuple[int, V]] = SortedDict()

    def assign(self, lo: int, hi: int, value: V) -> None:
        """Raise every point of `[lo, hi)` to at least `value`. Values must be ordered."""
        assert lo < hi, f"empty range [{lo}, {hi})"
        pieces: list[tuple[int, int, V]] = []
        at = lo
        for start, end, old in list(self._touching(lo, hi)):
            del self._runs[start]
            if start < lo:
                pieces.append((start, lo, old))
            inner_lo, inner_hi = max(start, lo), min(end, hi)
            if at < inner_lo:
                pieces.append((at, inner_lo, value))
            pieces.append((inner_lo, inner_hi, max(old, value, key=_identity)))
            at = inner_hi
            if hi < end:
                pieces.append((hi, end, old))
        if at < hi:
            pieces.append((at, hi, value))
        for piece_lo, piece_hi, piece_value in sorted(pieces, key=_lo):
            self._insert(piece_lo, piece_hi, piece_value)

    def at(self, point: int) -> V | None:
        """Return the value of one point."""
        index = self._runs.bisect_right(point) - 1
        if index < 0:
            return None
        hi, value = self._runs.peekitem(index)[1]
        return value if point < hi else None

    def items(self) -> Iterator[tuple[int, int, V]]:
        """Yield `(lo, hi, value)` ascending, as few runs as possible."""
        for lo, (hi, value) in self._runs.items():
            yield lo, hi, value

    def overlapping(self, lo: int, hi: int) -> Iterator[tuple[int, int, V]]:
        """Yield the parts of runs that lie in `[lo, hi)`."""
        for start, end, value in self._touching(lo, hi):
            if max(start, lo) < min(end, hi):
                yield max(start, lo), min(end, hi), value

    def _touching(self, lo: int, hi: int) -> Iterator[tuple[int, int, V]]:
        first = max(self._runs.bisect_right(lo) - 1, 0)
        for start in self._runs.islice(first):
            if start >= hi:
                return
            end, value = self._runs[start]
            if end > lo:
                yield start, end, value

    def _insert(self, lo: int, hi: int, value: V) -> None:
        index = self._runs.bisect_left(lo)
        if index > 0:
            left, (left_hi, left_value) = self._runs.peekitem(index - 1)
            if left_hi == lo and left_value == value:
                del self._runs[left]
                lo = left
                index -= 1
        if index < len(self._runs):
            right, (right_hi, right_value) = self._runs.peekitem(index)
            if right == hi and right_value == value:
                del self._runs[right]
                hi = right_hi
        self._runs[lo] = (hi, value)


def _identity(value: Any) -> Any:
    return value


def _lo(piece: tuple[int, int, Any]) -> int:
    return piece[0]
