"""A planted bug is found by a seed, and shrinks to a few steps that anybody can read."""

from __future__ import annotations

import planted

from sim.run import play
from sim.scenario import Scenario, dump, load
from sim.seeds import run_seed
from sim.shrink import kind_of, shrink

SEEDS_MAX = 60
STEPS_MAX = 6


def violation(scenario: Scenario) -> str:
    return play(scenario).violation


def test_a_planted_bug_is_brought_down_to_a_few_steps() -> None:
    with planted.publish_before_durable():
        found = next(report for seed in range(SEEDS_MAX) if (report := run_seed(seed)).violation)
        scenario = found.scenario
        small = shrink(scenario, violation, runs_max=1_000).scenario
        assert len(small.steps) <= STEPS_MAX
        assert len(small.hosts) <= len(scenario.hosts)
        assert kind_of(violation(load(dump(small)))) == kind_of(found.violation), "also when read from its file"
    assert not violation(small), "the planted bug did it"
