"""Calls come through, are refused, or hear nothing, each for its own reason."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from core.board import Board
from core.config import Config, Recovered
from core.effects import Dial, Effect
from core.events import DialFailed, Event, LinkDown, LinkUp, NamesAsked, Started
from core.types import HostPort, Instant
from crdt.fact import Origin
from crdt.store import Store
from sim.dials import DIAL_TIMEOUT_US
from sim.names import address_of, nat_address_of, peer_name
from sim.world import World

S = 1_000_000


class Listener:
    """An agent that dials what it is configured to dial, and notes what happens."""

    def __init__(self, config: Config, recovered: Recovered, entropy: random.Random) -> None:
        self.store, self.board, self.marks = Store(), Board(Origin("", 0)), dict[str, int]()
        self.heard: list[Event] = []
        self._targets = config.targets

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        if not isinstance(event, NamesAsked):
            self.heard.append(event)
        return [Dial(target) for target in self._targets] if isinstance(event, Started) else []


@dataclass
class Pair:
    world: World

    def heard(self, index: int) -> list[Event]:
        heart = self.world.hosts[index].heart
        assert isinstance(heart, Listener)
        return heart.heard[1:]

    def call(self) -> None:
        """Let host 0 call host 1."""
        self.world.start(self.world.hosts[0])


@pytest.fixture
def pair() -> Pair:
    configs = (
        Config(peer=peer_name(0), nickname="a", targets=(address_of(1),)),
        Config(peer=peer_name(1), nickname="b"),
    )
    world = World("1", configs, Listener)
    world.start(world.hosts[1])
    return Pair(world)


def reason(pair: Pair) -> str:
    [event] = pair.heard(0)
    assert isinstance(event, DialFailed)
    return event.reason


def test_a_call_comes_through_to_both_ends(pair: Pair) -> None:
    pair.call()
    pair.world.run(S)
    [near], [far] = pair.heard(0), pair.heard(1)
    assert isinstance(near, LinkUp)
    assert (near.outbound, near.remote, near.target) == (True, HostPort(address_of(1), 6783), address_of(1))
    assert isinstance(far, LinkUp)
    assert (far.outbound, far.remote.host, far.target) == (False, address_of(0), None)
    assert far.remote.port >= 32_768


def test_where_no_agent_runs_a_call_is_refused_at_once(pair: Pair) -> None:
    pair.world.crash(pair.world.hosts[1], power=False)
    pair.call()
    pair.world.run(S)
    assert reason(pair) == "connection refused"


def test_a_machine_without_power_says_nothing(pair: Pair) -> None:
    pair.world.crash(pair.world.hosts[1], power=True)
    pair.call()
    pair.world.run(DIAL_TIMEOUT_US - 1)
    assert pair.heard(0) == []
    pair.world.run(DIAL_TIMEOUT_US)
    assert reason(pair) == "connection timed out"


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0)])
def test_a_cut_in_either_direction_stops_a_call(pair: Pair, source: int, target: int) -> None:
    pair.world.network.cut(source, target)
    pair.call()
    pair.world.run(DIAL_TIMEOUT_US)
    assert reason(pair) == "connection timed out"
    assert pair.heard(1) == []


def test_a_call_asks_again_and_so_survives_a_short_cut(pair: Pair) -> None:
    pair.world.network.cut(0, 1)
    pair.call()
    pair.world.run(S // 2)
    pair.world.network.heal()
    pair.world.run(2 * S)
    assert [type(event) for event in pair.heard(0)] == [LinkUp]


def test_what_is_doubled_on_the_way_makes_one_connection(pair: Pair) -> None:
    pair.world.network.change(0, 1, repeat_percent=100)
    pair.world.network.change(1, 0, repeat_percent=100)
    pair.call()
    pair.world.run(10 * S)
    assert [type(event) for event in pair.heard(0)] == [LinkUp]
    assert [type(event) for event in pair.heard(1)] == [LinkUp]


def test_nobody_gets_through_to_a_host_behind_a_nat(pair: Pair) -> None:
    pair.world.network.hide(1)
    pair.call()
    pair.world.run(10 * S)
    assert reason(pair) == "connection timed out"


def test_a_host_behind_a_nat_calls_and_is_seen_as_the_nat(pair: Pair) -> None:
    pair.world.network.hide(0)
    pair.call()
    pair.world.run(10 * S)
    [far] = pair.heard(1)
    assert isinstance(far, LinkUp)
    assert far.remote.host == nat_address_of(0)


def test_who_has_restarted_knows_nothing_of_a_call_to_its_earlier_life(pair: Pair) -> None:
    pair.world.network.change(0, 1, latency_us=400_000, jitter_us=0)
    pair.call()
    pair.world.run(500_000)
    [event] = pair.heard(0)
    assert isinstance(event, LinkUp), "the machine has answered"
    pair.world.crash(pair.world.hosts[1], power=False)
    pair.world.start(pair.world.hosts[1])
    pair.world.run(10 * S)
    assert pair.heard(0)[1:] == [LinkDown(event.link, "connection reset by peer")]
    assert pair.heard(1) == []


def test_an_address_that_nobody_has_is_not_reached(pair: Pair) -> None:
    pair.world.hosts[0].config = Config(peer=peer_name(0), nickname="a", targets=("10.9.9.9", f"{address_of(1)}:99"))
    pair.call()
    pair.world.run(S)
    assert [event.reason for event in pair.heard(0) if isinstance(event, DialFailed)] == ["no route to host"] * 2
