"""How stores become equal: announce, need, delta; and a digest with one neighbour now and then.

A change costs one payload per peer: what is new is announced by number, and asked for once. It costs about one
announcement per link: each side waits a moment of random length before it speaks, and does not tell the other what
that has told it meanwhile. Nothing depends on an announcement arriving: the periodic digest finds what was missed. Only
what is durable is in the store, so only that is announced.

Two things come out besides joined facts. `has_caught_up`: we hold all that one neighbour held when we met. And
`rolled_back_to`: somebody holds more of our own stream than we do, so our journal has lost commits and we must not
speak under that name any more.

Source: Scuttlebutt (van Renesse et al., 2008), push-pull by version; Dynamo's anti-entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from core.context import Context
from core.effects import Send
from core.mesh.asked import ASK_AGAIN_MS, Asked
from core.messages import Buckets, Deltas, Digest, Have, Message, Need
from core.types import LinkId, PeerName
from crdt.digest import bucket_of
from crdt.fact import Delta, Origin, size_of
from crdt.store import Corrupt, Equivocation, Gap, Joined

ANNOUNCE = "mesh/announce"
ROUND = "mesh/digest"
ASK = "mesh/ask"
FIRST_MS = (5, 25)
"""News after a silence is announced after a time drawn from here: longer than a round trip in one building, so that a
neighbour who has the same news is heard first, and nothing compared with what people notice."""
ANNOUNCE_MS = 30
"""Changes come in bursts; from one announcement to the next they are gathered for this long, half more or less."""
ANNOUNCE_PEERS = 10
"""And for a millisecond more per so many origins: the larger the network, the more comes at once."""
ROUND_MS = 10_000
ROUND_JITTER_MS = 2_500
"""Plus or minus: rounds of a cluster must not beat together."""
DELTAS_SIZE_MAX = 1024 * 1024
"""Bytes of facts in one message, so that a frame of 2 MiB holds it with all its lengths."""
FACT_OVERHEAD = 24
"""Bytes around a fact in a frame, and more."""
ALARMS_MAX = 64
"""Equivocations remembered for status."""


class Gossip:
    """The exchange of facts with all neighbours."""

    def __init__(
        self,
        context: Context,
        links: Callable[[], Mapping[PeerName, LinkId]],
        heard_of: Callable[[PeerName], None],
    ) -> None:
        """`heard_of` is told of every peer that turns out to have said something new."""
        self._context = context
        self._links = links
        self._heard_of = heard_of
        self._neighbours: dict[LinkId, None] = {}
        self._fresh: dict[Origin, dict[LinkId, int]] = {}
        self._is_armed = False
        self._announced_ms: int | None = None
        self._asked = Asked()
        self._is_asking = False
        self._comparing: dict[LinkId, None] = {}
        self._wanted: dict[LinkId, dict[Origin, int]] = {}
        self._alarms: dict[str, None] = {}
        self.has_caught_up = False
        """We hold what a neighbour held when we met."""
        self.rolled_back_to: int | None = None
        """Incarnation of ours under which others hold more than we do; None when there is none."""

    @property
    def alarms(self) -> tuple[str, ...]:
        """What cannot be explained by any honest peer, one line each."""
        return tuple(self._alarms)

    def started(self) -> None:
        """Begin the rounds."""
        self._arm_round()

    def link_up(self, link: LinkId) -> None:
        """Compare stores with a new neighbour."""
        self._neighbours[link] = None
        self._context.emit(Send(link, Digest(self._context.store.digest.root)))

    def link_down(self, link: LinkId) -> None:
        """Forget what a neighbour was asked, and look elsewhere for it."""
        self._neighbours.pop(link, None)
        self._comparing.pop(link, None)
        self._wanted.pop(link, None)
        lost = self._asked.lost(link, self._context.at.mono_ms)
        if lost:
            self._context.mark("gossip.asked-neighbour-lost")
            if not self._ask_others(lost):
                self._compare()

    def announce(self, origin: Origin) -> None:
        """Tell all neighbours that there is news of an origin."""
        self._spread(origin, {})

    def reborn(self) -> None:
        """Take up again under a new name of our own."""
        self.rolled_back_to = None
        self.has_caught_up = False
        # What was compared so far left out the life that has just ended.
        self._wanted.clear()
        self._comparing.clear()
        for link in self._neighbours:
            self._context.emit(Send(link, Digest(self._context.store.digest.root)))

    def timer(self, name: str) -> bool:
        """Handle a timer; False when it is not ours."""
        if name == ANNOUNCE:
            self._is_armed = False
            self._speak()
        elif name == ROUND:
            self._arm_round()
            self._compare()
        elif name == ASK:
            self._is_asking = False
            late = self._asked.overdue(self._context.at.mono_ms)
            if late:
                self._context.mark("gossip.asked-again")
            self._ask_others(late)
            self._arm_asking()
        else:
            return False
        return True

    def received(self, link: LinkId, message: Message) -> str | None:
        """Handle a message of the exchange; return the rule it broke, if any."""
        match message:
            case Digest(root):
                if root == self._context.store.digest.root:
                    self._caught_up()
                else:
                    buckets = Buckets(self._context.store.digest.buckets, True)
                    self._context.emit(Send(link, buckets))
            case Buckets(buckets, answer_wanted):
                self._send_differing(link, buckets, answer_wanted=answer_wanted)
                if not answer_wanted:
                    # It answers ours: all that it has and we lack follows at once.
                    self._comparing[link] = None
            case Have(heads):
                self._hear(link, heads)
            case Need(known):
                self._supply(link, known)
            case Deltas(deltas):
                return self._take(link, deltas)
            case _:
                return f"unexpected {type(message).__name__}"
        return None

    def _compare(self) -> None:
        """Send our digest to a neighbour, any one."""
        links = sorted(self._links().values())
        if links:
            link = self._context.entropy.choice(links)
            self._context.emit(Send(link, Digest(self._context.store.digest.root)))

    def _arm_round(self) -> None:
        jitter_ms = self._context.entropy.randint(-ROUND_JITTER_MS, ROUND_JITTER_MS)
        self._context.timer(ROUND, ROUND_MS + jitter_ms)

    def _send_differing(self, link: LinkId, buckets: tuple[int, ...], *, answer_wanted: bool) -> None:
        store = self._context.store
        differing = dict.fromkeys(store.digest.differing(buckets))
        heads = [(origin, store.seq(origin)) for origin in store.origins() if bucket_of(origin) in differing]
        if answer_wanted:
            self._context.emit(Send(link, Buckets(store.digest.buckets, False)))
        self._context.emit(Send(link, Have(tuple(heads))))

    def _spread(self, origin: Origin, known: dict[LinkId, int]) -> None:
        """Put an origin on the list of what is to be announced; `known` says who has it up to which number."""
        pending = self._fresh.setdefault(origin, known)
        if pending is not known:
            pending.update(known)
        if not self._is_armed and self._neighbours:
            self._is_armed = True
            self._context.timer(ANNOUNCE, self._announce_in_ms())

    def _speak(self) -> None:
        """Announce to each neighbour what is not known to be known there."""
        self._announced_ms = self._context.at.mono_ms
        store = self._context.store
        news: dict[LinkId, list[tuple[Origin, int]]] = {link: [] for link in self._neighbours}
        for origin, known in self._fresh.items():
            seq = store.seq(origin)
            head = (origin, seq)
            for link, heads in news.items():
                if known.get(link, 0) < seq:
                    heads.append(head)
        self._fresh = {}
        for link, heads in news.items():
            if heads:
                self._context.emit(Send(link, Have(tuple(heads))))

    def _announce_in_ms(self) -> int:
        """Return how long to gather: a moment after a silence, longer in a burst."""
        entropy, context = self._context.entropy, self._context
        first_ms = entropy.randint(*FIRST_MS)
        if self._announced_ms is None:
            return first_ms
        gap_ms = ANNOUNCE_MS + context.store.count // ANNOUNCE_PEERS
        due_ms = self._announced_ms + entropy.randint(gap_ms // 2, gap_ms * 3 // 2)
        return max(first_ms, due_ms - context.at.mono_ms)

    def _hear(self, link: LinkId, heads: tuple[tuple[Origin, int], ...]) -> None:
        """Ask for what is new to us, and do not tell that neighbour what it knows."""
        now, me = self._context.at.mono_ms, self._context.me
        store, fresh = self._context.store, self._fresh
        if link in self._comparing:
            del self._comparing[link]
            if not self.has_caught_up:
                self._wanted[link] = {}
        wanted = self._wanted.get(link)
        needs = []
        for origin, seq in heads:
            known = store.seq(origin)
            if seq <= known:
                if origin in fresh:
                    fresh[origin][link] = seq
                continue
            if self._is_past(origin):
                self._context.mark("gossip.past-life-offered")
                continue
            if origin.peer == me and self._is_ours(origin, seq):
                continue
            if wanted is not None:
                wanted[origin] = max(seq, wanted.get(origin, 0))
            if self._asked.offered(origin, seq, link, now):
                needs.append((origin, known))
        self._ask(link, needs)
        self._check_caught_up(link)

    def _ask(self, link: LinkId, needs: list[tuple[Origin, int]]) -> None:
        if needs:
            self._context.emit(Send(link, Need(tuple(needs))))
            self._arm_asking()

    def _ask_others(self, turns: Iterable[tuple[Origin, LinkId | None]]) -> bool:
        """Ask whoever has it for what we lack of some origins; say whether there was somebody for all of them."""
        needs: dict[LinkId, list[tuple[Origin, int]]] = {}
        is_complete = True
        for origin, link in turns:
            if link is None:
                is_complete = False
                continue
            needs.setdefault(link, []).append((origin, self._context.store.seq(origin)))
        for link, known in needs.items():
            self._ask(link, known)
        return is_complete

    def _arm_asking(self) -> None:
        if self._asked and not self._is_asking:
            self._is_asking = True
            self._context.timer(ASK, ASK_AGAIN_MS)

    def _supply(self, link: LinkId, known: tuple[tuple[Origin, int], ...]) -> None:
        """Send what a neighbour lacks, in as few messages as fit into frames."""
        deltas, size_max = [], 0
        for origin, seq in known:
            stream = self._context.store.stream(origin)
            if stream is not None and stream.head.seq > seq:
                deltas.append(stream.delta(seq))
                size_max += stream.size + stream.count * FACT_OVERHEAD
                if origin in self._fresh:
                    self._fresh[origin][link] = stream.head.seq
        if not deltas:
            return
        # Mostly even the whole streams would fit.
        batches = (tuple(deltas),) if size_max <= DELTAS_SIZE_MAX else _batches(deltas)
        for batch in batches:
            self._context.emit(Send(link, Deltas(batch)))

    def _take(self, link: LinkId, deltas: tuple[Delta, ...]) -> str | None:
        needs: list[tuple[Origin, int]] = []
        turns: list[tuple[Origin, LinkId | None]] = []
        now, me = self._context.at.mono_ms, self._context.me
        for delta in deltas:
            origin = delta.origin
            offers, next_link = self._asked.answered(origin, delta.head.seq, link, now)
            if next_link is not None:
                turns.append((origin, next_link))
            if origin.peer == me and self._is_ours(origin, delta.head.seq):
                continue
            result = self._context.learn(delta)
            match result:
                case Joined(_, _, removed):
                    if removed:
                        self._context.mark("gossip.stream-replaced")
                    offers[link] = delta.head.seq
                    self._spread(origin, offers)
                    self._heard_of(PeerName(origin.peer))
                case Gap(_, known):
                    self._context.mark("gossip.gap")
                    needs.append((origin, known))
                case Equivocation(_, seq):
                    self._context.mark("gossip.equivocation")
                    self._alarm(
                        f"{origin.peer} has said two different things under number {seq}: is its name used twice?"
                    )
                case Corrupt(_, why):
                    if delta.since == 0:
                        return f"stream of {origin.peer}: {why}"
                    # Our copy may be the one that differs: replace it.
                    self._context.mark("gossip.corrupt-replaced")
                    needs.append((origin, 0))
        self._ask(link, needs)
        self._ask_others(turns)
        self._check_caught_up(link)
        return None

    def _check_caught_up(self, link: LinkId) -> None:
        wanted = self._wanted.get(link)
        if wanted is None:
            return
        for origin in tuple(wanted):
            if self._is_past(origin) or self._context.store.seq(origin) >= wanted[origin]:
                del wanted[origin]
        if not wanted:
            self._caught_up()

    def _caught_up(self) -> None:
        self.has_caught_up = True
        self._wanted.clear()

    def _is_past(self, origin: Origin) -> bool:
        """Say whether a later life of that peer has taken up all of it."""
        return origin.incarnation <= self._context.board.adopted(PeerName(origin.peer))

    def _is_ours(self, origin: Origin, seq: int) -> bool:
        """Say whether a stream is our present one, and note when others hold more of it than we do."""
        me = self._context.board.me
        if origin.peer != me.peer or origin.incarnation < me.incarnation:
            return False
        head = self._context.store.head(me)
        if origin != me or seq > (0 if head is None else head.seq):
            self._context.mark("gossip.own-stream-ahead")
            self.rolled_back_to = max(origin.incarnation, self.rolled_back_to or 0)
        return True

    def _alarm(self, text: str) -> None:
        if text not in self._alarms and len(self._alarms) < ALARMS_MAX:
            self._alarms[text] = None
            self._context.note("ERRO", text)


def _batches(deltas: list[Delta]) -> Iterator[tuple[Delta, ...]]:
    """Yield deltas in order, together as far as they fit into `DELTAS_SIZE_MAX`; one alone always fits a frame."""
    batch: list[Delta] = []
    batch_size = 0
    for delta in deltas:
        size = sum([size_of(fact) + FACT_OVERHEAD for fact in delta.facts])
        if batch and batch_size + size > DELTAS_SIZE_MAX:
            yield tuple(batch)
            batch, batch_size = [], 0
        batch.append(delta)
        batch_size += size
    if batch:
        yield tuple(batch)
