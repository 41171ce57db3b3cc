"""Next hops and broadcast trees: pure functions of the graph of peers.

Every peer computes its own part from the same graph and nothing else, ties going to the lower name, so the parts fit
together: unicast gets closer with every hop and cannot loop; in the tree of a source every other peer has exactly one
parent, which lists it among its children, so a broadcast arrives everywhere exactly once. While graphs differ for a
moment after a change, frames may be lost, never multiplied: receivers drop what does not come from the parent.

Sets of peers are integers, one bit per peer in order of names: a breadth-first search over 200 peers is 200 ORs.

Source: Weave Net's `mesh/routes.go` (unicast and broadcast from breadth-first search in sorted order).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from core.types import PeerName

TreeRole = tuple[PeerName | None, tuple[PeerName, ...]]
"""A peer's place in a broadcast tree: parent (None at the source) and children, ascending."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Peers and the links between them."""

    names: tuple[PeerName, ...]
    """Peers, ascending; a peer's place is its bit."""
    indices: Mapping[PeerName, int]
    """Place of each peer."""
    adjacency: tuple[int, ...]
    """Neighbours of each peer, as bits; symmetric, no peer is its own neighbour."""

    @staticmethod
    def of(peers: Iterable[PeerName], links: Iterable[tuple[PeerName, PeerName]]) -> Graph:
        """Build a graph from links between the given peers; direction and repetition do not matter."""
        names = tuple(sorted(dict.fromkeys(peers)))
        indices = {name: index for index, name in enumerate(names)}
        adjacency = [0] * len(names)
        for left, right in links:
            if left != right:
                adjacency[indices[left]] |= 1 << indices[right]
                adjacency[indices[right]] |= 1 << indices[left]
        return Graph(names, indices, tuple(adjacency))

    def neighbours(self, peer: PeerName) -> tuple[PeerName, ...]:
        """Return the neighbours of a peer of this graph, ascending."""
        return tuple(self.names[index] for index in _members(self.adjacency[self.indices[peer]]))

    def reachable(self, peer: PeerName) -> frozenset[PeerName]:
        """Return the peers that a path leads to, itself included; empty for a stranger."""
        if peer not in self.indices:
            return frozenset()
        levels = _levels(self, self.indices[peer])
        return frozenset(self.names[index] for level in levels for index in _members(level))


def next_hops(graph: Graph, me: PeerName) -> dict[PeerName, PeerName]:
    """Return, for every other peer within reach, the neighbour through which a shortest path leads. O(peers)."""
    if me not in graph.indices:
        return {}
    hops: dict[int, int] = {}
    levels = _levels(graph, graph.indices[me])
    for nearer, level in itertools.pairwise(levels):
        for index in _members(level):
            parent = _lowest(graph.adjacency[index] & nearer)
            hops[index] = hops.get(parent, index)
    return {graph.names[index]: graph.names[hop] for index, hop in sorted(hops.items())}


def tree_role(graph: Graph, source: PeerName, me: PeerName) -> TreeRole | None:
    """Return our place in the tree of a source; None when no path leads from it to us."""
    if source not in graph.indices or me not in graph.indices:
        return None
    mine = graph.indices[me]
    levels = _levels(graph, graph.indices[source], until=mine)
    depth = len(levels) - 2 if not levels[-1] >> mine & 1 else len(levels) - 1
    if not levels[depth] >> mine & 1:
        return None
    here = levels[depth]
    beyond = levels[depth + 1] if depth + 1 < len(levels) else 0
    parent = graph.names[_lowest(graph.adjacency[mine] & levels[depth - 1])] if depth else None
    children = tuple(
        graph.names[index]
        for index in _members(graph.adjacency[mine] & beyond)
        if _lowest(graph.adjacency[index] & here) == mine
    )
    return parent, children


def trees(graph: Graph, me: PeerName) -> dict[PeerName, TreeRole]:
    """Return our place in the tree of every source from which a path leads to us. O(peers squared) of bit work."""
    roles = {source: tree_role(graph, source, me) for source in graph.names}
    return {source: role for source, role in roles.items() if role is not None}


def _levels(graph: Graph, start: int, until: int | None = None) -> list[int]:
    """Return sets of peers by distance from `start`, never empty ones; stop one past the level that holds `until`."""
    levels = [1 << start]
    seen = levels[0]
    while True:
        reached = 0
        for index in _members(levels[-1]):
            reached |= graph.adjacency[index]
        fresh = reached & ~seen
        if not fresh:
            return levels
        seen |= fresh
        levels.append(fresh)
        if until is not None and levels[-2] >> until & 1:
            return levels


def _members(bits: int) -> Iterator[int]:
    """Yield the places of the bits that are set, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
