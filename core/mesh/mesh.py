"""The mesh of one host: its parts put together, with one door for the Replica.

Nothing here decides; it passes on what happens to the part that does, and answers what others ask of the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.context import Context
from core.events import Connect, Forget, LinkUp, PathDown, PathUp, Received
from core.kinds import LinkRecord, PeerRecord, peer_key
from core.mesh.describe import describe
from core.mesh.dialler import RETRY, Dialler
from core.mesh.gossip import Gossip
from core.mesh.line import Line
from core.mesh.paths import Paths
from core.mesh.relay import Letter, Relay
from core.mesh.routing import Graph, TreeRole
from core.mesh.sessions import LINK_PREFIX, Closed, Sessions
from core.mesh.shortids import ShortIds
from core.mesh.status import MeshStatus
from core.mesh.topology import TIMER as ROUTES
from core.mesh.topology import Topology
from core.messages import Routed, SpaceAsk, SpaceRefused
from core.reconcile.objects import KernelObject, Tunnel
from core.types import HostPort, LinkId, PeerName, RequestId, ShortId
from crdt.fact import Origin

TIMERS = "mesh/"
"""All our timers begin so."""
ALONE = "mesh/alone"
ALONE_MS = 15_000
"""Nobody met for this long: whoever there is cannot be waited for."""
ALONE_ROUNDS_MAX = 4
"""So often somebody who is there may fail to tell us all; then we go on without."""


class Mesh:
    """Peers, connections, routes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._paths = Paths(context)
        self._sessions = Sessions(context, self._paths, up=self._session_up, down=self._session_down)
        self._dialler = Dialler(context, self._sessions)
        self._gossip = Gossip(context, lambda: self._sessions.links, self._dialler.heard_of)
        self._topology = Topology(context)
        self._relay = Relay(context, self._topology, lambda: self._sessions.links)
        self._short_ids = ShortIds(context)
        self._neighbours: dict[PeerName, HostPort] = {}
        self._transports: dict[PeerName, str] = {}
        self._neighbours_seen: tuple[int, ...] | None = None
        self._is_alone = False
        self._alone_rounds = 0
        self._has_started = False

    # What happens.

    def started(self) -> None:
        """Begin to call and to listen."""
        self._has_started = True
        self._context.timer(ALONE, ALONE_MS)
        self._sessions.started()
        self._gossip.started()
        self._dialler.started()
        self.facts_changed()

    def link_up(self, event: LinkUp) -> None:
        """Greet a new connection."""
        self._dialler.connected(event.link, event.target)
        self._sessions.link_up(event)

    def dial_failed(self, target: str, reason: str) -> None:
        """Try again later."""
        self._dialler.failed(target, reason)

    def link_down(self, link: LinkId, reason: str) -> None:
        """Forget a connection."""
        self._sessions.link_down(link, reason)

    def misbehaved(self, link: LinkId, reason: str) -> None:
        """Hang up."""
        self._sessions.misbehaved(link, reason)

    def path_up(self, event: PathUp) -> None:
        """Let frames take a transport that gets through."""
        self._paths.went_up(event)

    def path_down(self, event: PathDown) -> None:
        """Let frames take no transport that does not get through."""
        self._paths.went_down(event)

    def kernel_dumped(self, objects: tuple[KernelObject, ...]) -> None:
        """Learn to which neighbours somebody finds out what gets through."""
        probed = {item.peer: item.session for item in objects if isinstance(item, Tunnel)}
        for peer, line in self._paths.lines.items():
            if probed.get(peer) != line.session:
                self._paths.lost_prober(peer)

    def received(self, event: Received) -> tuple[Letter, ...]:
        """Handle a message; return letters to us."""
        if not self._sessions.received(event.link, event.message):
            return ()
        if isinstance(event.message, Routed):
            return self._relay.received(event.message)
        fault = self._gossip.received(event.link, event.message)
        if fault is not None:
            self._sessions.misbehaved(event.link, fault)
        return ()

    def released(self) -> tuple[Received, ...]:
        """Return messages to be heard now: who said them had to wait."""
        return self._sessions.released()

    def heard_of_esp(self, event: Received) -> PeerName | None:
        """Take note of a message about ESP; return whose it is, if it came by the session that stands."""
        if not self._sessions.received(event.link, event.message):
            return None
        return next((peer for peer, link in self._sessions.links.items() if link == event.link), None)

    def timer(self, name: str) -> bool:
        """Handle a timer; False when it is not ours."""
        if name == ALONE:
            self._alone_rounds += 1
            if self._sessions.links and self._alone_rounds < ALONE_ROUNDS_MAX:
                if not self._gossip.has_caught_up:
                    self._context.mark("mesh.neighbour-slow-to-tell")
                self._context.timer(ALONE, ALONE_MS)
            else:
                self._is_alone = True
        elif name == RETRY:
            self._dialler.timer()
        elif name == ROUTES:
            if self._topology.timer():
                self._dialler.discover()
        else:
            return self._gossip.timer(name) or self._sessions.timer(name) or self._paths.timer(name)
        return True

    def connect(self, request: RequestId, command: Connect) -> None:
        """Take on targets."""
        self._dialler.name(dict.fromkeys(command.peers), replace=command.replace)
        self._context.answer(request)

    def forget(self, request: RequestId, command: Forget) -> None:
        """Give up targets."""
        self._dialler.unname(command.peers)
        self._context.answer(request)

    def facts_changed(self) -> bool:
        """Catch up with the facts; say whether routes are new."""
        if self.in_sync:
            self._short_ids.settle()
        is_new = self._topology.refresh()
        if is_new:
            self._dialler.discover()
        return is_new

    def announce(self, origin: Origin) -> None:
        """Tell neighbours that more of a stream is durable."""
        self._gossip.announce(origin)

    def reborn(self) -> None:
        """Compare again, under a new name of our own; until then we do not know what others know."""
        self._is_alone = False
        self._alone_rounds = 0
        self._context.timer(ALONE, ALONE_MS)
        self._gossip.reborn()

    # What others ask.

    @property
    def in_sync(self) -> bool:
        """Say whether we know what others know: one has told us, or nobody answers.

        Once true, it stays, unless all whom we reach say that another host has our name.
        """
        if not self._has_started or self._sessions.is_kept_out:
            return False
        if not self._is_alone and not self._gossip.has_caught_up:
            self._is_alone = not self._dialler.has_hope and self._sessions.count() == 0
        return self._is_alone or self._gossip.has_caught_up

    @property
    def rolled_back_to(self) -> int | None:
        """Incarnation of ours of which others hold more than we do."""
        return self._gossip.rolled_back_to

    def send_to(self, peer: PeerName, body: SpaceAsk | SpaceRefused) -> bool:
        """Send a letter on its way; False when there is no way."""
        return self._relay.send(peer, body)

    def link_to(self, peer: PeerName) -> LinkId | None:
        """Return the connection that stands with a neighbour."""
        return self._sessions.links.get(peer)

    def reachable(self, peer: PeerName) -> bool:
        """Say whether a path leads there."""
        return self._topology.reachable(peer)

    @property
    def reached(self) -> frozenset[PeerName]:
        """Everybody to whom a path leads; another object when others."""
        return self._topology.reached

    @property
    def short_id(self) -> ShortId | None:
        """Our number."""
        return self._short_ids.mine()

    @property
    def short_ids(self) -> Mapping[PeerName, ShortId]:
        """Everybody's number."""
        return self._short_ids.of_peers()

    @property
    def graph(self) -> Graph:
        """Peers and links; another object whenever next hops or trees may be others."""
        return self._topology.graph

    @property
    def next_hops(self) -> Mapping[PeerName, PeerName]:
        """Destination and neighbour."""
        return self._topology.next_hops

    @property
    def trees(self) -> Mapping[PeerName, TreeRole]:
        """Our place in everybody's broadcast tree."""
        return self._topology.trees

    def neighbour_addresses(self) -> Mapping[PeerName, HostPort]:
        """Return where the overlay devices of our neighbours are, held links included; the same object while equal."""
        self._read_neighbours()
        return self._neighbours

    def transports(self) -> Mapping[PeerName, str]:
        """Return what carries frames to our neighbours, held links included; the same object while equal."""
        self._read_neighbours()
        return self._transports

    @property
    def lines(self) -> Mapping[PeerName, Line]:
        """Sessions that carry frames; the same object while nothing changes."""
        return self._paths.lines

    def alarms(self) -> tuple[str, ...]:
        """Return what somebody should look at."""
        return self._gossip.alarms + self._sessions.namesakes.alarms()

    def describe(self) -> MeshStatus:
        """Return what status and report show. O(facts of peers and links)."""
        return describe(
            self._context,
            self._sessions,
            self._paths,
            self._dialler,
            self._topology,
            self._short_ids,
            in_sync=self.in_sync,
        )

    def _read_neighbours(self) -> None:
        board, me = self._context.board, self._context.me
        version = board.version(LinkRecord, PeerRecord)
        if version == self._neighbours_seen:
            return
        self._neighbours_seen = version
        places: dict[PeerName, HostPort] = {}
        transports: dict[PeerName, str] = {}
        for key, record in board.of(me, LinkRecord):
            peer = PeerName(key.removeprefix(LINK_PREFIX))
            known = board.get(peer, peer_key(), PeerRecord)
            host, _, _ = record.address.rpartition(":")
            if known is not None and record.established:
                places[peer] = HostPort(host.strip("[]"), known.port + 1)
                transports[peer] = record.transport
        if places != self._neighbours:
            self._neighbours = places
        if transports != self._transports:
            self._transports = transports

    def _session_up(self, link: LinkId, peer: PeerName) -> None:
        self._gossip.link_up(link)
        self._dialler.session_up(link, peer)

    def _session_down(self, link: LinkId, closed: Closed) -> None:
        self._gossip.link_down(link)
        self._dialler.session_down(link, closed)
