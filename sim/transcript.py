"""A story as text: a line per interesting event, a column per host, in the manner of TigerBeetle's VOPR log.

The same story gives the same text, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.effects import Ok
from core.events import AttachAsked
from sim.actions import EndContainer
from sim.captions import Tone, caption_of, summary
from sim.folding import Batch, Flight, batches, flights
from sim.story import (
    Asked,
    Began,
    Ended,
    Fate,
    Happening,
    Missed,
    Noted,
    Operated,
    PathsCut,
    Performed,
    Sent,
    Story,
    Wrote,
)
from sim.verdict import verdict_of
from sim.words import Words

LINES_MAX = 4_000
"""More is nothing that anybody reads; the newest are shown."""
TEXT_SIZE = 110
"""Characters of facts on a line; of more, the first and how many there are besides."""
ALARMS = ("WARN", "ERRO")
COLUMN_MIN = 10
"""Characters of a host's column: the longest word in it, and air."""
TIME_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    at_us: int
    """When, in virtual microseconds from the beginning."""
    columns: str
    """What stands in the hosts' columns."""
    text: str
    """What happened, in words."""
    rank: int = 2
    """Among lines of one moment: actions come before arrivals, arrivals before what follows from them."""


def transcript(story: Story, *, from_us: int = 0, until_us: int | None = None, lines_max: int = LINES_MAX) -> str:
    """Return a story as text, or what happens in it between two times; of too many lines the newest."""
    until_us = story.end_us if until_us is None else until_us
    teller = _Teller(story)
    lines = [line for line in teller.lines() if from_us <= line.at_us <= until_us]
    left_out = max(0, len(lines) - lines_max)
    notes = [f"{left_out:,} earlier lines are left out"] if left_out else []
    notes += [f"{story.left_out:,} messages, writes and operations were too many to be remembered"] * bool(
        story.left_out
    )
    rows = [
        f"{time_text(line.at_us):>{TIME_WIDTH}}  {line.columns:<{teller.size}}  {line.text}"
        for line in lines[left_out:]
    ]
    head = f"{'time':>{TIME_WIDTH}}  {teller.head:<{teller.size}}  what happens"
    blank = f"{'':>{TIME_WIDTH}}  "
    return "\n".join(
        row.rstrip() for row in (*heading(story), "", head, *(f"{blank}({note})" for note in notes), *rows, "")
    )


