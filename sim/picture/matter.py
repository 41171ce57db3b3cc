"""What there is to draw in a story, folded and in time, before anything has a place.

Lanes are hosts by number; `NETWORK` is the lane above them, for what happens to paths or to all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from core.effects import Refusal
from sim.captions import Tone, caption_of
from sim.folding import BURST_US, Batch, Flight, batches, flights
from sim.story import Asked, Began, Ended, Missed, Noted, Operated, PathsCut, Performed, Sent, Story, Wrote
from sim.verdict import verdict_of
from sim.words import Words

NETWORK = -1
FLIGHTS_MAX = 1_500
"""In a drawing; with more, messages further apart are folded, until there are not more: a picture is no log."""
NEAR_US = 1_500_000
"""A moment so long after its beginning is part of the same scene."""


class State(Enum):
    """Why an agent is not there."""

    ABSENT = "not started"
    KILLED = "down"
    DARK = "no power"


@dataclass(frozen=True, slots=True)
class Flag:
    """A caption that stands beside a moment of a lane."""

    at_us: int
    """When."""
    lane: int
    """Where."""
    text: str
    """What it says."""
    style: str
    """A `Tone` in lower case, or `broken`, `kept`, `refusal`, `quiet`."""
    title: tuple[str, ...]
    """What a tooltip says, line by line."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that lasts on a lane."""

    begin_us: int
    """From when."""
    end_us: int
    """Until when."""
    lane: int
    """Where."""
    text: str
    """What it is."""
    state: State | None = None
    """Why an agent is not there, if that is what it tells."""


@dataclass(frozen=True, slots=True)
class Matter:
    """All that is to be drawn."""

    story: Story
    """Whose."""
    words: Words
    """How its hosts are called."""
    flags: tuple[Flag, ...]
    """In order of time."""
    downs: tuple[Stretch, ...]
    """When agents are not there."""
    cuts: tuple[Stretch, ...]
    """When hosts are cut off, on their lanes; and when there is any cut, on that of the network."""
    flights: tuple[Flight, ...]
    """Messages."""
    writes: tuple[Wrote, ...]
    """What was handed to disks."""
    batches: tuple[Batch, ...]
    """Kernel operations."""
    answers: tuple[Asked, ...]
    """Requests that users and operators made."""

    def moments(self) -> list[int]:
        """Return the times at which something is to be seen, ascending, each once."""
        times = {0: None, self.story.calm_us: None, self.story.end_us: None}
        for at_us, done_us in self._spans():
            times[at_us] = None
            if done_us - at_us <= NEAR_US:
                times[done_us] = None
        return sorted(times)

    def between(self, begin_us: int, end_us: int) -> Matter:
        """Return what there is to draw of a part, with no more flights than a drawing has room for."""
        burst_us, sent = BURST_US, self.story.all(Sent)
        found = _seen(self.flights, begin_us, end_us)
        while len(found) > FLIGHTS_MAX and burst_us < self.story.end_us:
            burst_us *= 4
            found = _seen(flights(sent, burst_us=burst_us), begin_us, end_us)
        return replace(
            self,
            flights=tuple(found[-FLIGHTS_MAX:]),
            writes=tuple(item for item in self.writes if item.at_us <= end_us and item.done_us >= begin_us),
            batches=tuple(item for item in self.batches if item.begin_us <= end_us and item.end_us >= begin_us),
            answers=tuple(item for item in self.answers if begin_us <= item.done_us <= end_us),
        )

    def _spans(self) -> Iterator[tuple[int, int]]:
        yield from ((flag.at_us, flag.at_us) for flag in self.flags)
        for stretch in (*self.downs, *self.cuts):
            yield from ((stretch.begin_us, stretch.begin_us), (stretch.end_us, stretch.end_us))
        for flight in self.flights:
            # What ran into a cut is looked at when the cut ends.
            if not flight.has_waited:
                yield flight.first.at_us, flight.last.done_us
        yield from ((write.at_us, write.done_us) for write in self.writes)
        yield from ((batch.begin_us, batch.end_us) for batch in self.batches)
        yield from ((answer.done_us, answer.done_us) for answer in self.answers)


def matter_of(story: Story) -> Matter:
    """Return what is to be drawn of a story."""
    words = Words(story.report.scenario)
    return Matter(
        story=story,
        words=words,
        flags=tuple(sorted(_flags(story, words), key=lambda flag: flag.at_us)),
        downs=tuple(_downs(story)),
        cuts=tuple(_cuts(story)),
        flights=tuple(flights(story.all(Sent))),
        writes=story.all(Wrote),
        batches=tuple(batches(story.all(Operated))),
        answers=tuple(item for item in story.all(Asked) if item.at_us < story.calm_us),
    )


def _seen(found: Iterable[Flight], begin_us: int, end_us: int) -> list[Flight]:
    return [flight for flight in found if flight.first.at_us <= end_us and flight.last.done_us >= begin_us]


