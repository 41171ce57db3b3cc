"""Which transport carries frames to each neighbour, and why not the faster one.

The sleeve process finds out what gets through and says so when that changes (`PathUp`, `PathDown`); here it is decided
what follows, and written into the fact `link/<peer>`: the fast one while it is up, else the sleeve, else none, and a
link with none is not established, so that routes go around it. The session stands all the same, and a transport that
comes up brings the link back. What flaps is for the prober to calm; here nothing waits, but for one thing:

Whoever restarts, or makes a new session with a neighbour, knows nothing yet, while the kernels still forward. So what
the link's fact says is believed until something is heard of that transport, for `BELIEVED_MS`, or twice as long
when nothing else is known to be up: frames go on as before. In the same way what is said to be down while there is no
session is not believed of the fast transport: the far end's prober has gone with its agent, its kernel has not.

Without a kernel to drive, or with a neighbour that agrees on no session, a link is established at once.

Source: Weave Net's `router/overlay_switch.go` (all transports start in parallel, the best that is up is taken).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.context import Context
from core.events import PathDown, PathUp
from core.kinds import LinkRecord, link_key, put
from core.mesh.line import Line
from core.reconcile.objects import FASTDP, SLEEVE
from core.types import PeerName

TRANSPORTS = (FASTDP, SLEEVE)
"""Best first."""
BELIEVED_MS = 5_000
"""A prober needs about two seconds to find a transport up, under heavy loss some more."""
TIMER = "mesh/path/"
NOT_PROBED = "no answer to probes yet"


@dataclass(slots=True)
class _Path:
    """One transport to one neighbour."""

    state: str = "unknown"
    """`unknown`, `believed` (an earlier session used it), `up` or `down`."""
    why: str = NOT_PROBED
    """Why it is not up."""
    mtu: int = 0
    """Bytes on containers' interfaces that get through whole; 0 when not known."""


@dataclass(slots=True)
class _Way:
    """Everything about one neighbour."""

    line: Line
    """Its newest session."""
    paths: dict[str, _Path]
    """By transport, best first."""
    since_ms: int
    """When what is believed was last begun to be believed."""
    is_open: bool = True
    """The session stands; else its link is held for one that comes back."""


