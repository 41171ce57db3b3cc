"""How the ring comes to be: the peers agree once on the names that share the universe.

The value (sorted names) and the universe give the ring id and the initial division. With mode `seed` the value is
configured. With `consensus` it is decided by single-decree Paxos whose messages are facts: each proposer and acceptor
writes only its own stream, gossip carries it, and a fact is durable before anybody sees it. It runs on first need
only. An `observer` never votes; its wish is a proposal of round 0, which no acceptor answers but electors act upon.

Rules: an acceptor that lost its log does not vote and is not counted, because it may have voted before. A round
carries the proposer's incarnation in its low bits, so two lives never share a ballot. What was decided is written down
by a few peers (`seed/decided/…`) and wins over all else; rings of different ids are never mixed, see `homes`.

Every range has an agreement of its own, for the keys of all these facts end in it: what hosts with another range vote,
ask for or have decided says nothing about ours, whether they are another network that was met too early, or the same
one under way to a new range. A host that is told its old range again finds its votes as it had cast them.

Source: Lamport, "Paxos Made Simple" (2001); Weave Net's `ipam/paxos`, which keeps acceptors in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from core.context import Context
from core.ipam.homes import Homes, decided_key, is_decided_key
from core.ipam.homes import ring_id_of as ring_id_of
from core.ipam.labels import Labels
from core.ipam.ring import Ring
from core.ipam.universe import Universe
from core.kinds import (
    PeerRecord,
    SeedAccepted,
    SeedPromise,
    SeedProposal,
    TargetRecord,
    gone,
    peer_key,
    put,
)
from core.types import Address, PeerName

WISH = SeedProposal(0, ())
"""What an observer says who needs a ring."""
TIMER = "ipam/seed"
RETRY_MS = 5_000
"""Weave Net's tick. A proposer waits this long for a rival before it outbids it."""
JITTER_MS = 2_500
"""Keeps rivals from outbidding each other for ever."""
STEPS_MAX = 16
"""One call walks at most through propose, promise, propose, accept, learn, a few times over."""
COPIES_WANTED = 5
"""Written copies of the decision; more only cost space, fewer may die together."""
NAMES_MAX = 512
"""Names in a decision: 512 of 18 bytes fit into a fact. Later peers get space from these."""
INCARNATION_BITS = 16
ROUND_MAX = 1 << 62
DIVISIONS_KEPT = 4
"""A host has one; simulated hosts have the same."""

Ballot = tuple[int, str]
Part = tuple[Address, Address, PeerName]


