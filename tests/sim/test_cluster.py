"""A campaign runs on a real Dask cluster: a scheduler and two worker processes on the loopback, ended with the test."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from shards_for_tests import DEADLY, deadly

from sim import cli
from sim.campaign.result import Finding, Lost, find
from sim.campaign.shards import Cluster, run_shard
from sim.campaign.workers import EngineError

ROOT = Path(__file__).parents[2]

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="needs the optional extra: pip install '.[dask]'"
)


class Machines:
    """Processes of a cluster."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self.start("dask_scheduler", *words, stderr=subprocess.PIPE)
        self.address = ""
        # It says so once it can be reached.
        assert self.scheduler.stderr is not None
        for line in self.scheduler.stderr:
            if " at:" in line and "tcp://" in line:
                self.address = "tcp://" + line.split("tcp://")[1].strip()
                break

    def start(self, program: str, *words: str, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(__file__).parent))),
            # One death is enough to say whose fault it was.
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        }
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr, text=True)
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def add_worker(self) -> None:
        self.start("dask_worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.campaign.shards.SHARD_SEEDS", 3)


@pytest.fixture
def machines() -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(stack)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with ExitStack() as stack:
        machines = Machines(stack)
        machines.add_worker()
        machines.add_worker()
        yield machines.address


@needs_dask
def test_a_campaign_on_a_cluster_finds_what_is_found_here(
    cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.jsonl"
    words = ["explore", "--engine", "dask", "--scheduler", cluster, "--out", str(out)]
    assert cli.main([*words, "--seeds", "0:5"]) == 0
    assert cli.main([*words, "--seeds", "0:12", "--resume"]) == 0
    assert "12 of 12 seeds run, 0 failed, 0 lost" in capsys.readouterr().out
    proofs = {line["seed"]: line["proof"] for line in map(json.loads, out.read_text().splitlines())}
    assert sorted(proofs) == list(range(12))
    for seed in (1, 4, 11):
        assert proofs[seed] == find(seed, "all").result.proof


@needs_dask
def test_a_seed_that_no_worker_survives_is_told_and_the_others_go_on(cluster: str) -> None:
    found = list(Cluster(cluster, "all", deadly).run(range(8)))
    assert sorted(one.result.seed for one in found if isinstance(one, Finding)) == [
        seed for seed in range(8) if seed != DEADLY
    ]
    lost = [one for one in found if isinstance(one, Lost)]
    assert [one.seed for one in lost] == [DEADLY]
    assert lost[0].why.startswith("workers of the cluster: ")


@needs_dask
def test_machines_with_other_code_do_not_take_part(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.campaign.shards.code_id", lambda: "0123")
    with pytest.raises(
        EngineError, match=r"cannot run seeds: it runs other code .* than the machine that asks \(0123\)"
    ):
        list(Cluster(cluster, "all").run(range(2)))


@needs_dask
def test_a_cluster_that_goes_away_ends_the_campaign(machines: Machines) -> None:
    machines.add_worker()
    running = Cluster(machines.address, "all").run(range(1_000_000))
    next(running)
    machines.scheduler.kill()
    with pytest.raises(EngineError, match=r"the scheduler at .* has gone away; .* --resume"):
        list(running)


@needs_dask
def test_a_cluster_that_cannot_be_used_is_named(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.campaign.shards.WORKERS_S", 1)
    monkeypatch.setattr("sim.campaign.shards.CONNECT_S", 1)
    with pytest.raises(EngineError, match=r"the scheduler at tcp://.* has no workers: start some with 'dask worker"):
        list(Cluster(machines.address, "all").run(range(2)))
    machines.scheduler.kill()
    machines.scheduler.wait()
    with pytest.raises(EngineError, match=r"no scheduler answers at tcp://127.0.0.1:\d+: start one"):
        list(Cluster(machines.address, "all").run(range(2)))


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EngineError, match=r"pip install 'weavenet\[dask\]'"):
        list(Cluster("tcp://127.0.0.1:1", "all").run(range(2)))


def test_a_shard_is_run_in_order() -> None:
    code = find(0, "all").result.code
    texts = run_shard((3, 1), "all", code)
    seeds = [json.loads(text)["result"]["seed"] for text in texts]
    assert seeds == [3, 1]
    assert replace(find(3, "all").result, cpu_ms=0).proof == json.loads(texts[0])["result"]["proof"]
