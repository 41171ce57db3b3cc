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
from itertools import pairwise
from operator import is_

from core.board import Board
from core.ipam.universe import Universe
from core.kinds import NOBODY, RingClaim
from core.types import ADDRESS_END, Address, PeerName
from crdt.intervals import IntervalMap
from crdt.layers import Layer, Layers

Rank = tuple[int, int, str]
"""Generation, epoch, owner: what claims are compared by."""
Said = tuple[PeerName, RingClaim]
"""A claim and who wrote it."""
Piece = tuple[int, int, RingClaim]
"""Range, and the claim that counts there among those of one writer."""
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
    """Ownership as known here, of one ring. It goes on with the claims: `version` tells one state from another."""

    def __init__(
        self,
        division: Iterable[tuple[Address, Address, PeerName]],
        claims: Iterable[tuple[PeerName, RingClaim]] = (),
    ) -> None:
        """`claims` are writers and what they say."""
        self._layers: Layers[Said | None] = Layers()
        self._said: dict[PeerName, tuple[RingClaim, ...]] = {}
        self._laid: dict[PeerName, dict[Piece, Layer[Said | None]]] = {}
        self._cached_runs: tuple[Run, ...] | None = None
        self._cached_conflicts: tuple[Conflict, ...] | None = None
        self.version = 0
        """Rises with every change."""
        for lo, hi, owner in division:
            self._layers.add(lo, hi, Layer((0, 0, owner), ("",), None))
        by_writer: dict[PeerName, list[RingClaim]] = {}
        for writer, claim in claims:
            by_writer.setdefault(writer, []).append(claim)
        for writer, said in by_writer.items():
            self.replace(writer, said)

    def replace(self, writer: PeerName, claims: Iterable[RingClaim]) -> None:
        """Let a writer say this, and nothing else. O(its claims + log of all for each that is another)."""
        said = tuple(claims)
        before, old = self._said.get(writer, ()), self._laid.get(writer, {})
        if len(said) == len(before) and all(map(is_, said, before)):
            return
        laid = {piece: old.get(piece) or _layer(writer, piece[2]) for piece in _pieces(said)}
        for piece, layer in old.items():
            if piece not in laid:
                self._layers.remove(piece[0], piece[1], layer)
        for piece, layer in laid.items():
            if piece not in old:
                self._layers.add(piece[0], piece[1], layer)
        if said:
            self._said[writer], self._laid[writer] = said, laid
        else:
            del self._said[writer], self._laid[writer]
        self._cached_runs = self._cached_conflicts = None
        self.version += 1

    @property
    def writers(self) -> tuple[PeerName, ...]:
        """Who has said anything."""
        return tuple(self._said)

    @property
    def claims(self) -> tuple[tuple[PeerName, RingClaim], ...]:
        """Writer and claim, by writer. O(claims)."""
        return tuple((writer, claim) for writer in sorted(self._said) for claim in self._said[writer])

    @property
    def runs(self) -> tuple[Run, ...]:
        """All of it, ascending and disjoint; they cover the universe. O(claims) when any has changed."""
        if self._cached_runs is None:
            self._cached_runs = self.between(Address(0), Address(ADDRESS_END))
        return self._cached_runs

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Disputes that are not settled by a later claim. O(claims log claims) when any has changed."""
        if self._cached_conflicts is None:
            self._cached_conflicts = self._find_conflicts()
        return self._cached_conflicts

    def owner_at(self, address: Address) -> PeerName | None:
        """Return who owns an address; None outside the universe."""
        stack = self._layers.at(address)
        return PeerName(stack[0].rank[2]) if stack else None

    def claims_at(self, address: Address) -> tuple[tuple[PeerName, RingClaim], ...]:
        """Return writer and claim of what covers an address, by writer, of each the one that counts."""
        found = (layer.content for layer in self._layers.at(address))
        return tuple(sorted((said for said in found if said is not None), key=_writer))

    def between(self, lo: Address, hi: Address) -> tuple[Run, ...]:
        """Return the parts of runs that lie in `[lo, hi)`."""
        return tuple(_run(*part) for part in self._layers.between(lo, hi))

    def runs_of(self, peer: PeerName, lo: int = 0, hi: int = ADDRESS_END) -> tuple[Run, ...]:
        """Return the parts of a peer's runs that lie in `[lo, hi)`, ascending. Costs what it owns there."""
        return tuple(_run(*part) for part in self._layers.grouped(peer, lo, hi))

    def owned_by(self, peer: PeerName) -> tuple[tuple[Address, Address], ...]:
        """Return a peer's ranges ascending, neighbours joined."""
        ranges: list[tuple[Address, Address]] = []
        for run in self.runs_of(peer):
            if ranges and ranges[-1][1] == run.lo:
                ranges[-1] = (ranges[-1][0], run.hi)
            else:
                ranges.append((run.lo, run.hi))
        return tuple(ranges)

    def owners(self, lo: Address, hi: Address) -> tuple[PeerName, ...]:
        """Return who owns anything in `[lo, hi)`, ascending. O(owners log)."""
        found = (owner for owner in self._layers.groups() if owner != NOBODY)
        return tuple(sorted(PeerName(owner) for owner in found if any(self._layers.grouped(owner, lo, hi))))

    def shares(self, lo: int = 0, hi: int = ADDRESS_END) -> dict[PeerName, int]:
        """Return the count of addresses in `[lo, hi)` by owner, by name. O(owners log) for all of it."""
        if (lo, hi) == (0, ADDRESS_END):
            counts = self._layers.shares()
        else:
            counts = {}
            for run in self.between(Address(lo), Address(hi)):
                counts[run.owner] = counts.get(run.owner, 0) + run.hi - run.lo
        return {PeerName(peer): counts[peer] for peer in sorted(counts)}

    def free_hint(self, peer: PeerName, lo: Address, hi: Address) -> int:
        """Guess how many addresses of a peer are free in `[lo, hi)`; 0 when it says that it is full.

        Space that its owner has not spoken about counts as free.
        """
        total = 0
        for run in self.runs_of(peer, lo, hi):
            total += run.hi - run.lo
            for claim in self._said.get(peer, ()):
                overlap = min(run.hi, claim.hi) - max(run.lo, claim.lo)
                if overlap > 0 and claim.owner == peer:
                    total -= overlap - (min(overlap, 1 << min(claim.free, 128)) if claim.free >= 0 else 0)
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
        for lo, hi, rank in self._layers.between(max(one.lo, other.lo), min(one.hi, other.hi)):
            if rank[:2] == level:
                parts[Conflict(Address(lo), Address(hi), level[0], level[1], (first, second))] = None
        return parts


