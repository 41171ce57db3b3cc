"""Who is linked to whom, and what follows from it for us: next hops, trees, reach.

A link counts when both ends report it established. The snapshot here is the last computed one: `refresh` recomputes
when link or peer facts have changed, at most every `quiet_ms`, because while a large network forms every fact
changes the graph (mesh #105). All properties belong to the same graph.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    """The graph as last computed, and our routes in it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: tuple[int, ...] | None = None
        self._computed_ms: int | None = None
        self._waiting = False
        self.graph = Graph.of((context.me,), ())
        """Peers that have said who they are, and symmetric established links."""
        self.next_hops: Mapping[PeerName, PeerName] = {}
        """For every peer within reach, the neighbour to go through."""
        self.trees: Mapping[PeerName, TreeRole] = {context.me: (None, ())}
        """For every source within reach, our place in its broadcast tree."""
        self._reachable: frozenset[PeerName] = frozenset((context.me,))

    def refresh(self) -> bool:
        """Recompute if facts have changed and the last time is long enough ago; say whether anything is new."""
        version = self._context.board.version(LinkRecord, PeerRecord)
        if version == self._seen or self._waiting:
            return False
        now = self._context.at.mono_ms
        if self._computed_ms is not None and now < self._computed_ms + self._quiet_ms:
            self._waiting = True
            self._context.timer(TIMER, self._computed_ms + self._quiet_ms - now)
            return False
        return self._compute(version)

    def timer(self) -> bool:
        """Recompute now that it was quiet; say whether anything is new."""
        self._waiting = False
        return self._compute(self._context.board.version(LinkRecord, PeerRecord))

    def reachable(self, peer: PeerName) -> bool:
        """Say whether a path leads there."""
        return peer in self._reachable

    @property
    def _quiet_ms(self) -> int:
        return max(QUIET_MS_MIN, QUIET_MS_PER_PEER * len(self.graph.names))

    def _compute(self, version: tuple[int, ...]) -> bool:
        context = self._context
        self._seen, self._computed_ms = version, context.at.mono_ms
        graph = self._read()
        if graph == self.graph:
            return False
        self.graph = graph
        self.next_hops = next_hops(graph, context.me)
        self.trees = trees(graph, context.me)
        self._reachable = graph.reachable(context.me)
        return True

    def _read(self) -> Graph:
        board = self._context.board
        peers = {peer: None for peer, _, _ in board.all(PeerRecord)}
        peers[self._context.me] = None
        said = {
            (peer, PeerName(key[len(LINK_PREFIX) :])): None
            for peer, key, record in board.all(LinkRecord)
            if record.established and key.startswith(LINK_PREFIX)
        }
        links = (link for link in said if link[0] < link[1] and link[::-1] in said)
        return Graph.of(peers, (link for link in links if link[0] in peers and link[1] in peers))
