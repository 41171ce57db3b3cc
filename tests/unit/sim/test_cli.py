"""`weave sim` as its users meet it: results and mistakes in words, and an exit status."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.effects import Effect
from core.events import Event
from core.replica import Replica
from core.types import Instant
from sim import cli
from sim.actions import HostIndex, Kill, Start, Take
from sim.run import play
from sim.scenario import HostSpec, Scenario, Step, dump, load
from sim.seeds import run_seed

ROOT = Path(__file__).parents[3]
QUIET = Scenario("1", (HostSpec("a"), HostSpec("b", (HostIndex(0),))), "10.32.0.0/24", "seed", 3_000)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every agent crash that is asked for an address on the second host."""
    apply = Replica.apply

    def broken(self: Replica, event: Event, at: Instant) -> list[Effect]:
        if "Allocate" in repr(event) and self.board.me.peer.endswith("02"):
            raise RuntimeError("planted")
        return apply(self, event, at)

    monkeypatch.setattr(Replica, "apply", broken)


def failing() -> Scenario:
    steps = (
        Step(500, Take(HostIndex(0), ("c1", "c2"))),
        Step(700, Kill(HostIndex(0))),
        Step(1_234, Take(HostIndex(1), ("c3", "c4"))),
    )
    return replace(QUIET, steps=steps)


def test_seeds_are_explored_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explore", "--seeds", "0:2", "--jobs", "1", "--out", "c.jsonl"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("2 of 2 seeds run, 0 failed, 0 lost; ")
    assert "2/2 seeds, 0 failed" in told.err
    lines = [json.loads(line) for line in (folder / "c.jsonl").read_text().splitlines()]
    assert [line["seed"] for line in lines] == [0, 1]
    assert lines[1]["proof"] == run_seed(1).proof


