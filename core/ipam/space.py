"""This host's part of the ring: what is ours, what of it is free, and the claims that say so.

Our stream holds disjoint claims of two sorts: ours (owner is this host, with a hint of how much is free) and notes
(somebody else is the owner). Invariants: no claim of ours ever says less about an address than an earlier one did
(`_restate` takes the pointwise maximum); and we use an address only when the view says that it is ours and none of our
notes is as high as that. So what we have given away stays away, whichever streams we have seen.

A received range is asserted anew in our own stream, joined with its neighbours: at rest, every owner's claims are in
its own stream. Notes that higher claims of others have overtaken may be joined into one note to nobody: it forbids us
what we had given away, and being lower than what stands elsewhere it changes nobody's view.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace

from core.context import Context
from core.ipam.held import Held
from core.ipam.ring import RANK_MAX, Ring, Run, is_sound, rank_of
from core.ipam.squatters import Squatters
from core.kinds import NOBODY, RetiredRecord, RingClaim, gone, put, ring_key
from core.types import Address, PeerName
from crdt.intervals import IntervalMap

CLAIMS_TIDY = 128
"""Claims of ours from which notes are joined; below it is not worth a fact."""
ASSERT_STEP = 2
"""Epochs between a gift and its assertion: one is enough to win, the other is room for the giver's joined note."""
HINT_STEP = 2
"""Powers of two by which free space must change before we say so again; full and not full are said at once."""

_NO_FLOOR = (RANK_MAX, RANK_MAX)

Range = tuple[Address, Address]
Statement = tuple[int, int, str, str, int]
"""Generation, epoch, owner, why, and the time with a minus: what a claim says, in the order in which claims are
compared. Of two that differ in time alone the earlier stands: it was the first to say so."""
Addition = tuple[Address, Address, Statement]


