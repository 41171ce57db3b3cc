"""Scenario files: what is written is read, and what is wrong in a file is named with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sim.actions import Cut, HostIndex, Split, Take
from sim.scenario import HostSpec, Scenario, ScenarioError, Step, dump, load

A, B = HostIndex(0), HostIndex(1)
SCENARIO = Scenario(
    seed="7",
    hosts=(HostSpec("a", (B,)), HostSpec("b", (A,), starts=False)),
    universe="10.32.0.0/24",
    ring="seed",
    until_ms=1000,
    steps=(Step(5, Cut(A, B)), Step(6, Split((A,))), Step(6, Take(B, ("x", "y")))),
    walls=((A, B),),
    core=(A,),
    allow=("false-death",),
    title="a story",
)


def test_what_is_written_is_read() -> None:
    assert load(dump(SCENARIO)) == SCENARIO


def test_a_scenario_without_steps_is_written_and_read() -> None:
    quiet = Scenario("1", (HostSpec("a"),), "10.32.0.0/24", "consensus", 0)
    assert load(dump(quiet)) == quiet


def spoil(**changes: Any) -> str:
    return json.dumps({**json.loads(dump(SCENARIO)), **changes})


def first_step(**changes: Any) -> str:
    step = {"at_ms": 5, "do": "cut", "source": 0, "target": 1, **changes}
    return spoil(steps=[{name: value for name, value in step.items() if value is not None}])


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
        (spoil(ring="votes"), "field 'ring': expected 'consensus' or 'seed'"),
        (spoil(until_ms=True), "field 'until_ms': expected a number, found true"),
        (spoil(walls=[[0]]), r"field 'walls\[0\]': expected 2 items, found 1"),
        (spoil(walls=[[0, 9]]), r"field 'walls\[0\]': expected a host from 0 to 1, found 9"),
        (spoil(core=[2]), r"field 'core\[0\]': expected a host from 0 to 1, found 2"),
        (spoil(allow=["magic"]), "field 'allow': expected some of"),
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