class Ring:
    """Keeps the view of one ring up with the claims."""

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
        self._prefix = f"ring/{ring_id}/"
        self._news = board.watch(RingClaim)
        self._version: tuple[int, ...] | None = None
        self._was_plain = False
        self._view = RingView(division)

    def view(self) -> RingView:
        """Return ownership as the facts say now. O(1) when no claim has changed, else what their writers claim."""
        board = self._board
        version = board.version(RingClaim)
        if version != self._version:
            is_plain = board.are_claims_plain
            if is_plain and self._was_plain:
                for writer in self._news:
                    self._view.replace(
                        writer, (claim for key, claim in board.of(writer, RingClaim) if self._has(key, claim))
                    )
            else:
                self._read_all()
            self._news.clear()
            self._version, self._was_plain = version, is_plain
        return self._view

    def on(self, board: Board) -> Ring:
        """Return this ring as the facts on another board say."""
        return Ring(board, self.ring_id, self.universe, self._division)

    def _read_all(self) -> None:
        said: dict[PeerName, list[RingClaim]] = {writer: [] for writer in self._view.writers}
        for writer, key, claim in self._board.all(RingClaim):
            if self._has(key, claim):
                said.setdefault(writer, []).append(claim)
        for writer, claims in said.items():
            self._view.replace(writer, claims)

    def _has(self, key: str, claim: RingClaim) -> bool:
        return key.startswith(self._prefix) and is_sound(claim, self.universe)


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


def _run(lo: int, hi: int, rank: Rank) -> Run:
    return Run(Address(lo), Address(hi), rank[0], rank[1], PeerName(rank[2]))


def _claim_order(claim: RingClaim) -> tuple[int, int, str]:
    return (claim.lo, claim.hi, claim.owner)


def _pieces(claims: tuple[RingClaim, ...]) -> list[Piece]:
    """Return where each claim of one writer counts.

    Honest writers' claims are disjoint; those of others, laid as they are, could be as deep as they are many.
    """
    pieces: list[Piece] = sorted(((claim.lo, claim.hi, claim) for claim in claims), key=_bounds)
    if all(one[1] <= other[0] for one, other in pairwise(pieces)):
        return pieces
    levels: IntervalMap[tuple[Rank, int]] = IntervalMap()
    for number, (lo, hi, claim) in enumerate(pieces):
        levels.assign(lo, hi, (rank_of(claim), -number))
    return [(lo, hi, pieces[-number][2]) for lo, hi, (_, number) in levels.items()]


def _bounds(piece: Piece) -> tuple[int, int]:
    return piece[:2]


def _layer(writer: PeerName, claim: RingClaim) -> Layer[Said | None]:
    order = (writer, claim.lo, claim.hi, claim.free, claim.why, claim.at_ms)
    return Layer(rank_of(claim), order, (writer, claim))


def _writer(said: Said) -> PeerName:
    return said[0]
