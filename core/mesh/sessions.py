"""Conversations with neighbours: who is at the other end of each connection, and whether it is still there.

A session stands once both sides have said Hello and neither objects. Of two sessions with one peer the same one is
kept at both ends, whoever looks: the one dialled by the lower name, of those the newest dial.

What others see of it is the fact `link/<peer>`. It outlives the connection for `HOLD_MS` when the far end was heard a
moment ago: then an agent was stopped or killed, its kernel still forwards, and it will be back. So neither routes nor
kernels change when agents restart. When the line had been silent, the path is gone and the fact goes at once.

Source: Weave Net's `mesh/connection.go` (heartbeat, handshake); graceful restart as in BGP (RFC 4724).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.context import Context
from core.effects import Hangup, Send
from core.events import LinkUp
from core.kinds import LinkRecord, gone, link_key, put
from core.mesh.line import Line, is_trusted_host, line_of, transports_of
from core.mesh.paths import Paths
from core.messages import PROTOCOL_MAX, PROTOCOL_MIN, Heartbeat, Hello, Message
from core.types import HostPort, LinkId, PeerName

HEARTBEAT_MS = 10_000
SILENCE_MS = 30_000
"""A neighbour unheard for this long is gone. Source: Weave Net."""
FRESH_MS = 15_000
"""Heard within one heartbeat and a half: the line worked until the end."""
HANDSHAKE_MS = 10_000
"""Time to say Hello."""
HOLD_MS = 60_000
"""Longer than any restart or upgrade of an agent takes."""
CLOSED_SHOWN_MAX = 16
"""Refused strangers that status remembers."""
SESSIONS_MAX = 1024
"""Connections at all, whatever the configured limit: more than peers that one host should be linked to."""

HEARTBEAT = "mesh/heartbeat"
HANDSHAKE = "mesh/handshake/"
HOLD = "mesh/hold/"
LINK_PREFIX = "link/"


@dataclass(slots=True)
class Session:
    """One connection."""

    link: LinkId
    """Its number."""
    outbound: bool
    """We dialled."""
    remote: HostPort
    """Far end."""
    target: str | None
    """What we dialled."""
    dial: int
    """Number of the dial, ours or, once Hello has been heard, theirs."""
    heard_ms: int
    """When something arrived last, on the monotonic clock."""
    since_ms: int
    """When it came up."""
    session: str
    """Names the secret that both ends share; empty when there is none."""
    is_sealed: bool
    """It is encrypted."""
    hello: Hello | None = None
    """What the far end said of itself; set only when it stands."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection that ended, for status and for who decides when to dial again."""

    target: str | None
    """What we had dialled."""
    remote: HostPort
    """Far end."""
    peer: PeerName | None
    """Who was there, if it had said so."""
    reason: str
    """Why it ended, for people."""
    is_final: bool
    """Dialling again makes no sense: it is ourselves."""
    is_spare: bool
    """A session with that peer stands all the same."""
    lasted_ms: int
    """How long it had stood; 0 if it never did."""