class Space:
    """Our ranges in one ring."""

    def __init__(self, context: Context, ring: Ring, held: Held) -> None:
        self._context = context
        self._ring = ring
        self._held = held
        self._seen: int | None = None
        self._ranges: tuple[Run, ...] = ()
        self._ends: tuple[Address, ...] = ()
        self._squatters = Squatters(context)
        self._own: tuple[RingClaim, ...] = ()
        self._own_seen: int | None = None
        self._settled: tuple[object, ...] = ()

    def ranges(self) -> tuple[Run, ...]:
        """Return what we may use, ascending."""
        view = self._ring.view()
        if view.version != self._seen:
            notes = [claim for claim in self._claims() if claim.owner != self._context.me]
            mine = view.runs_of(self._context.me)
            ranges = tuple(part for run in mine for part in _without(run, notes)) if notes else mine
            if ranges != mine:
                self._context.mark("ipam.note-denies")
            if ranges != self._ranges:
                self._ranges, self._ends = ranges, tuple(run.hi for run in ranges)
            self._seen = view.version
        return self._ranges

    def owners(self) -> dict[PeerName, int]:
        """Return who owns how many addresses of the ring, by name."""
        return self._ring.view().shares()

    def owns(self, address: Address) -> bool:
        """Say whether an address is ours to give."""
        return any(self._ranges_in(address, address + 1))

    def free_runs(self, lo: int, hi: int) -> Iterator[Range]:
        """Yield the longest free ranges of ours in `[lo, hi)`, ascending."""
        last: Range | None = None
        for run in self._ranges_in(lo, hi):
            at, end = max(lo, run.lo), min(hi, run.hi)
            used = self._held.between(at, end)
            squatted = self._squatters.between(at, end)
            if squatted:
                self._context.mark("ipam.squatted")
                used = sorted(dict.fromkeys([*used, *(address for address, _ in squatted)]))
            for start, stop in _gaps(Address(at), Address(end), used):
                if last is not None and last[1] == start:
                    last = (last[0], stop)
                    continue
                if last is not None:
                    yield last
                last = (start, stop)
        if last is not None:
            yield last

    def lowest_free(self, lo: int, hi: int, without: Iterable[Address] = ()) -> Address | None:
        """Return the lowest free address of ours in `[lo, hi)` that is not in `without`."""
        avoid = sorted(without)
        for start, end in self.free_runs(lo, hi):
            at = start
            while at in avoid:
                at = Address(at + 1)
            if at < end:
                return at
        return None

    def free_count(self, lo: int, hi: int) -> int:
        """Return how many addresses of ours are free in `[lo, hi)`."""
        if self._squatters.between(lo, hi):
            return sum(end - start for start, end in self.free_runs(lo, hi))
        parts = ((max(lo, run.lo), min(hi, run.hi)) for run in self._ranges_in(lo, hi))
        return sum(end - start - self._held.count(start, end) for start, end in parts)

    def squatter(self, address: Address) -> PeerName | None:
        """Return another peer that uses an address of ours; None when there is none."""
        if not self.owns(address):
            return None
        return next((peer for _, peer in self._squatters.between(address, address + 1)), None)

    def has_pending_gift(self, peer: PeerName, lo: int, hi: int) -> bool:
        """Say whether we gave the peer something in `[lo, hi)` that it has not yet asserted."""
        return any(gift.owner == peer and gift.lo < hi and lo < gift.hi for gift in self.pending_gifts())

    def pending_gifts(self) -> Iterator[RingClaim]:
        """Yield what we gave to others and they have not yet asserted: so far only our own stream says so."""
        view = self._ring.view()
        for claim in self._claims():
            if claim.owner in (self._context.me, NOBODY):
                continue
            if any(run.rank == rank_of(claim) for run in view.between(Address(claim.lo), Address(claim.hi))):
                yield claim

    def give(self, lo: Address, hi: Address, peer: PeerName) -> None:
        """Make a free range of ours somebody else's."""
        assert self.free_count(lo, hi) == hi - lo, "only what is free and ours may be given"
        self._hand_over(lo, hi, peer, "on its request")

    def give_one(self, peer: PeerName) -> bool:
        """Make the last free address of ours somebody else's; say whether there was one."""
        runs = [run for part in self._ring.universe.parts for run in self.free_runs(part.lo, part.hi)]
        for _, hi in runs[-1:]:
            self._hand_over(Address(hi - 1), hi, peer, f"before {self._context.me} was reset")
        return bool(runs)

    def give_free(self, peer: PeerName) -> None:
        """Make everything of ours that nobody uses somebody else's."""
        for part in self._ring.universe.parts:
            for lo, hi in tuple(self.free_runs(part.lo, part.hi)):
                self._hand_over(lo, hi, peer, f"when {self._context.me} was reset")

    def give_all(self, peer: PeerName) -> int:
        """Make everything of ours somebody else's, used or not; return the count of addresses."""
        runs = self.ranges()
        for run in runs:
            self._hand_over(run.lo, run.hi, peer, f"when {self._context.me} was reset")
        return sum(run.hi - run.lo for run in runs)

    def take_over(self, peer: PeerName) -> int:
        """Claim everything of a dead peer; return the count of addresses."""
        runs = self._ring.view().runs_of(peer)
        me = self._context.me
        why, at = f"taken over by {me} from {peer} (rmpeer)", -self._context.at.wall_ms
        self._restate([(run.lo, run.hi, (run.generation + 1, run.epoch + 1, me, why, at)) for run in runs])
        self.settle()
        return sum(run.hi - run.lo for run in runs)

    def settle(self) -> bool:
        """Assert what others gave us, correct our hints, and join old notes; say whether anything was given.

        Costs as much as we have said after each change of what is ours; else what was given out or back since.
        """
        own, news = self._claims(), self._held.news()
        dead = self._context.board.version(RetiredRecord)
        notes = self._ring.view().version if len(own) >= CLAIMS_TIDY else 0
        state = (own, self.ranges(), self._squatters.version, dead, notes)
        if state == self._settled and news is not None:
            self._settle_near(own, news)
            return False
        self._settled = state
        received = list(self._received(own))
        additions = [*received, *self._first_words(self.ranges())]
        if additions or any(self._hint(claim) != claim.free for claim in own if claim.owner == self._context.me):
            self._restate(additions)
        if len(own) >= CLAIMS_TIDY:
            joined = tuple(self._joined_notes())
            if joined:
                self._context.mark("ipam.joined-notes")
            self._restate(joined)
        return bool(received)

    def adopt(self, claims: Iterable[RingClaim]) -> None:
        """Say again what an earlier life of this host said."""
        sound = [claim for claim in claims if is_sound(claim, self._ring.universe)]
        self._restate([(Address(claim.lo), Address(claim.hi), _statement(claim)) for claim in sound])

    def _hand_over(self, lo: Address, hi: Address, peer: PeerName, why: str) -> None:
        why, at = f"given by {self._context.me} to {peer} {why}", -self._context.at.wall_ms
        runs = self._ring.view().between(lo, hi)
        self._restate([(run.lo, run.hi, (run.generation, run.epoch + 1, peer, why, at)) for run in runs])

    def _restate(self, additions: Iterable[Addition]) -> None:
        """Rewrite our claims so that they also say `additions`, with as few facts as possible."""
        me, ring_id = self._context.me, self._ring.ring_id
        old = {ring_key(ring_id, Address(claim.lo)): claim for claim in self._claims()}
        levels: IntervalMap[Statement] = IntervalMap()
        for claim in old.values():
            levels.assign(claim.lo, claim.hi, _statement(claim))
        for lo, hi, statement in additions:
            levels.assign(lo, hi, statement)
        new: dict[str, RingClaim] = {}
        for low, high, (generation, epoch, owner, why, at) in _joined_times(levels):
            key = ring_key(ring_id, Address(low))
            before = old.get(key)
            said = before.free if before is not None and (before.hi, before.owner) == (high, owner) else -1
            claim = RingClaim(low, high, generation, epoch, owner, said, why, -at)
            new[key] = _with_free(claim, self._hint(claim) if owner == me else -1)
        for key in old:
            if key not in new:
                self._context.write(gone(key, RingClaim))
        for key, claim in new.items():
            if old.get(key) != claim:
                self._context.write(put(key, claim))

    def _settle_near(self, own: tuple[RingClaim, ...], addresses: Iterable[Address]) -> None:
        """Correct our hints where addresses were taken or given back, and nothing else has changed."""
        additions: list[Addition] = []
        is_off = False
        for address in addresses:
            additions += self._first_words(self._ranges_in(address, address + 1))
            index = bisect_right(own, int(address), key=_claim_lo) - 1
            claim = own[index] if index >= 0 else None
            if claim is not None and claim.owner == self._context.me and address < claim.hi:
                is_off = is_off or self._hint(claim) != claim.free
        if additions or is_off:
            self._restate(dict.fromkeys(additions))

    def _hint(self, claim: RingClaim) -> int:
        """Return log2 of what is free in a claim; what it says already, when that is near enough."""
        free = self.free_count(claim.lo, claim.hi)
        exact = free.bit_length() - 1
        is_near = exact >= 0 and claim.free >= 0 and abs(exact - claim.free) < HINT_STEP
        return claim.free if is_near else exact

    def _received(self, own: tuple[RingClaim, ...]) -> Iterator[Addition]:
        """Yield, for every range that somebody else says is ours, what we must say to have it in our own stream."""
        me = self._context.me
        for group in _neighbours(self.ranges()):
            news = [run for run in group if run.rank[:2] != (0, 0) and not _is_said(own, run)]
            if news:
                epoch = max(run.epoch for run in group) + ASSERT_STEP
                statement = (group[0].generation, epoch, me, self._why(news[0]), -self._context.at.wall_ms)
                yield group[0].lo, group[-1].hi, statement

    def _first_words(self, ranges: Iterable[Run]) -> Iterator[Addition]:
        """Yield claims for parts of the initial division that have become much fuller than silence suggests."""
        for run in ranges:
            if run.rank[:2] != (0, 0):
                continue
            silent = RingClaim(run.lo, run.hi, 0, 0, run.owner, (run.hi - run.lo).bit_length() - 1, "", 0)
            if self._hint(silent) != silent.free:
                yield run.lo, run.hi, (0, 1, self._context.me, "seed", -self._context.at.wall_ms)

    def _joined_notes(self) -> Iterator[Addition]:
        """Yield notes to nobody that replace neighbouring notes which all have been overtaken."""
        view = self._ring.view()
        group: list[RingClaim] = []
        floor = _NO_FLOOR
        for claim in self._claims():
            here = min((run.rank[:2] for run in view.between(Address(claim.lo), Address(claim.hi))), default=(0, 0))
            is_note = claim.owner != self._context.me
            touches = bool(group) and group[-1].hi == claim.lo
            if is_note and touches and min(floor, here) > _joint_level([*group, claim]):
                group.append(claim)
                floor = min(floor, here)
                continue
            yield from _join(group)
            group, floor = ([claim], here) if is_note else ([], _NO_FLOOR)
        yield from _join(group)

    def _why(self, run: Run) -> str:
        found = (claim for _, claim in self._ring.view().claims_at(run.lo) if rank_of(claim) == run.rank)
        return next((claim.why for claim in found), "")

    def _ranges_in(self, lo: int, hi: int) -> Iterator[Run]:
        """Yield the ranges that touch `[lo, hi)`, ascending."""
        ranges = self.ranges()
        for run in ranges[bisect_right(self._ends, lo) :]:
            if run.lo >= hi:
                return
            yield run

    def _claims(self) -> tuple[RingClaim, ...]:
        """Return what our own stream says of this ring, ascending."""
        board = self._context.board
        version = board.version_of_ours(RingClaim)
        if version != self._own_seen:
            prefix = f"ring/{self._ring.ring_id}/"
            own = (claim for key, claim in board.of(self._context.me, RingClaim) if key.startswith(prefix))
            self._own, self._own_seen = tuple(sorted(own, key=_claim_lo)), version
        return self._own


