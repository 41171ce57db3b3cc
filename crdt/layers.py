"""Ranges of integers laid over each other: which lie over a point, and to which group it belongs by the greatest.

Unlike `intervals.IntervalMap`, which keeps only the greatest value, what was laid can be taken away again. So a change
costs what it touches, and not all there is. The result does not depend on the order of changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from sortedcontainers import SortedDict

T = TypeVar("T")

Rank = tuple[int, int, str]
"""What layers are compared by; the last part names the group."""


@dataclass(frozen=True, slots=True)
class Layer(Generic[T]):
    """Something that lies over a range."""

    rank: Rank
    """What it is compared by."""
    order: tuple[object, ...]
    """Tells layers of one rank apart: equal only if the layers are; may be compared."""
    content: T
    """What it stands for."""


class Layers(Generic[T]):
    """Stacks of layers by range; a change costs O(log n + layers there) for each range that it touches."""

    def __init__(self) -> None:
        # lo -> (hi, stack); ranges never overlap, and neighbours with equal stacks are merged.
        self._runs: SortedDict[int, tuple[int, tuple[Layer[T], ...]]] = SortedDict()
        self._grouped: dict[str, SortedDict[int, int]] = {}
        self._shares: dict[str, int] = {}

    def add(self, lo: int, hi: int, layer: Layer[T]) -> None:
        """Lay a layer over `[lo, hi)`."""
        self._change(lo, hi, lambda stack: tuple(sorted((*stack, layer), key=_order, reverse=True)))

    def remove(self, lo: int, hi: int, layer: Layer[T]) -> None:
        """Take one away that was laid over `[lo, hi)`."""
        self._change(lo, hi, lambda stack: tuple(one for one in stack if one is not layer))

    def at(self, point: int) -> tuple[Layer[T], ...]:
        """Return what lies over one point, greatest first."""
        index = self._runs.bisect_right(point) - 1
        if index < 0:
            return ()
        hi, stack = self._runs.peekitem(index)[1]
        return stack if point < hi else ()

    def between(self, lo: int, hi: int) -> Iterator[tuple[int, int, Rank]]:
        """Yield the parts in `[lo, hi)` that have one rank, ascending, as few as possible."""
        yield from _merged(
            (max(start, lo), min(end, hi), stack[0].rank) for start, end, stack in self._touching(lo, hi)
        )

    def grouped(self, group: str, lo: int, hi: int) -> Iterator[tuple[int, int, Rank]]:
        """Yield a group's parts of `[lo, hi)` likewise. Costs what it has there."""
        grouped = self._grouped.get(group)
        if grouped is None:
            return
        first = max(grouped.bisect_right(lo) - 1, 0)
        parts = ((start, grouped[start]) for start in grouped.islice(first))
        yield from _merged(
            (max(start, lo), min(end, hi), self._runs[start][1][0].rank) for start, end in _until(parts, hi) if end > lo
        )

    def groups(self) -> Iterator[str]:
        """Yield all groups that have anything."""
        yield from self._grouped

    def shares(self) -> dict[str, int]:
        """Return how many points each group has; do not change it."""
        return self._shares

    def _change(self, lo: int, hi: int, edit: Callable[[tuple[Layer[T], ...]], tuple[Layer[T], ...]]) -> None:
        assert lo < hi, f"empty range [{lo}, {hi})"
        pieces: list[tuple[int, int, tuple[Layer[T], ...]]] = []
        at = lo
        for start, end, stack in list(self._touching(lo, hi)):
            self._drop(start)
            if start < lo:
                pieces.append((start, lo, stack))
            if at < max(start, lo):
                pieces.append((at, start, edit(())))
            pieces.append((max(start, lo), min(end, hi), edit(stack)))
            at = min(end, hi)
            if hi < end:
                pieces.append((hi, end, stack))
        if at < hi:
            pieces.append((at, hi, edit(())))
        for piece_lo, piece_hi, stack in sorted(pieces, key=_lo):
            if stack:
                self._insert(piece_lo, piece_hi, stack)

    def _touching(self, lo: int, hi: int) -> Iterator[tuple[int, int, tuple[Layer[T], ...]]]:
        first = max(self._runs.bisect_right(lo) - 1, 0)
        for start in self._runs.islice(first):
            if start >= hi:
                return
            end, stack = self._runs[start]
            if end > lo:
                yield start, end, stack

    def _insert(self, lo: int, hi: int, stack: tuple[Layer[T], ...]) -> None:
        index = self._runs.bisect_left(lo)
        if index > 0:
            left, (left_hi, left_stack) = self._runs.peekitem(index - 1)
            if left_hi == lo and left_stack == stack:
                self._drop(left)
                lo = left
        right = self._runs.get(hi)
        if right is not None and right[1] == stack:
            self._drop(hi)
            hi = right[0]
        self._runs[lo] = (hi, stack)
        group = stack[0].rank[2]
        self._grouped.setdefault(group, SortedDict())[lo] = hi
        self._shares[group] = self._shares.get(group, 0) + hi - lo

    def _drop(self, lo: int) -> None:
        hi, stack = self._runs.pop(lo)
        group = stack[0].rank[2]
        del self._grouped[group][lo]
        self._shares[group] -= hi - lo
        if not self._shares[group]:
            del self._grouped[group], self._shares[group]


def _merged(parts: Iterator[tuple[int, int, Rank]]) -> Iterator[tuple[int, int, Rank]]:
    """Join neighbours of one rank."""
    last: tuple[int, int, Rank] | None = None
    for lo, hi, rank in parts:
        if last is not None and last[1] == lo and last[2] == rank:
            last = (last[0], hi, rank)
            continue
        if last is not None:
            yield last
        last = (lo, hi, rank)
    if last is not None:
        yield last


def _until(parts: Iterator[tuple[int, int]], hi: int) -> Iterator[tuple[int, int]]:
    for start, end in parts:
        if start >= hi:
            return
        yield start, end


def _order(layer: Layer[T]) -> tuple[Rank, tuple[object, ...]]:
    return layer.rank, layer.order


def _lo(piece: tuple[int, int, tuple[Layer[T], ...]]) -> int:
    return piece[0]
