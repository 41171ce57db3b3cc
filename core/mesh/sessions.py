"""Conversations with neighbours: who is at the other end of each connection, and whether it is still there.

A session stands once both sides have said Hello and neither objects. Of two sessions with one peer the same one is
kept at both ends, whoever looks: the one dialled by the lower name, of those the newest dial.

What others see of it is the fact `link/<peer>`. It outlives the connection for `HOLD_MS` when the far end was heard a
moment ago: then an agent was stopped or killed, its kernel still forwards, and it will be back. So neither routes nor
kernels change when agents restart. When the line had been silent, the path is gone and the fact goes at once.

Who comes under the name of a neighbour, but is another agent, has to wait until that neighbour has been asked whether
it is still there: see `namesakes`.

Source: Weave Net's `mesh/connection.go` (heartbeat, handshake); graceful restart as in BGP (RFC 4724).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.context import Context
from core.effects import Hangup, Send
from core.events import LinkUp, Received
from core.kinds import LinkRecord, gone, link_key, put
from core.mesh.line import Line, is_trusted_host, line_of, transports_of
from core.mesh.namesakes import Namesakes
from core.mesh.paths import Paths
from core.messages import PROTOCOL_MAX, PROTOCOL_MIN, Heartbeat, Hello, Message, NameTaken
from core.types import HostPort, LinkId, PeerName

HEARTBEAT_MS = 10_000
SILENCE_MS = 30_000
"""A neighbour unheard for this long is gone. Source: Weave Net."""
FRESH_MS = 15_000
"""Heard within one heartbeat and a half: the line worked until the end."""
HANDSHAKE_MS = 10_000
"""Time to say Hello."""
ANSWER_MS = 2_000
"""Time to answer whether one is still there. A restarted machine says at once that it knows no such connection."""
EARLY_MAX = 64
"""Messages kept of who has to wait: all that is said right after Hello."""
HOLD_MS = 60_000
"""Longer than any restart or upgrade of an agent takes."""
CLOSED_SHOWN_MAX = 16
"""Refused strangers that status remembers."""
CLOSED_SHOWN_MS = 600_000
"""And for how long: whoever looks into why a host does not come in has called within this time."""
SESSIONS_MAX = 1024
"""Connections at all, whatever the configured limit: more than peers that one host should be linked to."""

HEARTBEAT = "mesh/heartbeat"
HANDSHAKE = "mesh/handshake/"
ANSWER = "mesh/answer/"
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
    early: list[Message] | None = None
    """What it has said so far, its Hello first, while we ask another agent of its name; None when there is none."""
    question: int = 0
    """What we ask that other agent; 0 for nothing."""
    is_let_in: bool = False
    """The far end talks to us, and not just of the connection."""


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
    at_ms: int
    """When it ended, on the monotonic clock."""
    is_refused: bool = False
    """Another host with our name is kept there."""


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
        self._questions = 0
        self._released: list[Received] = []
        self.namesakes = Namesakes(context)
        """Hosts under one name."""
        self._strangers: deque[Closed] = deque(maxlen=CLOSED_SHOWN_MAX)
        self.terminations = 0
        """Connections that ended."""

    @property
    def links(self) -> dict[PeerName, LinkId]:
        """Neighbours with a session that stands; do not change it."""
        return self._by_peer

    @property
    def strangers(self) -> tuple[Closed, ...]:
        """Inbound connections that never stood and ended not long ago, newest last."""
        since_ms = self._context.at.mono_ms - CLOSED_SHOWN_MS
        return tuple(closed for closed in self._strangers if closed.at_ms > since_ms)

    def all(self) -> Iterator[Session]:
        """Yield every connection."""
        yield from self._sessions.values()

    def session(self, peer: PeerName) -> Session | None:
        """Return the session that stands with a peer."""
        link = self._by_peer.get(peer)
        return None if link is None else self._sessions[link]

    @property
    def is_kept_out(self) -> bool:
        """Say whether another host with our name has our place, as far as all say that we reach."""
        return self.namesakes.is_kept_out and not any(self._sessions[link].is_let_in for link in self._by_peer.values())

    def released(self) -> tuple[Received, ...]:
        """Return what was said by those who had to wait and need not any more, to be heard now."""
        released, self._released = tuple(self._released), []
        return released

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
        if session.early is not None:
            if len(session.early) < EARLY_MAX:
                session.early.append(message)
            else:
                self.close(session, f"{EARLY_MAX} messages before it was let in")
            return False
        if isinstance(message, Hello):
            if session.hello is None:
                self._greeted(session, message)
            else:
                self.misbehaved(link, "a second Hello")
            return False
        if session.hello is None:
            self.misbehaved(link, f"{type(message).__name__} before Hello")
            return False
        return self._is_for_others(session, message, session.hello.peer)

    def _is_for_others(self, session: Session, message: Message, peer: PeerName) -> bool:
        if isinstance(message, Heartbeat):
            if message.asks:
                self._context.emit(Send(session.link, Heartbeat(answers=message.asks)))
            if message.answers and self._by_peer.get(peer) == session.link:
                self._still_there(session, message.answers)
            return False
        if isinstance(message, NameTaken):
            self.namesakes.kept_out(peer, message.why)
            self.close(session, message.why, is_refused=True)
            if peer not in self._by_peer:
                # It does not know us, so no frames come this way.
                self._context.timer(HOLD + peer, None)
                self._retract(peer)
            return False
        session.is_let_in = True
        self.namesakes.let_in(peer)
        return True

    def timer(self, name: str) -> bool:
        """Handle a timer; False when it is not ours."""
        if name == HEARTBEAT:
            self._beat()
        elif name.startswith(HANDSHAKE):
            session = self._sessions.get(LinkId(int(name.removeprefix(HANDSHAKE))))
            if session is not None and session.hello is None:
                self._context.mark("sessions.no-hello")
                self.close(session, f"no Hello within {HANDSHAKE_MS // 1000} seconds")
        elif name.startswith(ANSWER):
            session = self._sessions.get(LinkId(int(name.removeprefix(ANSWER))))
            if session is not None and session.early is not None:
                rival = self.session(_hello_of(session).peer)
                assert rival is not None, "else nobody would wait"
                self.close(rival, f"no answer within {ANSWER_MS // 1000} seconds, and it calls anew", is_spare=True)
        elif name.startswith(HOLD):
            peer = PeerName(name.removeprefix(HOLD))
            if peer not in self._by_peer:
                self._context.mark("sessions.held-link-expired")
                self._retract(peer)
        else:
            return False
        return True

    def close(self, session: Session, reason: str, **kind: bool) -> None:
        """Hang up; `kind` may be `is_final`, `is_spare` or `is_refused`, as in `Closed`."""
        self._context.emit(Hangup(session.link, reason))
        self._end(session, reason, **kind)

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
        if rival is None and self.namesakes.is_kept(hello, session.remote):
            self._refuse(session, hello, self.namesakes.refuse(hello, session.remote))
            return
        if rival is not None:
            assert rival.hello is not None, "it stands"
            if rival.hello.uid != hello.uid:
                self._ask(rival, session, hello)
                return
            if self._rank(rival, hello.peer) > self._rank(session, hello.peer):
                session.hello = hello
                self._context.mark("sessions.spare-closed")
                self.close(session, f"Multiple connections to {hello.peer}({hello.nickname})", is_spare=True)
                return
        session.hello = hello
        self._by_peer[hello.peer] = session.link
        if rival is not None:
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

    def _ask(self, rival: Session, session: Session, hello: Hello) -> None:
        """Let a session wait until another agent of that name has said that it is still there, or has not."""
        self._questions += 1
        session.early, session.question = [hello], self._questions
        self._context.emit(Send(rival.link, Heartbeat(asks=self._questions)))
        self._context.timer(f"{ANSWER}{session.link}", ANSWER_MS)

    def _still_there(self, rival: Session, question: int) -> None:
        """Refuse whoever waits for this answer: it is not the host that we know, restarted."""
        assert rival.hello is not None, "it stands"
        for session in tuple(self._sessions.values()):
            if session.early is not None and session.question == question:
                hello = _hello_of(session)
                if hello.peer == rival.hello.peer:
                    why = self.namesakes.refuse(hello, session.remote, kept=(rival.hello.uid, rival.remote))
                    self._refuse(session, hello, why)

    def _refuse(self, session: Session, hello: Hello, why: str) -> None:
        self._context.mark("sessions.namesake-refused")
        self._context.emit(Send(session.link, NameTaken(why)))
        self.close(session, why)

    def _release(self, peer: PeerName) -> None:
        """Hear those who had to wait for a neighbour's answer: it has gone."""
        for session in self._sessions.values():
            if session.early is not None and _hello_of(session).peer == peer:
                self._context.mark("sessions.peer-restarted-unnoticed")
                self._context.timer(f"{ANSWER}{session.link}", None)
                self._released += (Received(session.link, message) for message in session.early)
                session.early, session.question = None, 0

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

    def _end(
        self,
        session: Session,
        reason: str,
        *,
        is_final: bool = False,
        is_spare: bool = False,
        is_refused: bool = False,
    ) -> None:
        del self._sessions[session.link]
        self.terminations += 1
        self._context.timer(f"{HANDSHAKE}{session.link}", None)
        if session.early is not None:
            self._context.timer(f"{ANSWER}{session.link}", None)
        peer = None if session.hello is None else session.hello.peer
        stood = peer is not None and self._by_peer.get(peer) == session.link
        now = self._context.at.mono_ms
        lasted_ms = now - session.since_ms if stood or is_spare else 0
        closed = Closed(session.target, session.remote, peer, reason, is_final, is_spare, lasted_ms, now, is_refused)
        if stood:
            assert peer is not None, "it stood"
            assert session.hello is not None, "and it had greeted"
            del self._by_peer[peer]
            self._paths.closed(peer)
            self.namesakes.left(session.hello, session.remote)
            if now - session.heard_ms < FRESH_MS:
                self._context.timer(HOLD + peer, HOLD_MS)
            else:
                self._context.mark("sessions.silent-line-ended")
                self._context.timer(HOLD + peer, None)
                self._retract(peer)
        elif peer is None and not session.outbound:
            self._strangers.append(closed)
        self._down(session.link, closed)
        if stood and peer is not None:
            self._release(peer)

    def _retract(self, peer: PeerName) -> None:
        self._paths.forgot(peer)
        if self._context.board.get(self._context.me, link_key(peer), LinkRecord) is not None:
            self._context.write(gone(link_key(peer), LinkRecord))


def _hello_of(session: Session) -> Hello:
    """Return how somebody who has to wait has greeted."""
    assert session.early, "it waits"
    hello = session.early[0]
    assert isinstance(hello, Hello), "that comes first"
    return hello
