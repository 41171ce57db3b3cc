"""Scenario files: what is written is read, and what is wrong in a file is named with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.config import SeedMode
from core.ipam.universe import universe_of
from sim.actions import Cut, HostIndex, Relaunch, Split, Take
from sim.expectation import Expectation
from sim.scenario import HostSpec, Scenario, ScenarioError, Step, dump, load

A, B = HostIndex(0), HostIndex(1)
SCENARIO = Scenario(
    seed="7",
    hosts=(HostSpec("a", (B,)), HostSpec("b", (A,), starts=False, ring="seed", among=(B,))),
    universe="10.32.0.0/24",
    ring="seed",
    until_ms=1000,
    steps=(
        Step(5, Cut(A, B)),
        Step(6, Split((A,))),
        Step(6, Take(B, ("x", "y"))),
        Step(7, Relaunch(B, "10.9.0.0/24", "consensus", (A, B))),
    ),
    walls=((A, B),),
    core=(A,),
    allow=("false-death",),
    title="a story",
    expect=(Expectation(7, (A, B), "state", "ready"), Expectation(9, (B,), "alarms", "… no …", never=True)),
)


def test_what_is_written_is_read() -> None:
    assert load(dump(SCENARIO)) == SCENARIO


def test_a_scenario_without_steps_is_written_and_read() -> None:
    quiet = Scenario("1", (HostSpec("a"),), "10.32.0.0/24", "consensus", 0)
    assert load(dump(quiet)) == quiet


TWO: list[dict[str, Any]] = [{"nickname": "a"}, {"nickname": "b"}]


def spoil(**changes: Any) -> str:
    return json.dumps({**json.loads(dump(SCENARIO)), **changes})


def first_step(**changes: Any) -> str:
    step = {"at_ms": 5, "do": "cut", "source": 0, "target": 1, **changes}
    return spoil(steps=[{name: value for name, value in step.items() if value is not None}])


def expecting(*more: dict[str, Any], **changes: Any) -> str:
    first = {"at_ms": 10, "part": "state", "hosts": [0], "shows": "", **changes}
    return spoil(expect=[first, *more])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        (spoil(format=0), "field 'format': this version reads format 1, found 0"),
        (spoil(hosts=[]), "field 'hosts'"),
        (spoil(hosts=3), "field 'hosts': expected a list, found 3"),
        (spoil(hosts=[{"nickname": 5}]), r"field 'hosts\[0\].nickname': expected a text, found 5"),
        (spoil(hosts=[{"targets": []}]), r"field 'hosts\[0\].nickname': missing"),
        (spoil(colour="red"), "field 'colour': unknown"),
        (spoil(universe="10.32.0.1/24"), "field 'universe': invalid subnet"),
        (spoil(ring="votes"), "field 'ring': expected one of consensus, seed, observer, found 'votes'"),
        (spoil(ring=""), "field 'ring': expected one of consensus"),
        (spoil(until_ms=True), "field 'until_ms': expected a number, found true"),
        (
            spoil(hosts=[{"nickname": "a", "release": "old"}] * 2),
            r"field 'hosts\[0\].release': expected 'next' or nothing",
        ),
        (first_step(do="upgrade", source=None, target=None, host=0, release="x"), r"field 'steps\[0\].release'"),
        (spoil(walls=[[0]]), r"field 'walls\[0\]': expected 2 items, found 1"),
        (spoil(walls=[[0, 9]]), r"field 'walls\[0\]': expected a host from 0 to 1, found 9"),
        (spoil(core=[2]), r"field 'core\[0\]': expected a host from 0 to 1, found 2"),
        (spoil(allow=["magic"]), "field 'allow': expected some of"),
        (spoil(hosts=[{"nickname": "a", "ring": "votes"}]), r"field 'hosts\[0\].ring': expected one of consensus"),
        (
            spoil(hosts=[{"nickname": "a"}, {"nickname": "b", "among": [7]}]),
            r"field 'hosts\[1\].among\[0\]': expected a host from 0 to 1",
        ),
        (first_step(do="relaunch", host=0, universe="10.9.0.1/24", source=None, target=None), r"steps\[0\].universe'"),
        (expecting(part="mood"), r"field 'expect\[0\].part': expected one of alarms, .*found 'mood'"),
        (expecting(hosts=[2]), r"field 'expect\[0\].hosts\[0\]': expected a host from 0 to 1, found 2"),
        (expecting({"at_ms": 9, "part": "state", "hosts": [], "shows": ""}), r"expect\[1\].at_ms': 9 comes after 10"),
        (first_step(do="fly"), r"field 'steps\[0\].do': expected one of cut, split"),
        (first_step(at_ms=-1), r"field 'steps\[0\].at_ms': expected a number from 0 on, found -1"),
        (first_step(target=None), r"field 'steps\[0\].target': missing"),
        (first_step(target=2), r"field 'steps\[0\].target': expected a host from 0 to 1, found 2"),
        (first_step(target="b"), r"field 'steps\[0\].target': expected a number, found \"b\""),
        (spoil(steps=[{"at_ms": 9, "do": "heal"}, {"at_ms": 8, "do": "heal"}]), r"steps\[1\].at_ms': 8 comes after 9"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load(text)


def test_hosts_may_be_told_different_things() -> None:
    hosts = (
        HostSpec("a"),
        HostSpec("b", universe="10.9.0.0/24", ring="seed", among=(B,)),
        HostSpec("c", universe="none", ring="consensus", among=(A, B)),
    )
    first, second, third = Scenario("1", hosts, "10.32.0.0/24", "seed", 0).configs()
    names = tuple(config.peer for config in (first, second, third))
    assert (first.universe, first.seed) == (universe_of("10.32.0.0/24"), SeedMode("seed", names))
    assert (second.universe, second.seed) == (universe_of("10.9.0.0/24"), SeedMode("seed", names[1:2]))
    assert (third.universe, third.seed) == (None, SeedMode("consensus", (), 2))
