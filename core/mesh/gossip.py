"""How stores become equal: announce, need, delta; and a digest with one neighbour now and then.

A change costs one payload per peer: what is new is announced by number, and asked for once. Nothing depends on an
announcement arriving: the periodic digest finds what was missed. Only what is durable is in the store, so only that
is announced.

Two things come out besides joined facts. `has_caught_up`: we hold all that one neighbour held when we met. And
`rolled_back_to`: somebody holds more of our own stream than we do, so our journal has lost commits and we must not
speak under that name any more.

Source: Scuttlebutt (van Renesse et al., 2008), push-pull by version; Dynamo's anti-entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from core.context import Context
from core.effects import Send
from core.messages import Buckets, Deltas, Digest, Have, Message, Need
from core.types import LinkId, PeerName
from crdt.digest import bucket_of
from crdt.fact import Delta, Origin, size_of
from crdt.store import Corrupt, Equivocation, Gap, Joined

ANNOUNCE = "mesh/announce"
ROUND = "mesh/digest"
ANNOUNCE_MS = 30
"""Changes come in bursts; this long they are gathered into one announcement."""
ROUND_MS = 10_000
ROUND_JITTER_MS = 2_500
"""Plus or minus: rounds of a cluster must not beat together."""
ASK_AGAIN_MS = 2_000
"""What was asked of one neighbour is not asked of another for this long."""
DELTAS_SIZE_MAX = 1024 * 1024
"""Bytes of facts in one message, so that a frame of 2 MiB holds it with all its lengths."""
FACT_OVERHEAD = 24
"""Bytes around a fact in a frame, and more."""
ALARMS_MAX = 64
"""Equivocations remembered for status."""


class Gossip:
    """The exchange of facts with all neighbours."""

    def __init__(self, context: Context, links: Callable[[], Mapping[PeerName, LinkId]]) -> None:
        self._context = context
        self._links = links
        self._fresh: dict[LinkId, dict[Origin, None]] = {}
        self._is_armed = False
        self._asked: dict[Origin, tuple[int, LinkId, int]] = {}
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
        self._fresh[link] = {}
        self._context.emit(Send(link, Digest(self._context.store.digest.root)))

    def link_down(self, link: LinkId) -> None:
        """Forget what a neighbour was asked, and look elsewhere for it."""
        self._fresh.pop(link, None)
        self._comparing.pop(link, None)
        self._wanted.pop(link, None)
        lost = [origin for origin, (_, asked, _) in self._asked.items() if asked == link]
        for origin in lost:
            del self._asked[origin]
        if lost:
            self._context.mark("gossip.asked-neighbour-lost")
            self._compare()

    def announce(self, origin: Origin, source: LinkId | None = None) -> None:
        """Tell all neighbours, but the one it came from, that there is news of an origin."""
        for link, fresh in self._fresh.items():
            if link != source:
                fresh[origin] = None
        if self._fresh and not self._is_armed:
            self._is_armed = True
            self._context.timer(ANNOUNCE, ANNOUNCE_MS)

    def reborn(self) -> None:
        """Take up again under a new name of our own."""
        self.rolled_back_to = None
        self.has_caught_up = False
        # What was compared so far left out the life that has just ended.
        self._wanted.clear()
        self._comparing.clear()
        for link in self._fresh:
            self._context.emit(Send(link, Digest(self._context.store.digest.root)))

    def timer(self, name: str) -> bool:
        """Handle a timer; False when it is not ours."""
        if name == ANNOUNCE:
            self._is_armed = False
            for link, fresh in self._fresh.items():
                heads = self._heads(fresh)
                fresh.clear()
                if heads:
                    self._context.emit(Send(link, Have(heads)))
        elif name == ROUND:
            self._arm_round()
            self._compare()
        else:
            return False
        return True

    def received(self, link: LinkId, message: Message) -> str | None:
        """Handle a message of the exchange; return the rule it broke, if any."""
        match message:
            case Digest(root):
                if root == self._context.store.digest.root:
                    self.has_caught_up = True
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

    def _heads(self, origins: Iterable[Origin]) -> tuple[tuple[Origin, int], ...]:
        heads = []
        for origin in origins:
            head = self._context.store.head(origin)
            if head is not None:
                heads.append((origin, head.seq))
        return tuple(heads)

    def _send_differing(self, link: LinkId, buckets: tuple[int, ...], *, answer_wanted: bool) -> None:
        store = self._context.store
        differing = dict.fromkeys(store.digest.differing(buckets))
        heads = self._heads(origin for origin in store.origins() if bucket_of(origin) in differing)
        if answer_wanted:
            self._context.emit(Send(link, Buckets(store.digest.buckets, False)))
        self._context.emit(Send(link, Have(heads)))

    def _hear(self, link: LinkId, heads: tuple[tuple[Origin, int], ...]) -> None:
        """Ask for what is new to us."""
        now = self._context.at.mono_ms
        if link in self._comparing:
            del self._comparing[link]
            self._wanted[link] = {}
        wanted = self._wanted.get(link, {})
        needs = []
        for origin, seq in heads:
            if self._is_past(origin):
                self._context.mark("gossip.past-life-offered")
                continue
            if self._is_ours(origin, seq):
                continue
            head = self._context.store.head(origin)
            known = 0 if head is None else head.seq
            if seq <= known:
                continue
            wanted[origin] = max(seq, wanted.get(origin, 0))
            asked_seq, _, asked_ms = self._asked.get(origin, (0, link, 0))
            if asked_seq < seq or now - asked_ms >= ASK_AGAIN_MS:
                if asked_seq >= seq:
                    self._context.mark("gossip.asked-again")
                self._asked[origin] = (seq, link, now)
                needs.append((origin, known))
        if needs:
            self._context.emit(Send(link, Need(tuple(needs))))
        self._check_caught_up(link)

    def _supply(self, link: LinkId, known: tuple[tuple[Origin, int], ...]) -> None:
        batch: list[Delta] = []
        batch_size = 0
        for origin, seq in known:
            head = self._context.store.head(origin)
            if head is None or head.seq <= seq:
                continue
            delta = self._context.store.delta_for(origin, seq)
            size = sum(size_of(fact) + FACT_OVERHEAD for fact in delta.facts)
            if batch and batch_size + size > DELTAS_SIZE_MAX:
                self._context.emit(Send(link, Deltas(tuple(batch))))
                batch, batch_size = [], 0
            batch.append(delta)
            batch_size += size
        if batch:
            self._context.emit(Send(link, Deltas(tuple(batch))))

    def _take(self, link: LinkId, deltas: tuple[Delta, ...]) -> str | None:
        needs = []
        for delta in deltas:
            origin = delta.origin
            asked = self._asked.get(origin)
            if asked is not None and delta.head.seq >= asked[0]:
                del self._asked[origin]
            if self._is_ours(origin, delta.head.seq):
                continue
            result = self._context.learn(delta)
            match result:
                case Joined(_, _, removed):
                    if removed:
                        self._context.mark("gossip.stream-replaced")
                    self.announce(origin, link)
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
        if needs:
            self._context.emit(Send(link, Need(tuple(needs))))
        self._check_caught_up(link)
        return None

    def _check_caught_up(self, link: LinkId) -> None:
        wanted = self._wanted.get(link)
        if wanted is None:
            return
        for origin in tuple(wanted):
            head = self._context.store.head(origin)
            if self._is_past(origin) or (head is not None and head.seq >= wanted[origin]):
                del wanted[origin]
        if not wanted:
            self.has_caught_up = True

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
