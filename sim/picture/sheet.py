"""A whole drawing: which strips are shown and what is left out, and the drawing as an SVG file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.captions import number_word, summary
from sim.picture import layers, svg
from sim.picture.axis import Axis, Room, axes, moment_text
from sim.picture.flags import GAP, width_of
from sim.picture.lanes import Strip, strip_of
from sim.picture.legend import legend
from sim.picture.matter import Matter, matter_of
from sim.picture.messages import flag_boxes, messages
from sim.picture.metrics import text_width, wrapped
from sim.picture.style import DRAWING
from sim.story import Performed, Sent, Story
from sim.verdict import Verdict, verdict_of

WIDTH = 1280.0
GUTTER = 14.0
"""Where the names of lanes begin."""
LEFT = (92.0, 160.0)
"""Where time begins: at least, and at most where names are long."""
RIGHT = 1160.0
"""Where time ends; to its right, flags of its last moments have room."""
BETWEEN = 34.0
"""From one strip to the next."""
STRIPS_MAX = 12
"""More is a film, not a picture."""
HOSTS_MAX = 12
"""More lanes do not fit on a screen."""


class TooManyHosts(Exception):
    """A picture of so many hosts would be no picture."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A drawing."""

    matter: Matter
    """What there is to draw."""
    strips: tuple[Strip, ...]
    """What is drawn of it, in order of time."""
    notes: tuple[str, ...]
    """What is left out, a sentence each."""

    def strip(self, strip: Strip) -> str:
        """Return the elements of one strip."""
        taken = flag_boxes(strip)
        return "".join(
            (
                *layers.ground(strip, self.matter, GUTTER),
                *layers.time(strip),
                *layers.lanes(strip, self.matter),
                *layers.kernels(strip, self.matter),
                *messages(strip, self.matter, taken),
                *layers.disks(strip, self.matter),
                *layers.ends(strip, self.matter),
                *layers.answers(strip, self.matter),
                *layers.captions(strip),
            )
        )


def sheet_of(story: Story, *, from_us: int = 0, until_us: int | None = None, strips_max: int = STRIPS_MAX) -> Sheet:
    """Lay a story out, or what happens in it between two times. Raises: TooManyHosts."""
    count = len(story.names)
    if count > HOSTS_MAX:
        raise TooManyHosts(f"a picture has room for {HOSTS_MAX} hosts, and this scenario has {count:,}: see the text")
    matter = matter_of(story)
    end_us = story.end_us if until_us is None else min(until_us, story.end_us)
    begin_us = min(from_us, end_us)
    inside = [at_us for at_us in matter.moments() if begin_us < at_us < end_us]
    moments = sorted({begin_us: None, end_us: None, **dict.fromkeys(inside)})
    rooms = [Room(flag.at_us, flag.lane, width_of(flag) + GAP) for flag in matter.flags if flag.at_us >= begin_us]
    names = max(text_width(name, layers.NAME_SIZE, is_bold=True) for name in story.names)
    left = min(max(LEFT[0], GUTTER + names + layers.LEDGE + 4), LEFT[1])
    found = axes(moments, rooms, left, RIGHT - left)
    # What went wrong is at the end; a story that ends well is read from its beginning.
    shown = found[-strips_max:] if story.report.violation else found[:strips_max]
    strips = tuple(strip_of(axis, matter.flags, matter.cuts, host_count=count, right=WIDTH - 4.0) for axis in shown)
    part = matter.between(shown[0].begin_us, shown[-1].end_us)
    return Sheet(part, strips, tuple(_notes(part, shown[0], shown[-1])))


