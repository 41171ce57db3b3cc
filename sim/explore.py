"""Campaigns: runs many seeds, keeps what came of them, and says what was reached and what failed.

    campaign = explore(range(300))           # in as many processes as there are processors
    print(campaign)                          # what failed, and which marks were never passed

Where seeds run is the business of an engine: here and now (what a planted bug in this process needs), in processes of
this machine, or on a cluster. Everything else is the same, for each seed is a function of its number.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Protocol

from sim.campaign.ledger import Ledger
from sim.campaign.result import Finding, Lost, Result, find
from sim.campaign.tally import Tally
from sim.campaign.workers import Workers
from sim.scenario import dump, load
from sim.seeds import PROFILES as PROFILES
from sim.seeds import run_seed as run_seed

FAILURES_TOLD_MAX = 20
"""Whose scenarios are written and whose commands are printed; the file of the campaign has them all."""


Running = Generator[Finding | Lost, None, None]
"""What comes of seeds, one by one; closing it ends what still runs."""


class Engine(Protocol):
    """Where seeds run."""

    def run(self, seeds: Iterable[int]) -> Running:
        """Yield what comes of each, in any order."""


class Watcher(Protocol):
    """Who wants to know how a campaign goes."""

    def begin(self, tally: Tally) -> None:
        """It begins, with what was there already."""

    def step(self, tally: Tally) -> None:
        """A seed is done."""

    def say(self, text: str) -> None:
        """Something to be told at once."""

    def end(self, tally: Tally) -> None:
        """It is over."""


class Here:
    """An engine that runs seeds in this process."""

    def __init__(self, profile: str = "all") -> None:
        self._profile = profile

    def run(self, seeds: Iterable[int]) -> Running:
        """Run seeds, one after the other."""
        for seed in seeds:
            yield find(seed, self._profile)


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that failed."""

    result: Result
    """What came of it."""
    path: Path | None
    """Where its scenario was written; None when nobody wanted it, or there were too many."""


@dataclass
class Campaign:
    """What came of many seeds; `str` of it is the report for people."""

    total: int
    """Seeds that were asked for."""
    tally: Tally = field(default_factory=Tally)
    """Sums."""
    failures: list[Failure] = field(default_factory=list)
    """Seeds that failed, in the order in which that was found."""
    lost: list[Lost] = field(default_factory=list)
    """Seeds whose workers died."""
    is_interrupted: bool = False
    """Somebody has ended it before its end."""

    @property
    def is_clean(self) -> bool:
        """Say whether all seeds were run and none failed."""
        return self.tally.seeds == self.total and not self.failures

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        """Return what notebooks show."""
        return f"<pre>{escape(str(self))}</pre>"

    def _lines(self) -> Iterator[str]:
        tally = self.tally
        yield (
            f"{tally.seeds:,} of {self.total:,} seeds run, {tally.failed} failed, {len(self.lost)} lost; "
            f"{tally.virtual_ms / 1000:,.0f} virtual seconds in {tally.cpu_ms / 1000:,.0f} CPU seconds "
            f"({tally.speed:,.0f} times as fast)"
        )
        yield from tally.lines()
        for lost in self.lost:
            yield f"LOST: seed {lost.seed}: its worker died: {lost.why}"
        for failure in self.failures[:FAILURES_TOLD_MAX]:
            yield from told(failure)
        if len(self.failures) > FAILURES_TOLD_MAX:
            yield f"and {len(self.failures) - FAILURES_TOLD_MAX} more seeds failed"


def explore(
    seeds: Sequence[int],
    *,
    jobs: int | None = None,
    profile: str = "all",
    engine: Engine | None = None,
    ledger: Ledger | None = None,
    folder: Path | None = None,
    watcher: Watcher | None = None,
) -> Campaign:
    """Run seeds; those that the ledger has already are taken from there.

    `jobs` is a number of processes, by default one per processor, and 0 means this one; `engine` is used instead, if
    given. Scenarios of seeds that fail are written to `folder`, if given. Ctrl-C ends a campaign with what was done.
    Raises: EngineError, LedgerError.
    """
    if engine is None:
        engine = Here(profile) if jobs == 0 else Workers(jobs or os.cpu_count() or 1, profile)
    campaign = Campaign(len(seeds))
    before = {} if ledger is None else ledger.done
    try:
        for seed in seeds:
            if seed in before:
                _take(campaign, Finding(before[seed], ""), None, None)
        if watcher is not None:
            watcher.begin(campaign.tally)
        with closing(engine.run(seed for seed in seeds if seed not in before)) as running:
            for found in running:
                if isinstance(found, Finding) and ledger is not None:
                    ledger.add(found.result)
                _take(campaign, found, folder, watcher)
    except KeyboardInterrupt:
        campaign.is_interrupted = True
    if watcher is not None:
        watcher.end(campaign.tally)
    return campaign


def told(failure: Failure) -> Iterator[str]:
    """Say what failed, and what can be done with it."""
    result = failure.result
    yield f"FAILED: seed {result.seed}: {result.headline}"
    path = failure.path
    if path is None:
        option = "" if result.profile == "all" else f" --profile {result.profile}"
        yield f"    weave sim record {file_name(result)} {result.seed}{option}"
        return
    yield f"    weave sim replay {path}"
    yield f"    weave sim shrink {path}"
    yield f"    weave sim timeline {path} --html {path.with_suffix('.html')}"


def file_name(result: Result) -> str:
    """Return what the scenario of a seed is called: `i2-8123.json`."""
    profile = "" if result.profile == "all" else f"{result.profile}-"
    return f"{(result.invariant or 'seed').lower()}-{profile}{result.seed}.json"


def _take(campaign: Campaign, found: Finding | Lost, folder: Path | None, watcher: Watcher | None) -> None:
    """Count what came of a seed; keep and tell what failed. What a file had already is not told again."""
    if isinstance(found, Lost):
        campaign.lost.append(found)
        if watcher is not None:
            watcher.say(f"seed {found.seed} is lost, its worker died: {found.why}")
        return
    campaign.tally.add(found.result)
    if found.result.violation:
        _keep(campaign, found, folder, watcher)
    if watcher is not None:
        watcher.step(campaign.tally)


def _keep(campaign: Campaign, found: Finding, folder: Path | None, watcher: Watcher | None) -> None:
    """Write and tell what failed."""
    result = found.result
    path = None
    if folder is not None and found.scenario and len(campaign.failures) < FAILURES_TOLD_MAX:
        path = folder / file_name(result)
        title = f"Seed {result.seed}: {result.headline}"
        path.write_text(dump(replace(load(found.scenario), title=title)), "utf-8", errors="backslashreplace")
    failure = Failure(result, path)
    campaign.failures.append(failure)
    if watcher is not None and found.scenario and len(campaign.failures) <= FAILURES_TOLD_MAX:
        watcher.say("\n".join(told(failure)))
