"""Each kind of trouble of machines is chosen, takes place, and ends."""

from __future__ import annotations

import random

import pytest
from watched import THREE, Watched, chosen

from sim.actions import (
    Action,
    BackUp,
    CutPower,
    Doom,
    DriftClock,
    EmptyDisk,
    FillDisk,
    Kill,
    LieAboutSync,
    MountReadOnly,
    MountWritable,
    Pause,
    RestartNames,
    SlowDisk,
    Start,
    StepClock,
    Upgrade,
)
from sim.agenda import Agenda
from sim.choose.machines import BEGIN, KINDS, lie
from sim.chooser import Chooser
from sim.names import NEXT, TODAY


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("kills", (Kill, Start)),
        ("power", (CutPower, Start)),
        ("gaps", (Doom, Start)),
        ("upgrades", (Upgrade, Start)),
        ("pauses", (Pause,)),
        ("name-server", (RestartNames,)),
        ("disk", (FillDisk, EmptyDisk)),
        ("slow-disk", (SlowDisk,)),
        ("read-only", (MountReadOnly, MountWritable, Start)),
        ("clocks", (StepClock,)),
        ("drift", (DriftClock,)),
    ],
)
def test_a_kind_does_what_it_is_named_for(kind: str, actions: tuple[type[Action], ...]) -> None:
    done = chosen(KINDS[kind])
    assert len(done) > 10
    assert {type(item) for item in done} <= set(actions)
    assert actions[0] in {type(item) for item in done}


def test_hosts_are_upgraded_and_downgraded() -> None:
    releases = {item.release for item in chosen(KINDS["upgrades"]) if isinstance(item, Upgrade)}
    assert releases == {TODAY, NEXT}


def test_a_slow_disk_is_fast_again() -> None:
    assert any(isinstance(item, SlowDisk) and not item.by_ms for item in chosen(KINDS["slow-disk"]))


def test_pauses_are_shorter_and_longer_than_the_patience_of_others() -> None:
    lengths = [item.for_ms for item in chosen(KINDS["pauses"]) if isinstance(item, Pause)]
    assert min(lengths) < 5_000
    assert max(lengths) > 30_000


def test_clocks_jump_by_more_than_an_hour() -> None:
    steps = [item.by_ms for item in chosen(KINDS["clocks"]) if isinstance(item, StepClock)]
    assert min(steps) < -3_600_000
    assert max(steps) > 3_600_000


def test_every_clock_has_a_speed_of_its_own() -> None:
    watched = Watched(THREE)
    drawn = list(BEGIN["drift"](Chooser(watched.stage, Agenda(), random.Random(1))))
    assert len({item.ppm for item in drawn if isinstance(item, DriftClock)}) == len(THREE)


def test_there_are_copies_to_return_to() -> None:
    watched, agenda = Watched(THREE), Agenda()
    assert list(BEGIN["rollbacks"](Chooser(watched.stage, agenda, random.Random(1)))) == []
    assert any(isinstance(action, BackUp) for action in agenda.take())


def test_a_disk_lies_until_the_power_goes() -> None:
    done = chosen(lie, allow=("lying-fsync",))
    assert {type(item) for item in done} >= {LieAboutSync, CutPower}
    assert {item.is_lying for item in done if isinstance(item, LieAboutSync)} == {True, False}
