"""Plays a scenario: trouble, in which nothing may go wrong for good, then a phase in which all must come right.

What happens comes from a script, the steps of a scenario, or from choosers that decide in the light of the moment. What
choosers decided is recorded as steps, so that every run is a scenario: played again, it gives the same trace.

    report = play(draw(17))              # let seed 17 choose, and see what comes of it
    again = play(report.scenario)        # the same run, from its script

Source: TigerBeetle's VOPR (safety phase, then liveness phase).
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Protocol

from core.config import Config, Recovered
from core.reconcile.objects import FASTDP
from core.replica import Replica
from core.wire import decode, encode
from sim.actions import Action
from sim.agenda import Agenda
from sim.books import Violation
from sim.checks import Checks
from sim.faults import Faults
from sim.releases import install
from sim.scenario import Scenario, Step
from sim.stage import Stage
from sim.witness import look
from sim.workload import Workload
from sim.world import World

SNAPSHOT_MS = 1_000
"""Between two looks at whole stores."""
SETTLE_US = 900_000_000
"""Time to converge: back-off of up to 6 minutes, then held links, retries and rounds of gossip."""
PATIENCE_US = 20_000_000
"""After this long, who still waits may wait for space that others hold for nothing."""
FIRST_LOOK_US = 100_000
LOOK_MAX_US = 5_000_000
"""The end of trouble is looked at often at first, then more rarely."""

MakeReplica = Callable[[Config, Recovered, random.Random], Replica]


class Source(Protocol):
    """Where actions come from."""

    def next_ms(self) -> int | None:
        """Return when there is something to be done next; None when nothing is left."""

    def take(self) -> Iterator[Action]:
        """Yield what is to be done then."""


class Script:
    """The steps of a scenario."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self._index = 0

    def next_ms(self) -> int | None:
        """Return the time of the next step."""
        return self._steps[self._index].at_ms if self._index < len(self._steps) else None

    def take(self) -> Iterator[Action]:
        """Yield the next step's action."""
        self._index += 1
        yield self._steps[self._index - 1].action


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run."""

    scenario: Scenario
    """All that happened, as a script."""
    proof: str
    """Hash of the whole trace."""
    events: int
    """Lines of it."""
    answers: int
    """Requests that were answered well."""
    virtual_ms: int
    """How long it took in the world."""
    converged_ms: int
    """Virtual time from the end of trouble until all was well."""
    violation: str
    """What went wrong; empty if nothing did."""
    marks: dict[str, int]
    """How often each marked place in the heart was passed."""
    actions: dict[str, int]
    """How often each kind of action took place."""
    outcomes: dict[str, int]
    """Answers by kind of request, those with no as `no <kind>`."""
    tail: tuple[str, ...]
    """The end of the trace, if something went wrong."""

    def __str__(self) -> str:
        said = (
            f"hosts: {len(self.scenario.hosts)}, steps: {len(self.scenario.steps)}, {self.events} events in "
            f"{self.virtual_ms / 1000} virtual seconds, {self.answers} requests answered well\nproof {self.proof}\n"
        )
        if self.violation:
            return f"{said}VIOLATED: {self.violation}"
        return f"{said}all is well, {self.converged_ms / 1000} s after the end of trouble"

    def _repr_html_(self) -> str:
        """Return what notebooks show: not all fields, a scenario may have thousands of steps."""
        return f"<pre>{escape(str(self))}</pre>"


def play(scenario: Scenario, make: MakeReplica = Replica, *, profile: str = "") -> Report:
    """Play a scenario to its end. With a profile, its seed chooses what happens instead of its steps."""
    return Run(scenario, make, profile=profile).play()


class Run:
    """One world from beginning to end; `until` lets it be looked at on the way."""

    def __init__(self, scenario: Scenario, make: MakeReplica = Replica, *, profile: str = "") -> None:
        self.scenario = scenario
        self.world = World(scenario.seed, scenario.configs(), make, codec=lambda message: decode(encode(message)))
        for source, target in scenario.walls:
            self.world.network.wall(source, target)
        for source, target in scenario.firewalls:
            self.world.network.bar(source, target, FASTDP)
        for index, spec in enumerate(scenario.hosts):
            if spec.behind_nat:
                self.world.network.hide(index)
            install(self.world.hosts[index], spec.release)
        self.stage = Stage(self.world, scenario)
        self.checks = Checks(self.stage)
        self.world.watcher = self.checks
        self._steps: list[Step] = []
        self._source: Source = Script(scenario.steps)
        if profile:
            self._source = agenda = Agenda()
            Workload(self.stage, agenda, scenario.seed, profile)
            Faults(self.stage, agenda, scenario.seed, profile)
        self._snapshot_ms = SNAPSHOT_MS
        self._has_begun = False

    def play(self) -> Report:
        """Play to the end, and say what came of it."""
        converged_us, violation = 0, ""
        try:
            for expectation in self.scenario.expect:
                if expectation.at_ms < self.scenario.until_ms:
                    self.until(expectation.at_ms)
                    look(self.stage, expectation)
            self.until(self.scenario.until_ms)
            converged_us = self._settle()
            for expectation in self.scenario.expect:
                if expectation.at_ms >= self.scenario.until_ms:
                    look(self.stage, expectation)
        except Violation as found:
            violation = str(found)
        except Exception:
            # A bug in the heart is a finding like any other, and its seed must be told.
            violation = f"crash: {traceback.format_exc()}"
        world, books = self.world, self.stage.books
        outcomes = {**books.done, **{f"no {kind}": count for kind, count in books.refusals.items()}}
        return Report(
            scenario=replace(self.scenario, steps=tuple(self._steps)),
            proof=world.trace.value,
            events=world.trace.line_count,
            answers=books.answers,
            virtual_ms=world.now_us // 1000,
            converged_ms=converged_us // 1000,
            violation=violation,
            marks=dict(sorted(world.marks.items())),
            actions=dict(sorted(self.stage.done.items())),
            outcomes=dict(sorted(outcomes.items())),
            tail=tuple(world.trace.tail) if violation else (),
        )

    def until(self, end_ms: int) -> None:
        """Let everything happen before a time of the phase of trouble. Raises: Violation."""
        if not self._has_begun:
            self._has_begun = True
            for index, spec in enumerate(self.scenario.hosts):
                if spec.starts:
                    self.world.start(self.world.hosts[index])
        end_ms = min(end_ms, self.scenario.until_ms)
        while True:
            next_ms = self._source.next_ms()
            is_step = next_ms is not None and next_ms < min(end_ms, self._snapshot_ms)
            at_ms = next_ms if is_step and next_ms is not None else min(end_ms, self._snapshot_ms)
            self.world.run(at_ms * 1000)
            if is_step:
                for action in self._source.take():
                    self._perform(Step(at_ms, action))
            elif at_ms == self._snapshot_ms:
                self._snapshot_ms += SNAPSHOT_MS
                self.checks.snapshot()
            if not is_step and at_ms >= end_ms:
                return

    def _perform(self, step: Step) -> None:
        """Take a step, and record it if it takes place; what breaks a promise at once has taken place."""
        took_place = True
        try:
            took_place = self.stage.perform(step.action)
        finally:
            if took_place:
                self._steps.append(step)

    def _settle(self) -> int:
        """Wait until all is well; return how long it took, in virtual microseconds. Raises: Violation."""
        begin_us, look_us = self.world.now_us, FIRST_LOOK_US
        self.stage.calm()
        problems = ["nothing was looked at"]
        while problems:
            if self.world.now_us - begin_us > SETTLE_US:
                raise Violation("I8: " + "; ".join(problems))
            self.world.run(self.world.now_us + look_us)
            look_us = min(look_us * 2, LOOK_MAX_US)
            self.checks.snapshot()
            problems = self.checks.unfinished()
            if problems and self.world.now_us - begin_us >= PATIENCE_US:
                self.stage.relieve()
        self.checks.promises()
        return self.world.now_us - begin_us
