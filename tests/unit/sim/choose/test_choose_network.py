"""Each kind of trouble of the network is chosen, takes place, and ends."""

from __future__ import annotations

import random

import pytest
from watched import THREE, A, B, Watched, chosen

from sim.actions import (
    Action,
    BlackHole,
    Block,
    Clog,
    Corrupt,
    Delay,
    Disturb,
    ForgetIdle,
    RestartNat,
    Sever,
    Throttle,
    Unblock,
)
from sim.agenda import Agenda
from sim.choose.network import BEGIN, KINDS
from sim.chooser import Chooser
from sim.scenario import HostSpec

HIDDEN = (HostSpec("a"), HostSpec("b", (A,)), HostSpec("c", (A, B), behind_nat=True))


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("distances", Delay),
        ("noise", Disturb),
        ("slow-lines", Throttle),
        ("clogs", Clog),
        ("garbage", Corrupt),
        ("black-holes", BlackHole),
        ("half-open", Sever),
    ],
)
def test_a_kind_does_what_it_is_named_for(kind: str, action: type[Action]) -> None:
    done = chosen(KINDS[kind])
    assert len(done) > 10
    assert {type(item) for item in done} == {action}


def test_firewalls_block_either_transport_and_let_it_pass_again() -> None:
    done = chosen(KINDS["firewalls"])
    assert {type(item) for item in done} == {Block, Unblock}
    assert {item.transport for item in done if isinstance(item, Block)} == {"fastdp", "sleeve"}


def test_nats_are_troubled_where_there_are_any() -> None:
    assert chosen(KINDS["nat"]) == []
    assert {type(item) for item in chosen(KINDS["nat"], HIDDEN)} == {ForgetIdle, RestartNat}


@pytest.mark.parametrize("kind", ["noise", "slow-lines", "garbage", "black-holes"])
def test_a_trouble_ends_by_itself(kind: str) -> None:
    ends = {
        "noise": lambda item: isinstance(item, Disturb) and not item.loss_percent + item.repeat_percent,
        "slow-lines": lambda item: isinstance(item, Throttle) and not item.bytes_per_s,
        "garbage": lambda item: isinstance(item, Corrupt) and not item.percent,
        "black-holes": lambda item: isinstance(item, BlackHole) and not item.size_max,
    }
    assert any(ends[kind](item) for item in chosen(KINDS[kind]))


def test_every_direction_has_a_length_of_its_own() -> None:
    watched = Watched(THREE)
    chooser = Chooser(watched.stage, Agenda(), random.Random(1))
    drawn = list(BEGIN["distances"](chooser))
    assert len(drawn) == len({(item.source, item.target) for item in drawn if isinstance(item, Delay)}) == 6
    assert len({item.least_us for item in drawn if isinstance(item, Delay)}) == 6
