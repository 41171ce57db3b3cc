"""All live facts, parsed, as the views read them.

The Board is derived: it can be rebuilt from the streams at any time, and must then be equal. It shows, of each peer,
the facts of its newest incarnation only; of older ones just the ring claims, until a newer one says that it has
adopted them, for no address may lose its owner when a host loses its disk. A claim that a fenced peer has made after
the fence gives us nothing: it counts as one to nobody (see `core.ipam.fences`). Our own
facts appear when written, before they are durable; foreign facts when joined. Views are cached against `version(kind)`,
so that a change costs what depends on it and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from core.kinds import NAMES, NOBODY, Body, PeerRecord, RingClaim, parse, peer_key
from core.page import Kind, Page
from core.types import PeerName
from crdt.fact import Change, Fact, Origin
from crdt.stream import Stream

B = TypeVar("B")
_BLANK = Page()
_CLAIM = NAMES[RingClaim]


class Board:
    """Parsed facts by kind, peer and key."""

    def __init__(self, me: Origin) -> None:
        self._me = me
        self._newest: dict[PeerName, int] = {}
        self._adopted: dict[PeerName, int] = {}
        self._orphans: dict[PeerName, dict[int, dict[str, RingClaim]]] = {}
        self._pages: dict[PeerName, Page] = {}
        self._peers: tuple[PeerName, ...] | None = ()
        self._holders: dict[Kind, int] = {}
        self._versions: dict[Kind, int] = dict.fromkeys(NAMES, 0)
        self._ours: dict[Kind, int] = dict.fromkeys(NAMES, 0)
        self._watchers: dict[Kind, list[dict[PeerName, None]]] = {}
        self._key_watchers: list[tuple[tuple[Kind, ...], dict[PeerName, dict[str, None]]]] = []
        self._claim_seqs: dict[PeerName, dict[int, dict[str, int]]] = {}
        self._fences: Mapping[PeerName, Mapping[int, int]] = {}
        self.revision = 0
        """Rises with every change of what is shown."""

    @property
    def me(self) -> Origin:
        """Our own stream."""
        return self._me

    def absorb(
        self,
        origin: Origin,
        changed: Iterable[Fact],
        removed: Iterable[str] = (),
        stream: Stream | None = None,
    ) -> None:
        """Take in changes of one stream: new facts, and keys that vanished without a fact.

        A newer incarnation replaces all that was shown of the peer, except for ring claims that nobody has adopted.
        `stream`, if given, is what the changes have led to; whoever else holds it need not read it again.
        """
        self.revision += 1
        peer = PeerName(origin.peer)
        newest = self._newest.get(peer, -1)
        changed, removed = tuple(changed), tuple(removed)
        if origin.incarnation != newest:
            self._note_facts(origin, changed)
        if origin.incarnation < newest:
            self._absorb_orphans(peer, origin.incarnation, changed, removed)
            return
        page = self._pages.get(peer, _BLANK)
        if origin.incarnation > newest:
            self._newest[peer] = origin.incarnation
            self._orphan(peer, newest)
            page = _BLANK
        if origin == self._me and page is not _BLANK:
            step = page.take(changed, removed)
        else:
            following, step = page.turn(changed, removed, stream)
            if page is _BLANK:
                self._peers = None
            self._pages[peer] = following
        if origin.incarnation == newest and (PeerRecord in step.touched or RingClaim in step.touched):
            self._note_facts(origin, changed)
        self._count(step.gained, 1)
        self._count(step.lost, -1)
        self._note(peer, step.touched)
        if self._key_watchers and step.touched:
            keys = dict.fromkeys((*removed, *(fact.key for fact in changed)))
            for kinds, news in self._key_watchers:
                if any(kind in kinds for kind in step.touched):
                    news.setdefault(peer, {}).update(keys)

    def preview(self, change: Change) -> None:
        """Show a change of our own stream before it has a number."""
        self.absorb(self._me, (Fact(0, change.key, change.kind, change.body),))

    def forget(self, peer: PeerName) -> None:
        """Show nothing of a peer any more."""
        self.revision += 1
        self._newest.pop(peer, None)
        self._adopted.pop(peer, None)
        self._orphans.pop(peer, None)
        self._claim_seqs.pop(peer, None)
        self._clear(peer)

    @property
    def fences(self) -> Mapping[PeerName, Mapping[int, int]]:
        """Peers whose new claims give us nothing, and up to which number those of each of their lives still do."""
        return self._fences

    @property
    def are_claims_plain(self) -> bool:
        """Say whether `of` shows all ring claims there are, as they count: nobody is fenced and no life is orphaned."""
        return not self._fences and not any(self._orphans.values())

    def fence(self, fences: Mapping[PeerName, Mapping[int, int]]) -> None:
        """Fence these peers and no others."""
        if fences != self._fences:
            self._fences = fences
            self._versions[RingClaim] += 1
            self.revision += 1

    def reborn(self, me: Origin) -> None:
        """Give our own stream another name; what the old one said counts as said by an earlier life."""
        self.revision += 1
        self._me = me

    def version(self, *kinds: type[Body]) -> tuple[int, ...]:
        """Return a value that differs whenever facts of these kinds do."""
        return tuple([self._versions[kind] for kind in kinds])

    def has(self, kind: type[Body]) -> bool:
        """Say whether anybody shows a fact of a kind."""
        return self._holders.get(kind, 0) > 0

    def version_of_ours(self, kind: type[Body]) -> int:
        """Return a value that differs whenever our own facts of this kind do."""
        return self._ours[kind]

    def watch(self, kind: type[Body]) -> dict[PeerName, None]:
        """Return a dict that collects the peers whose facts of a kind change; who watches must empty it often."""
        news: dict[PeerName, None] = {}
        self._watchers.setdefault(kind, []).append(news)
        return news

    def watch_keys(self, kinds: tuple[type[Body], ...]) -> dict[PeerName, dict[str, None]]:
        """Return a dict that collects keys under which facts of some kinds change, or others with them, by peer.

        It begins with all there are; who watches must empty it often. What it costs is what the changes cost.
        """
        news: dict[PeerName, dict[str, None]] = {}
        for peer, page in self._pages.items():
            keys = dict.fromkeys(key for kind in kinds for key in page.keys(kind))
            if keys:
                news[peer] = keys
        self._key_watchers.append((kinds, news))
        return news

    def peers(self) -> tuple[PeerName, ...]:
        """Return every peer heard of, ascending. Sorted anew only when there is another one."""
        if self._peers is None:
            self._peers = tuple(sorted(self._newest))
        return self._peers

    def incarnation(self, peer: PeerName) -> int | None:
        """Return the newest incarnation known of a peer."""
        return self._newest.get(peer)

    def adopted(self, peer: PeerName) -> int:
        """Return the incarnation up to which the peer's streams are superseded; 0 for none.

        Any later life may have said so: what one has adopted does not come back when that is replaced in its turn.
        """
        return self._adopted.get(peer, 0)

    def get(self, peer: PeerName, key: str, kind: type[B]) -> B | None:
        """Return one fact of a peer."""
        page = self._pages.get(peer)
        return None if page is None else page.get(key, kind)

    def of(self, peer: PeerName, kind: type[B]) -> tuple[tuple[str, B], ...]:
        """Return `(key, body)` of a peer's facts of a kind, by key."""
        page = self._pages.get(peer)
        return () if page is None else page.items(kind)

    def all(self, kind: type[B]) -> Iterator[tuple[PeerName, str, B]]:
        """Yield `(peer, key, body)` of all facts of a kind, by peer and key; ring claims of orphaned lives last.

        O(peers) when there is any; most kinds are rare.
        """
        left = self._holders.get(kind, 0)
        for peer in self.peers() if left else ():
            facts = self.of(peer, kind)
            for key, body in facts:
                yield peer, key, self._as_it_counts(peer, self._newest[peer], key, body)
            left -= bool(facts)
            if not left:
                break
        if kind is RingClaim:
            for peer in sorted(self._orphans):
                for incarnation in sorted(self._orphans[peer]):
                    for key, claim in sorted(self._orphans[peer][incarnation].items()):
                        assert isinstance(claim, kind)
                        yield peer, key, self._as_it_counts(peer, incarnation, key, claim)

    def _as_it_counts(self, peer: PeerName, incarnation: int, key: str, body: B) -> B:
        """Return a fact, or what is left of a claim that a fenced peer has made too late."""
        fence = self._fences.get(peer)
        if fence is None or not isinstance(body, RingClaim) or body.owner != self._me.peer:
            return body
        seq = self._claim_seqs.get(peer, {}).get(incarnation, {}).get(key, 0)
        return replace(body, owner=NOBODY) if seq > fence.get(incarnation, 0) else body

    def _count(self, kinds: Iterable[Kind], step: int) -> None:
        for kind in kinds:
            self._holders[kind] = self._holders.get(kind, 0) + step

    def _orphan(self, peer: PeerName, incarnation: int) -> None:
        """Keep the ring claims of the life that ended unless the new one has adopted it; hide everything else of it."""
        claims = self.of(peer, RingClaim)
        if claims and incarnation > self.adopted(peer):
            self._orphans.setdefault(peer, {})[incarnation] = dict(claims)
        self._clear(peer)

    def _absorb_orphans(
        self, peer: PeerName, incarnation: int, changed: Iterable[Fact], removed: Iterable[str]
    ) -> None:
        if incarnation <= self.adopted(peer):
            return
        claims = self._orphans.setdefault(peer, {}).setdefault(incarnation, {})
        for key in removed:
            claims.pop(key, None)
        for fact in changed:
            body = None if fact.body is None else parse(fact.kind, fact.body)
            if isinstance(body, RingClaim):
                claims[fact.key] = body
            else:
                claims.pop(fact.key, None)
        self._versions[RingClaim] += 1

    def _note_facts(self, origin: Origin, changed: Iterable[Fact]) -> None:
        """Remember what has an effect beyond its page: which lives are adopted, and the numbers of claims."""
        peer, key = PeerName(origin.peer), peer_key()
        for fact in changed:
            if fact.kind == _CLAIM:
                self._claim_seqs.setdefault(peer, {}).setdefault(origin.incarnation, {})[fact.key] = fact.seq
            if fact.key != key or fact.body is None or origin.incarnation == 1:
                # A first life has none to adopt.
                continue
            body = parse(fact.kind, fact.body)
            if isinstance(body, PeerRecord) and min(body.adopts, origin.incarnation - 1) > self.adopted(peer):
                self._adopted[peer] = min(body.adopts, origin.incarnation - 1)
                self._release(peer)

    def _release(self, peer: PeerName) -> None:
        adopted = self.adopted(peer)
        orphans = self._orphans.get(peer, {})
        for incarnation in [life for life in orphans if life <= adopted]:
            del orphans[incarnation]
            self._claim_seqs.get(peer, {}).pop(incarnation, None)
            self._versions[RingClaim] += 1

    def _clear(self, peer: PeerName) -> None:
        page = self._pages.pop(peer, None)
        self._peers = None
        if page is not None:
            self._count(page.kinds(), -1)
            self._note(peer, page.kinds())
            for kinds, news in self._key_watchers:
                keys = dict.fromkeys(key for kind in kinds for key in page.keys(kind))
                if keys:
                    news.setdefault(peer, {}).update(keys)

    def _note(self, peer: PeerName, kinds: Iterable[Kind]) -> None:
        versions, watchers, is_ours = self._versions, self._watchers, peer == self._me.peer
        for kind in kinds:
            versions[kind] += 1
            if is_ours:
                self._ours[kind] += 1
            if kind in watchers:
                for news in watchers[kind]:
                    news[peer] = None
