"""Who owns which addresses: a view of everybody's claims.

An address belongs to the owner in the greatest `(generation, epoch, owner)` claim that covers it. Only the owner writes
the next epoch, and a writer never lowers what its own stream says about an address, so a peer that has given an
address away can never again believe that it owns it, whatever it has or has not heard. Two claims of one generation
and epoch with different owners (a takeover made twice) are a conflict: shown, resolved by name, never an error.

For the same reason a giver keeps its claim for ever, as a note that the range is no longer its own: streams arrive one
by one, and a reader may see the receiver's next gift before it sees who got it. Old notes may be joined under a single
claim to `NOBODY`, see `space`.

The initial division of the universe needs no claims: it follows from the seed, as generation 0, epoch 0.

Source: research §3.3; half-open intervals instead of Weave Net's tokens, whose end depends on unheard-of streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from core.board import Board
from core.ipam.universe import Universe
from core.kinds import NOBODY, RingClaim
from core.types import ADDRESS_END, Address, PeerName
from crdt.intervals import IntervalMap

Rank = tuple[int, int, str]
"""Generation, epoch, owner: what claims are compared by."""
VIEWS_KEPT = 8
"""Views that are not worked out again: claims change rarely, and to and fro only in simulations."""
RANK_MAX = 1 << 62
"""Generations and epochs beyond this are nonsense and ignored."""


@dataclass(frozen=True, slots=True)
class Run:
    """A range with one owner and one rank."""

    lo: Address
    """First address."""
    hi: Address
    """One past the last."""
    generation: int
    """Raised by takeover."""
    epoch: int
    """Raised by the owner."""
    owner: PeerName
    """Whose it is."""

    @property
    def rank(self) -> Rank:
        """Return what this run is compared by."""
        return (self.generation, self.epoch, self.owner)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two claims of equal standing that name different owners."""

    lo: Address
    """First address in dispute."""
    hi: Address
    """One past the last."""
    generation: int
    """Of both claims."""
    epoch: int
    """Of both claims."""
    owners: tuple[PeerName, PeerName]
    """Ascending; the second is the one that counts."""


class RingView:
    """Ownership as known here, of one ring at one moment. Immutable."""

    def __init__(
        self,
        division: Iterable[tuple[Address, Address, PeerName]],
        claims: Iterable[tuple[PeerName, RingClaim]],
    ) -> None:
        parts = tuple(division)
        self.claims = tuple(claims)
        """Writer and claim, as read from the board."""
        self._levels: IntervalMap[Rank] = IntervalMap()
        self._hints: dict[str, list[tuple[int, int, int]]] = {}
        for lo, hi, owner in parts:
            self._levels.assign(lo, hi, (0, 0, owner))
        for writer, claim in self.claims:
            self._levels.assign(claim.lo, claim.hi, rank_of(claim))
            if writer == claim.owner:
                self._hints.setdefault(writer, []).append((claim.lo, claim.hi, claim.free))
        self.runs = tuple(_run(lo, hi, rank) for lo, hi, rank in self._levels.items())
        """Ascending and disjoint; they cover the universe."""
        self.conflicts = self._find_conflicts()
        """Disputes that are not settled by a later claim."""

    def owner_at(self, address: Address) -> PeerName | None:
        """Return who owns an address; None outside the universe."""
        rank = self._levels.at(address)
        return None if rank is None else PeerName(rank[2])

    def between(self, lo: Address, hi: Address) -> tuple[Run, ...]:
        """Return the parts of runs that lie in `[lo, hi)`."""
        return tuple(_run(*part) for part in self._levels.overlapping(lo, hi))

    def owned_by(self, peer: PeerName) -> tuple[tuple[Address, Address], ...]:
        """Return a peer's ranges ascending, neighbours joined."""
        ranges: list[tuple[Address, Address]] = []
        for run in self.runs:
            if run.owner != peer:
                continue
            if ranges and ranges[-1][1] == run.lo:
                ranges[-1] = (ranges[-1][0], run.hi)
            else:
                ranges.append((run.lo, run.hi))
        return tuple(ranges)

    def owners(self, lo: Address, hi: Address) -> tuple[PeerName, ...]:
        """Return who owns anything in `[lo, hi)`, ascending."""
        return tuple(sorted(dict.fromkeys(run.owner for run in self.between(lo, hi) if run.owner != NOBODY)))

    def shares(self, lo: int = 0, hi: int = ADDRESS_END) -> dict[PeerName, int]:
        """Return the count of addresses in `[lo, hi)` by owner, by name."""
        counts: dict[PeerName, int] = {}
        for run in self.between(Address(lo), Address(hi)):
            counts[run.owner] = counts.get(run.owner, 0) + run.hi - run.lo
        return {peer: counts[peer] for peer in sorted(counts)}

    def free_hint(self, peer: PeerName, lo: Address, hi: Address) -> int:
        """Guess how many addresses of a peer are free in `[lo, hi)`; 0 when it says that it is full.

        Space that its owner has not spoken about counts as free.
        """
        total = 0
        for run in self.between(lo, hi):
            if run.owner != peer:
                continue
            total += run.hi - run.lo
            for claim_lo, claim_hi, free in self._hints.get(peer, ()):
                overlap = min(run.hi, claim_hi) - max(run.lo, claim_lo)
                if overlap > 0:
                    total -= overlap - (min(overlap, 1 << min(free, 128)) if free >= 0 else 0)
        return max(total, 0)

    def _find_conflicts(self) -> tuple[Conflict, ...]:
        groups: dict[tuple[int, int], list[RingClaim]] = {}
        for _, claim in self.claims:
            if claim.owner == NOBODY:
                continue
            groups.setdefault((claim.generation, claim.epoch), []).append(claim)
        found: dict[Conflict, None] = {}
        for level in sorted(groups):
            active: list[RingClaim] = []
            for claim in sorted(groups[level], key=_claim_order):
                active = [other for other in active if other.hi > claim.lo]
                for other in active:
                    if other.owner != claim.owner:
                        found.update(self._standing(level, claim, other))
                active.append(claim)
        return tuple(found)

    def _standing(self, level: tuple[int, int], one: RingClaim, other: RingClaim) -> dict[Conflict, None]:
        """Return the parts of a dispute that no later claim has settled."""
        first, second = sorted((PeerName(one.owner), PeerName(other.owner)))
        parts: dict[Conflict, None] = {}
        for lo, hi, rank in self._levels.overlapping(max(one.lo, other.lo), min(one.hi, other.hi)):
            if rank[:2] == level:
                parts[Conflict(Address(lo), Address(hi), level[0], level[1], (first, second))] = None
        return parts