def heading(story: Story) -> tuple[str, ...]:
    """Return what a story is about and how it ends, in a few lines."""
    report, verdict = story.report, verdict_of(story)
    scenario = report.scenario
    lines = [scenario.title] if scenario.title else []
    lines.append(summary(scenario, story.end_us // 1000))
    lines.append(f"Seed {scenario.seed}, {scenario.universe} by {scenario.ring}, proof {report.proof}.")
    lines.append(f"{verdict.headline}{': ' if verdict.sentence else '.'}{verdict.sentence}")
    return (*lines, f"The promise: {verdict.promise}.") if verdict.promise else tuple(lines)


def time_text(at_us: int) -> str:
    """Write a moment: `4.123 s`."""
    return f"{at_us // 1_000_000}.{at_us // 1_000 % 1_000:03} s"


class _Teller:
    """Makes the lines of one story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._words = Words(story.report.scenario)
        self._names = story.names
        self._width = max(COLUMN_MIN, *(len(name) + 2 for name in self._names))
        self.size = self._width * len(self._names)
        self.head = "".join(f"{name:<{self._width}}" for name in self._names)
        performed = story.all(Performed)
        self._ended = {
            (item.at_us, item.action.container): None for item in performed if isinstance(item.action, EndContainer)
        }
        captions = [(item.at_us, caption_of(item.action, self._names)) for item in performed]
        self._done_to = {(at_us, caption.host, caption.tone): None for at_us, caption in captions}
        cut_at = {item.at_us: None for item in story.all(PathsCut)}
        self._cut_at = {at_us: caption.text for at_us, caption in captions if caption.host is None and at_us in cut_at}

    def lines(self) -> list[Line]:
        """Return all lines in order."""
        story = self._story
        lines = [line for item in story.happenings for line in self._lines_of(item)]
        lines.extend(self._cut(item) for item in story.all(PathsCut))
        lines.extend(self._flight(flight) for flight in flights(story.all(Sent)))
        lines.extend(self._batch(batch) for batch in batches(story.all(Operated)))
        if story.calm_us < story.end_us:
            lines.append(Line(story.calm_us, self._rule("trouble ends"), ""))
        lines.append(Line(story.end_us, self._rule(verdict_of(story).short), ""))
        return sorted(lines, key=lambda line: (line.at_us, line.rank))

    def _lines_of(self, item: Happening) -> Iterator[Line]:
        match item:
            case Performed(at_us, action):
                caption = caption_of(action, self._names)
                if caption.host is not None:
                    token = caption.text if len(caption.text) < self._width else caption.text.split()[0]
                    line = self._at(at_us, caption.host, token, caption.text)
                    yield replace(line, rank=0)
                elif at_us not in self._cut_at:
                    yield Line(at_us, self._rule(caption.text), "", 0)
            case Began(at_us, host):
                if (at_us, host, Tone.REPAIR) not in self._done_to:
                    yield self._at(at_us, host, "starts", f"{self._names[host]} starts")
            case Ended(at_us, host, power):
                if (at_us, host, Tone.TROUBLE) not in self._done_to:
                    what = "loses power" if power else "crashes; its kernel goes on"
                    yield replace(self._at(at_us, host, "down", f"{self._names[host]} {what}"), rank=3)
            case Wrote():
                yield from self._write(item)
            case Asked():
                yield from self._answer(item)
            case Missed(at_us, host, event):
                if (at_us, event.container) not in self._ended:
                    yield self._at(at_us, host, "notices", f"{event.container} has gone")
            case Noted(at_us, host, level, text):
                if level in ALARMS:
                    yield self._at(at_us, host, "warns", self._words.plain(text))
            case Sent() | Operated() | PathsCut():
                pass

    def _write(self, item: Wrote) -> Iterator[Line]:
        facts = self._some(tuple(self._words.fact(item.origin, fact) for fact in item.facts))
        yield self._at(item.at_us, item.host, "write", facts)
        took = f"{(item.done_us - item.at_us) / 1000:.1f} ms"
        match item.fate:
            case Fate.ARRIVED:
                yield self._at(item.done_us, item.host, "fsync", f"on disk after {took}")
            case Fate.FAILED:
                yield self._at(item.done_us, item.host, "no space", "the disk did not take it")
            case Fate.LOST:
                line = self._at(item.done_us, item.host, "no fsync", f"was not on disk after {took}: {facts}")
                yield replace(line, rank=4)
            case Fate.UNDER_WAY:
                pass

    def _answer(self, item: Asked) -> Iterator[Line]:
        if item.at_us >= self._story.calm_us and isinstance(item.reply, Ok):
            # What the stage itself asks at the end of trouble, to bring everybody together.
            return
        if item.reply is None:
            token = "no answer"
        elif isinstance(item.reply, Ok):
            token = "answers"
        else:
            token = "refuses"
        took = f" after {(item.done_us - item.at_us) / 1000:.0f} ms" if item.done_us > item.at_us else ""
        # Operators' commands that are answered at once say nothing beyond the action itself.
        if token != "answers" or took or isinstance(item.question, AttachAsked):
            line = self._at(item.done_us, item.host, token, self._words.answer(item) + took)
            yield line if item.reply is not None else replace(line, rank=4)

    def _flight(self, flight: Flight) -> Line:
        first, last = flight.first, flight.last
        facts = tuple(fact for item in flight.messages for fact in self._words.facts_of(item.message))
        pair = f"{self._names[flight.source]} → {self._names[flight.target]}"
        if len(flight.messages) > 1:
            count = f", {len(facts)} fact{'' if len(facts) == 1 else 's'}" if facts else ""
            what = f"{pair}: {len(flight.messages)} messages{count}"
        else:
            what = f"{pair}: {self._some(facts) or type(first.message).__name__}"
        if flight.is_lost:
            return Line(first.at_us, self._arrow(flight), f"{what} (lost)")
        if first.fate is Fate.UNDER_WAY:
            return Line(first.at_us, self._arrow(flight), f"{what} (under way)")
        took = f"{'waited ' if flight.has_waited else ''}{(last.done_us - first.at_us) / 1000:.1f} ms"
        return Line(first.done_us, self._arrow(flight), f"{what} ({took})", 1)

    def _batch(self, batch: Batch) -> Line:
        failed = tuple(f"{self._words.op(item.op)} {self._words.op_result(item.result)}" for item in batch.failed)
        worked = tuple(self._words.op(item.op) for item in batch.operations if item not in batch.failed)
        return self._at(batch.begin_us, batch.host, "kernel", self._some((*failed, *worked)))

    def _at(self, at_us: int, host: int, token: str, text: str) -> Line:
        return Line(at_us, " " * (self._width * host) + token[: self._width - 1], text)

    def _rule(self, text: str) -> str:
        return f" {text} ".center(max(self.size - 2, len(text) + 6), "─")

    def _arrow(self, flight: Flight) -> str:
        """Draw a line from one column to another: a dot at the sender, a head at the receiver, a cross if lost."""
        begin, end = sorted((flight.source, flight.target))
        head, back = ("×", "×") if flight.is_lost else (">", "<")
        inner = "─" * (self._width * (end - begin) - 1)
        body = f"o{inner}{head}" if flight.source < flight.target else f"{back}{inner}o"
        return " " * (self._width * begin + 1) + body

    def _cut(self, item: PathsCut) -> Line:
        """Draw a rule for the action that changed paths, and say which are cut from here on."""
        pairs = dict.fromkeys(item.pairs)
        both = [(one, other) for one, other in pairs if one < other and (other, one) in pairs]
        one_way = [pair for pair in pairs if tuple(sorted(pair)) not in both]
        said = [f"{self._names[one]} and {self._names[other]}" for one, other in both]
        said += [f"{self._names[one]} to {self._names[other]}" for one, other in one_way]
        text = f"no path between {', '.join(said)}" if said else "all paths are whole"
        return Line(item.at_us, self._rule(self._cut_at.get(item.at_us, "paths change")), text, 0)

    def _some(self, texts: tuple[str, ...]) -> str:
        shown, size = 1, len(texts[0]) if texts else 0
        while shown < len(texts) and size + len(texts[shown]) + 2 <= TEXT_SIZE:
            size += len(texts[shown]) + 2
            shown += 1
        return "; ".join(texts[:shown]) + (f"; {len(texts) - shown} more" if shown < len(texts) else "")
