"""Who is linked to whom, and what follows from it for us: next hops, trees, reach.

A link counts for frames when both ends report it established, and for letters when both ends report it at all: two
graphs, and one object where they are alike, as they mostly are. They are as last read: they are read again when
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
        self._letters = self._graph
        self._next_hops: Mapping[PeerName, PeerName] | None = None
        self._letter_hops: Mapping[PeerName, PeerName] | None = None
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
        self._read_late()
        return self._graph

    @property
    def letters(self) -> Graph:
        """Peers that have said who they are, and symmetric links, whether or not frames get through."""
        self._read_late()
        return self._letters

    @property
    def next_hops(self) -> Mapping[PeerName, PeerName]:
        """For every peer within reach of frames, the neighbour to go through."""
        graph = self.graph
        if self._next_hops is None:
            self._next_hops = next_hops(graph, self._context.me)
        return self._next_hops

    @property
    def letter_hops(self) -> Mapping[PeerName, PeerName]:
        """For every peer within reach of letters, the neighbour to go through."""
        graph = self.letters
        if graph is self.graph:
            return self.next_hops
        if self._letter_hops is None:
            self._letter_hops = next_hops(graph, self._context.me)
        return self._letter_hops

    @property
    def trees(self) -> Mapping[PeerName, TreeRole]:
        """For every source within reach, our place in its broadcast tree."""
        graph = self.graph
        if self._trees is None:
            self._trees = trees(graph, self._context.me)
        return self._trees

    @property
    def reached(self) -> frozenset[PeerName]:
        """Everybody to whom a path for letters leads, ourselves included. Another object when others."""
        graph = self.letters
        if self._reachable is None:
            self._reachable = graph.reachable(self._context.me)
        return self._reachable

    def reachable(self, peer: PeerName) -> bool:
        """Say whether a path for letters leads there."""
        return peer in self.reached

    @property
    def _quiet_ms(self) -> int:
        return max(QUIET_MS_MIN, QUIET_MS_PER_PEER * len(self._graph.names))

    @property
    def _is_quiet_time(self) -> bool:
        """Say whether the graph was read so lately that it is not yet read again."""
        return self._computed_ms is not None and self._context.at.mono_ms < self._computed_ms + self._quiet_ms

    def _compute(self, version: tuple[int, ...]) -> bool:
        self._seen, self._computed_ms = version, self._context.at.mono_ms
        graph, letters = read_graphs(self._context.board)
        is_new = graph != self._graph
        if is_new:
            self._graph = graph
            self._next_hops = self._trees = None
        if letters == self._graph:
            letters = self._graph
        if letters != self._letters:
            self._reachable = self._letter_hops = None
            is_new = True
        self._letters = letters
        return is_new

    def _read_late(self) -> None:
        """Read the graph when somebody asks, on a host that needs it for nothing else."""
        if not self._is_eager and not self._is_quiet_time:
            version = self._context.board.version(LinkRecord, PeerRecord)
            if version != self._seen:
                self._compute(version)


def read_graphs(board: Board) -> tuple[Graph, Graph]:
    """Return who is linked to whom by the facts on a board, for frames and for letters.

    Both hold us, peers that have said who they are, and links that both ends report: established, or at all.
    """
    peers = {peer: None for peer, _, _ in board.all(PeerRecord)}
    peers[PeerName(board.me.peer)] = None
    said = {
        (peer, PeerName(key[len(LINK_PREFIX) :])): record.established
        for peer, key, record in board.all(LinkRecord)
        if key.startswith(LINK_PREFIX)
    }
    links = [
        (link, established and said[link[::-1]])
        for link, established in said.items()
        if link[0] < link[1] and link[::-1] in said and link[0] in peers and link[1] in peers
    ]
    letters = Graph.of(peers, (link for link, _ in links))
    if all(established for _, established in links):
        return letters, letters
    return Graph.of(peers, (link for link, established in links if established)), letters