class Paths:
    """The transports to all neighbours."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ways: dict[PeerName, _Way] = {}
        self._peers: dict[str, PeerName] = {}
        self._lines: Mapping[PeerName, Line] | None = None

    # What happens.

    def opened(self, peer: PeerName, line: Line, before: LinkRecord | None) -> tuple[bool, str]:
        """Begin with a session that stands; return whether its link is established, and the transport.

        `before` is what the link's fact says so far.
        """
        self.forgot(peer)
        if not self._context.config.datapath or not line.session:
            return True, FASTDP
        paths = {FASTDP: _barred(line.no_fastdp), SLEEVE: _barred(line.no_sleeve)}
        way = self._ways[peer] = _Way(line, paths, self._context.at.mono_ms)
        self._peers[line.session] = peer
        self._lines = None
        fast = paths[FASTDP]
        if not line.is_probed and fast.state == "unknown":
            fast.state = "up"
        elif before is not None and before.established and before.transport in paths:
            path = paths[before.transport]
            if path.state == "unknown":
                path.state = "believed"
                self._context.mark("paths.believed")
        self._context.timer(TIMER + peer, BELIEVED_MS)
        transport = self._best(way)
        return bool(transport), transport

    def closed(self, peer: PeerName) -> None:
        """Note that the session has ended, and its link is held."""
        way = self._ways.get(peer)
        if way is not None:
            way.is_open = False

    def forgot(self, peer: PeerName) -> None:
        """Note that nothing is left of a session."""
        way = self._ways.pop(peer, None)
        if way is not None:
            self._context.timer(TIMER + peer, None)
            self._peers.pop(way.line.session, None)
            self._lines = None

    def went_up(self, event: PathUp) -> None:
        """Learn that frames get through by a transport."""
        way, path = self._find(event.session, event.transport)
        if way is not None and path is not None:
            path.state, path.why, path.mtu = "up", "", event.mtu
            self._settle(way)

    def went_down(self, event: PathDown) -> None:
        """Learn that frames do not get through by a transport, or no more."""
        way, path = self._find(event.session, event.transport)
        if way is None or path is None:
            return
        if not way.is_open and event.transport == FASTDP:
            self._context.mark("paths.held-without-prober")
            return
        path.state, path.why, path.mtu = "down", event.why, 0
        self._settle(way)

    def lost_prober(self, peer: PeerName) -> None:
        """Note that whoever finds out what gets through to a neighbour begins anew, and does not know yet."""
        way = self._ways.get(peer)
        if way is None or not way.line.is_probed:
            return
        for path in way.paths.values():
            if path.state == "up":
                path.state = "believed"
                self._context.mark("paths.prober-lost")
        way.since_ms = self._context.at.mono_ms
        self._context.timer(TIMER + peer, BELIEVED_MS)

    def timer(self, name: str) -> bool:
        """Believe no more what nobody has confirmed; False when the timer is not ours."""
        if not name.startswith(TIMER):
            return False
        peer = PeerName(name.removeprefix(TIMER))
        way = self._ways.get(peer)
        if way is not None and any(path.state == "believed" for path in way.paths.values()):
            self._settle(way)
            age_ms = self._context.at.mono_ms - way.since_ms
            if age_ms < 2 * BELIEVED_MS:
                self._context.timer(name, 2 * BELIEVED_MS - age_ms)
            else:
                for path in way.paths.values():
                    if path.state == "believed":
                        path.state = "unknown"
        return True

    # What others ask.

    @property
    def lines(self) -> Mapping[PeerName, Line]:
        """Sessions that carry frames, those of held links included; the same object while nothing changes."""
        if self._lines is None:
            self._lines = {peer: way.line for peer, way in sorted(self._ways.items())}
        return self._lines

    def mtu(self, peer: PeerName) -> int:
        """Return what gets through to a neighbour whole by the transport in use, in bytes on containers' interfaces."""
        way = self._ways.get(peer)
        path = None if way is None else way.paths.get(self._best(way))
        return path.mtu if path is not None and path.mtu else self._context.config.mtu

    def reason(self, peer: PeerName) -> str:
        """Say why frames do not go the fastest way, or none at all; empty when they do."""
        way = self._ways.get(peer)
        if way is None:
            return ""
        transport = self._best(way)
        slower = [f"{name}: {path.why}" for name, path in way.paths.items() if path.state != "up" and name != transport]
        return "" if transport == FASTDP else "; ".join(slower[:1] if transport else slower)

    # Helpers.

    def _find(self, session: str, transport: str) -> tuple[_Way, _Path] | tuple[None, None]:
        """Return whom a report is about; nobody when its session is over or it says what nobody has asked."""
        peer = self._peers.get(session)
        way = None if peer is None else self._ways[peer]
        path = None if way is None else way.paths.get(transport)
        if way is None or path is None or not way.line.is_probed:
            return None, None
        if transport == FASTDP and way.line.no_fastdp:
            return None, None
        return way, path

    def _best(self, way: _Way) -> str:
        """Return the best transport that is up, or believed to be; empty when there is none."""
        age_ms = self._context.at.mono_ms - way.since_ms
        is_sole = not any(path.state == "up" for path in way.paths.values())
        believed_ms = 2 * BELIEVED_MS if is_sole else BELIEVED_MS
        for transport, path in way.paths.items():
            if path.state == "up" or (path.state == "believed" and age_ms < believed_ms):
                return transport
        return ""

    def _settle(self, way: _Way) -> None:
        """Let the link's fact say what is so."""
        context, key = self._context, link_key(self._peers[way.line.session])
        before = context.board.get(context.me, key, LinkRecord)
        assert before is not None, "a session that stands or is held has its fact"
        transport = self._best(way)
        if transport == before.transport:
            return
        if not transport:
            context.mark("paths.lost")
        elif before.transport:
            context.mark("paths.changed")
        context.write(put(key, replace(before, established=bool(transport), transport=transport)))


def _barred(why: str) -> _Path:
    return _Path("down", why) if why else _Path()
