"""Campaigns keep what came of seeds, take up what was there, and say what failed and what to do with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from sim.campaign.ledger import Ledger
from sim.campaign.result import Finding, Lost, Result, find
from sim.campaign.tally import Tally
from sim.explore import FAILURES_TOLD_MAX, Campaign, Running, explore
from sim.scenario import dump, load
from sim.seeds import run_seed

SCENARIO = dump(replace(run_seed(0).scenario, steps=()))
GOOD = find(0, "all").result


class Oracle:
    """An engine that knows the answers: which seeds fail, and which are lost."""

    def __init__(self, failing: Iterable[int] = (), lost: Iterable[int] = (), interrupted_at: int = -1) -> None:
        self._failing, self._lost, self._interrupted_at = list(failing), list(lost), interrupted_at
        self.asked: list[int] = []

    def run(self, seeds: Iterable[int]) -> Running:
        for seed in seeds:
            self.asked.append(seed)
            if seed == self._interrupted_at:
                raise KeyboardInterrupt
            if seed in self._lost:
                yield Lost(seed, "SIGKILL")
                continue
            violation = "I2: an address was given twice" if seed in self._failing else ""
            yield Finding(replace(GOOD, seed=seed, violation=violation), SCENARIO if violation else "")


class Log:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.texts: list[str] = []
        self.ended = False

    def begin(self, tally: Tally) -> None:
        self.steps.append(tally.seeds)

    def step(self, tally: Tally) -> None:
        self.steps.append(tally.seeds)

    def say(self, text: str) -> None:
        self.texts.append(text)

    def end(self, tally: Tally) -> None:
        self.ended = True


def test_a_campaign_without_failures_is_clean() -> None:
    log = Log()
    campaign = explore(range(3), engine=Oracle(), watcher=log)
    assert campaign.is_clean
    assert str(campaign).startswith("3 of 3 seeds run, 0 failed, 0 lost; ")
    assert campaign._repr_html_().startswith("<pre>3 of 3 seeds run")
    assert (log.steps, log.texts, log.ended) == ([0, 1, 2, 3], [], True)


def test_what_fails_is_written_with_a_title_and_told_with_commands(tmp_path: Path) -> None:
    log = Log()
    campaign = explore(range(5), engine=Oracle(failing=[3]), folder=tmp_path, watcher=log)
    path = tmp_path / "i2-3.json"
    assert load(path.read_text()).title == "Seed 3: I2: an address was given twice"
    assert not campaign.is_clean
    for text in (log.texts[0], str(campaign)):
        assert "FAILED: seed 3: I2: an address was given twice" in text
        assert f"    weave sim replay {path}\n    weave sim shrink {path}\n" in text
        assert f"    weave sim timeline {path} --html {tmp_path / 'i2-3.html'}" in text


def test_of_very_many_failures_only_the_first_are_written(tmp_path: Path) -> None:
    log = Log()
    count = FAILURES_TOLD_MAX + 5
    campaign = explore(range(count), engine=Oracle(failing=range(count)), folder=tmp_path, watcher=log)
    assert len(list(tmp_path.iterdir())) == len(log.texts) == FAILURES_TOLD_MAX
    assert len(campaign.failures) == count
    assert "and 5 more seeds failed" in str(campaign)


def test_a_seed_whose_worker_died_is_told_and_not_written(tmp_path: Path) -> None:
    log = Log()
    path = tmp_path / "c.jsonl"
    ledger = Ledger(path, profile="all", is_resumed=False)
    campaign = explore(range(4), engine=Oracle(lost=[1]), ledger=ledger, watcher=log)
    ledger.close()
    assert not campaign.is_clean
    assert log.texts == ["seed 1 is lost, its worker died: SIGKILL"]
    assert "LOST: seed 1: its worker died: SIGKILL" in str(campaign)
    again = Oracle()
    ledger = Ledger(path, profile="all", is_resumed=True)
    assert explore(range(4), engine=again, ledger=ledger).is_clean
    ledger.close()
    assert again.asked == [1]


def test_a_campaign_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    first = Ledger(path, profile="all", is_resumed=False)
    campaign = explore(range(10), engine=Oracle(failing=[2], interrupted_at=6), ledger=first)
    first.close()
    assert campaign.is_interrupted
    assert campaign.tally.seeds == 6
    engine, log = Oracle(), Log()
    second = Ledger(path, profile="all", is_resumed=True)
    campaign = explore(range(12), engine=engine, ledger=second, watcher=log)
    second.close()
    assert engine.asked == list(range(6, 12))
    assert log.steps == list(range(6, 13))
    assert campaign.tally.seeds == 12
    assert [failure.result.seed for failure in campaign.failures] == [2]
    assert "    weave sim record i2-2.json 2" in str(campaign), "its scenario is not at hand"
    assert log.texts == [], "what was told once is not told again"


def test_seeds_beyond_the_asked_range_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    ledger = Ledger(path, profile="all", is_resumed=False)
    explore(range(10), engine=Oracle(failing=[9]), ledger=ledger)
    ledger.close()
    ledger = Ledger(path, profile="all", is_resumed=True)
    assert explore(range(5), engine=Oracle(), ledger=ledger).is_clean
    ledger.close()


def results(campaign: Campaign, found: list[Result]) -> list[Result]:
    assert campaign.is_clean
    return sorted((replace(result, cpu_ms=0) for result in found), key=lambda result: result.seed)


@pytest.mark.parametrize("jobs", [0, 2])
def test_seeds_run_here_or_elsewhere_with_the_same_results(tmp_path: Path, jobs: int) -> None:
    ledger = Ledger(tmp_path / "c.jsonl", profile="all", is_resumed=False)
    campaign = explore(range(2), jobs=jobs, ledger=ledger)
    ledger.close()
    again = Ledger(tmp_path / "c.jsonl", profile="all", is_resumed=True)
    again.close()
    expected = [replace(find(seed, "all").result, cpu_ms=0) for seed in range(2)]
    assert results(campaign, list(again.done.values())) == expected
