"""Makes a failing scenario small: fewer steps, fewer hosts, less time, plainer numbers, the same invariant violated.

Every candidate is a run. Any part of a list of steps is again a list of steps, and randomness has names (a link, a
host), so what is left out changes little of the rest: that is what makes shrinking work. Passes repeat until none finds
anything. What simpler scenarios look like is said in `simpler`; here is the search among them.

Source: delta debugging (Zeller and Hildebrandt, 2002); Hypothesis' passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from sim.campaign.result import CRASH
from sim.expectation import STORY
from sim.scenario import Scenario, ScenarioError, check
from sim.simpler import (
    ROUND_TO,
    containers_of,
    hangs_together,
    renamed,
    simpler,
    values_of,
    with_one_host_for_two,
    without_containers,
    without_host,
)

RUNS_MAX = 5_000
"""Runs, by default: minutes."""
TIME_STEP_MS = 100
"""Nearer than that to the earliest time at which a step may come, nobody sees the difference."""

Fails = Callable[[Scenario], str]
"""Plays a scenario and says what was violated; empty if nothing was."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shrunk:
    """How far shrinking got."""

    scenario: Scenario
    """The smallest that fails."""
    violation: str
    """What it violates."""
    runs: int
    """Candidates that were played."""
    is_smallest: bool
    """No pass finds anything more; else there were no runs left."""


class NothingFails(Exception):
    """The scenario violates nothing, so there is nothing to shrink."""


class _Enough(Exception):
    """No more runs are allowed."""


def shrink(
    scenario: Scenario,
    fails: Fails,
    *,
    runs_max: int = RUNS_MAX,
    watch: Callable[[Shrunk], None] = lambda shrunk: None,
) -> Shrunk:
    """Return the smallest scenario found that violates the same invariant; `watch` is told of each better one.

    Ctrl-C ends it with what was found. Raises: NothingFails.
    """
    search = _Search(scenario, fails, runs_max, watch)
    is_smallest = False
    try:
        is_smallest = search.run()
    except (_Enough, KeyboardInterrupt):
        # What was found so far is smaller than before, and fails.
        is_smallest = False
    return replace(search.found(), is_smallest=is_smallest)


def kind_of(violation: str) -> str:
    """Return what makes two violations the same: the invariant, or the place and type of a crash."""
    if not violation.startswith(CRASH):
        return violation.partition(":")[0]
    lines = violation.strip().splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ")]
    place = places[-1].rpartition(" in ")[2] if places else ""
    return f"{CRASH} {lines[-1].partition(':')[0]} in {place}"


