"""Whom to call, and when again: places the operator named, and peers that other peers are linked to.

A place is called as long as it is wanted and nobody we know to be there has a session with us. Each failure makes the
wait half as long again, half of it left to chance so that a cluster does not call in chorus: from 2 seconds to 15 for
every place that is waited for, so that a host with one lost peer calls it every 15 seconds, and one with many calls
somebody as often; but each at least every 6 minutes. Who was lost lately is called about once a second. A session that
comes up is a sign that a partition has healed: all waits begin anew. News of the very peer that could not be reached is
proof: it lives, and some path leads to it, so it is called at once; but not twice ahead of time in a row, for it may be
just this path that is broken.

Source: Weave Net's `mesh/connection_maker.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.context import Context
from core.effects import Dial
from core.kinds import LinkRecord, PeerRecord, TargetRecord, gone, peer_key, put
from core.mesh.sessions import SESSIONS_MAX, Closed, Sessions
from core.types import LinkId, PeerName

RETRY = "mesh/retry"
WAIT_MIN_MS = 2_000
WAIT_MAX_MS = 360_000
CALL_EVERY_MS = 15_000
"""How often a host calls lost places altogether, in the long run: a call costs a packet or three, and this is how long
a partition lasts beyond its end when everybody has given up."""
LOST_MS = 300_000
"""Who was lost less than this ago is called without pause: most partitions are short, and as long as this one lasts
beyond its end nobody finds anybody."""
LOST_WAIT_MS = 1_000
"""Between such calls…"""
LOST_CALLS_MS = 250
"""…of all of which there are four a second at most."""
REFUSED_MS = 30_000
"""Between calls to who keeps another host with our name: people have to mend that."""
REDIAL_MS = 2_500
"""Such a call is begun anew when it has had no answer for so long: TCP asks after 1 and 3 seconds, then seldom."""
STABLE_MS = 30_000
"""A session that stood this long was no failure."""
CONTROL_PORT = 6783
HURRY_MS = 300
"""Who is back is called within this time by all its lost neighbours, not all in one moment."""
STALE_MS = 100
"""A call that has had no answer for longer was begun when there was none; TCP asks again only after 1 and 3 seconds.
Source: RFC 6298."""
PLACES_MAX = 4096
"""As many as peers there can be."""
PLACES_PER_PEER_MAX = 4
"""Addresses of one peer that discovery tries: one per network it is seen in."""
DIALS_MAX = 32
"""Calls under way at once; each may cost the shell 5 seconds and a resolver query."""
TARGET_PREFIX = "target/"


@dataclass(slots=True)
class Place:
    """Somewhere to call."""

    target: str
    """`host[:port]`, as typed or as discovered."""
    is_named: bool
    """The operator named it."""
    due_ms: int
    """When to call next, on the monotonic clock."""
    wait_ms: int = 0
    """Wait after the last failure; 0 before the first."""
    called_ms: int = 0
    """When it was called last."""
    state: str = "idle"
    """`idle`, `dialling`, `linked` (a connection to it is open) or `final` (never again)."""
    peer: PeerName | None = None
    """Who was found there."""
    hurry: str = "free"
    """`free`: news of its peer cuts the wait short; `now`: it did; `spent`: and the call was in vain."""
    lost_ms: int | None = None
    """When a session with whom is there was lost that had stood long."""
    is_silent: bool = False
    """The last call did not get through."""
    is_refused: bool = False
    """Another host with our name is kept there."""
    reason: str = ""
    """Why the last call or connection ended; empty before the first end."""


class Dialler:
    """Decides calls."""

    def __init__(self, context: Context, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions
        self._places: dict[str, Place] = {}
        self._linked: dict[LinkId, str] = {}
        self._armed_ms: int | None = None
        self._lost = 0

    def places(self) -> Iterator[Place]:
        """Yield every place, by target."""
        for target in sorted(self._places):
            yield self._places[target]

    def named(self) -> tuple[str, ...]:
        """Return what the operator named, in order of naming."""
        return tuple(place.target for place in self._places.values() if place.is_named)

    @property
    def has_hope(self) -> bool:
        """Say whether somebody may be there: some place has not yet failed to answer."""
        return any(not place.is_silent and place.state != "final" for place in self._places.values())

    def started(self) -> None:
        """Call what the configuration names, and with `resume` what was named in earlier lives."""
        context = self._context
        kept = dict(context.board.of(context.me, TargetRecord))
        names = tuple(record.name for record in kept.values()) if context.config.resume else ()
        self.name(dict.fromkeys((*context.config.targets, *names)), replace=True)

    def name(self, targets: dict[str, None], *, replace: bool) -> None:
        """Take on places that the operator names; with `replace` they are all there is."""
        context = self._context
        if replace:
            old = [record.name for _, record in context.board.of(context.me, TargetRecord)]
            self.unname(tuple(name for name in old if name not in targets))
        for target in targets:
            place = self._places.get(target)
            if place is None:
                place = self._places[target] = Place(target, True, context.at.mono_ms)
            place.is_named = True
            if place.state == "final":
                place.state = "idle"
            place.due_ms, place.wait_ms = context.at.mono_ms, 0
            key = TARGET_PREFIX + target
            if context.board.get(context.me, key, TargetRecord) is None:
                context.write(put(key, TargetRecord(target)))
        self.work()

    def unname(self, targets: tuple[str, ...]) -> None:
        """Stop calling places; connections that stand are kept."""
        context = self._context
        for target in targets:
            key = TARGET_PREFIX + target
            if context.board.get(context.me, key, TargetRecord) is not None:
                context.write(gone(key, TargetRecord))
            if target in self._places:
                self._places[target].is_named = False
                self._drop_idle(target)

    def discover(self) -> None:
        """Take on what peers say about where other peers are. O(links)."""
        context = self._context
        if not context.config.discovery:
            return
        seen: dict[PeerName, dict[str, None]] = {}
        for writer, key, record in context.board.all(LinkRecord):
            peer = PeerName(key.removeprefix("link/"))
            if peer == context.me or writer == context.me:
                continue
            known = context.board.get(peer, peer_key(), PeerRecord)
            host, _, _ = record.address.rpartition(":")
            if known is not None and host and 0 < known.port < 65536:
                where = seen.setdefault(peer, {})
                if len(where) < PLACES_PER_PEER_MAX:
                    where[f"{host}:{known.port}"] = None
        wanted = {target: peer for peer, targets in seen.items() for target in targets}
        for target, place in tuple(self._places.items()):
            if not place.is_named and target not in wanted:
                self._drop_idle(target)
        for target, peer in wanted.items():
            if target not in self._places and len(self._places) < PLACES_MAX:
                self._places[target] = Place(target, False, context.at.mono_ms, peer=peer)
        self.work()

    def failed(self, target: str, reason: str) -> None:
        """Note that a call did not get through."""
        place = self._places.get(target)
        if place is None:
            return
        place.state = "idle"
        place.is_silent = True
        place.hurry = "spent" if place.hurry == "now" else "free"
        place.reason = reason
        self._put_off(place)
        if not place.is_named:
            self._drop_if_forgotten(place)
        self.work()

    def connected(self, link: LinkId, target: str | None) -> None:
        """Note that a call got through."""
        place = None if target is None else self._places.get(target)
        if place is not None:
            place.state = "linked"
            place.hurry = "free"
            place.is_silent = place.is_refused = False
            self._linked[link] = place.target

    def session_up(self, link: LinkId, peer: PeerName) -> None:
        """Learn who is at a place, and that the network may have healed."""
        target = self._linked.get(link)
        if target is not None:
            self._places[target].peer = peer
        now = self._context.at.mono_ms
        for place in self._places.values():
            if place.wait_ms > WAIT_MIN_MS and place.state == "idle" and not place.is_refused:
                self._context.mark("dialler.wait-cut-short")
                place.wait_ms = WAIT_MIN_MS
                place.due_ms = min(place.due_ms, now + self._jittered(WAIT_MIN_MS))
        self.work()

    def session_down(self, link: LinkId, closed: Closed) -> None:
        """Note that a connection has ended."""
        target = self._linked.pop(link, None)
        for place in self._places.values():
            is_it = place.target == target
            if not is_it and (closed.peer is None or place.peer != closed.peer or closed.is_spare):
                continue
            if is_it:
                place.state = "final" if closed.is_final else "idle"
                place.peer = closed.peer or place.peer
                place.is_refused = closed.is_refused
            place.reason = closed.reason
            if closed.lasted_ms >= STABLE_MS:
                place.wait_ms, place.lost_ms = 0, self._context.at.mono_ms
            if place.state == "idle" and not closed.is_spare:
                self._put_off(place)
        if target is not None:
            self._drop_if_forgotten(self._places[target])
        self.work()

    def heard_of(self, peer: PeerName) -> None:
        """Call a peer soon that could not be reached and has said something new."""
        if not self._lost:
            return
        now = self._context.at.mono_ms
        is_sooner = False
        for place in self._places.values():
            if place.peer != peer or place.hurry != "free" or not place.wait_ms or not _may_call(place, now):
                continue
            due_ms = now + self._context.entropy.randint(0, HURRY_MS)
            if due_ms < place.due_ms or place.state == "dialling":
                place.state, place.due_ms, place.hurry, is_sooner = "idle", due_ms, "now", True
                self._context.mark("dialler.heard-of")
        if is_sooner:
            self.work()

    def timer(self) -> None:
        """Call what is due."""
        self._armed_ms = None
        self.work()

    def is_covered(self, place: Place) -> bool:
        """Say whether who is at a place has a session with us anyway."""
        if place.peer is not None and place.peer in self._sessions.links:
            return True
        host, colon, port = place.target.rpartition(":")
        if not colon:
            host, port = place.target, str(CONTROL_PORT)
        return any(
            session.hello is not None and session.remote.host == host and str(session.hello.port) == port
            for session in self._sessions.all()
        )

    def work(self) -> None:
        """Call what is due, and wake up for the next."""
        now = self._context.at.mono_ms
        limit = self._context.config.connection_limit or SESSIONS_MAX
        busy = sum(place.state == "dialling" for place in self._places.values())
        next_ms: int | None = None
        self._lost = busy
        for place in self._places.values():
            if place.state == "dialling" and self._is_lost_lately(place) and now - place.called_ms >= REDIAL_MS:
                self._context.mark("dialler.called-anew")
                place.called_ms = now
                self._context.emit(Dial(place.target))
            if place.state == "dialling" and self._is_lost_lately(place):
                again_ms = place.called_ms + REDIAL_MS
                next_ms = again_ms if next_ms is None else min(next_ms, again_ms)
            if place.state != "idle" or self.is_covered(place):
                continue
            self._lost += 1
            if place.due_ms <= now and busy < DIALS_MAX and self._sessions.count() + busy < limit:
                place.state, place.called_ms = "dialling", now
                busy += 1
                self._context.emit(Dial(place.target))
                if self._is_lost_lately(place):
                    next_ms = now + REDIAL_MS if next_ms is None else min(next_ms, now + REDIAL_MS)
            elif place.due_ms > now:
                next_ms = place.due_ms if next_ms is None else min(next_ms, place.due_ms)
        if next_ms is not None and (self._armed_ms is None or next_ms < self._armed_ms):
            self._armed_ms = next_ms
            self._context.timer(RETRY, next_ms - now)

    def _is_lost_lately(self, place: Place) -> bool:
        return place.lost_ms is not None and self._context.at.mono_ms - place.lost_ms < LOST_MS

    def _put_off(self, place: Place) -> None:
        if place.is_refused:
            place.wait_ms = REFUSED_MS
            place.due_ms = self._context.at.mono_ms + self._jittered(REFUSED_MS)
            return
        if self._is_lost_lately(place):
            place.wait_ms = max(LOST_WAIT_MS, LOST_CALLS_MS * self._lost)
            place.due_ms = self._context.at.mono_ms + self._jittered(place.wait_ms)
            return
        wait_max_ms = min(CALL_EVERY_MS * max(1, self._lost), WAIT_MAX_MS)
        place.wait_ms = min(max(WAIT_MIN_MS, place.wait_ms * 3 // 2), wait_max_ms)
        place.due_ms = self._context.at.mono_ms + self._jittered(place.wait_ms)

    def _jittered(self, wait_ms: int) -> int:
        return self._context.entropy.randint(wait_ms // 2, wait_ms * 3 // 2)

    def _drop_idle(self, target: str) -> None:
        if self._places[target].state in ("idle", "final"):
            del self._places[target]

    def _drop_if_forgotten(self, place: Place) -> None:
        """Forget a place that nobody named and that discovery does not find any more; it is found again if it is."""
        if not place.is_named and place.peer is None and place.state == "idle":
            del self._places[place.target]


def _may_call(place: Place, now_ms: int) -> bool:
    """Say whether a call now is of use: none is under way, or one that has lost its time."""
    return place.state == "idle" or (place.state == "dialling" and now_ms - place.called_ms >= STALE_MS)
