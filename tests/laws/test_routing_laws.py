"""Laws of routing: over any graph, unicast arrives without loops and a broadcast arrives everywhere exactly once."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given, settings
from hypothesis import strategies as st

from core.mesh.routing import Graph, next_hops, tree_role, trees
from core.types import PeerName


@st.composite
def graphs(draw: st.DrawFn, connected: bool = True) -> Graph:
    """Return a graph of 1 to 12 peers: a random tree (when connected) and random links on top."""
    count = draw(st.integers(1, 12))
    names = draw(st.permutations([PeerName(f"p{i:02}") for i in range(count)]))
    links = []
    if connected:
        links = [(names[i], names[draw(st.integers(0, i - 1))]) for i in range(1, count)]
    index = st.integers(0, count - 1)
    links += [(names[a], names[b]) for a, b in draw(st.lists(st.tuples(index, index), max_size=20))]
    return Graph.of(names, links)


def distances(graph: Graph, start: PeerName) -> dict[PeerName, int]:
    """Return hop counts, found the plain way."""
    found, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for peer in graph.neighbours(here):
            if peer not in found:
                found[peer] = found[here] + 1
                queue.append(peer)
    return found


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_a_broadcast_arrives_everywhere_exactly_once(graph: Graph) -> None:
    for source in graph.names:
        copies: Counter[PeerName] = Counter()
        queue: deque[tuple[PeerName | None, PeerName]] = deque([(None, source)])
        while queue:
            sender, here = queue.popleft()
            copies[here] += 1
            assert copies[here] == 1
            role = tree_role(graph, source, here)
            assert role is not None
            parent, children = role
            assert parent == sender
            queue.extend((here, child) for child in children)
        assert set(copies) == set(graph.names)


@given(graphs(connected=False))
@settings(max_examples=300, deadline=None)
def test_unicast_takes_a_shortest_path_to_all_within_reach_and_no_other(graph: Graph) -> None:
    hops = {name: next_hops(graph, name) for name in graph.names}
    for source in graph.names:
        reach = distances(graph, source)
        assert set(hops[source]) == set(reach) - {source}
        assert graph.reachable(source) == set(reach)
        for destination, distance in reach.items():
            here, steps = source, 0
            while here != destination:
                assert hops[here][destination] in graph.neighbours(here)
                here, steps = hops[here][destination], steps + 1
                assert steps <= distance
            assert steps == distance


@given(graphs(connected=False))
@settings(max_examples=200, deadline=None)
def test_roles_exist_exactly_for_sources_within_reach(graph: Graph) -> None:
    for me in graph.names:
        roles = trees(graph, me)
        assert set(roles) == graph.reachable(me)
        assert roles[me][0] is None
        assert all(roles[source][0] is not None for source in roles if source != me)


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_routes_follow_from_the_graph_alone(graph: Graph, random: object) -> None:
    links = [(b, a) for a in graph.names for b in graph.neighbours(a)]
    random.shuffle(links)  # type: ignore[attr-defined]
    again = Graph.of(reversed(graph.names), links)
    for me in graph.names:
        assert trees(again, me) == trees(graph, me)
        assert next_hops(again, me) == next_hops(graph, me)
