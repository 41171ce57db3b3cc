"""A recorded life is lived again, and the first decision that differs is named with what differs."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from playbook import LOW, ME, config, hello

from core.config import Recovered
from core.effects import DumpKernel, Effect, Note, SetTimer
from core.events import Commanded, Connect, Event, LinkUp, Lookup, Persisted, Received, Started
from core.records import MAGIC, Begun, Ended, Failed, Found, Told, decisions_of, encode
from core.replica import Replica
from core.types import HostPort, Instant, LinkId, RequestId, Ticket
from crdt.fact import Change, Origin
from crdt.stream import Stream
from sim.recording import Replay, main, replay_recording

WALL_MS = 1_700_000_000_123
STREAM = Stream.empty(Origin(LOW, 4)).append([Change("k", "k", b"1")]).delta(0)
EVENTS: tuple[Event, ...] = (
    Started(),
    Persisted(Ticket(1)),
    Commanded(RequestId(1), Connect(("10.0.0.9",), replace=False)),
    Persisted(Ticket(2)),
    LinkUp(LinkId(1), True, HostPort("10.0.0.9", 6783), "10.0.0.9"),
    Received(LinkId(1), hello(LOW)),
    Commanded(RequestId(2), Lookup("c", "")),
)


class Buggy(Replica):
    """Fails on a question."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        if isinstance(event, Commanded):
            raise RuntimeError("a planted bug")
        return super().apply(event, at)


class Talkative(Replica):
    """Decides the same, in other words."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        return [Note("INFO", "something new"), *super().apply(event, at)]


class Hasty(Replica):
    """Sets its timers a little earlier than others."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        effects = super().apply(event, at)
        if not isinstance(event, LinkUp):
            return effects
        return [SetTimer(e.name, e.due_ms - 1) if isinstance(e, SetTimer) and e.due_ms else e for e in effects]


