"""What everybody claims, address by address: which claims lie over it, and whose it is by the greatest of them.

Unlike `crdt.intervals.IntervalMap`, which keeps only the greatest value, claims can be taken away again. So a change
costs what it touches, and not all claims there are. The result does not depend on the order of changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sortedcontainers import SortedDict

from core.kinds import RingClaim

Rank = tuple[int, int, str]
"""Generation, epoch, owner: what claims are compared by."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One claim, or a part of the initial division."""

    rank: Rank
    """What it is compared by."""
    writer: str
    """Who says so; empty for the initial division."""
    claim: RingClaim | None
    """As it was written; None for the initial division."""
    order: tuple[Rank, str, tuple[int, int, int, str, int]] = field(init=False, repr=False)
    """Tells layers apart, greatest rank last."""

    def __post_init__(self) -> None:
        claim = self.claim
        rest = (0, 0, 0, "", 0) if claim is None else (claim.lo, claim.hi, claim.free, claim.why, claim.at_ms)
        object.__setattr__(self, "order", (self.rank, self.writer, rest))

    @property
    def bounds(self) -> tuple[int, int]:
        """Return where a claim lies."""
        assert self.claim is not None, "parts of the division stay where they are"
        return self.claim.lo, self.claim.hi


Stack = tuple[Layer, ...]
"""Greatest first."""


class Layers:
    """Stacks of layers by range; a change costs O(log n) for each range that it touches."""

    def __init__(self) -> None:
        # lo -> (hi, stack); ranges never overlap, and neighbours with equal stacks are merged.
        self._runs: SortedDict[int, tuple[int, Stack]] = SortedDict()
        self._owned: dict[str, SortedDict[int, int]] = {}
        self._shares: dict[str, int] = {}

    def add(self, lo: int, hi: int, layer: Layer) -> None:
        """Lay a layer over `[lo, hi)`."""
        self._change(lo, hi, lambda stack: tuple(sorted((*stack, layer), key=_order, reverse=True)))

    def remove(self, lo: int, hi: int, layer: Layer) -> None:
        """Take one away that was laid over `[lo, hi)`."""
        self._change(lo, hi, lambda stack: tuple(one for one in stack if one is not layer))

    def at(self, point: int) -> Stack:
        """Return what lies over one address; nothing where nobody claims anything."""
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

    def owned(self, owner: str, lo: int, hi: int) -> Iterator[tuple[int, int, Rank]]:
        """Yield an owner's parts of `[lo, hi)` likewise. Costs what it owns there."""
        owned = self._owned.get(owner)
        if owned is None:
            return
        first = max(owned.bisect_right(lo) - 1, 0)
        parts = ((start, owned[start]) for start in owned.islice(first))
        yield from _merged(
            (max(start, lo), min(end, hi), self._runs[start][1][0].rank) for start, end in _until(parts, hi) if end > lo
        )

    def owners(self) -> Iterator[str]:
        """Yield who owns anything."""
        yield from self._owned

    def shares(self) -> dict[str, int]:
        """Return how much everybody owns; do not change it."""
        return self._shares

    def _change(self, lo: int, hi: int, edit: Callable[[Stack], Stack]) -> None:
        assert lo < hi, f"empty range [{lo}, {hi})"
        pieces: list[tuple[int, int, Stack]] = []
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

    def _touching(self, lo: int, hi: int) -> Iterator[tuple[int, int, Stack]]:
        first = max(self._runs.bisect_right(lo) - 1, 0)
        for start in self._runs.islice(first):
            if start >= hi:
                return
            end, stack = self._runs[start]
            if end > lo:
                yield start, end, stack

    def _insert(self, lo: int, hi: int, stack: Stack) -> None:
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
        owner = stack[0].rank[2]
        self._owned.setdefault(owner, SortedDict())[lo] = hi
        self._shares[owner] = self._shares.get(owner, 0) + hi - lo

    def _drop(self, lo: int) -> None:
        hi, stack = self._runs.pop(lo)
        owner = stack[0].rank[2]
        del self._owned[owner][lo]
        self._shares[owner] -= hi - lo
        if not self._shares[owner]:
            del self._owned[owner], self._shares[owner]


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


def _order(layer: Layer) -> tuple[Rank, str, tuple[int, int, int, str, int]]:
    return layer.order


def _lo(piece: tuple[int, int, Stack]) -> int:
    return piece[0]
