"""Symbolic packets fare as real frames do, so that what the simulator says of reachability can be trusted."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from twin_world import HOSTS, Edges, Twins, mac_of

from core.reconcile.objects import FASTDP, SLEEVE, Endpoint, EndpointUp, Hop, Identity, Op, Tree, Verb, VxlanPort
from core.types import ShortId
from sim.packets import EVERYBODY

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

LINE: Edges = ((0, 1), (1, 2), (2, 3))
TRIANGLE: Edges = ((0, 1), (1, 2), (0, 2), (2, 3))
RING: Edges = ((0, 1), (1, 2), (2, 3), (0, 3))
NOBODY = "02:00:00:00:77:77"
MULTICAST = "01:00:5e:01:02:03"
LLDP, GVRP = "01:80:c2:00:00:0e", "01:80:c2:00:00:21"
"""Between switches: the bridge keeps the first, our programs both."""


@pytest.fixture(scope="module")
def made() -> Iterator[Twins]:
    twins = Twins()
    yield twins
    twins.remove()


@pytest.fixture(
    params=[
        (LINE, ()),
        (TRIANGLE, ()),
        (RING, ()),
        (LINE, ((1, 2),)),
        (TRIANGLE, TRIANGLE),
        (RING, ((0, 1), (2, 3))),
    ],
    ids=["line", "triangle", "ring", "line-partly-sleeved", "triangle-sleeved", "ring-partly-sleeved"],
)
def twins(request: pytest.FixtureRequest, made: Twins) -> Twins:
    made.settle(*request.param)
    return made


def test_all_reach_all_and_a_broadcast_arrives_exactly_once_everywhere(twins: Twins) -> None:
    pairs = twins.pairs()
    for host, pair in pairs:
        others = {(other, (item.container, item.ifname)): item for other, item in pairs if item is not pair}
        for target in (EVERYBODY, MULTICAST):
            assert twins.send(host, pair, target).copies == dict.fromkeys(others, 1)
        for where, item in others.items():
            assert twins.send(host, pair, item.mac).copies == {where: 1}


def test_who_is_not_known_is_looked_for_everywhere(twins: Twins) -> None:
    host, pair = twins.pairs()[0]
    assert twins.send(host, pair, NOBODY).copies == {}
    assert twins.send(host, pair, LLDP).copies == {}
    assert {where for where, _ in twins.send(host, pair, GVRP).copies} == {0}
    assert {where for where, _ in twins.send(host, None, LLDP).copies} == {0}
    assert twins.send(host, None, EVERYBODY).copies
    assert twins.send(host, None, NOBODY).arrivals == {1: 1, 2: 1, 3: 1}


def test_a_missing_hop_or_tree_stops_one_direction_only(twins: Twins) -> None:
    pairs = twins.pairs()
    for item in twins.fakes[0].observe():
        if isinstance(item, Hop | Tree):
            twins.execute(0, Op(Verb.REMOVE, item))
    host, pair = pairs[0]
    assert {where for where, _ in twins.send(host, pair, EVERYBODY).copies} == {0}
    for other, item in pairs:
        twins.send(host, pair, item.mac)
        twins.send(other, item, pair.mac)
        twins.send(other, item, EVERYBODY)


def test_an_endpoint_that_is_down_or_taken_apart_gets_no_more_than_the_model_says(twins: Twins) -> None:
    pairs = twins.pairs()
    host, pair = pairs[-1]
    twins.execute(host, Op(Verb.REMOVE, EndpointUp(pair.container, pair.ifname, pair.netns)))
    for other, item in pairs:
        twins.send(other, item, pair.mac)
        twins.send(other, item, EVERYBODY)
    twins.execute(host, Op(Verb.CREATE, EndpointUp(pair.container, pair.ifname, pair.netns)))
    twins.unplug(host, pair)
    for other, item in pairs:
        twins.send(other, item, pair.mac)
        twins.send(other, item, EVERYBODY)
        twins.send(host, pair, item.mac)
    assert twins.send(host, pair, EVERYBODY).copies == {}


def test_what_comes_back_to_its_source_ends_there(twins: Twins) -> None:
    host, pair = twins.pairs()[0]
    there, back = twins.addresses[0, 1], twins.addresses[1, 0]
    one, two = ShortId(1), ShortId(2)
    twins.execute(0, Op(Verb.CHANGE, Tree(one, there, ((two, there),))))
    twins.execute(1, Op(Verb.CHANGE, Tree(one, back, ((one, back),))))
    assert [drop.why for drop in twins.send(host, pair, EVERYBODY).drops] == ["loop"]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_tables_say_both_do_the_same(made: Twins, seed: int) -> None:
    entropy = random.Random(seed)
    edges = entropy.choice((LINE, TRIANGLE, RING))
    made.settle(edges, tuple(edge for edge in edges if entropy.random() < 0.5))
    for _ in range(12):
        disturb(made, entropy)
        for _ in range(3):
            host, pair = entropy.choice(made.pairs())
            macs = [item.mac for _, item in made.pairs()]
            target = entropy.choice((*macs, *macs, EVERYBODY, EVERYBODY, MULTICAST, NOBODY, LLDP, mac_of(2, 99)))
            made.send(host, entropy.choice((pair, pair, pair, None)), target)


def disturb(twins: Twins, entropy: random.Random) -> None:
    """Change one thing on one host."""
    host = entropy.randrange(HOSTS)
    number, via = (ShortId(entropy.randint(1, HOSTS + 1)) for _ in range(2))
    neighbours = {other: address for (one, other), address in twins.addresses.items() if one == host}
    address = entropy.choice(sorted(neighbours.values()))
    pairs = [pair for where, pair in twins.pairs() if where == host]
    draw = entropy.randrange(10)
    if draw < 2:
        twins.execute(host, Op(Verb.CHANGE, Hop(number, via, address, 6784, entropy.choice((FASTDP, SLEEVE)))))
    elif draw < 5:
        children = entropy.sample(sorted(neighbours.items()), entropy.randint(0, len(neighbours)))
        branches = tuple((ShortId(other + 1), child) for other, child in sorted(children))
        parent = entropy.choice((None, address, address))
        sleeved = tuple(child for child, _ in branches if entropy.random() < 0.5)
        twins.execute(host, Op(Verb.CHANGE, Tree(number, parent, branches, entropy.choice((None, via)), sleeved)))
    elif draw < 6:
        known = [item for item in twins.fakes[host].observe() if isinstance(item, Hop | Tree)]
        twins.execute(host, Op(Verb.REMOVE, entropy.choice(known or [Identity(number)])))
    elif draw < 7:
        twins.execute(host, Op(entropy.choice((Verb.CHANGE, Verb.REMOVE)), Identity(number)))
    elif draw < 8:
        twins.cut(*entropy.sample(range(HOSTS), 2))
    elif pairs:
        meddle(twins, entropy, host, entropy.choice(pairs))


def meddle(twins: Twins, entropy: random.Random, host: int, pair: Endpoint) -> None:
    """Do something to an endpoint or a device."""
    up = EndpointUp(pair.container, pair.ifname, pair.netns)
    port = next((item for item in twins.fakes[host].observe() if isinstance(item, VxlanPort)), None)
    draw = entropy.randrange(6)
    if draw == 0 and pair.is_whole:
        twins.unplug(host, pair)
    elif draw == 1:
        twins.lose(host, pair)
    elif draw == 2 and port is not None:
        twins.lose(host, port)
    elif draw == 3:
        twins.execute(host, Op(Verb.CHANGE, replace(pair, is_whole=True)))
    else:
        twins.execute(host, Op(entropy.choice((Verb.CREATE, Verb.REMOVE)), up))