@dataclass
class _Search:
    """The best so far, and the way to better ones."""

    best: Scenario
    """It fails."""
    fails: Fails
    """Plays candidates."""
    runs_max: int
    """Bound."""
    watch: Callable[[Shrunk], None]
    """Told of progress."""
    runs: int = 0
    """Used."""
    violation: str = ""
    """Of the best."""
    kind: str = ""
    """What must stay."""
    hangs_together: bool = True
    """The scenario that came in does, so all that come out of it must."""
    known: dict[Scenario, None] = field(default_factory=dict)
    """Candidates that were played: none is played twice, so no pass undoes what another did."""

    def found(self) -> Shrunk:
        """Return the best so far."""
        return Shrunk(self.best, self.violation, self.runs, False)

    def run(self) -> bool:
        """Repeat all passes until none finds anything. Raises: NothingFails, _Enough."""
        self.violation = self.fails(self.best)
        self.runs += 1
        if not self.violation:
            raise NothingFails("it violates nothing")
        self.kind = kind_of(self.violation)
        if self.kind == STORY:
            raise NothingFails("it keeps every promise, and does not show what its story expects")
        # What people should see meanwhile would hide what is looked for.
        self.accepts(replace(self.best, expect=()))
        self.hangs_together = hangs_together(self.best)
        before = None
        while before != self.best:
            before = self.best
            for one in (self._steps, self._containers, self._steps, self._hosts, self._until, self._times):
                one()
            for one in (self._lists, self._numbers, self._names):
                one()
        return True

    def accepts(self, candidate: Scenario) -> bool:
        """Play a candidate, and keep it if it fails in the same way. Raises: _Enough."""
        if candidate == self.best or candidate in self.known:
            return False
        if candidate.steps and candidate.steps[-1].at_ms >= candidate.until_ms:
            # A step that is never taken is not left out, it is only hidden.
            return False
        try:
            check(candidate)
        except ScenarioError:
            return False
        if self.hangs_together and not hangs_together(candidate):
            # Hosts that never meet do not come right, whatever they do: that would hide what is looked for.
            return False
        if self.runs >= self.runs_max:
            raise _Enough
        self.runs += 1
        self.known[candidate] = None
        violation = self.fails(candidate)
        if not violation or kind_of(violation) != self.kind:
            return False
        self.best, self.violation = candidate, violation
        self.watch(self.found())
        return True

    # Passes.

    def _steps(self) -> None:
        """Leave steps out."""
        self._fewer(lambda: self.best.steps, lambda steps: replace(self.best, steps=steps), least=0)

    def _containers(self) -> None:
        """Leave containers out, each with all that is done to it."""
        every = containers_of(self.best)
        gone: dict[str, None] = {}
        size = len(every)
        while size:
            for first in range(0, len(every), size):
                names = [name for name in every[first : first + size] if name not in gone]
                if names and self.accepts(without_containers(self.best, names)):
                    gone.update(dict.fromkeys(names))
            size //= 2

    def _lists(self) -> None:
        """Leave out items of the lists in steps: names, hosts of a side."""
        for index in range(len(self.best.steps)):
            action = self.best.steps[index].action
            for name in [name for name, value in values_of(action) if isinstance(value, tuple)]:
                self._fewer(partial(self._items, index, name), partial(self._with_items, index, name), least=1)

    def _items(self, index: int, name: str) -> tuple[object, ...]:
        items = getattr(self.best.steps[index].action, name)
        assert isinstance(items, tuple), "it is a list"
        return items

    def _with_items(self, index: int, name: str, items: tuple[object, ...]) -> Scenario:
        return self._with_action(index, {name: items})

    def _fewer(
        self, now: Callable[[], tuple[T, ...]], with_items: Callable[[tuple[T, ...]], Scenario], *, least: int
    ) -> None:
        """Leave out large parts of a list, then smaller ones, as long as it fails."""
        size = len(now())
        while size:
            first = max(0, len(now()) - size)
            while True:
                items = now()
                rest = (*items[:first], *items[first + size :])
                if least <= len(rest) < len(items):
                    self.accepts(with_items(rest))
                if not first:
                    break
                first = max(0, first - size)
            size //= 2

    def _hosts(self) -> None:
        """Leave hosts out, the last first, or let an earlier one do what they do."""
        for index in reversed(range(1, len(self.best.hosts))):
            if not self.accepts(without_host(self.best, index)):
                for other in range(index):
                    if self.accepts(with_one_host_for_two(self.best, index, other)):
                        break
        if len(self.best.hosts) > 1:
            self.accepts(without_host(self.best, 0))

    def _until(self) -> None:
        """End trouble sooner."""
        last_ms = self.best.steps[-1].at_ms if self.best.steps else 0
        for end_ms in (last_ms + 1, last_ms + 1_000, last_ms + 10_000, (self.best.until_ms + last_ms) // 2):
            if end_ms < self.best.until_ms and self.accepts(replace(self.best, until_ms=end_ms)):
                return

    def _times(self) -> None:
        """Let steps come sooner, each with all that follow; then at round times, each for itself."""
        for index in range(len(self.best.steps)):
            least_ms = self.best.steps[index - 1].at_ms if index else 0
            low_ms = least_ms
            self._move(index, least_ms)
            while self.best.steps[index].at_ms - low_ms > TIME_STEP_MS:
                middle_ms = (low_ms + self.best.steps[index].at_ms) // 2
                if not self._move(index, middle_ms):
                    low_ms = middle_ms
        for index in range(len(self.best.steps)):
            for unit in ROUND_TO:
                if self._move(index, self.best.steps[index].at_ms // unit * unit, alone=True):
                    break

    def _move(self, index: int, at_ms: int, *, alone: bool = False) -> bool:
        """Let a step come at a time, and the later ones sooner with it unless `alone`; say whether it still fails."""
        steps = self.best.steps
        by_ms = steps[index].at_ms - at_ms
        end = index + 1 if alone else len(steps)
        moved = tuple(replace(step, at_ms=step.at_ms - by_ms) for step in steps[index:end])
        until_ms = self.best.until_ms if alone else self.best.until_ms - by_ms
        return self.accepts(replace(self.best, steps=(*steps[:index], *moved, *steps[end:]), until_ms=until_ms))

    def _numbers(self) -> None:
        """Make everything else simpler that a scenario holds: settings, walls, whom hosts dial, numbers in steps."""
        for candidate_of in (self._simpler_settings, self._simpler_hosts, self._simpler_steps):
            index = 0
            # What was accepted changes what follows, so candidates are made anew each time.
            while True:
                candidates = list(candidate_of())
                if index >= len(candidates):
                    break
                index += not self.accepts(candidates[index])

    def _simpler_settings(self) -> Iterator[Scenario]:
        skipped = ("seed", "title", "hosts", "steps", "until_ms")
        for changes in simpler(self.best, skipped):
            yield replace(self.best, **changes)
        if self.best.ring != "seed":
            yield replace(self.best, ring="seed")

    def _simpler_hosts(self) -> Iterator[Scenario]:
        for index, host in enumerate(self.best.hosts):
            for changes in simpler(host, ("nickname",)):
                hosts = (*self.best.hosts[:index], replace(host, **changes), *self.best.hosts[index + 1 :])
                yield replace(self.best, hosts=hosts)

    def _simpler_steps(self) -> Iterator[Scenario]:
        for index, step in enumerate(self.best.steps):
            lists = tuple(name for name, value in values_of(step.action) if isinstance(value, tuple))
            for changes in simpler(step.action, lists):
                yield self._with_action(index, changes)

    def _names(self) -> None:
        """Number hosts and containers anew, in one go."""
        names = {name: f"c{index + 1}" for index, name in enumerate(containers_of(self.best))}
        hosts = tuple(replace(host, nickname=f"h{index}") for index, host in enumerate(self.best.hosts))
        steps = tuple(replace(step, action=renamed(step.action, names)) for step in self.best.steps)
        self.accepts(replace(self.best, hosts=hosts, steps=steps))

    def _with_action(self, index: int, changes: dict[str, Any]) -> Scenario:
        """Return the best with fields of one step changed. Any: fields differ."""
        step = self.best.steps[index]
        new = replace(step, action=replace(step.action, **changes))
        return replace(self.best, steps=(*self.best.steps[:index], new, *self.best.steps[index + 1 :]))