def _flags(story: Story, words: Words) -> Iterator[Flag]:
    names = story.names
    told: dict[tuple[int, int, Tone], None] = {}
    for item in story.all(Performed):
        caption = caption_of(item.action, names)
        lane = NETWORK if caption.host is None else caption.host
        told[item.at_us, lane, caption.tone] = None
        where = "" if caption.host is None else f"{names[caption.host]}: "
        yield Flag(item.at_us, lane, caption.text, caption.tone.value, (f"{where}{caption.text}",))
    for ended in story.all(Ended):
        if (ended.at_us, ended.host, Tone.TROUBLE) not in told and ended.at_us < story.calm_us:
            text = "loses power" if ended.power else "crashes"
            yield Flag(ended.at_us, ended.host, text, Tone.TROUBLE.value, (f"{names[ended.host]} {text}",))
    for asked in story.all(Asked):
        if isinstance(asked.reply, Refusal):
            yield Flag(asked.done_us, asked.host, "refused", "refusal", (words.answer(asked),))
    for missed in story.all(Missed):
        if (missed.at_us, missed.host, Tone.USE) not in told:
            text = f"{missed.event.container} is gone"
            yield Flag(missed.at_us, missed.host, text, "quiet", (f"{names[missed.host]} notices: {text}",))
    for noted in story.all(Noted):
        if noted.level in ("WARN", "ERRO"):
            text = words.plain(noted.text)
            yield Flag(noted.at_us, noted.host, "warning", "warning", (f"{names[noted.host]}: {text}",))
    yield from _ends(story)


def _ends(story: Story) -> Iterator[Flag]:
    if story.calm_us < story.end_us:
        yield Flag(story.calm_us, NETWORK, "trouble ends", "quiet", ("From here on all must come right.",))
    verdict = verdict_of(story)
    style = "kept" if verdict.is_kept else "broken"
    yield Flag(story.end_us, NETWORK, verdict.short, style, (f"{verdict.headline}. {verdict.sentence}",))


def _downs(story: Story) -> Iterator[Stretch]:
    since: dict[int, tuple[int, State]] = dict.fromkeys(range(len(story.names)), (0, State.ABSENT))
    for item in story.happenings:
        if isinstance(item, Began):
            begin_us, state = since.pop(item.host, (item.at_us, State.KILLED))
            if begin_us < item.at_us:
                yield Stretch(begin_us, item.at_us, item.host, state.value, state)
        elif isinstance(item, Ended):
            # A dead agent's machine may lose power, too.
            begin_us, earlier = since.get(item.host, (item.at_us, State.KILLED))
            if begin_us < item.at_us:
                yield Stretch(begin_us, item.at_us, item.host, earlier.value, earlier)
            since[item.host] = (item.at_us, State.DARK if item.power else State.KILLED)
    for host, (begin_us, state) in since.items():
        if begin_us < story.end_us:
            yield Stretch(begin_us, story.end_us, host, state.value, state)


def _cuts(story: Story) -> Iterator[Stretch]:
    changes = story.all(PathsCut)
    ends = [*(change.at_us for change in changes[1:]), story.end_us]
    open_at: dict[tuple[int, str], int] = {}
    for change, end_us in zip(changes, ends, strict=False):
        texts = _isolated(change.pairs, story.names)
        for key in tuple(open_at):
            if texts.get(key[0]) != key[1]:
                yield Stretch(open_at.pop(key), change.at_us, *key)
        for lane, text in texts.items():
            open_at.setdefault((lane, text), change.at_us)
        if change is changes[-1]:
            for key, begin_us in open_at.items():
                yield Stretch(begin_us, end_us, *key)


def _isolated(pairs: tuple[tuple[int, int], ...], names: tuple[str, ...]) -> dict[int, str]:
    """Return the lanes that a cut isolates, and what to say there.

    Those are the hosts that have lost more than half of the others; where a cut path has no such end, both its ends.
    """
    if not pairs:
        return {}
    lost: dict[int, dict[int, None]] = {}
    for source, target in pairs:
        lost.setdefault(source, {})[target] = None
        lost.setdefault(target, {})[source] = None
    isolated = {host: None for host, others in lost.items() if 2 * len(others) > len(names) - 1}
    for source, target in pairs:
        if source not in isolated and target not in isolated:
            isolated[source] = isolated[target] = None
    found = {NETWORK: "some paths are cut"}
    for host in sorted(isolated):
        both = [other for other in lost[host] if (host, other) in pairs and (other, host) in pairs]
        deaf = [other for other in lost[host] if other not in both and (other, host) in pairs]
        mute = [other for other in lost[host] if other not in both and (host, other) in pairs]
        parts = [
            f"{words} {', '.join(names[other] for other in sorted(others))}"
            for words, others in (("cut off from", both), ("does not hear", deaf), ("is not heard by", mute))
            if others
        ]
        found[host] = "; ".join(parts)
    return found