def _gaps(lo: Address, hi: Address, used: list[Address]) -> Iterator[Range]:
    """Yield the parts of `[lo, hi)` between the used addresses, which are ascending. O(log used) each."""
    at, index = lo, 0
    while at < hi:
        if index < len(used) and used[index] == at:
            # Addresses are given from the lowest on: most lie in one block, in which each is its index and a constant.
            index = bisect_right(range(len(used)), at - index, lo=index, key=lambda place: used[place] - place)
            at = Address(used[index - 1] + 1)
            continue
        stop = used[index] if index < len(used) else hi
        yield at, stop
        at = stop


def _without(run: Run, notes: Iterable[RingClaim]) -> Iterator[Run]:
    """Yield the parts of a run of ours that none of our notes denies. Notes are ascending and disjoint."""
    at = run.lo
    for note in notes:
        if note.lo < run.hi and at < note.hi and (note.generation, note.epoch) >= run.rank[:2]:
            if at < note.lo:
                yield Run(at, Address(note.lo), run.generation, run.epoch, run.owner)
            at = Address(note.hi)
    if at < run.hi:
        yield Run(at, run.hi, run.generation, run.epoch, run.owner)


def _joined_times(levels: IntervalMap[Statement]) -> Iterator[tuple[int, int, Statement]]:
    """Yield runs ascending; neighbours that differ in time alone are one, as old as the older."""
    last: tuple[int, int, Statement] | None = None
    for lo, hi, statement in levels.items():
        if last is not None and last[1] == lo and last[2][:-1] == statement[:-1]:
            last = (last[0], hi, max(last[2], statement))
            continue
        if last is not None:
            yield last
        last = (lo, hi, statement)
    if last is not None:
        yield last


