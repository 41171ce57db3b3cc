"""What real agents live through is recorded and can be lived through again, decision by decision."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab
from core.effects import Execute
from core.events import AttachAsked, Commanded, KernelDumped, OpsDone, Persisted, Received
from sim.recording import Replay, Step, replay_recording

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
NAME = f"wnr{os.getpid()}"
TIMEOUT_S = 60.0


def text_of(directory: Path) -> str:
    return f"""
[lab]
name = "{NAME}"
launch = ["--ipalloc-init", "consensus=2"]
[[host]]
name = "A"
launch = ["--record", "{directory / "A"}"]
peers = []
[[host]]
name = "B"
peers = []
[[link]]
a = "A"
b = "B"
[[container]]
host = "A"
name = "a1"
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def lab(directory: Path) -> Iterator[Lab]:
    text = text_of(directory)
    with Lab(parse(text), text=text, say=lambda _: None) as made:
        yield made


def weave(lab: Lab, *words: str) -> str:
    done = lab.run("A", "weave", *words, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.1)


def replayed(file: Path) -> tuple[list[Step], Replay]:
    replay = Replay(file.read_bytes())
    steps = list(replay.steps())
    assert steps
    assert replay.outcome.difference == "", steps[-1]
    return steps, replay


def test_a_life_is_recorded_and_replays_to_the_same_decisions(lab: Lab, directory: Path) -> None:
    weave(lab, "connect", lab.address("B", "A"))
    eventually(lambda: "established" in weave(lab, "status", "connections"))
    path = str(lab.namespace("A", "a1").path)
    address = weave(lab, "attach", path).strip()
    weave(lab, "status")
    weave(lab, "detach", path)
    weave(lab, "stop")

    assert (directory / "A").stat().st_mode & 0o777 == 0o600
    steps, replay = replayed(directory / "A")
    assert replay.outcome.ended == "the agent was stopped"
    assert replay.begun.config.nickname == "A"
    kinds = {type(step.event) for step in steps}
    assert {AttachAsked, Commanded, KernelDumped, OpsDone, Persisted, Received} <= kinds
    assert any(isinstance(effect, Execute) for step in steps for effect in step.effects)
    out = io.StringIO()
    assert replay_recording(directory / "A", None, out) == 0
    assert address in out.getvalue()
    assert f"identical: {len(steps)} events in " in out.getvalue()


def test_what_a_killed_agent_lived_through_replays_to_the_last_whole_record(lab: Lab, directory: Path) -> None:
    lab.launch("A")
    path = str(lab.namespace("A", "a1").path)
    address = weave(lab, "attach", path).strip()
    pid = daemon.running_pid(lab_kernel.directory(NAME, "A") / "run")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not daemon.is_alive(pid))

    steps, replay = replayed(directory / "A")
    assert replay.begun.stream_count >= 2, "this life began with what the one before had kept"
    assert replay.outcome.ended.startswith("the agent was killed")
    assert any(address in repr(step.effects) for step in steps)
    _, earlier = replayed(directory / "A.1")
    assert earlier.outcome.ended == "the agent was stopped", "the life before was put aside"
