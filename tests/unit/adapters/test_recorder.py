"""What is told is on file before anything follows from it, and no trouble with the file reaches the agent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from watching import PATIENCE_S

from adapters import recorder as module
from adapters.recorder import END_SIZE, RecordedHeart, Recorder
from core.config import Config, Recovered
from core.effects import DumpKernel, Effect
from core.events import Event, KernelChanged, LinkDown, Started
from core.records import PREFIX, Decided, Failed, Recording, decisions_of
from core.types import Instant, LinkId, PeerName
from crdt.fact import Change, Origin
from crdt.stream import Stream

ME = PeerName("02:00:00:00:00:01")
CONFIG = Config(ME, "n")
FOUND = Recovered(Origin(ME, 3), (Stream.empty(Origin(ME, 3)).append([Change("k", "k", b"1")]).delta(0),))
AT = Instant(5, 6)
PLENTY = 1 << 20


class Heart:
    """Decides one thing, and looks at the file while it does."""

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        self.told: list[Event] = []
        self.look = look

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        self.told.append(event)
        self.look()
        return [DumpKernel()]


class Stage:
    """A recorder and what it said."""

    def __init__(self, path: Path, size_max: int = PLENTY, create: Callable[[Path], int] | None = None) -> None:
        self.said: list[tuple[str, str]] = []
        self.path = path
        self.heart = Heart()
        self.recorder = Recorder(
            path, size_max=size_max, note=lambda level, text: self.said.append((level, text)), create=create
        )
        self.recorded = RecordedHeart(self.heart, self.recorder)

    def begin(self) -> None:
        self.recorder.begin(CONFIG, FOUND, 1 << 127)

    def tell(self, event: Event) -> list[Effect]:
        return self.recorded.apply(event, AT)

    @property
    def warnings(self) -> list[str]:
        return [text for level, text in self.said if level == "WARN"]

    def read(self) -> Recording:
        return Recording(self.path.read_bytes())


def assert_all_let_go() -> None:
    """Wait for the ends of threads that write; one that has ended has closed its file."""
    for thread in threading.enumerate():
        if thread.name == "recorder":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_a_life_is_on_file(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "file")
    stage.begin()
    assert stage.tell(Started()) == [DumpKernel()], "decisions pass unchanged"
    stage.tell(KernelChanged())
    stage.recorder.end("the agent was stopped")
    stage.tell(KernelChanged())
    stage.recorder.close()
    assert stage.path.stat().st_mode & 0o777 == 0o600
    recording = stage.read()
    assert recording.begun.config == CONFIG
    assert recording.begun.entropy == 1 << 127
    assert recording.recovered == FOUND
    entries = list(recording.entries())
    assert [entry.told.event for entry in entries] == [Started(), KernelChanged()]
    assert entries[0].told.at == AT
    assert entries[0].decided == decisions_of([DumpKernel()])
    assert recording.ended == "the agent was stopped"
    assert stage.said == [("INFO", f"recording to {stage.path}, at most {PLENTY} bytes")]


def test_nothing_is_touched_before_the_beginning(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "file")
    stage.tell(Started())
    stage.recorder.end("never began")
    stage.recorder.close()
    assert list(tmp_path.iterdir()) == []
    assert stage.said == []


def test_what_kills_the_heart_is_on_file(tmp_path: Path) -> None:
    def fail() -> None:
        raise AssertionError("a bug")

    stage = Stage(tmp_path / "file")
    stage.begin()
    stage.tell(Started())
    stage.heart.look = fail
    with pytest.raises(AssertionError, match="a bug"):
        stage.tell(KernelChanged())
    stage.recorder.close()
    recording = stage.read()
    last = list(recording.entries())[-1]
    assert last.told.event == KernelChanged()
    assert last.decided == Failed("AssertionError('a bug')")
    assert recording.ended == "the replica failed: AssertionError('a bug')"


def test_an_event_is_on_its_way_to_the_file_before_it_is_decided(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "file")
    stage.begin()
    events: list[Event] = []

    def look() -> None:
        stage.recorder.close()
        events.extend(entry.told.event for entry in stage.read().entries())

    stage.heart.look = look
    stage.tell(Started())
    assert events == [Started()]


def test_the_file_stays_within_its_limit_and_says_that_it_ended(tmp_path: Path) -> None:
    size_max = END_SIZE + 1_500
    stage = Stage(tmp_path / "file", size_max)
    stage.begin()
    for number in range(100):
        assert stage.tell(LinkDown(LinkId(number), "EOF")) == [DumpKernel()]
    assert_all_let_go()
    stage.recorder.close()
    assert len(stage.heart.told) == 100
    assert size_max - END_SIZE - 200 < stage.path.stat().st_size <= size_max
    recording = stage.read()
    events = [entry.told.event for entry in recording.entries()]
    assert events == stage.heart.told[: len(events)]
    assert len(events) > 3
    assert recording.ended == f"the limit of {size_max} bytes is reached"
    assert recording.torn_size == 0
    (warning,) = stage.warnings
    assert warning == f"recording to {stage.path} has stopped: {recording.ended}; what is there can be replayed"


def test_the_last_recording_is_put_aside(tmp_path: Path) -> None:
    for number in range(3):
        stage = Stage(tmp_path / "file")
        stage.begin()
        stage.recorder.end(f"life {number}")
        stage.recorder.close()
    found = {path.name: Recording(path.read_bytes()) for path in tmp_path.iterdir()}
    assert all(list(recording.entries()) == [] for recording in found.values())
    assert {name: recording.ended for name, recording in found.items()} == {"file": "life 2", "file.1": "life 1"}


def test_only_recordings_are_put_aside(tmp_path: Path) -> None:
    kept = tmp_path / "precious"
    kept.write_bytes(b"something else")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "directory").mkdir()
    for name in ("precious", "fifo", "link", "directory", "none/file"):
        stage = Stage(tmp_path / name)
        stage.begin()
        assert stage.tell(Started()) == [DumpKernel()]
        stage.recorder.close()
        (warning,) = stage.warnings
        assert warning.startswith(f"nothing is recorded to {tmp_path / name}: ")
        assert "None" not in warning
    assert kept.read_bytes() == b"something else"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directory", "fifo", "link", "precious"]
    (tmp_path / "empty").touch()
    stage = Stage(tmp_path / "empty")
    stage.begin()
    stage.recorder.close()
    assert not stage.warnings


def test_a_journal_too_large_for_the_file_is_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "file", END_SIZE + 100)
    stage.begin()
    stage.tell(Started())
    stage.recorder.close()
    assert stage.warnings == [
        f"nothing is recorded to {stage.path}: what the journal holds does not fit into {END_SIZE + 100} bytes"
    ]
    assert not stage.path.exists()


def test_a_full_disk_ends_the_recording_before_it_begins(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "file", create=lambda _: os.open("/dev/full", os.O_WRONLY))
    stage.begin()
    assert stage.tell(Started()) == [DumpKernel()]
    stage.recorder.close()
    assert stage.warnings == [f"nothing is recorded to {stage.path}: No space left on device"]


def test_a_disk_that_breaks_later_is_said_once(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    stage = Stage(tmp_path / "file", create=lambda _: writing)
    stage.begin()
    os.close(reading)
    assert stage.tell(Started()) == [DumpKernel()]
    while not stage.warnings:
        assert stage.tell(KernelChanged()) == [DumpKernel()]
    stage.tell(KernelChanged())
    stage.recorder.close()
    assert stage.warnings == [f"recording to {stage.path} has stopped: Broken pipe; what is there can be replayed"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)


def test_a_disk_that_breaks_at_the_very_end_is_said_too(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    stage = Stage(tmp_path / "file", create=lambda _: writing)
    stage.begin()
    os.close(reading)
    stage.recorder.end("the agent was stopped")
    stage.recorder.close()
    (warning,) = stage.warnings
    assert "Broken pipe" in warning


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_SIZE_MAX", 10_000)
    monkeypatch.setattr(module, "CLOSE_WAIT_S", 0.0)
    reading, writing = os.pipe()
    stage = Stage(tmp_path / "file", create=lambda _: writing)
    stage.begin()
    text = "x" * 1_000
    while not stage.warnings:
        assert stage.tell(LinkDown(LinkId(1), text)) == [DumpKernel()]
    stage.recorder.close()
    (warning,) = stage.warnings
    assert "wait for the disk, which is too slow or hangs" in warning
    with os.fdopen(reading, "rb") as stuck:
        # The pipe is read now, so that the thread comes to its end.
        data = stuck.read()
    assert data.startswith(PREFIX)
    recording = Recording(data)
    assert all(isinstance(entry.decided, Decided | None) for entry in recording.entries())
    assert recording.ended is not None
    assert_all_let_go()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)