def svg_file(story: Story, *, from_us: int = 0, until_us: int | None = None, strips_max: int = STRIPS_MAX) -> str:
    """Return a story as an SVG file, with its title and its end. Raises: TooManyHosts."""
    sheet = sheet_of(story, from_us=from_us, until_us=until_us, strips_max=strips_max)
    parts, y = _head(story)
    for strip in sheet.strips:
        parts.append(svg.tag("g", sheet.strip(strip), transform=f"translate(0 {svg.number(y)})"))
        y += strip.height + BETWEEN
    key, height = legend(sheet, GUTTER, WIDTH - 2 * GUTTER)
    parts.append(svg.tag("g", key, transform=f"translate(0 {svg.number(y)})"))
    y += height + 14
    for note in sheet.notes:
        for row in wrapped(note, 11, WIDTH - 2 * GUTTER):
            parts.append(svg.text(row, x=GUTTER, y=y, class_="small"))
            y += 16
    return drawing("".join(parts), y + 8, verdict_of(story).headline, is_alone=True)


def drawing(content: str, height: float, label: str, *, is_alone: bool = False) -> str:
    """Return an `svg` element: a part of a page that takes its width from there, or a file that stands alone."""
    style = svg.tag("style", DRAWING) if is_alone else ""
    ground = svg.box(0.0, 0.0, WIDTH, height, class_="paper") if is_alone else ""
    size: dict[str, svg.Value] = {"width": WIDTH, "height": height} if is_alone else {"width": "100%"}
    return svg.tag(
        "svg",
        style + ground + content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {svg.number(WIDTH)} {svg.number(height)}",
        class_="weave",
        role="img",
        aria_label=label,
        **size,
    )


def _head(story: Story) -> tuple[list[str], float]:
    """Return title, story and end, and where they stop."""
    scenario, verdict = story.report.scenario, verdict_of(story)
    parts = [svg.text(title_of(story), x=GUTTER, y=36.0, class_="title")]
    y = 60.0
    for row in wrapped(summary(scenario, story.end_us // 1000), 13, WIDTH - 2 * GUTTER):
        parts.append(svg.text(row, x=GUTTER, y=y, class_="story"))
        y += 19
    rows = [(row, "promise strong") for row in wrapped(verdict.headline, 15, WIDTH - 4 * GUTTER)]
    rows += [(row, "promise") for row in _sentences(verdict)]
    top, height = y, 20.0 * len(rows) + 14
    style = "kept" if verdict.is_kept else "broken"
    parts.append(svg.box(GUTTER, top, WIDTH - 2 * GUTTER, height, rx=4.0, class_=f"card {style}"))
    parts.append(svg.box(GUTTER, top, 5.0, height, class_=f"verdict {style}"))
    for place, (row, name) in enumerate(rows):
        parts.append(svg.text(row, x=GUTTER + 18, y=top + 22 + 20 * place, class_=f"{name} {style}"))
    return parts, top + height + 30


def _sentences(verdict: Verdict) -> Iterator[str]:
    yield from wrapped(verdict.sentence, 13, WIDTH - 5 * GUTTER)
    if verdict.promise:
        yield from wrapped(f"The promise: {verdict.promise}.", 13, WIDTH - 5 * GUTTER)


def title_of(story: Story) -> str:
    """Return the title of a story; one without has the name of its seed."""
    scenario = story.report.scenario
    count = len(scenario.hosts)
    return scenario.title or f"Seed {scenario.seed}: {number_word(count)} host{'' if count == 1 else 's'}"


def _notes(matter: Matter, first: Axis, last: Axis) -> Iterator[str]:
    story = matter.story
    begin_us, end_us = first.begin_us, last.end_us
    if begin_us > 0 or end_us < story.end_us:
        steps = [item for item in story.all(Performed) if not begin_us <= item.at_us <= end_us]
        out = f" {len(steps):,} of {len(story.all(Performed)):,} steps are not shown." if steps else ""
        yield (
            f"Shown is the time from {moment_text(begin_us)} to {moment_text(end_us)} of {moment_text(story.end_us)}."
            f"{out} Another part: --from and --until."
        )
    sent = sum(1 for item in story.all(Sent) if item.at_us <= end_us and item.done_us >= begin_us)
    silent = sent - sum(len(flight.messages) for flight in matter.flights)
    if silent > 0:
        yield f"{silent:,} messages that told nothing new (greetings, announcements, digests) are not drawn."
    if story.left_out:
        yield f"{story.left_out:,} older messages, writes and operations were too many to be remembered."
