"""Lives a recorded life again: the production Replica, told what it was told, at the times at which it was.

    python -m sim.recording FILE [--until SECONDS]

prints what happened and what followed, and compares each decision with the recorded one. Nothing is simulated here: the
recording is the whole world, so time costs nothing. The first difference ends the replay, because what was recorded
after it follows from other decisions. Differences come from another version of the software, or from a bug that lets
something enter the heart that is no event.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from textwrap import indent
from typing import TextIO

from core.config import Config, Recovered
from core.effects import Effect, Note
from core.events import Event
from core.records import Begun, Decided, Decision, Entry, Failed, Recording, RecordingError, decisions_of
from core.replica import Replica
from core.types import Instant
from sim.trace import effects_text, event_text

MakeReplica = Callable[[Config, Recovered, random.Random], Replica]
DIFFERENCE_SIZE_MAX = 4_000
"""Characters; one effect can hold a whole store."""
WALL_MAX_MS = 253_402_300_800_000
"""The year 10000."""
VERSION = next(field.default for field in fields(Config) if field.name == "version")
"""Of the software that replays."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event, lived through again."""

    number: int
    """Of its record in the file, counted from 1."""
    at_ms: int
    """Since the first event, on the clock that decides."""
    at: Instant
    """As recorded."""
    event: Event
    """What happened."""
    effects: tuple[Effect, ...]
    """What was decided now."""
    failure: str
    """The traceback of what the replica raised now instead; empty when it decided."""
    difference: str
    """How that differs from what was recorded; empty when it does not."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a replay."""

    events: int
    """Replayed."""
    length_ms: int
    """From the first to the last of them."""
    difference: str
    """Of the last step, if it had one: there the replay ended."""
    ended: str
    """Why it ends there; empty while it goes on, and after a difference."""


class Replay:
    """One recording and the replica that lives through it; `steps` can be taken once."""

    def __init__(self, data: bytes, make: MakeReplica = Replica) -> None:
        """Read the bytes of a recording up to the first event. Raises: RecordingError."""
        self._recording = Recording(data)
        self.begun = self._recording.begun
        """Who was recorded."""
        entropy = random.Random(self.begun.entropy)
        try:
            self.replica = make(self.begun.config, self._recording.recovered, entropy)
        except Exception as error:
            raise RecordingError(f"no replica can be made of what the journal held: {error!r}") from error
        self.outcome = Outcome(0, 0, "", "")
        """So far."""

    def steps(self, until_ms: int | None = None) -> Iterator[Step]:
        """Yield events, each after it was replayed, up to a moment or the first difference. Raises: RecordingError.

        After each step `replica` is as it was then, and can be asked all that a replica can be asked.
        """
        begin_ms: int | None = None
        for entry in self._recording.entries():
            mono_ms = entry.told.at.mono_ms
            begin_ms = mono_ms if begin_ms is None else begin_ms
            if until_ms is not None and mono_ms - begin_ms > until_ms:
                self.outcome = replace(self.outcome, ended=f"more follows after {_seconds(until_ms)}")
                return
            step = self._step(entry, mono_ms - begin_ms)
            self.outcome = Outcome(self.outcome.events + 1, step.at_ms, step.difference, "")
            yield step
            if step.difference:
                return
        self.outcome = replace(self.outcome, ended=self._why_it_ends())

    def _step(self, entry: Entry, at_ms: int) -> Step:
        told, recorded = entry.told, entry.decided
        effects: tuple[Effect, ...] = ()
        failure = error_text = ""
        try:
            effects = tuple(self.replica.apply(told.event, told.at))
        except Exception as error:
            # Whether it failed then, too, is what is to be found out.
            failure, error_text = "".join(traceback.format_exception(error)), repr(error)
        match recorded:
            case Decided(decisions) if failure:
                difference = f"recorded: {_names(decisions)}\nnow the replica fails: {error_text}"
            case Decided(decisions):
                difference = _difference(decisions, effects)
            case Failed(then) if not failure:
                difference = f"recorded: the replica failed: {then}\nnow: {_names(decisions_of(effects).decisions)}"
            case Failed(then) if not error_text.startswith(then):  # a long one was cut off
                difference = f"recorded: the replica failed: {then}\nnow it fails in another way: {error_text}"
            case _:
                difference = ""
        return Step(entry.number, at_ms, told.at, told.event, effects, failure, difference)

    def _why_it_ends(self) -> str:
        recording = self._recording
        if recording.ended is not None:
            return recording.ended
        torn = f"; {recording.torn_size} bytes of an unfinished record are left out" if recording.torn_size else ""
        return f"the agent was killed, or is still running{torn}"