class Sessions:
    """All connections of this host."""

    def __init__(
        self,
        context: Context,
        paths: Paths,
        *,
        up: Callable[[LinkId, PeerName], None],
        down: Callable[[LinkId, Closed], None],
    ) -> None:
        """`up` is told when a session stands, `down` when a connection is over, whether or not it ever stood."""
        self._context = context
        self._paths = paths
        self._up = up
        self._down = down
        self._sessions: dict[LinkId, Session] = {}
        self._by_peer: dict[PeerName, LinkId] = {}
        self._uid = context.entropy.getrandbits(64)
        self._dials = 0
        self.strangers: deque[Closed] = deque(maxlen=CLOSED_SHOWN_MAX)
        """Inbound connections that never stood, newest last."""
        self.terminations = 0
        """Connections that ended."""

    @property
    def links(self) -> dict[PeerName, LinkId]:
        """Neighbours with a session that stands; do not change it."""
        return self._by_peer

    def all(self) -> Iterator[Session]:
        """Yield every connection."""
        yield from self._sessions.values()

    def session(self, peer: PeerName) -> Session | None:
        """Return the session that stands with a peer."""
        link = self._by_peer.get(peer)
        return None if link is None else self._sessions[link]

    def count(self) -> int:
        """Return the number of connections."""
        return len(self._sessions)

    def started(self) -> None:
        """Hold the links of the life before this one; begin to listen for silence."""
        self._context.timer(HEARTBEAT, HEARTBEAT_MS)
        for key, _ in self._context.board.of(self._context.me, LinkRecord):
            self._context.timer(HOLD + key.removeprefix(LINK_PREFIX), HOLD_MS)

    def link_up(self, event: LinkUp) -> None:
        """Greet whoever is there."""
        context = self._context
        now, link = context.at.mono_ms, event.link
        if event.outbound:
            self._dials += 1
        session = Session(
            link=link,
            outbound=event.outbound,
            remote=event.remote,
            target=event.target,
            dial=self._dials if event.outbound else 0,
            heard_ms=now,
            since_ms=now,
            session=event.session,
            is_sealed=event.is_sealed,
        )
        self._sessions[link] = session
        limit = context.config.connection_limit or SESSIONS_MAX
        if len(self._sessions) > min(limit, SESSIONS_MAX):
            self.close(session, f"Connection limit reached ({limit})")
            return
        context.timer(f"{HANDSHAKE}{link}", HANDSHAKE_MS)
        config = context.config
        context.emit(
            Send(
                link,
                Hello(
                    PROTOCOL_MIN,
                    PROTOCOL_MAX,
                    config.peer,
                    config.nickname,
                    self._uid,
                    context.board.me.incarnation,
                    config.port,
                    session.dial,
                    transports_of(config),
                    is_trusted_host(config, event.remote.host),
                    config.esp,
                ),
            )
        )

    def link_down(self, link: LinkId, reason: str) -> None:
        """Note that a connection has gone."""
        session = self._sessions.get(link)
        if session is not None:
            self._end(session, reason)

    def misbehaved(self, link: LinkId, reason: str) -> None:
        """Hang up on a peer that broke a rule."""
        session = self._sessions.get(link)
        if session is not None:
            self.close(session, f"protocol violation: {reason}")

    def received(self, link: LinkId, message: Message) -> bool:
        """Take note of a message; say whether it is for others to handle."""
        session = self._sessions.get(link)
        if session is None:
            return False
        session.heard_ms = self._context.at.mono_ms
        if isinstance(message, Hello):
            if session.hello is None:
                self._greeted(session, message)
            else:
                self.misbehaved(link, "a second Hello")
            return False
        if session.hello is None:
            self.misbehaved(link, f"{type(message).__name__} before Hello")
            return False
        return not isinstance(message, Heartbeat)

    def timer(self, name: str) -> bool:
        """Handle a timer; False when it is not ours."""
        if name == HEARTBEAT:
            self._beat()
        elif name.startswith(HANDSHAKE):
            session = self._sessions.get(LinkId(int(name.removeprefix(HANDSHAKE))))
            if session is not None and session.hello is None:
                self._context.mark("sessions.no-hello")
                self.close(session, f"no Hello within {HANDSHAKE_MS // 1000} seconds")
        elif name.startswith(HOLD):
            peer = PeerName(name.removeprefix(HOLD))
            if peer not in self._by_peer:
                self._context.mark("sessions.held-link-expired")
                self._retract(peer)
        else:
            return False
        return True

    def close(self, session: Session, reason: str, *, is_final: bool = False, is_spare: bool = False) -> None:
        """Hang up."""
        self._context.emit(Hangup(session.link, reason))
        self._end(session, reason, is_final=is_final, is_spare=is_spare)

    def _beat(self) -> None:
        self._context.timer(HEARTBEAT, HEARTBEAT_MS)
        now = self._context.at.mono_ms
        for link in tuple(self._by_peer.values()):
            session = self._sessions[link]
            if now - session.heard_ms >= SILENCE_MS:
                self._context.mark("sessions.silent-peer")
                self.close(session, f"nothing heard for {SILENCE_MS // 1000} seconds")
            else:
                self._context.emit(Send(link, Heartbeat()))

    def _greeted(self, session: Session, hello: Hello) -> None:
        context = self._context
        context.timer(f"{HANDSHAKE}{session.link}", None)
        if hello.protocol_min > PROTOCOL_MAX or hello.protocol_max < PROTOCOL_MIN:
            spoken = f"{hello.protocol_min}..{hello.protocol_max}"
            self.close(session, f"it speaks protocols {spoken}, we speak {PROTOCOL_MIN}..{PROTOCOL_MAX}: upgrade one")
        elif hello.peer == context.me and hello.uid == self._uid:
            self.close(session, "Cannot connect to ourself", is_final=True)
        elif hello.peer == context.me:
            text = f"another host has our name {context.me}, it calls itself {hello.nickname}: give one another --name"
            self.close(session, text)
        else:
            self._admit(session, hello)

    def _admit(self, session: Session, hello: Hello) -> None:
        """Let a session stand, unless another one with that peer is to be kept."""
        if not session.outbound:
            session.dial = hello.dial
        rival = self.session(hello.peer)
        if rival is not None:
            assert rival.hello is not None, "it stands"
            if rival.hello.uid == hello.uid and self._rank(rival, hello.peer) > self._rank(session, hello.peer):
                session.hello = hello
                self._context.mark("sessions.spare-closed")
                self.close(session, f"Multiple connections to {hello.peer}({hello.nickname})", is_spare=True)
                return
        session.hello = hello
        self._by_peer[hello.peer] = session.link
        if rival is not None:
            if rival.hello is not None and rival.hello.uid != hello.uid:
                self._context.mark("sessions.peer-restarted-unnoticed")
            self.close(rival, f"Multiple connections to {hello.peer}({hello.nickname})", is_spare=True)
        self._context.timer(HOLD + hello.peer, None)
        before = self._context.board.get(self._context.me, link_key(hello.peer), LinkRecord)
        established, transport = self._paths.opened(hello.peer, self._line(session, hello), before)
        record = LinkRecord(str(session.remote), session.outbound, established, transport)
        if before is not None and rival is None:
            self._context.mark("sessions.held-link-resumed")
        if before != record:
            self._context.write(put(link_key(hello.peer), record))
        self._up(session.link, hello.peer)

    def _line(self, session: Session, hello: Hello) -> Line:
        return line_of(
            self._context.config,
            hello,
            session=session.session,
            outbound=session.outbound,
            is_sealed=session.is_sealed,
            remote=session.remote,
        )

    def _rank(self, session: Session, peer: PeerName) -> tuple[bool, int]:
        """Order two sessions with one peer; both ends come to the same order."""
        dialler = self._context.me if session.outbound else peer
        return dialler == min(self._context.me, peer), session.dial

    def _end(self, session: Session, reason: str, *, is_final: bool = False, is_spare: bool = False) -> None:
        del self._sessions[session.link]
        self.terminations += 1
        self._context.timer(f"{HANDSHAKE}{session.link}", None)
        peer = None if session.hello is None else session.hello.peer
        stood = peer is not None and self._by_peer.get(peer) == session.link
        now = self._context.at.mono_ms
        lasted_ms = now - session.since_ms if stood or is_spare else 0
        closed = Closed(session.target, session.remote, peer, reason, is_final, is_spare, lasted_ms)
        if stood:
            assert peer is not None, "it stood"
            del self._by_peer[peer]
            self._paths.closed(peer)
            if now - session.heard_ms < FRESH_MS:
                self._context.timer(HOLD + peer, HOLD_MS)
            else:
                self._context.mark("sessions.silent-line-ended")
                self._context.timer(HOLD + peer, None)
                self._retract(peer)
        elif peer is None and not session.outbound:
            self.strangers.append(closed)
        self._down(session.link, closed)

    def _retract(self, peer: PeerName) -> None:
        self._paths.forgot(peer)
        if self._context.board.get(self._context.me, link_key(peer), LinkRecord) is not None:
            self._context.write(gone(link_key(peer), LinkRecord))
