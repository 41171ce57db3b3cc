"""The stage knows every action, and what makes no sense does not take place."""

from __future__ import annotations

import pytest

from sim.actions import Attach, Detach, HostIndex, Kill, Start
from sim.run import Run
from sim.scenario import ACTIONS, HostSpec, Scenario
from sim.stage import TOPICS, Stage

A = HostIndex(0)


@pytest.fixture
def stage() -> Stage:
    run = Run(Scenario("1", (HostSpec("a"),), "10.32.0.0/24", "seed", 60_000))
    run.until(1_000)
    return run.stage


def test_every_action_has_exactly_one_performer() -> None:
    performed = [kind for topic in TOPICS for kind in topic.PERFORM]
    assert sorted(kind.__name__ for kind in performed) == sorted(kind.__name__ for kind in ACTIONS.values())


def test_what_makes_no_sense_does_not_take_place(stage: Stage) -> None:
    assert not stage.perform(Start(A)), "it runs"
    assert not stage.perform(Detach(A, "nobody"))
    assert stage.perform(Attach(A, "web"))
    assert not stage.perform(Attach(A, "web")), "the name is taken"
    assert stage.perform(Kill(A))
    assert not stage.perform(Kill(A)), "it is down"
    assert stage.done == {"attach": 1, "kill": 1}


def test_calm_brings_everybody_back(stage: Stage) -> None:
    stage.perform(Kill(A))
    stage.calm()
    assert stage.world.hosts[A].heart is not None
