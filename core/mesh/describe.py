"""Gathers the status of the mesh from its parts."""

from __future__ import annotations

from core.context import Context
from core.kinds import LinkRecord, PeerRecord, TargetRecord, link_key, peer_key
from core.mesh.dialler import Dialler, Place
from core.mesh.paths import Paths
from core.mesh.sessions import LINK_PREFIX, Session, Sessions
from core.mesh.shortids import ShortIds
from core.mesh.status import ConnectionStatus, MeshStatus, PeerLink, PeerStatus
from core.mesh.topology import Topology
from core.types import PeerName


def describe(
    context: Context,
    sessions: Sessions,
    paths: Paths,
    dialler: Dialler,
    topology: Topology,
    short_ids: ShortIds,
    *,
    in_sync: bool,
) -> MeshStatus:
    """Return the status of the mesh."""
    others = [peer for peer in context.board.peers() if peer != context.me]
    return MeshStatus(
        connections=_connections(context, sessions, paths, dialler),
        targets=dialler.named(),
        peers=tuple(_peer(context, topology, short_ids, peer) for peer in (context.me, *others)),
        short_id=short_ids.mine(),
        in_sync=in_sync,
        next_hops=tuple(sorted(topology.next_hops.items())),
        trees=tuple((source, *topology.trees[source]) for source in sorted(topology.trees)),
        terminations=sessions.terminations,
    )


def describe_facts(context: Context, topology: Topology, short_ids: ShortIds) -> MeshStatus:
    """Return the status of the mesh as far as facts tell: links that stood, and none of the tries that failed."""
    others = [peer for peer in context.board.peers() if peer != context.me]
    peers = tuple(_peer(context, topology, short_ids, peer) for peer in (context.me, *others))
    connections = tuple(_connection(context, key, link) for key, link in context.board.of(context.me, LinkRecord))
    return MeshStatus(
        connections=tuple(sorted(connections, key=lambda line: (line.outbound, line.address))),
        targets=tuple(record.name for _, record in context.board.of(context.me, TargetRecord)),
        peers=peers,
        short_id=short_ids.mine(),
        in_sync=True,
        next_hops=tuple(sorted(topology.next_hops.items())),
        trees=tuple((source, *topology.trees[source]) for source in sorted(topology.trees)),
        terminations=0,
    )


def _connection(context: Context, key: str, link: LinkRecord) -> ConnectionStatus:
    peer = PeerName(key.removeprefix(LINK_PREFIX))
    record = context.board.get(peer, peer_key(), PeerRecord)
    nickname = "" if record is None else record.nickname
    state = "established" if link.established else "pending"
    attributes = (("name", link.transport),) if link.transport else ()
    info = f"{link.transport or 'none':<6} {peer}({nickname})"
    return ConnectionStatus(link.address, link.outbound, state, peer, nickname, info, attributes, None)


def _connections(context: Context, sessions: Sessions, paths: Paths, dialler: Dialler) -> tuple[ConnectionStatus, ...]:
    lines = [_session(context, paths, session) for session in sessions.all()]
    open_targets = {session.target: None for session in sessions.all()}
    for place in dialler.places():
        if place.target not in open_targets and not dialler.is_covered(place):
            lines.append(_place(context, place))
    for closed in sessions.strangers:
        reason, age_s = closed.reason, (context.at.mono_ms - closed.at_ms) // 1000
        info, error = f"{reason} ({age_s} s ago)", (("error", reason),)
        lines.append(ConnectionStatus(str(closed.remote), False, "failed", None, "", info, error, None))
    return tuple(sorted(lines, key=lambda line: (line.outbound, line.address)))


def _session(context: Context, paths: Paths, session: Session) -> ConnectionStatus:
    address = str(session.remote)
    if session.hello is None:
        return ConnectionStatus(address, session.outbound, "pending", None, "", "no Hello yet", (), None)
    peer, nickname = session.hello.peer, session.hello.nickname
    record = context.board.get(context.me, link_key(peer), LinkRecord)
    transport = "" if record is None else record.transport
    line = paths.lines.get(peer)
    is_sealed = line is not None and line.is_sealed
    attributes: tuple[tuple[str, str | int | bool], ...] = (("encrypted", is_sealed),)
    if transport:
        attributes += (("mtu", paths.mtu(peer)), ("name", transport))
    # In columns as Weave Net prints them.
    info = f"{'encrypted' if is_sealed else 'unencrypted':<11} {transport or 'none':<6} {peer}({nickname})"
    state = "established" if transport else "pending"
    why = paths.reason(peer)
    return ConnectionStatus(address, session.outbound, state, peer, nickname, info, attributes, None, why)


def _place(context: Context, place: Place) -> ConnectionStatus:
    if place.state == "dialling":
        return ConnectionStatus(place.target, True, "connecting", None, "", place.reason, (), None)
    reason = place.reason or "not tried yet"
    error = (("error", reason),)
    if place.state == "final":
        return ConnectionStatus(place.target, True, "failed", None, "", f"{reason}, will not retry", error, None)
    wait_ms = max(0, place.due_ms - context.at.mono_ms)
    retry_at_ms = context.at.wall_ms + wait_ms
    state = "failed" if place.reason else "retrying"
    return ConnectionStatus(place.target, True, state, None, "", reason, error, retry_at_ms)


def _peer(context: Context, topology: Topology, short_ids: ShortIds, peer: PeerName) -> PeerStatus:
    board = context.board
    record = board.get(peer, peer_key(), PeerRecord)
    incarnation = board.incarnation(peer) or 0
    heads = [context.store.head(origin) for origin in context.store.lives(peer)]
    newest = heads[-1] if heads else None
    return PeerStatus(
        peer=peer,
        nickname="" if record is None else record.nickname,
        incarnation=incarnation,
        seq=0 if newest is None else newest.seq,
        short_id=short_ids.of_peers().get(peer),
        version="" if record is None else record.version,
        is_reachable=topology.reachable(peer),
        links=tuple(_links(context, topology, peer)),
    )


def _links(context: Context, topology: Topology, peer: PeerName) -> list[PeerLink]:
    links = []
    graph = topology.graph
    neighbours = dict.fromkeys(graph.neighbours(peer)) if peer in graph.indices else {}
    for key, record in context.board.of(peer, LinkRecord):
        other = PeerName(key.removeprefix(LINK_PREFIX))
        known = context.board.get(other, peer_key(), PeerRecord)
        nickname = "" if known is None else known.nickname
        links.append(PeerLink(other, nickname, record.address, record.outbound, other in neighbours))
    return links
