"""Simpler scenarios are sound, and what is left out is left out everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.actions import (
    Attach,
    Cut,
    Detach,
    Doom,
    Heal,
    HostIndex,
    Kill,
    LoseObject,
    RemovePeers,
    Split,
    StepClock,
    Take,
)
from sim.scenario import HostSpec, Scenario, Step, check, dump, load
from sim.simpler import (
    containers_of,
    hangs_together,
    renamed,
    simpler,
    with_one_host_for_two,
    without_containers,
    without_host,
)

A, B, C = HostIndex(0), HostIndex(1), HostIndex(2)
SCENARIO = Scenario(
    seed="1",
    hosts=(HostSpec("a"), HostSpec("b", (A,)), HostSpec("c", (A, B))),
    universe="10.32.0.0/24",
    ring="seed",
    until_ms=1000,
    steps=(
        Step(1, Cut(A, B)),
        Step(2, Cut(B, C)),
        Step(3, Split((A, B))),
        Step(4, Kill(C)),
        Step(5, RemovePeers(A, (B, C), False)),
        Step(6, Heal()),
    ),
    walls=((A, B), (A, C), (C, B)),
    core=(B, C),
)


def test_a_host_is_left_out_wherever_it_is_named_and_the_others_are_renumbered() -> None:
    found = without_host(SCENARIO, B)
    check(found)
    assert found == replace(
        SCENARIO,
        hosts=(HostSpec("a"), HostSpec("c", (A,))),
        steps=(
            Step(3, Split((A,))),
            Step(4, Kill(B)),
            Step(5, RemovePeers(A, (B,), False)),
            Step(6, Heal()),
        ),
        walls=((A, B),),
        core=(B,),
    )


@pytest.mark.parametrize("index", range(3))
def test_a_scenario_without_a_host_can_be_written_and_read(index: int) -> None:
    found = without_host(SCENARIO, index)
    assert load(dump(found)) == found


def test_one_host_can_do_what_two_did() -> None:
    found = with_one_host_for_two(SCENARIO, C, A)
    check(found)
    assert found == replace(
        SCENARIO,
        hosts=(HostSpec("a"), HostSpec("b", (A,))),
        steps=(
            Step(1, Cut(A, B)),
            Step(2, Cut(B, A)),
            Step(3, Split((A, B))),
            Step(4, Kill(A)),
            Step(5, RemovePeers(A, (B, A), False)),
            Step(6, Heal()),
        ),
        walls=((A, B), (A, A), (A, B)),
        core=(B, A),
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"walls": ()}, True),
        ({"walls": (), "core": ()}, True),
        ({"walls": ((A, C),), "core": ()}, True),
        ({"walls": ((A, C), (C, B)), "core": ()}, False),
        ({"walls": (), "core": (A,)}, True),
        ({"walls": (), "hosts": (HostSpec("a"), HostSpec("b"), HostSpec("c", (A,)))}, False),
        ({"walls": (), "core": (), "hosts": (HostSpec("a"), HostSpec("b"), HostSpec("c", (A, B)))}, True),
        ({"walls": (), "hosts": (HostSpec("a"), HostSpec("b", behind_nat=True), HostSpec("c", (B,)))}, False),
        ({"walls": (), "hosts": (HostSpec("a"), HostSpec("b", (C,), behind_nat=True), HostSpec("c"))}, True),
    ],
)
def test_members_hang_together_when_calls_among_them_join_them(changes: dict[str, Any], expected: bool) -> None:
    assert hangs_together(replace(SCENARIO, **changes)) is expected


STEPS = (
    Step(1, Attach(A, "c7")),
    Step(2, Take(A, ("c8", "c9"))),
    Step(3, LoseObject(A, "endpoint c7 ethwe")),
    Step(4, Detach(A, "c7")),
    Step(5, Take(A, ("c9",))),
    Step(6, Kill(A)),
)


def test_containers_are_found_in_all_texts() -> None:
    assert containers_of(replace(SCENARIO, steps=STEPS)) == ("c7", "c8", "c9")


def test_containers_are_left_out_with_all_that_is_done_to_them() -> None:
    scenario = replace(SCENARIO, steps=STEPS)
    assert without_containers(scenario, ["c7"]).steps == (STEPS[1], STEPS[4], STEPS[5])
    assert without_containers(scenario, ["c9"]).steps == (*STEPS[:1], Step(2, Take(A, ("c8",))), *STEPS[2:4], STEPS[5])
    assert without_containers(scenario, ["c7", "c8", "c9"]).steps == (STEPS[5],)


def test_containers_get_other_names_in_all_texts() -> None:
    names = {"c7": "c1", "c9": "c2"}
    assert renamed(Take(A, ("c8", "c9")), names) == Take(A, ("c8", "c2"))
    assert renamed(LoseObject(A, "endpoint c7 ethwe"), names) == LoseObject(A, "endpoint c1 ethwe")
    assert renamed(Kill(A), names) == Kill(A)


@pytest.mark.parametrize(
    ("record", "skipped", "expected"),
    [
        (Kill(A), (), []),
        (Kill(C), (), [{"host": A}, {"host": B}]),
        (Doom(A, 12, True), (), [{"gap": 0}, {"gap": 1}, {"gap": 6}, {"gap": 10}, {"power": False}]),
        (Doom(A, 1, False), (), [{"gap": 0}]),
        (StepClock(A, -25), (), [{"by_ms": 0}, {"by_ms": -1}, {"by_ms": -12}, {"by_ms": -20}]),
        (Split((A, C)), (), [{"side": (C,)}, {"side": (A,)}]),
        (HostSpec("a", (B,), "none"), ("nickname",), [{"targets": ()}, {"targets": ()}, {"universe": ""}]),
        (HostSpec("a", (B,), "none", False), ("nickname", "targets", "universe"), [{"starts": True}]),
    ],
)
def test_single_fields_get_simpler(record: Any, skipped: tuple[str, ...], expected: list[dict[str, Any]]) -> None:
    assert list(simpler(record, skipped)) == expected