def test_a_campaign_is_gone_on_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explore", "--seeds", "0:1", "--jobs", "1", "--out", "c.jsonl"]) == 0
    before = (folder / "c.jsonl").read_bytes()
    (folder / "c.jsonl").write_bytes(before + b'{"seed":1')
    assert cli.main(["explore", "--seeds", "0:1", "--jobs", "1", "--out", "c.jsonl"]) == 1
    assert "c.jsonl is there already" in capsys.readouterr().err
    assert cli.main(["explore", "--seeds", "0:2", "--jobs", "1", "--out", "c.jsonl", "--resume"]) == 0
    assert capsys.readouterr().out.startswith("2 of 2 seeds run")
    after = (folder / "c.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == 2


def test_ctrl_c_ends_a_campaign_with_what_was_done(folder: Path) -> None:
    words = ["-m", "sim", "explore", "--seeds", "0:100000", "--jobs", "1", "--out", "c.jsonl"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Whoever runs these tests in the background may have told their children to ignore it.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, stdout=-1, stderr=-1, text=True, preexec_fn=heed
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("0/100,000 seeds")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == cli.INTERRUPTED
    assert " of 100,000 seeds run" in out
    assert "add --resume to the same command" in err
    assert "Traceback" not in err
    done = len((folder / "c.jsonl").read_text().splitlines())
    assert cli.main(["explore", "--seeds", f"0:{done + 1}", "--jobs", "1", "--out", "c.jsonl", "--resume"]) == 0


def test_a_seed_is_recorded_and_replayed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", "seven.json", "7"]) == 0
    assert load((folder / "seven.json").read_text()).title == "Seed 7: all is well"
    capsys.readouterr()
    assert cli.main(["replay", "seven.json"]) == 0
    told = capsys.readouterr().out
    assert f"proof {run_seed(7).proof}\n" in told
    assert "all is well, " in told
    assert cli.main(["record", "seven.json", "8"]) == 1
    assert "seven.json is there already: remove it, or choose another name" in capsys.readouterr().err


def test_a_replay_can_be_stopped_and_looked_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "q.json").write_text(dump(QUIET))
    assert cli.main(["replay", "q.json", "--until", "2.5"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("at 2.5 s, proof so far ")
    assert "b  02:00:00:00:00:02  up, process 1" in told
    assert cli.main(["replay", "q.json", "--until", "3.5"]) == 1
    assert "q.json: trouble ends at 3.0 s; leave out --until" in capsys.readouterr().err


def test_a_trace_has_every_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "q.json").write_text(dump(QUIET))
    assert cli.main(["replay", "q.json"]) == 0
    events = capsys.readouterr().out.split(" events")[0].split()[-1]
    assert cli.main(["replay", "q.json", "--trace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("   ")]) == int(events)


def test_what_fails_is_told_and_shrunk(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch)
    (folder / "f.json").write_text(dump(failing()))
    assert cli.main(["replay", "f.json"]) == 1
    told = capsys.readouterr().out
    assert "VIOLATED: crash: Traceback" in told
    assert "Kill(host=0" in told, "the end of the trace"
    assert cli.main(["shrink", "f.json"]) == 0
    told = capsys.readouterr().out
    assert "3 steps on 2 hosts are now 1 on 2" in told
    assert "\ncrash: RuntimeError: planted\n" in told
    small = load((folder / "f-small.json").read_text())
    assert small.steps == (Step(0, Take(HostIndex(1), ("c1",))),)
    assert small.title == "crash: RuntimeError: planted (seed 1)"
    assert cli.main(["shrink", "f.json", "-o", "g.json", "--max-runs", "2"]) == 0
    told = capsys.readouterr().out
    assert "there may be smaller ones" in told
    assert (folder / "g.json").exists()


def test_the_shortest_way_to_a_mark_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = (Step(100, Take(HostIndex(1), ("c1",))), Step(2_000, Kill(HostIndex(0))), Step(2_500, Start(HostIndex(0))))
    (folder / "s.json").write_text(dump(replace(QUIET, steps=steps)))
    assert cli.main(["shrink", "s.json", "--mark", "sessions.held-link-resumed"]) == 0
    assert "mark: sessions.held-link-resumed is passed" in capsys.readouterr().out
    small = load((folder / "s-small.json").read_text())
    assert [type(step.action) for step in small.steps] == [Kill]
    assert play(small).marks["sessions.held-link-resumed"]
    assert cli.main(["shrink", "s.json", "--mark", "gossip.equivocation"]) == 1
    assert "s.json: it does not pass gossip.equivocation" in capsys.readouterr().err


def test_what_is_well_cannot_be_shrunk(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "q.json").write_text(dump(QUIET))
    assert cli.main(["shrink", "q.json"]) == 1
    assert "weave sim: q.json: it violates nothing; nothing to shrink" in capsys.readouterr().err
    assert cli.main(["shrink", "0"]) == 1
    assert "weave sim: 0: it violates nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read x.json: No such file or directory"),
        (b"\xff\xfe", "x.json is neither a scenario nor a recording: not text at byte 0"),
        (b"{", "x.json: not JSON"),
        (b"{}", "x.json: field 'format': this version reads format"),
        (b"weave recording 1\n", "x.json: "),
        (b"weave recording 9\n", "x.json: "),
        (dump(QUIET).replace('"ring": "seed"', '"ring": "sown"').encode(), "field 'ring': expected"),
        (dump(QUIET).replace('"until_ms": 3000', '"until_ms": -1').encode(), "field 'until_ms': expected"),
    ],
)
def test_files_that_cannot_be_read_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
) -> None:
    if content is not None:
        (folder / "x.json").write_bytes(content)
    assert cli.main(["replay", "x.json"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: VERB"),
        (["fly"], "invalid choice: 'fly'"),
        (["explore"], "required: --seeds"),
        (["explore", "--seeds", "5:5"], "no seed is in '5:5'"),
        (["explore", "--seeds", "a:b"], "'a' is no seed: expected a number from 0 on"),
        (["explore", "--seeds", "-1:2"], "expected one argument"),
        (["explore", "--seeds", "0:2", "--jobs", "0"], "expected a number from 1 on, found '0'"),
        (["explore", "--seeds", "0:2", "--profile", "none"], "invalid choice: 'none'"),
        (["explore", "--seeds", "0:2", "--engine", "mpi"], "invalid choice: 'mpi'"),
        (["explore", "--seeds", "0:2", "--engine", "dask"], "--engine dask needs --scheduler ADDRESS"),
        (["explore", "--seeds", "0:2", "--scheduler", "x"], "--scheduler is for --engine dask"),
        (["explore", "--seeds", "0:2", "--engine", "dask", "--scheduler", "x", "--jobs", "2"], "--jobs is for this"),
        (["explore", "--seeds", "0:2", "--resume"], "--resume needs --out FILE"),
        (["explore", "--seeds", "0:2", "--out", "no/where"], "cannot write no/where: No such file or directory"),
        (["replay", "x", "--until", "soon"], "expected seconds like 12.5, found 'soon'"),
        (["replay", "."], "cannot read .: Is a directory"),
        (["shrink", "nothing.json"], "cannot read nothing.json: No such file or directory"),
        (["timeline", "x.json"], "cannot read x.json: No such file or directory"),
        (["timeline", "0", "--html", "no/where"], "cannot write no/where: No such file or directory"),
        (["timeline", str(1 << 63)], "is no seed"),
        (["timeline", "0", "--from", "-1"], "expected seconds like 12.5"),
        (["record", "no/where", "1"], "cannot write no/where: No such file or directory"),
    ],
)
def test_mistakes_are_named(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert cli.main(words) == 1
    assert message in capsys.readouterr().err


def test_a_recording_is_for_replays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "r").write_bytes(b"weave recording 1\n")
    for verb in ("timeline", "shrink"):
        assert cli.main([verb, "r"]) == 1
        assert "r is a recording of one agent: 'weave sim replay' plays it" in capsys.readouterr().err


def test_names_that_cannot_be_written_are_written_as_json_has_them(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch)
    odd = replace(failing(), title="half \ud800 a character")
    (folder / "f.json").write_text(dump(odd), "utf-8", "backslashreplace")
    assert cli.main(["replay", "f.json"]) == 1
    assert "half ? a character" in capsys.readouterr().out
    assert cli.main(["shrink", "f.json"]) == 0
    assert load((folder / "f-small.json").read_text()).title == odd.title


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explore", "--help"]) == 0
    assert "--seeds A:B" in capsys.readouterr().out
    assert "weave sim shrink" in cli.help_text()
