"""What this host promises to those who remove dead peers.

A fence answers a takeover: "of that peer I hold this much, and until you are done nothing that it says beyond gives me
anything; nor do I give it anything, nor answer another." With the fences of all who may own addresses, and with what
they hold, the remover knows every gift that anybody alive may act upon: what it has not heard of, nobody acts upon
before the remover's own claims are there, which outrank it. All else that the peer says counts as ever: if it lives
after all, its links and names do.

Rules. A fence is given only by a host whose idea of who must answer is that of the remover (equal ballots). One fence
per dead peer: a second remover gets none, unless it removes the first remover as well, for then that one can finish
only with what is seen now. A fence ends when its takeover is over or withdrawn in the remover's own words; a remover
that was itself removed has nothing more to say. Every host gives fences, also one that allocates nothing.

Source: research §3.4; promises as in Lamport's Paxos, fences as in Hunt et al., ZooKeeper (2010).
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.ipam.electorate import ballot_of, electorate
from core.ipam.retired import departed
from core.kinds import (
    FenceRecord,
    LinkRecord,
    PeerRecord,
    RetiredRecord,
    RingClaim,
    SeedAccepted,
    TakeoverRecord,
    fence_key,
    gone,
    put,
    takeover_key,
)
from core.types import PeerName
from crdt.fact import Origin


class Fences:
    """The fences of this host."""

    def __init__(self, context: Context, may_promise: Callable[[], bool]) -> None:
        self._context = context
        self._may_promise = may_promise
        self._seen: tuple[object, ...] = ()

    def facts_changed(self) -> None:
        """Answer takeovers, and end what is over. Cheap when nothing that matters has changed."""
        board = self._context.board
        seen = (
            *board.version(TakeoverRecord, FenceRecord, RetiredRecord, RingClaim, SeedAccepted, PeerRecord, LinkRecord),
            self._may_promise(),
        )
        if seen == self._seen:
            return
        self._seen = seen
        if self._may_promise():
            standing = takeovers(self._context)
            self._end(standing)
            for taker in sorted(standing):
                if taker != self._context.me:
                    self._answer(taker, standing)
        own = board.of(self._context.me, FenceRecord)
        board.fence(
            {
                PeerName(key.removeprefix(fence_key(""))): dict(zip(fence.incarnations, fence.seqs, strict=False))
                for key, fence in own
            }
        )

    def _answer(self, taker: PeerName, standing: dict[PeerName, TakeoverRecord]) -> None:
        """Give a taker our fences for all its targets, or none."""
        context, record = self._context, standing[taker]
        if context.me in record.targets:
            return
        mine = standing.get(context.me)
        if mine is not None and any(target in mine.targets for target in record.targets):
            return
        if ballot_of(record.nonce, record.targets, electorate(context, record.targets)) != record.ballot:
            return
        incarnation = context.board.incarnation(taker)
        assert incarnation is not None, "its record is on the board"
        held = [context.board.get(context.me, fence_key(target), FenceRecord) for target in record.targets]
        if any(fence is not None and not _may_switch(fence, taker, standing) for fence in held):
            context.mark("fences.split")
            return
        for target, fence in zip(record.targets, held, strict=True):
            if fence is not None and (fence.taker, fence.ballot) == (taker, record.ballot):
                continue
            if fence is not None and fence.taker != taker:
                context.mark("fences.switched")
            lives = [origin for origin in context.store.origins() if origin.peer == target]
            seqs = tuple(head.seq for origin in lives if (head := context.store.head(origin)) is not None)
            lives_seen = tuple(origin.incarnation for origin in lives)
            new = FenceRecord(taker, incarnation, record.ballot, lives_seen, seqs)
            context.write(put(fence_key(target), new))

    def _end(self, standing: dict[PeerName, TakeoverRecord]) -> None:
        """Take back fences whose takeovers are over."""
        board, me = self._context.board, self._context.me
        absent = departed(self._context)
        for key, fence in tuple(board.of(me, FenceRecord)):
            taker, target = PeerName(fence.taker), key.removeprefix(fence_key(""))
            record = standing.get(taker)
            if record is not None and target in record.targets:
                continue
            # Only what the life that asked, or one that knows all it did, says of itself counts.
            incarnation = board.incarnation(taker) or 0
            if taker in absent or incarnation == fence.incarnation or board.adopted(taker) >= fence.incarnation:
                self._context.write(gone(key, FenceRecord))


def _may_switch(fence: FenceRecord, taker: PeerName, standing: dict[PeerName, TakeoverRecord]) -> bool:
    """Say whether a fence given to one remover may be given to another: if that removes the first, too.

    Of two that remove each other the lower name goes on; without an order a fence would go to and fro for ever.
    """
    if fence.taker == taker:
        return True
    if fence.taker not in standing[taker].targets:
        return False
    rival = standing.get(PeerName(fence.taker))
    return rival is None or taker not in rival.targets or taker < fence.taker


def takeovers(context: Context) -> dict[PeerName, TakeoverRecord]:
    """Return the takeovers under way, by remover; what a removed remover had begun is void."""
    absent = departed(context)
    every = context.board.all(TakeoverRecord)
    return {peer: record for peer, key, record in every if key == takeover_key() and peer not in absent}


def fences_for(context: Context, target: PeerName, ballot: str) -> dict[PeerName, FenceRecord]:
    """Return the fences that answer one ballot about one target, by who gave them."""
    every = context.board.all(FenceRecord)
    return {peer: fence for peer, key, fence in every if key == fence_key(target) and fence.ballot == ballot}


def is_held(context: Context, target: PeerName, fence: FenceRecord) -> bool:
    """Say whether we hold of a target all that a fence says somebody holds."""
    for incarnation, seq in zip(fence.incarnations, fence.seqs, strict=False):
        head = context.store.head(Origin(target, incarnation))
        if incarnation > context.board.adopted(target) and (head is None or head.seq < seq):
            return False
    return True