def replay_recording(path: Path, until_ms: int | None, out: TextIO) -> int:
    """Replay a file and print the story; return 0 when all is decided as recorded, else 1 with the reason.

    An unreadable file is explained on standard error.
    """

    def say(text: str) -> None:
        # Texts from the operating system may hold what cannot be printed.
        print(text.encode(errors="backslashreplace").decode(), file=out)

    try:
        replay = Replay(path.read_bytes())
        say(_head(replay.begun))
        for step in replay.steps(until_ms):
            if replay.outcome.events == 1:
                say(f"time counts from {_date(step.at.wall_ms)}")
            say("\n".join(_lines(step)))
    except (OSError, RecordingError) as error:
        out.flush()
        print(f"{path}: {error.strerror if isinstance(error, OSError) else error}", file=sys.stderr)
        return 1
    outcome = replay.outcome
    span = f"{outcome.events} events in {_seconds(outcome.length_ms)}"
    if not outcome.difference:
        say(f"identical: {span}; the end: {outcome.ended}")
        return 0
    say(f"DIFFERENT: {span}, then, at record {step.number}, {event_text(step.event)}")
    say(indent(outcome.difference, "  "))
    say(f"recorded by {_software(replay.begun)}; replayed by weave {VERSION} on Python {platform.python_version()}")
    return 1


def _head(begun: Begun) -> str:
    config = begun.config
    return (
        f"{config.peer}({config.nickname}), life {begun.origin.incarnation}, {begun.stream_count} streams found in the "
        f"journal; {_software(begun)}"
    )


def _software(begun: Begun) -> str:
    return f"weave {begun.config.version} on Python {begun.python}"


def _lines(step: Step) -> Iterator[str]:
    done: list[Effect] = [effect for effect in step.effects if not isinstance(effect, Note)]
    yield f"{_seconds(step.at_ms):>12}  {event_text(step.event)} -> {effects_text(done)}".rstrip()
    for effect in step.effects:
        if isinstance(effect, Note):
            yield f"{'':>12}  {effect.level}: {effect.text}"
    if step.failure:
        yield indent(step.failure.rstrip(), f"{'':>14}")


def _difference(recorded: tuple[Decision, ...], effects: Sequence[Effect]) -> str:
    """Say where decisions first differ; nothing if they do not."""
    decided = decisions_of(effects).decisions
    if decided == recorded:
        return ""
    shown = [effect for effect in effects if not isinstance(effect, Note)]
    pairs = zip_longest(recorded, decided)
    index = next(index for index, (then, now) in enumerate(pairs) if then != now)
    then = f"recorded is {recorded[index].effect}" if index < len(recorded) else "recorded is nothing more"
    now = repr(shown[index])[:DIFFERENCE_SIZE_MAX] if index < len(shown) else "nothing more"
    if index < min(len(recorded), len(shown)) and recorded[index].effect == decided[index].effect:
        then += " with other values"
    return (
        f"recorded: {_names(recorded)}\nnow:      {_names(decided)}\neffect {index + 1} is the first that differs: "
        f"{then}; now it is {now}"
    )


def _names(decisions: Sequence[Decision]) -> str:
    return ", ".join(decision.effect for decision in decisions) or "nothing"


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03} s"


def _date(wall_ms: int) -> str:
    if not 0 <= wall_ms < WALL_MAX_MS:
        return f"an impossible moment, {wall_ms} ms since 1970"
    return f"{datetime.fromtimestamp(wall_ms / 1000, UTC):%Y/%m/%d %H:%M:%S.%f} UTC"


def main(arguments: Sequence[str]) -> int:
    """Replay a recording; return 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m sim.recording", description="Live a recorded life again.")
    parser.add_argument("file", type=Path, help="what `weave launch --record` wrote")
    parser.add_argument("--until", type=float, metavar="SECONDS", help="replay only so much from the first event on")
    asked = parser.parse_args(arguments)
    return replay_recording(asked.file, None if asked.until is None else round(asked.until * 1000), sys.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
