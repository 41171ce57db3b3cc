"""Processes that run seeds: what they find arrives, and what dies is told and replaced."""

from __future__ import annotations

import os
import signal
import sys
from textwrap import dedent

import pytest

from sim.campaign.result import Finding, Lost, Result
from sim.campaign.workers import EngineError, Workers


def fake(body: str) -> tuple[str, ...]:
    """Return the command of a worker that answers at once; `body` says what it does with a seed before that."""
    program = """
    import json, os, signal, sys
    def answer(seed):
        result = dict(seed=seed, profile="all", code="", hosts=1, proof="", virtual_ms=1, cpu_ms=1, events=1)
        result.update(converged_ms=1, violation="", marks={}, actions={}, outcomes={})
        print(json.dumps(dict(result=result, scenario="")), flush=True)
    print("ready", flush=True)
    for line in sys.stdin:
        seed = int(line)
        BODY
        answer(seed)
    """
    return (sys.executable, "-c", dedent(program).replace("BODY", body))


def split(found: list[Finding | Lost]) -> tuple[list[int], list[Lost]]:
    """Return the seeds that were found out, ascending, and those that were lost."""
    results = [one.result.seed for one in found if isinstance(one, Finding)]
    return sorted(results), [one for one in found if isinstance(one, Lost)]


@pytest.mark.parametrize("jobs", [1, 3, 50])
def test_every_seed_is_run_once(jobs: int) -> None:
    engine = Workers(jobs, "all", fake("pass"))
    assert split(list(engine.run(range(10)))) == (list(range(10)), [])
    assert engine.pids == (), "nobody is left"


def test_no_seeds_need_no_workers() -> None:
    assert list(Workers(2, "all", ("/does/not/exist",)).run(())) == []


def test_a_worker_that_is_killed_is_told_with_its_seed_and_the_others_go_on() -> None:
    body = "seed in (3, 9) and os.kill(os.getpid(), signal.SIGKILL)"
    results, lost = split(list(Workers(2, "all", fake(body)).run(range(10))))
    assert results == [0, 1, 2, 4, 5, 6, 7, 8]
    assert sorted(one.seed for one in lost) == [3, 9]
    assert {one.why for one in lost} == {"SIGKILL: killed, or out of memory"}


def test_the_last_words_of_a_worker_are_told() -> None:
    body = "if seed == 1: sys.exit('no more memory')"
    results, lost = split(list(Workers(1, "all", fake(body)).run(range(3))))
    assert results == [0, 2]
    assert lost == [Lost(1, "exit status 1: no more memory")]


def test_workers_that_cannot_start_end_the_campaign() -> None:
    engine = Workers(2, "all", (sys.executable, "-c", "raise SystemExit('no such module')"))
    with pytest.raises(EngineError, match=r"workers cannot be started: .* exit status 1: no such module"):
        list(engine.run(range(1_000)))
    assert engine.pids == ()


def test_whoever_stops_listening_leaves_no_process_behind() -> None:
    engine = Workers(2, "all", fake("pass"))
    running = engine.run(range(1_000_000))
    next(running)
    pids = engine.pids
    assert len(pids) == 2
    running.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_real_workers_find_what_is_found_here_and_survive_each_other() -> None:
    engine, seeds = Workers(2, "all"), (3, 2, 8, 10, 4)
    running = engine.run(seeds)
    found = [next(running)]
    os.kill(engine.pids[0], signal.SIGKILL)
    found.extend(running)
    results, lost = split(found)
    assert len(lost) == 1
    assert sorted([*results, lost[0].seed]) == sorted(seeds)
    assert all(isinstance(one.result, Result) and one.result.proof for one in found if isinstance(one, Finding))
