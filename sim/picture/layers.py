"""Draws one strip, layer over layer: ground, time, lanes, messages, marks, captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.effects import Ok
from sim.folding import Batch
from sim.picture import svg
from sim.picture.axis import TICK_SIZE, Axis, moment_text
from sim.picture.flags import HEIGHT, PADDING, Placed
from sim.picture.lanes import Lane, Strip
from sim.picture.matter import NETWORK, Matter, State, Stretch
from sim.picture.metrics import BOLD, fitted, text_width
from sim.story import Asked, Fate, Wrote

NAME_SIZE = 14.0
SMALL_SIZE = 10.0
LEDGE = 10.0
"""Blocks are so much wider than their time, at both ends."""
BATCH_WIDTH_MIN = 5.0
BATCH_HEIGHT = 9.0
DOWN_HEIGHT = 15.0
WRITE = 8.0
"""From a lane to where its writes are shown."""
UNSAVED_WIDTH = 14.0
"""A write that the story ends before is at least so long."""
SAME = 3.0
"""Marks of one kind no further apart are one mark."""
AXIS_AT = 11.0
"""From the last block to the axis."""
OPERATIONS_SHOWN = 12


def ground(strip: Strip, matter: Matter, gutter: float) -> Iterator[str]:
    """Draw blocks, names and shaded cuts."""
    axis = strip.axis
    names = matter.story.names
    for lane in strip.hosts:
        for scene in axis.scenes:
            left, width = scene.left - LEDGE, scene.right - scene.left + 2 * LEDGE
            yield svg.box(left, lane.top, width, lane.bottom - lane.top, rx=5.0, class_="block")
        name = fitted(names[lane.index], NAME_SIZE * BOLD, axis.left - LEDGE - gutter)
        yield svg.text(name, x=gutter, y=lane.y + 5, class_="name")
        yield svg.text("kernel", x=gutter, y=lane.kernel + 3.5, class_="small")
    if strip.network.bottom:
        yield svg.text("network", x=gutter, y=strip.network.y + 4, class_="small")
    for cut in matter.cuts:
        if axis.shows(cut.begin_us, cut.end_us):
            yield _cut(strip, cut, names)


def time(strip: Strip) -> Iterator[str]:
    """Draw the axis, its grid and its breaks."""
    axis, foot = strip.axis, strip.foot
    top = strip.hosts[0].top
    for scene in axis.scenes:
        yield svg.line(scene.left, foot + AXIS_AT, scene.right, foot + AXIS_AT, class_="axis")
    for tick in axis.breaks():
        yield svg.text(tick.text, x=tick.x, y=foot + AXIS_AT + 3.5, class_="elapsed")
    for tick in axis.ticks():
        yield svg.line(tick.x, top, tick.x, foot + AXIS_AT + 4, class_="grid")
        yield svg.text(tick.text, x=tick.x, y=foot + AXIS_AT + 7 + TICK_SIZE, class_="tick")


def lanes(strip: Strip, matter: Matter) -> Iterator[str]:
    """Draw the lanes of agents and kernels, and where there are none."""
    axis = strip.axis
    if strip.network.bottom:
        yield svg.line(axis.left, strip.network.y, axis.right, strip.network.y, class_="faint")
    for lane in strip.hosts:
        downs = [down for down in matter.downs if down.lane == lane.index and axis.shows(down.begin_us, down.end_us)]
        edges = [(axis.x(down.begin_us), axis.x(down.end_us), down) for down in downs]
        breaks = list(_breaks(axis))
        gone = [(a, b) for a, b, _ in edges]
        for begin, end in breaks:
            yield from _line(lane.y, begin, end, gone, "silence")
        yield from _line(lane.y, axis.left, axis.right, [*breaks, *gone], "lane")
        dark = [(a, b) for a, b, down in edges if down.state is not State.KILLED]
        yield from _line(lane.kernel, axis.left, axis.right, [*breaks, *dark], "faint")
        for begin, end, down in edges:
            if down.state is State.ABSENT:
                yield svg.line(begin, lane.y, end, lane.y, class_="absent")
                continue
            top, width = lane.y - DOWN_HEIGHT / 2, max(2.0, end - begin)
            band = svg.box(begin, top, width, DOWN_HEIGHT, rx=2.0, class_="down")
            if width > text_width(down.text, SMALL_SIZE) + 12:
                band += svg.text(down.text, x=begin + width / 2, y=lane.y + 3.5, class_="lost centre")
            name = matter.story.names[lane.index]
            yield svg.titled(band, f"{name}: {down.text}", _between(down.begin_us, down.end_us))


def kernels(strip: Strip, matter: Matter) -> Iterator[str]:
    """Draw what is done to kernels: a block per batch, with its tally where there is room."""
    axis = strip.axis
    for lane in strip.hosts:
        mine = [item for item in matter.batches if item.host == lane.index and axis.shows(item.begin_us, item.end_us)]
        lefts = [axis.x(item.begin_us) for item in mine]
        for item, left, following in zip(mine, lefts, [*lefts[1:], axis.right + LEDGE], strict=False):
            right = max(left + BATCH_WIDTH_MIN, axis.x(item.end_us))
            style = "trouble" if item.failed else "batch"
            top = lane.kernel - BATCH_HEIGHT / 2
            block = svg.box(left, top, right - left, BATCH_HEIGHT, rx=1.5, class_=style)
            text = item.tally or "failed"
            if right + 3 + text_width(text, SMALL_SIZE) < following - 3:
                block += svg.text(text, x=right + 3, y=lane.kernel + 3.5, class_="small")
            yield svg.titled(block, *_operations(item, matter))


def disks(strip: Strip, matter: Matter) -> Iterator[str]:
    """Draw writes below their lanes: from when they are handed over to when they are safe."""
    axis = strip.axis
    for lane in strip.hosts:
        groups: dict[tuple[int, int, Fate], list[Wrote]] = {}
        for item in matter.writes:
            if item.host == lane.index and axis.shows(item.at_us, item.done_us):
                key = (round(axis.x(item.at_us) / SAME), round(axis.x(item.done_us) / SAME), item.fate)
                groups.setdefault(key, []).append(item)
        for found in groups.values():
            yield _write(lane, strip, found, matter)


def answers(strip: Strip, matter: Matter) -> Iterator[str]:
    """Draw a dot where a request is answered."""
    axis = strip.axis
    groups: dict[tuple[int, int, bool], list[Asked]] = {}
    for item in matter.answers:
        if item.reply is not None and axis.owns(item.done_us):
            key = (item.host, round(axis.x(item.done_us) / SAME), isinstance(item.reply, Ok))
            groups.setdefault(key, []).append(item)
    for (host, _, is_ok), found in groups.items():
        dot = svg.disc(axis.x(found[0].done_us), strip.hosts[host].y, 3.6, class_="answer" if is_ok else "refusal dot")
        yield svg.titled(dot, *(f"{matter.words.answer(item)} ({_took(item)})" for item in found))


def captions(strip: Strip) -> Iterator[str]:
    """Draw flags, their poles first."""
    for lane in (strip.network, *strip.hosts):
        for placed in lane.flags:
            yield svg.line(placed.x, lane.y, placed.x, lane.flag_top(placed), class_=f"pole {placed.flag.style}")
        for placed in lane.flags:
            yield _flag(lane, placed)


def ends(strip: Strip, matter: Matter) -> Iterator[str]:
    """Draw a rule where trouble ends, and where the story does."""
    story, axis = matter.story, strip.axis
    style = "broken" if story.report.violation else "kept"
    rules = [(story.end_us, f"rule {style}")]
    if story.calm_us < story.end_us:
        rules.insert(0, (story.calm_us, "rule quiet"))
    for at_us, style in rules:
        if axis.owns(at_us):
            x = axis.x(at_us)
            yield svg.line(x, strip.network.y, x, strip.foot, class_=style)


def _breaks(axis: Axis) -> Iterator[tuple[float, float]]:
    """Yield where scenes are not."""
    for span in axis.spans:
        if span.is_break:
            is_first, is_last = span is axis.spans[0], span is axis.spans[-1]
            yield span.left + (0 if is_first else LEDGE), span.right - (0 if is_last else LEDGE)


def _line(y: float, left: float, right: float, holes: Sequence[tuple[float, float]], style: str) -> Iterator[str]:
    at = left
    for begin, end in sorted(holes):
        if at < min(begin, right):
            yield svg.line(at, y, min(begin, right), y, class_=style)
        at = max(at, end)
    if right > at:
        yield svg.line(at, y, right, y, class_=style)


def _cut(strip: Strip, cut: Stretch, names: tuple[str, ...]) -> str:
    axis, lane = strip.axis, strip.lane(cut.lane)
    begin, end = axis.x(cut.begin_us), axis.x(cut.end_us)
    width = max(2.0, end - begin)
    when = f"{moment_text(cut.begin_us)} to {moment_text(cut.end_us)}"
    if cut.lane == NETWORK:
        return svg.titled(svg.box(begin, lane.y - 3, width, 6.0, class_="cut"), cut.text, when)
    shape = svg.box(begin, lane.top, width, lane.bottom - lane.top, class_="cut")
    for at_us, x in ((cut.begin_us, begin), (cut.end_us, begin + width)):
        if axis.owns(at_us):
            shape += svg.line(x, lane.top, x, lane.bottom, class_="edge")
    if width > text_width(cut.text, SMALL_SIZE) + 14:
        shape += svg.text(cut.text, x=begin + 7, y=lane.bottom - 5.5, class_="isolated")
    return svg.titled(shape, f"{names[cut.lane]} {cut.text}", when)


def _flag(lane: Lane, placed: Placed) -> str:
    top = lane.flag_top(placed)
    cloth = svg.box(placed.x, top, placed.width, HEIGHT, rx=2.5, class_=f"flag {placed.flag.style}")
    words = svg.text(placed.text, x=placed.x + PADDING, y=top + HEIGHT - 5, class_=f"caption {placed.flag.style}")
    mark = svg.disc(placed.x, lane.y, 4.2, class_=f"mark {placed.flag.style}")
    return svg.titled(mark + cloth + words, moment_text(placed.flag.at_us), *placed.flag.title)


def _write(lane: Lane, strip: Strip, found: Sequence[Wrote], matter: Matter) -> str:
    axis, first, last = strip.axis, found[0], found[-1]
    begin, end, y = axis.x(first.at_us), axis.x(last.done_us), lane.y + WRITE
    if first.fate is Fate.UNDER_WAY:
        end = max(end, begin + UNSAVED_WIDTH)
    shape = svg.line(begin, y, end, y, class_="write") if end - begin > 1 else ""
    if axis.owns(last.done_us):
        if first.fate is Fate.ARRIVED:
            shape += svg.line(end, y - 4, end, y + 4, class_="fsync")
        elif first.fate in (Fate.LOST, Fate.FAILED):
            shape += svg.cross(end, y, 3.2, class_="lost")
        else:
            shape += svg.disc(end, y, 3.0, class_="unsaved")
    facts = [matter.words.fact(item.origin, fact) for item in found for fact in item.facts]
    name = matter.story.names[lane.index]
    said = {
        Fate.ARRIVED: f"on disk after {_took(last)}",
        Fate.LOST: "lost before it was on disk",
        Fate.FAILED: "the disk did not take it",
        Fate.UNDER_WAY: "not on disk yet",
    }
    return svg.titled(shape, f"{name} writes at {moment_text(first.at_us)}: {said[first.fate]}", *facts)


def _operations(batch: Batch, matter: Matter) -> tuple[str, ...]:
    words = matter.words
    lines = [f"{words.op(item.op)} {words.op_result(item.result)}".rstrip() for item in batch.operations]
    name = matter.story.names[batch.host]
    return (f"kernel of {name} at {moment_text(batch.begin_us)}", *lines[:OPERATIONS_SHOWN])


def _between(begin_us: int, end_us: int) -> str:
    return f"{moment_text(begin_us)} to {moment_text(end_us)}"


def _took(item: Wrote | Asked) -> str:
    return f"{(item.done_us - item.at_us) / 1000:.1f} ms"
