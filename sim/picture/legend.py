"""Explains the signs of a drawing: those that are in it, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sim.picture import svg
from sim.picture.metrics import text_width
from sim.story import Fate

if TYPE_CHECKING:
    from sim.picture.sheet import Sheet

SIZE = 11.0
ROW = 22.0
SAMPLE = 30.0
"""Room of a sign."""
BETWEEN = 26.0
"""From one entry to the next."""


def legend(sheet: Sheet, left: float, width: float) -> tuple[str, float]:
    """Return the legend and its height."""
    x, y = left, 14.0
    parts: list[str] = []
    for sample, words in _entries(sheet):
        size = SAMPLE + 8 + text_width(words, SIZE) + BETWEEN
        if x + size - BETWEEN > left + width and x > left:
            x, y = left, y + ROW
        parts.append(sample(x, y - 4))
        parts.append(svg.text(words, x=x + SAMPLE + 8, y=y, class_="caption quiet"))
        x += size
    return "".join(parts), y + 8


Sample = Callable[[float, float], str]
"""Draws a sign in the room right of `x`, around the height `y`."""


def _entries(sheet: Sheet) -> Iterator[tuple[Sample, str]]:
    matter, spans = sheet.matter, [strip.axis for strip in sheet.strips]
    begin_us, end_us = spans[0].begin_us, spans[-1].end_us

    def is_shown(first_us: int, last_us: int) -> bool:
        return first_us <= end_us and last_us >= begin_us

    shown = [flight for flight in matter.flights if is_shown(flight.first.at_us, flight.last.done_us)]
    straight = [flight for flight in shown if not (flight.has_waited or flight.is_lost)]
    styles = {flag.style: None for flag in matter.flags if is_shown(flag.at_us, flag.at_us)}
    writes = [write for write in matter.writes if is_shown(write.at_us, write.done_us)]
    fates = {write.fate: None for write in writes}
    signs: list[tuple[bool, Sample, str]] = [
        ("use" in styles, _flag("use"), "users and operators"),
        ("trouble" in styles, _flag("trouble"), "trouble"),
        ("repair" in styles, _flag("repair"), "repair"),
        (bool(matter.answers), lambda x, y: svg.disc(x + 15, y, 3.6, class_="answer"), "request answered"),
        (bool(straight), _arrow, "facts or requests arrive"),
        (any(len(flight.messages) > 1 for flight in straight), _bundle, "a burst, and how many"),
        (any(flight.has_waited and not flight.is_lost for flight in shown), _held, "waits for a path"),
        (any(flight.is_lost for flight in shown), _lost, "lost"),
        (Fate.ARRIVED in fates, _write, "written, and safe on disk"),
        (Fate.LOST in fates or Fate.FAILED in fates, _unsaved, "never on disk"),
        (Fate.UNDER_WAY in fates, _unsafe, "not on disk yet"),
        (bool(matter.batches), _batch, "kernel: + created  ~ changed  − removed"),
        (any(is_shown(cut.begin_us, cut.end_us) for cut in matter.cuts), _cut, "cut off"),
        (any(is_shown(d.begin_us, d.end_us) and d.state is not None for d in matter.downs), _down, "not running"),
        (any(span.is_break for axis in spans for span in axis.spans), _gap, "nothing happens for a while"),
    ]
    yield from ((sample, words) for is_used, sample, words in signs if is_used)


def _flag(style: str) -> Sample:
    def draw(x: float, y: float) -> str:
        pole = svg.line(x + 8, y + 7, x + 8, y - 7, class_=f"pole {style}")
        cloth = svg.box(x + 8, y - 8, 20.0, 9.0, rx=2.0, class_=f"flag {style}")
        return pole + cloth + svg.disc(x + 8, y + 6, 3.4, class_=f"mark {style}")

    return draw


def _arrow(x: float, y: float) -> str:
    return svg.tag("path", d=_shaft(x, y), class_="arrow")


def _bundle(x: float, y: float) -> str:
    count = svg.box(x + 7, y - 7, 16.0, 14.0, rx=7.0, class_="count")
    number = svg.text("7", x=x + 15, y=y + 3.5, class_="number centre")
    return svg.tag("path", d=_shaft(x, y), class_="bundle") + count + number


def _shaft(x: float, y: float) -> str:
    a, b, c = (svg.number(value) for value in (x + 2, x + 28, x + 23))
    return (
        f"M{a} {svg.number(y)}L{b} {svg.number(y)}M{c} {svg.number(y - 3)}L{b} {svg.number(y)}L{c} {svg.number(y + 3)}"
    )


def _held(x: float, y: float) -> str:
    return svg.line(x + 4, y, x + 22, y, class_="waits") + svg.disc(x + 24, y, 3.4, class_="held")


def _lost(x: float, y: float) -> str:
    return svg.line(x + 4, y, x + 22, y, class_="waits") + svg.cross(x + 24, y, 4.0, class_="lost")


def _write(x: float, y: float) -> str:
    return svg.line(x + 5, y, x + 25, y, class_="write") + svg.line(x + 25, y - 4, x + 25, y + 4, class_="fsync")


def _unsaved(x: float, y: float) -> str:
    return svg.line(x + 5, y, x + 25, y, class_="write") + svg.cross(x + 25, y, 3.2, class_="lost")


def _unsafe(x: float, y: float) -> str:
    return svg.line(x + 5, y, x + 22, y, class_="write") + svg.disc(x + 24, y, 3.0, class_="unsaved")


def _batch(x: float, y: float) -> str:
    return svg.box(x + 8, y - 4.5, 14.0, 9.0, rx=1.5, class_="batch")


def _cut(x: float, y: float) -> str:
    shade = svg.box(x + 3, y - 7, 24.0, 14.0, class_="cut")
    sides = (svg.line(at, y - 7, at, y + 7, class_="edge") for at in (x + 3, x + 27))
    return shade + "".join(sides)


def _down(x: float, y: float) -> str:
    return svg.box(x + 3, y - 6, 24.0, 12.0, rx=2.0, class_="down")


def _gap(x: float, y: float) -> str:
    return svg.line(x + 5, y, x + 25, y, class_="silence")
