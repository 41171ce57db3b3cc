"""Who is linked to whom, and what follows from it for us: next hops, trees, reach.

A link counts when both ends report it established. The graph here is the last one that was read: it is read again when
link or peer facts have changed, at most every `quiet_ms`, because while a large network forms every fact changes the
graph (mesh #105). Hosts that drive a kernel or discover peers read it as soon as they may, others when somebody asks.
All properties belong to the same graph, and are worked out when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.board import Board
from core.context import Context
from core.kinds import LinkRecord, PeerRecord
from core.mesh.routing import Graph, TreeRole, next_hops, trees
from core.types import PeerName

TIMER = "mesh/routes"
QUIET_MS_MIN = 100
"""Between recomputations; Weave Net waits as long."""
QUIET_MS_PER_PEER = 2
"""A full mesh of 200 peers takes about 60 ms to read; this keeps the cost near a tenth of one processor."""
LINK_PREFIX = "link/"


class Topology:
    """The graph as last read, and our routes in it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._is_eager = context.config.datapath or context.config.discovery
        self._seen: tuple[int, ...] | None = None
        self._computed_ms: int | None = None
        self._waiting = False
        self._graph = Graph.of((context.me,), ())
        self._next_hops: Mapping[PeerName, PeerName] | None = None
        self._trees: Mapping[PeerName, TreeRole] | None = None
        self._reachable: frozenset[PeerName] | None = None

    def refresh(self) -> bool:
        """Read the graph if facts have changed and the last time is long enough ago; say whether anything is new."""
        if not self._is_eager:
            return False
        version = self._context.board.version(LinkRecord, PeerRecord)
        if version == self._seen or self._waiting:
            return False
        if self._is_quiet_time:
            assert self._computed_ms is not None, "it was read a moment ago"
            self._waiting = True
            self._context.timer(TIMER, self._computed_ms + self._quiet_ms - self._context.at.mono_ms)
            return False
        return self._compute(version)

    def timer(self) -> bool:
        """Read the graph now that it was quiet; say whether anything is new."""
        self._waiting = False
        return self._compute(self._context.board.version(LinkRecord, PeerRecord))

    @property
    def graph(self) -> Graph:
        """Peers that have said who they are, and symmetric established links. Another object when another graph."""
        if not self._is_eager and not self._is_quiet_time:
            version = self._context.board.version(LinkRecord, PeerRecord)
            if version != self._seen:
                self._compute(version)
        return self._graph

    @property
    def next_hops(self) -> Mapping[PeerName, PeerName]:
        """For every peer within reach, the neighbour to go through."""
        graph = self.graph
        if self._next_hops is None:
            self._next_hops = next_hops(graph, self._context.me)
        return self._next_hops

    @property
    def trees(self) -> Mapping[PeerName, TreeRole]:
        """For every source within reach, our place in its broadcast tree."""
        graph = self.graph
        if self._trees is None:
            self._trees = trees(graph, self._context.me)
        return self._trees

    def reachable(self, peer: PeerName) -> bool:
        """Say whether a path leads there."""
        graph = self.graph
        if self._reachable is None:
            self._reachable = graph.reachable(self._context.me)
        return peer in self._reachable

    @property
    def _quiet_ms(self) -> int:
        return max(QUIET_MS_MIN, QUIET_MS_PER_PEER * len(self._graph.names))

    @property
    def _is_quiet_time(self) -> bool:
        """Say whether the graph was read so lately that it is not yet read again."""
        return self._computed_ms is not None and self._context.at.mono_ms < self._computed_ms + self._quiet_ms

    def _compute(self, version: tuple[int, ...]) -> bool:
        self._seen, self._computed_ms = version, self._context.at.mono_ms
        graph = read_graph(self._context.board)
        if graph == self._graph:
            return False
        self._graph = graph
        self._next_hops = self._trees = self._reachable = None
        return True


def read_graph(board: Board) -> Graph:
    """Return who is linked to whom by the facts on a board: us, peers that have said who they are, symmetric links."""
    peers = {peer: None for peer, _, _ in board.all(PeerRecord)}
    peers[PeerName(board.me.peer)] = None
    said = {
        (peer, PeerName(key[len(LINK_PREFIX) :])): None
        for peer, key, record in board.all(LinkRecord)
        if record.established and key.startswith(LINK_PREFIX)
    }
    links = (link for link in said if link[0] < link[1] and link[::-1] in said)
    return Graph.of(peers, (link for link in links if link[0] in peers and link[1] in peers))
