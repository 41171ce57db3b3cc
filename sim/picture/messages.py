"""Draws messages between lanes: an arrow for one that arrived, a bundle for a burst, a stub for one that did not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sim.folding import Flight
from sim.picture import svg
from sim.picture.axis import duration_text, moment_text
from sim.picture.flags import HEIGHT
from sim.picture.lanes import Strip
from sim.picture.matter import Matter
from sim.picture.metrics import text_width
from sim.story import Fate

HEAD = 5.5
"""Length of an arrow's head."""
CLEAR = 2.5
"""Arrows begin and end so far from the middle of a lane."""
STUB_X = 11.0
STUB_Y = 8.0
"""How far a message that did not arrive is shown to get."""
AWAY = 20.0
"""How far one is shown to get that is under way when the story ends."""
COUNT_SIZE = 10.0
COUNT_HEIGHT = 14.0
COUNT_AT = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)
"""Where on its bundle a count may stand, the best place first."""


@dataclass(frozen=True, slots=True)
class Box:
    """Room that is taken."""

    left: float
    """Its left edge."""
    top: float
    """Its upper edge."""
    width: float
    """To its right edge."""
    height: float
    """To its lower edge."""

    def touches(self, other: Box) -> bool:
        """Say whether two boxes share room."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


def flag_boxes(strip: Strip) -> list[Box]:
    """Return the room that flags take."""
    return [
        Box(flag.x, lane.flag_top(flag), flag.width, HEIGHT)
        for lane in (strip.network, *strip.hosts)
        for flag in lane.flags
    ]


def messages(strip: Strip, matter: Matter, taken: list[Box]) -> Iterator[str]:
    """Draw all messages of a strip; counts keep clear of what is taken, and are added to it."""
    for flight in matter.flights:
        if strip.axis.shows(flight.first.at_us, flight.last.done_us):
            shape = "".join(_shape(strip, flight, taken))
            if shape:
                yield svg.titled(shape, *_title(flight, matter), class_="flight")


def _shape(strip: Strip, flight: Flight, taken: list[Box]) -> Iterator[str]:
    first, last = flight.first, flight.last
    axis = strip.axis
    if not (flight.has_waited or flight.is_lost):
        yield from _arrow(strip, flight, taken)
        return
    down = 1 if flight.target > flight.source else -1
    if axis.owns(first.at_us):
        x, y = axis.x(first.at_us), strip.hosts[flight.source].y + down * CLEAR
        end_x, end_y = x + STUB_X, y + down * STUB_Y
        yield svg.line(x, y, end_x, end_y, class_="waits")
        if flight.is_lost:
            yield svg.cross(end_x, end_y, 4, class_="lost")
        else:
            yield svg.disc(end_x, end_y, 3.4, class_="held")
        if len(flight.messages) > 1:
            yield from _count(len(flight.messages), ((end_x + 14, end_y),), taken)
    if first.fate is Fate.ARRIVED and axis.owns(last.done_us):
        x, y = axis.x(last.done_us), strip.hosts[flight.target].y - down * CLEAR
        yield svg.tag("path", d=_path(x - STUB_X, y - down * STUB_Y, x, y, has_head=True), class_="waits")


def _arrow(strip: Strip, flight: Flight, taken: list[Box]) -> Iterator[str]:
    axis = strip.axis
    begin_us, end_us = flight.first.at_us, max(flight.last.done_us, flight.first.at_us + 1)
    down = 1 if flight.target > flight.source else -1
    y1 = strip.hosts[flight.source].y + down * CLEAR
    y2 = strip.hosts[flight.target].y - down * CLEAR
    x1, x2 = axis.x(begin_us), axis.x(end_us)
    if flight.first.fate is Fate.UNDER_WAY:
        if axis.owns(begin_us):
            yield svg.tag("path", d=_path(x1, y1, x1 + STUB_X, y1 + down * AWAY, has_head=True), class_="waits")
        return
    has_head = end_us <= axis.end_us
    y_from, y_to = y1, y2
    if begin_us < axis.begin_us:
        y_from = y1 + (y2 - y1) * (axis.begin_us - begin_us) / (end_us - begin_us)
    if end_us > axis.end_us:
        y_to = y1 + (y2 - y1) * (axis.end_us - begin_us) / (end_us - begin_us)
    is_bundle = len(flight.messages) > 1
    style = "bundle" if is_bundle else "arrow"
    yield svg.tag("path", d=_path(x1, y_from, x2, y_to, has_head=has_head), class_=style)
    if is_bundle:
        places = tuple((x1 + (x2 - x1) * at, y_from + (y_to - y_from) * at) for at in COUNT_AT)
        yield from _count(len(flight.messages), places, taken)


def _path(x1: float, y1: float, x2: float, y2: float, *, has_head: bool) -> str:
    path = f"M{svg.number(x1)} {svg.number(y1)}L{svg.number(x2)} {svg.number(y2)}"
    if not has_head:
        return path
    angle = math.atan2(y2 - y1, x2 - x1)
    ends = [
        (x2 - HEAD * math.cos(angle + turn), y2 - HEAD * math.sin(angle + turn)) for turn in (-math.pi / 7, math.pi / 7)
    ]
    (ax, ay), (bx, by) = ends
    tip = f"L{svg.number(x2)} {svg.number(y2)}L"
    return f"{path}M{svg.number(ax)} {svg.number(ay)}{tip}{svg.number(bx)} {svg.number(by)}"


def _count(count: int, places: tuple[tuple[float, float], ...], taken: list[Box]) -> Iterator[str]:
    text = f"{count:,}"
    width = text_width(text, COUNT_SIZE, is_bold=True) + 10
    for x, y in places:
        box = Box(x - width / 2, y - COUNT_HEIGHT / 2, width, COUNT_HEIGHT)
        if not any(box.touches(other) for other in taken):
            taken.append(box)
            yield svg.box(box.left, box.top, width, COUNT_HEIGHT, rx=COUNT_HEIGHT / 2, class_="count")
            yield svg.text(text, x=x, y=y + 3.5, class_="number centre")
            return


def _title(flight: Flight, matter: Matter) -> Iterator[str]:
    names = matter.story.names
    first, last = flight.first, flight.last
    facts = [fact for item in flight.messages for fact in matter.words.facts_of(item.message)]
    count = len(flight.messages)
    what = f"{count} messages, {len(facts)} facts" if count > 1 else type(first.message).__name__
    fate = {
        Fate.ARRIVED: f"arrived after {duration_text(last.done_us - last.at_us)}",
        Fate.LOST: "lost",
        Fate.UNDER_WAY: "under way at the end",
        Fate.FAILED: "failed",
    }[first.fate]
    waited = ", sent while there was no path" if flight.has_waited else ""
    yield f"{names[flight.source]} → {names[flight.target]} at {moment_text(first.at_us)}: {what}, {fate}{waited}"
    yield from facts