class Eager(Replica):
    """Does more than others."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        more: list[Effect] = [DumpKernel()] if isinstance(event, LinkUp) else []
        return [*super().apply(event, at), *more]


def lived(make: type[Replica] = Replica) -> bytes:
    """Return the recording of a life in which 100 ms pass between events."""
    recovered = Recovered(Origin(ME, 1), (STREAM,))
    begun = Begun(config(), recovered.origin, 1, 12345, "3.0")
    data = MAGIC + encode(begun) + encode(Found(STREAM))
    replica = make(begun.config, recovered, random.Random(begun.entropy))
    for number, event in enumerate(EVENTS):
        at = Instant(7_000 + 100 * number, WALL_MS)
        data += encode(Told(at, event))
        try:
            data += encode(decisions_of(replica.apply(event, at)))
        except RuntimeError as error:
            return data + encode(Failed(repr(error)))
    return data


def test_a_life_replays_to_the_same_decisions() -> None:
    replay = Replay(lived())
    steps = list(replay.steps())
    assert [step.event for step in steps] == list(EVENTS)
    assert [step.at_ms for step in steps] == [100 * number for number in range(len(EVENTS))]
    assert steps[2].at == Instant(7_200, WALL_MS)
    assert all(step.difference == step.failure == "" for step in steps)
    assert any(step.effects for step in steps)
    assert (replay.outcome.events, replay.outcome.length_ms, replay.outcome.difference) == (7, 600, "")
    assert replay.outcome.ended.startswith("the agent was killed, or is still running")
    assert replay.replica.store.head(STREAM.origin) == STREAM.head, "what the journal held is there"


def test_asking_the_replica_on_the_way_changes_nothing() -> None:
    replay = Replay(lived())
    for step in replay.steps():
        replay.replica.describe(step.at)
        replay.replica.desired()
    assert replay.outcome.difference == ""


def test_a_replay_may_stop_at_a_moment() -> None:
    replay = Replay(lived())
    assert [step.event for step in replay.steps(200)] == list(EVENTS[:3])
    assert replay.outcome.ended == "more follows after 0.200 s"
    replay = Replay(lived())
    assert len(list(replay.steps(199))) == 2


def test_other_values_are_a_difference_and_the_end() -> None:
    replay = Replay(lived(), Hasty)
    steps = list(replay.steps())
    assert [step.event for step in steps] == list(EVENTS[:5])
    assert [bool(step.difference) for step in steps] == [False] * 4 + [True]
    recorded, now, first = steps[-1].difference.splitlines()
    assert recorded.removeprefix("recorded: ") == now.removeprefix("now:      ")
    assert first.startswith(
        "effect 1 is the first that differs: recorded is SetTimer with other values; now it is SetT"
    )
    assert replay.outcome.difference == steps[-1].difference


@pytest.mark.parametrize(("then", "now"), [(Replica, Eager), (Eager, Replica)])
def test_more_or_less_is_a_difference(then: type[Replica], now: type[Replica]) -> None:
    last = list(Replay(lived(then), now).steps())[-1]
    assert isinstance(last.event, LinkUp)
    more = "recorded is nothing more; now it is DumpKernel()"
    less = "recorded is DumpKernel; now it is nothing more"
    assert last.difference.endswith(more if now is Eager else less)


def test_other_words_in_the_log_are_no_difference() -> None:
    replay = Replay(lived(), Talkative)
    assert len(list(replay.steps())) == len(EVENTS)
    assert replay.outcome.difference == ""


def test_a_failure_comes_back() -> None:
    replay = Replay(lived(Buggy), Buggy)
    last = list(replay.steps())[-1]
    assert last.event == EVENTS[2]
    assert "a planted bug" in last.failure
    assert last.difference == ""
    assert replay.outcome.ended == "the replica failed: RuntimeError('a planted bug')"


def test_a_new_failure_is_a_difference() -> None:
    last = list(Replay(lived(), Buggy).steps())[-1]
    assert last.event == EVENTS[2]
    assert last.difference.endswith("now the replica fails: RuntimeError('a planted bug')")


def test_a_failure_that_stays_away_is_a_difference() -> None:
    last = list(Replay(lived(Buggy)).steps())[-1]
    assert last.failure == ""
    assert last.difference.startswith("recorded: the replica failed: RuntimeError('a planted bug')\nnow: ")


def file_of(directory: Path, data: bytes) -> Path:
    file = directory / "recording"
    file.write_bytes(data)
    return file


def test_the_story_is_told(tmp_path: Path) -> None:
    out = io.StringIO()
    assert replay_recording(file_of(tmp_path, lived() + encode(Ended("the agent was stopped"))), None, out) == 0
    first, second, third, *lines = out.getvalue().splitlines()
    assert first == f"{ME}(me), life 1, 1 streams found in the journal; weave 0.1.0 on Python 3.0"
    assert second == "time counts from 2023/11/14 22:13:20.123000 UTC"
    assert third.startswith("     0.000 s  Started() -> ")
    assert any(line.startswith("     0.200 s  Commanded(") and "Dial(target='10.0.0.9')" in line for line in lines)
    assert lines[-1] == "identical: 7 events in 0.600 s; the end: the agent was stopped"


def test_a_torn_end_is_told(tmp_path: Path) -> None:
    out = io.StringIO()
    assert replay_recording(file_of(tmp_path, lived()[:-1]), None, out) == 0
    last = out.getvalue().splitlines()[-1]
    assert last.startswith("identical: 7 events in 0.600 s; the end: the agent was killed, or is still running; ")
    assert last.endswith(" bytes of an unfinished record are left out")


def test_a_difference_is_told_and_is_a_failure(tmp_path: Path) -> None:
    out = io.StringIO()
    assert replay_recording(file_of(tmp_path, lived(Eager)), None, out) == 1
    story = out.getvalue()
    assert "DIFFERENT: 5 events in 0.400 s, then, at record 11, LinkUp(" in story
    assert "recorded is DumpKernel; now it is nothing more" in story
    assert "recorded by weave 0.1.0 on Python 3.0; replayed by weave " in story.splitlines()[-1]


def test_what_cannot_be_read_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = bytearray(lived())
    broken[-1] ^= 1
    foreign = encode(Begun(config(), Origin(ME, 1), 2, 1, "3")) + 2 * encode(Found(STREAM))
    for data, message in (
        (b"{}", "no recording of weave"),
        (bytes(broken), "damaged, its checksum is another"),
        (MAGIC + foreign, "no replica can be made of what the journal held"),
    ):
        assert main([str(file_of(tmp_path, data))]) == 1
        assert message in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'none'}: No such file or directory\n"


def test_the_command_takes_a_moment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file_of(tmp_path, lived())), "--until", "0.25"]) == 0
    assert capsys.readouterr().out.endswith("identical: 3 events in 0.200 s; the end: more follows after 0.250 s\n")
