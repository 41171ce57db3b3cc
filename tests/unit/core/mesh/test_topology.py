"""When the graph of peers is read: at once by who needs it, on demand by who only gossips."""

from __future__ import annotations

import random

import pytest
from playbook import HIGH, LOW, ME, config

from core.board import Board
from core.context import Context
from core.effects import SetTimer
from core.kinds import LinkRecord, PeerRecord, link_key, peer_key, put
from core.mesh.topology import QUIET_MS_MIN, TIMER, Topology
from core.types import Instant, PeerName
from crdt.fact import Fact, Origin
from crdt.store import Store


class Stage:
    """A topology, and somebody who tells it of links."""

    def __init__(self, **changes: object) -> None:
        self.context = Context(config(**changes), Store(), Board(Origin(ME, 1)), random.Random(1))
        self.topology = Topology(self.context)
        self._said = 0

    def passes(self, ms: int) -> None:
        self.context.at = Instant(self.context.at.mono_ms + ms, 0)

    def link(self, one: PeerName, other: PeerName) -> None:
        for writer, far in ((one, other), (other, one)):
            for change in (
                put(peer_key(), PeerRecord("", "", 1, 0)),
                put(link_key(far), LinkRecord("", True, True, "fastdp")),
            ):
                self._said += 1
                fact = Fact(self._said, change.key, change.kind, change.body)
                self.context.board.absorb(Origin(writer, 1), (fact,))


def test_who_only_gossips_reads_the_graph_when_asked_and_not_more_often_than_others() -> None:
    stage = Stage(datapath=False, discovery=False)
    stage.link(ME, LOW)
    assert not stage.topology.refresh(), "nobody has asked"
    assert stage.topology.reachable(LOW)
    stage.link(LOW, HIGH)
    assert not stage.topology.reachable(HIGH), "it was read a moment ago"
    stage.passes(QUIET_MS_MIN)
    assert stage.topology.reachable(HIGH)
    assert stage.topology.next_hops == {LOW: LOW, HIGH: LOW}
    assert not stage.context.effects, "no timer was needed"


@pytest.mark.parametrize("changes", [{"datapath": True}, {"datapath": False, "discovery": True}])
def test_who_needs_the_graph_reads_it_as_soon_as_it_may(changes: dict[str, object]) -> None:
    stage = Stage(**changes)
    stage.link(ME, LOW)
    assert stage.topology.refresh()
    stage.link(LOW, HIGH)
    assert not stage.topology.refresh()
    assert stage.context.effects == [SetTimer(TIMER, QUIET_MS_MIN)]
    before = stage.topology.graph
    assert not stage.topology.reachable(HIGH)
    stage.passes(QUIET_MS_MIN)
    assert stage.topology.timer()
    assert stage.topology.graph is not before
    assert stage.topology.trees == {ME: (None, (LOW,)), LOW: (LOW, ()), HIGH: (LOW, ())}