class Ring:
    """Makes the view of one ring, and makes it anew only when claims change."""

    def __init__(
        self,
        board: Board,
        ring_id: str,
        universe: Universe,
        division: tuple[tuple[Address, Address, PeerName], ...],
    ) -> None:
        self.ring_id = ring_id
        self.universe = universe
        self._board = board
        self._division = division
        self._version: tuple[int, ...] | None = None
        self._view: RingView | None = None

    def view(self) -> RingView:
        """Return ownership as the facts say now. O(1) when no claim has changed, else O(claims log claims)."""
        version = self._board.version(RingClaim)
        if self._view is None or version != self._version:
            self._view = _view_of(self._division, tuple(self._claims()))
            self._version = version
        return self._view

    def on(self, board: Board) -> Ring:
        """Return this ring as the facts on another board say."""
        return Ring(board, self.ring_id, self.universe, self._division)

    def _claims(self) -> list[tuple[PeerName, RingClaim]]:
        prefix = f"ring/{self.ring_id}/"
        return [
            (peer, claim)
            for peer, key, claim in self._board.all(RingClaim)
            if key.startswith(prefix) and is_sound(claim, self.universe)
        ]


def is_sound(claim: RingClaim, universe: Universe) -> bool:
    """Say whether a claim can be one of this universe; others are left alone."""
    return (
        universe.within(claim.lo, claim.hi)
        and 0 <= claim.generation < RANK_MAX
        and 0 <= claim.epoch < RANK_MAX
        and bool(claim.owner)
    )


def rank_of(claim: RingClaim) -> Rank:
    """Return what a claim is compared by."""
    return (claim.generation, claim.epoch, claim.owner)


@lru_cache(VIEWS_KEPT)
def _view_of(
    division: tuple[tuple[Address, Address, PeerName], ...], claims: tuple[tuple[PeerName, RingClaim], ...]
) -> RingView:
    """Return a view; hosts of one simulation that agree share one."""
    return RingView(division, claims)


def _run(lo: int, hi: int, rank: Rank) -> Run:
    return Run(Address(lo), Address(hi), rank[0], rank[1], PeerName(rank[2]))


def _claim_order(claim: RingClaim) -> tuple[int, int, str]:
    return (claim.lo, claim.hi, claim.owner)