class Seed:
    """This host's part in the decision, and the ring once it is known."""

    def __init__(self, context: Context, universe: Universe, in_sync: Callable[[], bool]) -> None:
        self._context = context
        self._universe = universe
        self._in_sync = in_sync
        self._promise_key = f"seed/promise/{universe}"
        self._accepted_key = f"seed/accepted/{universe}"
        self._proposal_key = proposal_key(universe)
        self.decided_key = decided_key(universe)
        """Where it is written down how our range is divided."""
        self._names: tuple[str, ...] = ()
        self._is_needed = False
        self._expected = 0
        self._recorded: tuple[int, ...] | None = None
        self.homes = Homes(context, universe)
        """Who lives in which ring."""
        self.ring: Ring | None = None
        """The ring; None until the names are known."""

    def need(self) -> None:
        """Ask for a ring; cheap when it exists or was asked for."""
        if self.ring is None:
            self._start()
        self.step()

    def step(self) -> None:
        """React to facts until nothing more follows from them."""
        for _ in range(STEPS_MAX):
            if self.ring is None:
                self._learn()
            if self._in_sync():
                self.homes.tell()
            if self.ring is not None:
                self._record()
                return
            if not self._in_sync() or not self._advance():
                return

    def recognise(self) -> None:
        """Find the ring that the facts speak of, and say nothing: for who looks back."""
        if self.ring is None:
            self._learn()

    def recall(self, decision: SeedAccepted) -> None:
        """Take up the decision that an earlier life of ours had written down; names given at launch go before it."""
        if self._context.config.seed.mode == "seed":
            return
        if self._context.board.get(self._context.me, self.decided_key, SeedAccepted) is None:
            self._context.mark("seed.decision-recalled")
            self._context.write(put(self.decided_key, decision))

    def timer(self) -> None:
        """Outbid a rival that got nowhere."""
        if self.ring is not None or not self._is_needed:
            return
        self._context.timer(TIMER, RETRY_MS + self._context.entropy.randrange(JITTER_MS))
        if self._is_elector() and self._in_sync() and self._is_outbid():
            self._context.mark("seed.outbid")
            self._propose()
        self.step()

    def quorum(self) -> int:
        """Return how many acceptors must agree; fixed when a ring is first needed, for targets may come until then."""
        if self._expected:
            return self._expected // 2 + 1
        targets = sum(1 for _ in self._context.board.of(self._context.me, TargetRecord))
        expected = self._context.config.seed.count or (targets or len(self._context.config.targets)) + 1
        if self._is_needed:
            self._expected = expected
        return expected // 2 + 1

    def status(self) -> str:
        """Say how far the decision is, in Weave Net's words; empty once there is a ring."""
        if self.ring is not None:
            return ""
        if not self._is_needed:
            return "idle"
        if not self._is_elector():
            return "priming"
        return f"awaiting consensus (quorum: {self.quorum()}, known: {len(self._acceptors())})"

    def deadlock(self) -> str:
        """Say why no agreement can come from those known, and what settles it; empty while one may.

        A voter that has lost its journal may have voted otherwise before, and never votes again.
        """
        if self.ring is not None or not self._is_needed or not self._is_elector():
            return ""
        peers = self._context.board.peers()
        mute = [peer for peer in peers if not self._may_vote(peer)]
        quorum = self.quorum()
        if not mute or len(peers) - len(mute) >= quorum:
            return ""
        listed = Labels(self._context).listed(mute)
        names = ",".join(peers[:NAMES_MAX])
        return (
            f"the hosts cannot agree who shares {self._universe}: {quorum} must vote, and these may not any more, for "
            f"they lost the journal with their earlier vote: {listed}. Start hosts that still have theirs; or, when "
            f"there are none, run 'weave stop' and 'weave launch --ipalloc-init seed={names}' on one host: all others "
            "will follow"
        )

    def leave(self) -> None:
        """Take back what we know of the ring, so that the next life of this host learns it anew."""
        self.homes.close()
        for key, _ in tuple(self._context.board.of(self._context.me, SeedAccepted)):
            if is_decided_key(key):
                self._context.write(gone(key, SeedAccepted))

    def stay(self) -> None:
        """Say again what `leave` has taken back."""
        self.homes.is_closed = False
        self._recorded = None
        self.step()

    def _learn(self) -> None:
        """Take the names from the first source that has them."""
        board, me = self._context.board, self._context.me
        own = board.get(me, self.decided_key, SeedAccepted)
        given = tuple(sorted(dict.fromkeys(self._context.config.seed.names)))
        if own is not None and own.value:
            self._adopt(own.value)
            if given and given != own.value:
                self._context.note(
                    "WARN",
                    f"--ipalloc-init seed={','.join(given)} is ignored: the range was divided among "
                    f"{','.join(own.value)} before; 'weave reset' forgets that",
                )
        elif self._context.config.seed.mode == "seed":
            self._adopt(given)
        elif self._in_sync():
            self._adopt(self._prevailing() or self._chosen())

    def _prevailing(self) -> tuple[str, ...]:
        """Return the decision that counts among those written down; empty when there is none.

        As a rule there is one. Of several it is that by which we have lived before, else that by which most live.
        """
        decisions = dict.fromkeys(names for _, names in self._decisions())

        def order(names: tuple[str, ...]) -> tuple[bool, int, tuple[str, ...]]:
            ring = ring_id_of(self._universe, names)
            return ring != self.homes.former, -self.homes.count(ring), names

        return min(decisions, key=order, default=())

    def _adopt(self, names: tuple[str, ...]) -> None:
        if not names:
            return
        self._names = names
        division = _division(self._universe, names)
        ring_id = self.homes.ring = ring_id_of(self._universe, names)
        self.ring = Ring(self._context.board, ring_id, self._universe, division)
        if self._is_needed:
            self._context.timer(TIMER, None)

    def _record(self) -> None:
        """Write the decision down unless enough others have, and withdraw our proposal."""
        board, me = self._context.board, self._context.me
        if not self._in_sync() or self.homes.is_closed:
            return
        seen = board.version(SeedAccepted, SeedProposal)
        if seen == self._recorded:
            return
        self._recorded = seen
        if board.get(me, self._proposal_key, SeedProposal) is not None:
            self._context.write(gone(self._proposal_key, SeedProposal))
        if board.get(me, self.decided_key, SeedAccepted) is not None:
            return
        decisions = self._decisions()
        same = sum(1 for _, names in decisions if names == self._names)
        if same < COPIES_WANTED or same < len(decisions) or me in self._names[:COPIES_WANTED]:
            self._context.write(put(self.decided_key, SeedAccepted(0, me, self._names)))

    def _advance(self) -> bool:
        """Take one step as acceptor or proposer; say whether anything was written."""
        if not self._is_elector():
            return self._is_needed and self._wish()
        if any(body.round == 0 for _, body in self._asked()):
            self._start()
        if not self._is_needed:
            return self._accept()
        if (
            self._context.board.get(self._context.me, self._proposal_key, SeedProposal) is None
            and not self._highest()[0]
        ):
            self._propose()
            return True
        return self._accept() or self._settle()

    def _start(self) -> None:
        if not self._is_needed:
            self._is_needed = True
            self._context.timer(TIMER, RETRY_MS + self._context.entropy.randrange(JITTER_MS))

    def _wish(self) -> bool:
        # What it proposed when it was an elector itself is nothing that electors would act upon.
        if self._context.board.get(self._context.me, self._proposal_key, SeedProposal) == WISH:
            return False
        self._context.write(put(self._proposal_key, WISH))
        return True

    def _propose(self) -> None:
        life = (self._context.board.incarnation(self._context.me) or 0) & ((1 << INCARNATION_BITS) - 1)
        counter = (self._highest()[0] >> INCARNATION_BITS) + 1
        self._context.write(put(self._proposal_key, SeedProposal(counter << INCARNATION_BITS | life, ())))

    def _accept(self) -> bool:
        """Answer the greatest proposal, if we may."""
        if not self._may_vote(self._context.me):
            self._context.mark("seed.no-vote-after-amnesia")
            return False
        board, me = self._context.board, self._context.me
        best = max(self._proposals(), default=None)
        if best is None:
            return False
        ballot, value = best
        promise = board.get(me, self._promise_key, SeedPromise)
        promised: Ballot = (0, "") if promise is None else (promise.round, promise.proposer)
        accepted = board.get(me, self._accepted_key, SeedAccepted)
        held: Ballot = (0, "") if accepted is None else (accepted.round, accepted.proposer)
        if ballot < promised:
            self._context.mark("seed.old-ballot-refused")
            return False
        if ballot > promised:
            self._context.write(put(self._promise_key, SeedPromise(*ballot)))
        if value and ballot > held:
            self._context.write(put(self._accepted_key, SeedAccepted(*ballot, value)))
            return True
        return ballot > promised

    def _settle(self) -> bool:
        """Move our proposal to phase two once a quorum has promised."""
        board, me = self._context.board, self._context.me
        proposal = board.get(me, self._proposal_key, SeedProposal)
        if proposal is None or proposal.value or not proposal.round:
            return False
        promisers = [peer for peer, promise in self._acceptors() if promise == SeedPromise(proposal.round, me)]
        if len(promisers) < self.quorum():
            return False
        votes = [vote for peer in promisers if (vote := board.get(peer, self._accepted_key, SeedAccepted)) is not None]
        last = max(votes, key=_ballot, default=None)
        if last is not None:
            self._context.mark("seed.adopted-vote")
        value = tuple(sorted(peer for peer, _ in self._acceptors()))[:NAMES_MAX] if last is None else last.value
        self._context.write(put(self._proposal_key, SeedProposal(proposal.round, value)))
        return True

    def _chosen(self) -> tuple[str, ...]:
        """Return the value that a quorum has accepted at one ballot; empty when none has.

        Only who needs a ring counts: before that, our own idea of a quorum means nothing. Others learn the decision
        from those who write it down.
        """
        if not self._is_elector() or not self._is_needed:
            return ()
        counts: dict[SeedAccepted, int] = {}
        for peer, key, vote in self._context.board.all(SeedAccepted):
            if key == self._accepted_key and self._may_vote(peer):
                counts[vote] = counts.get(vote, 0) + 1
        winners = [vote for vote, count in counts.items() if count >= self.quorum()]
        return max(winners, key=_ballot).value if winners else ()

    def _decisions(self) -> list[tuple[PeerName, tuple[str, ...]]]:
        every = self._context.board.all(SeedAccepted)
        return [(peer, vote.value) for peer, key, vote in every if key == self.decided_key and vote.value]

    def _acceptors(self) -> list[tuple[PeerName, SeedPromise]]:
        every = self._context.board.all(SeedPromise)
        return [(peer, promise) for peer, key, promise in every if key == self._promise_key and self._may_vote(peer)]

    def _proposals(self) -> list[tuple[Ballot, tuple[str, ...]]]:
        return [((body.round, peer), body.value) for peer, body in self._asked() if 0 < body.round < ROUND_MAX]

    def _asked(self) -> list[tuple[PeerName, SeedProposal]]:
        every = self._context.board.all(SeedProposal)
        return [(peer, body) for peer, key, body in every if key == self._proposal_key]

    def _highest(self) -> Ballot:
        promises = [(promise.round, promise.proposer) for _, promise in self._acceptors()]
        return max([ballot for ballot, _ in self._proposals()] + promises, default=(0, ""))

    def _is_outbid(self) -> bool:
        proposal = self._context.board.get(self._context.me, self._proposal_key, SeedProposal)
        return proposal is None or (proposal.round, self._context.me) < self._highest()

    def _is_elector(self) -> bool:
        return self._context.config.seed.mode == "consensus"

    def _may_vote(self, peer: PeerName) -> bool:
        """Say whether a peer is in its first life, as far as it tells and as far as anybody here remembers."""
        record = self._context.board.get(peer, peer_key(), PeerRecord)
        if record is not None and record.adopts:
            return False
        return len(self._context.store.lives(peer)) <= 1


def proposal_key(universe: Universe) -> str:
    """Key of what a host asks the acceptors of a range."""
    return f"seed/proposal/{universe}"


@lru_cache(DIVISIONS_KEPT)
def _division(universe: Universe, names: tuple[str, ...]) -> tuple[Part, ...]:
    """Return the initial division, each part of the universe by itself; hosts of one simulation share it."""
    peers = tuple(PeerName(name) for name in names)
    return tuple(share for part in universe.parts for share in divide(part.lo, part.hi, peers))


def divide(lo: Address, hi: Address, names: tuple[PeerName, ...]) -> tuple[Part, ...]:
    """Share `[lo, hi)` by halving: the first half of the names, rounded down, gets the lower half of the addresses.

    Names that find less than one address get nothing. Source: Weave Net's `ring.ClaimForPeers`.
    """
    if len(names) == 1 or hi - lo == 1:
        return ((lo, hi, names[0]),)
    middle = Address(lo + (hi - lo) // 2)
    half = len(names) // 2
    return divide(lo, middle, names[:half]) + divide(middle, hi, names[half:])


def _ballot(vote: SeedAccepted) -> Ballot:
    return (vote.round, vote.proposer)
