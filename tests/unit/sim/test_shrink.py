"""Shrinking finds the few steps that matter, keeps what is violated, and knows when it has had enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.actions import Attach, CutPower, Heal, HostIndex, Kill, Split, StepClock, Take
from sim.expectation import Expectation
from sim.scenario import HostSpec, Scenario, Step, check
from sim.shrink import NothingFails, Shrunk, kind_of, shrink
from sim.simpler import hangs_together

HOSTS = tuple(HostSpec(f"host{index}", tuple(HostIndex(other) for other in range(index))) for index in range(5))
NOISE = [
    Step(at_ms, action)
    for at_ms in range(37, 9_000, 37)
    for action in (Attach(HostIndex(at_ms % 5), f"c{at_ms}"), Split((HostIndex(0), HostIndex(3))), Heal())
]
CULPRITS = (
    Step(1_003, Kill(HostIndex(3))),
    Step(4_111, Take(HostIndex(3), tuple(f"c{index}" for index in range(900, 940)))),
    Step(7_777, StepClock(HostIndex(1), -3_599_999)),
)
SCENARIO = Scenario(
    seed="1",
    hosts=HOSTS,
    universe="10.32.0.0/24",
    ring="consensus",
    until_ms=60_000,
    steps=tuple(sorted((*NOISE, *CULPRITS), key=lambda step: step.at_ms)),
    walls=((HostIndex(0), HostIndex(4)),),
    core=(HostIndex(0), HostIndex(1), HostIndex(2)),
)


class Oracle:
    """Says that a scenario fails if some host is killed and takes an address later, after which a clock goes back."""

    def __init__(self) -> None:
        self.asked: list[Scenario] = []

    def __call__(self, scenario: Scenario) -> str:
        check(scenario)
        self.asked.append(scenario)
        killed: dict[int, None] = {}
        has_taken = False
        for step in scenario.steps:
            if isinstance(step.action, Kill):
                killed[step.action.host] = None
            elif isinstance(step.action, Take):
                has_taken = has_taken or (step.action.host in killed and bool(step.action.idents))
            elif isinstance(step.action, StepClock) and step.action.by_ms < 0 and has_taken:
                return "I2: twice"
        return "I8: something else" if not killed else ""


def test_only_what_matters_is_left() -> None:
    oracle = Oracle()
    small = shrink(SCENARIO, oracle)
    assert small.is_smallest
    assert small.violation == "I2: twice"
    assert small.runs == len(oracle.asked) < 1_000
    assert len(set(oracle.asked)) == len(oracle.asked), "no candidate is played twice"
    index = HostIndex(0)
    assert small.scenario == Scenario(
        seed="1",
        hosts=(HostSpec("h0"),),
        universe="10.32.0.0/24",
        ring="seed",
        until_ms=1,
        steps=(Step(0, Kill(index)), Step(0, Take(index, ("c1",))), Step(0, StepClock(index, -1))),
    )


def test_what_people_should_see_meanwhile_is_left_out_first() -> None:
    seen = (Expectation(1, (HostIndex(0),), "state", "ready"),)
    asked: list[Scenario] = []

    def fails(scenario: Scenario) -> str:
        asked.append(scenario)
        return "I2: twice" if not scenario.expect or scenario == asked[0] else "story: hides it"

    small = shrink(replace(SCENARIO, expect=seen), fails).scenario
    assert asked[1] == SCENARIO
    assert small.steps == ()


def test_a_story_that_does_not_show_what_it_should_is_not_made_smaller() -> None:
    with pytest.raises(NothingFails, match="it keeps every promise, and does not show"):
        shrink(SCENARIO, lambda _: "story: at 7 ms a should show 'x'")


def test_a_smallest_scenario_stays_as_it_is() -> None:
    small = shrink(SCENARIO, Oracle()).scenario
    assert shrink(small, Oracle()).scenario == small


def test_steps_stay_in_order_and_the_times_between_them_count() -> None:
    def is_slow(scenario: Scenario) -> str:
        times_ms = [step.at_ms for step in scenario.steps if isinstance(step.action, Kill)]
        return "I1: slow" if len(times_ms) == 2 and times_ms[1] - times_ms[0] >= 1_500 else ""

    steps = (Step(3_333, Kill(HostIndex(0))), Step(8_888, Heal()), Step(9_999, Kill(HostIndex(1))))
    small = shrink(replace(SCENARIO, steps=steps), is_slow).scenario
    assert [type(step.action) for step in small.steps] == [Kill, Kill]
    assert small.steps[0].at_ms == 0
    assert 1_500 <= small.steps[1].at_ms <= 1_600, "near enough"


def test_what_fails_in_another_way_does_not_count() -> None:
    small = shrink(SCENARIO, Oracle())
    assert kind_of(small.violation) == "I2", "though I8 would be smaller"


def test_what_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(NothingFails):
        shrink(SCENARIO, lambda _: "")


@pytest.mark.parametrize("runs_max", [1, 2, 20])
def test_it_stops_when_there_are_no_runs_left(runs_max: int) -> None:
    oracle = Oracle()
    small = shrink(SCENARIO, oracle, runs_max=runs_max)
    assert small.runs == len(oracle.asked) == runs_max
    assert not small.is_smallest
    assert oracle(small.scenario) == "I2: twice"


def test_it_ends_when_interrupted_with_what_it_has() -> None:
    seen: list[Shrunk] = []

    def enough(small: Shrunk) -> None:
        seen.append(small)
        if len(seen) == 3:
            raise KeyboardInterrupt

    small = shrink(SCENARIO, Oracle(), watch=enough)
    assert small.scenario == seen[-1].scenario
    assert not small.is_smallest
    assert Oracle()(small.scenario)


def test_watchers_see_it_get_smaller() -> None:
    counts: list[int] = []
    shrink(SCENARIO, Oracle(), watch=lambda small: counts.append(len(small.scenario.steps)))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 3


def test_hosts_that_must_meet_can_always_meet() -> None:
    def is_split(scenario: Scenario) -> str:
        """Violated by what nobody could satisfy, too."""
        return "" if hangs_together(scenario) and len(scenario.hosts) < 3 else "I8: they do not meet"

    small = shrink(replace(SCENARIO, walls=(), core=()), is_split).scenario
    assert len(small.hosts) == 3
    assert hangs_together(small)


def crash(place: str, error: str) -> str:
    return f'crash: Traceback:\n  File "sim/run.py", line 1, in play\n  File "core/x.py", line 9, in {place}\n{error}\n'


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("I2: a", "I2: b", True),
        ("I2: a", "I3: a", False),
        (crash("f", "KeyError: 7"), crash("f", "KeyError: 8"), True),
        (crash("f", "KeyError: 7"), crash("g", "KeyError: 7"), False),
        (crash("f", "KeyError: 7"), crash("f", "AssertionError: 7"), False),
    ],
)
def test_violations_are_the_same_by_invariant_and_crashes_by_place(one: str, other: str, are_same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) is are_same


def test_power_cuts_are_steps_like_any_other() -> None:
    def is_dark(scenario: Scenario) -> str:
        return "I1: dark" if any(isinstance(step.action, CutPower) for step in scenario.steps) else ""

    steps = (*SCENARIO.steps, Step(9_500, CutPower(HostIndex(4))))
    small = shrink(replace(SCENARIO, steps=steps), is_dark).scenario
    assert small.steps == (Step(0, CutPower(HostIndex(0))),)