def _neighbours(runs: Iterable[Run]) -> list[list[Run]]:
    """Group runs that touch and have one generation; only takeover may raise that."""
    groups: list[list[Run]] = []
    for run in runs:
        if groups and groups[-1][-1].hi == run.lo and groups[-1][-1].generation == run.generation:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _is_said(own: tuple[RingClaim, ...], run: Run) -> bool:
    """Say whether our claims, ascending and disjoint, say all of a run."""
    size = 0
    for index in range(max(bisect_right(own, int(run.lo), key=_claim_lo) - 1, 0), len(own)):
        claim = own[index]
        if claim.lo >= run.hi:
            break
        if rank_of(claim) == run.rank:
            size += max(0, min(claim.hi, run.hi) - max(claim.lo, run.lo))
    return size == run.hi - run.lo


def _joint_level(notes: list[RingClaim]) -> tuple[int, int]:
    """Return generation and epoch of the note that replaces `notes`: above all that name somebody."""
    generation, epoch, owner = max(rank_of(note) for note in notes)
    return generation, epoch + (owner != NOBODY)


def _join(notes: list[RingClaim]) -> Iterator[Addition]:
    if len(notes) > 1:
        yield (
            Address(notes[0].lo),
            Address(notes[-1].hi),
            (*_joint_level(notes), NOBODY, "given away", -max(note.at_ms for note in notes)),
        )


def _statement(claim: RingClaim) -> Statement:
    return (claim.generation, claim.epoch, claim.owner, claim.why, -claim.at_ms)


def _with_free(claim: RingClaim, free: int) -> RingClaim:
    return replace(claim, free=free)


def _claim_lo(claim: RingClaim) -> int:
    return claim.lo
