"""Where a moment lies: time from left to right, in strips one below the other, as music is written.

Within a scene the scale is that of all scenes. A silence longer than a hand's breadth becomes a break of fixed size,
so that the interesting moments have room; breaks are marked, and say how long they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.picture.metrics import text_width

SCALE_MAX = 1.2
"""Pixels per millisecond that decide what a silence is: at most a twelfth of a second is none."""
SCALE_STEPS = 24
"""So many scales are tried between the widest and the densest."""
STRETCH_MAX = 5.0
"""A short story is stretched so much at most to fill its strip."""
SCALE_LEAST = 0.36
"""A story that fits on a single strip at all is on one."""
SCALE_DENSE = 0.6
"""Decides how many strips there are: a scene of a second fills half of one."""
SILENCE = 84.0
"""A gap wider than this is a break."""
BREAK = 50.0
BREAK_MAX = 120.0
"""Breaks grow up to this size where captions need it."""
SCENE_MIN = 4.0
"""Of scenes that are one moment, or hardly more."""
SEAM = 0.3
"""A scene that would fit into the next strip is cut only if so much of this one would stay empty."""
TICK_GAP = 7.0
"""Air between two labels of the axis."""
TICK_SIZE = 10.5
NICE_US = tuple(factor * 10**power for power in range(3, 9) for factor in (1, 2, 5))


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a strip: a scene, or a break."""

    begin_us: int
    """From when."""
    end_us: int
    """Until when."""
    left: float
    """Where it begins."""
    right: float
    """Where it ends."""
    is_break: bool
    """It stands for a silence."""

    def x(self, at_us: float) -> float:
        """Return where a moment of it lies."""
        length_us = self.end_us - self.begin_us
        share = (at_us - self.begin_us) / length_us if length_us else 0.0
        return self.left + (self.right - self.left) * share


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis."""

    x: float
    """Where."""
    text: str
    """What it says."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The time of one strip."""

    spans: tuple[Span, ...]
    """Without gaps."""
    is_open: bool = False
    """Its last moment belongs to the strip after it."""

    @property
    def begin_us(self) -> int:
        """Return the first moment."""
        return self.spans[0].begin_us

    @property
    def end_us(self) -> int:
        """Return the last moment."""
        return self.spans[-1].end_us

    @property
    def left(self) -> float:
        """Return where it begins."""
        return self.spans[0].left

    @property
    def right(self) -> float:
        """Return where it ends."""
        return self.spans[-1].right

    def shows(self, begin_us: int, end_us: int) -> bool:
        """Say whether any of a time is to be seen; what only touches a seam is seen on one side of it."""
        if begin_us >= self.end_us:
            return begin_us == self.end_us and self.owns(begin_us)
        if end_us <= self.begin_us:
            return end_us == self.begin_us and self.owns(end_us)
        return True

    def owns(self, at_us: int) -> bool:
        """Say whether a moment is to be seen here and on no other strip."""
        if at_us == self.begin_us:
            return not self.spans[0].is_break
        return self.begin_us < at_us < self.end_us or (at_us == self.end_us and not self.is_open)

    def x(self, at_us: int) -> float:
        """Return where a moment lies; one before or after, at the edge."""
        if at_us > self.end_us:
            return self.right
        place = max(0, bisect_right(self.spans, at_us, key=lambda span: span.begin_us) - 1)
        if place and self.spans[place].is_break and self.spans[place].begin_us == at_us:
            # The last moment of a scene belongs to it, not to the silence after it.
            place -= 1
        span = self.spans[place]
        return span.x(min(max(at_us, span.begin_us), span.end_us))

    def ticks(self) -> tuple[Tick, ...]:
        """Return the labels, none over another; the beginnings of scenes come first."""
        shown: list[Tick] = []
        for tick in (*self._beginnings(), *self._round_times()):
            half = text_width(tick.text, TICK_SIZE) / 2 + TICK_GAP
            if all(abs(tick.x - other.x) >= half + text_width(other.text, TICK_SIZE) / 2 for other in shown):
                shown.append(tick)
        return tuple(sorted(shown, key=lambda tick: tick.x))

    def breaks(self) -> tuple[Tick, ...]:
        """Return how long the breaks are."""
        return tuple(
            Tick((span.left + span.right) / 2, duration_text(span.end_us - span.begin_us))
            for span in self.spans
            if span.is_break
        )

    @property
    def scenes(self) -> tuple[Span, ...]:
        """Return what is not a break."""
        return tuple(span for span in self.spans if not span.is_break)

    def _beginnings(self) -> Iterator[Tick]:
        yield from (Tick(span.left, moment_text(span.begin_us)) for span in self.scenes)

    def _round_times(self) -> Iterator[Tick]:
        for span in self.scenes:
            scale = (span.right - span.left) / max(1, span.end_us - span.begin_us)
            step_us = next((step for step in NICE_US if step * scale >= 72), NICE_US[-1])
            for count in range(span.begin_us // step_us + 1, span.end_us // step_us + 1):
                yield Tick(span.x(count * step_us), moment_text(count * step_us))


def moment_text(at_us: int) -> str:
    """Write a time with no more digits than it needs, to the millisecond: `2.3 s`."""
    return f"{at_us / 1_000_000:.3f}".rstrip("0").rstrip(".") + " s"


def duration_text(length_us: int) -> str:
    """Write how long something takes: `180 ms`, `2.4 s`."""
    if length_us < 1_000:
        return f"{length_us / 1000:.1f} ms"
    return f"{length_us // 1000} ms" if length_us < 1_000_000 else f"{length_us / 1_000_000:.1f} s"


@dataclass(frozen=True, slots=True)
class Room:
    """A caption that wants room to the right of its moment."""

    at_us: int
    """When."""
    lane: int
    """Where."""
    width: float
    """How much."""


def axes(moments: Sequence[int], rooms: Sequence[Room], left: float, width: float) -> tuple[Axis, ...]:
    """Divide time into strips that begin at `left` and are at most `width` wide. `moments` ascend, each once."""
    scale = SCALE_LEAST
    count = len(_strips(_pieces(moments, rooms, scale), width))
    if count > 1:
        scale = SCALE_DENSE
        count = len(_strips(_pieces(moments, rooms, scale), width))
    least = scale
    for step in range(SCALE_STEPS):
        scale = SCALE_MAX * (least / SCALE_MAX) ** (step / SCALE_STEPS)
        if len(_strips(_pieces(moments, rooms, scale), width)) <= count:
            break
    for step in range(SCALE_STEPS + 1):
        stretch = STRETCH_MAX ** (1 - step / SCALE_STEPS)
        strips = _strips(_pieces(moments, rooms, scale, stretch), width)
        if len(strips) <= count:
            break
    is_open = [not strip[0].is_break for strip in strips[1:]]
    return tuple(
        Axis(tuple(_placed(strip, left)), opens) for strip, opens in zip(strips, [*is_open, False], strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """A scene or a break that has a size and no place yet."""

    begin_us: int
    end_us: int
    width: float
    is_break: bool


def _pieces(moments: Sequence[int], rooms: Sequence[Room], scale: float, stretch: float = 1.0) -> list[_Piece]:
    """Return scenes and the breaks between them, at so many pixels per millisecond; `stretch` makes scenes wider."""
    scenes = [[moments[0], moments[0]]]
    for at_us in moments[1:]:
        if (at_us - scenes[-1][1]) * scale / 1000 > SILENCE:
            scenes.append([at_us, at_us])
        else:
            scenes[-1][1] = at_us
    scale *= stretch
    pieces: list[_Piece] = []
    ends: dict[int, float] = {}
    x, next_room = 0.0, 0
    for begin_us, end_us in scenes:
        inside = []
        while next_room < len(rooms) and rooms[next_room].at_us <= end_us:
            inside.append(rooms[next_room])
            next_room += 1
        if pieces:
            wanted = [ends[room.lane] - _offset(room, begin_us, scale) for room in inside if room.lane in ends]
            gap = min(max(BREAK, *(want - x for want in wanted), 0), BREAK_MAX) if wanted else BREAK
            pieces.append(_Piece(pieces[-1].end_us, begin_us, gap, True))
            x += gap
        for room in inside:
            ends[room.lane] = x + _offset(room, begin_us, scale) + room.width
        size = max(SCENE_MIN, (end_us - begin_us) * scale / 1000)
        pieces.append(_Piece(begin_us, end_us, size, False))
        x += size
    return pieces


def _offset(room: Room, begin_us: int, scale: float) -> float:
    return (room.at_us - begin_us) * scale / 1000


def _strips(pieces: Sequence[_Piece], width: float) -> list[list[_Piece]]:
    """Fill strips one after the other; a break that does not fit, or ends a strip, begins the next."""
    strips: list[list[_Piece]] = [[]]
    used = 0.0
    for piece in pieces:
        rest = piece
        while rest.width > width - used:
            free = width - used
            if not rest.is_break and (rest.width > width or free > width * SEAM) and free > SILENCE:
                cut_us = rest.begin_us + round((rest.end_us - rest.begin_us) * free / rest.width)
                strips[-1].append(_Piece(rest.begin_us, cut_us, free, False))
                rest = _Piece(cut_us, rest.end_us, rest.width - free, False)
                strips.append([])
            else:
                moved = [strips[-1].pop()] if len(strips[-1]) > 1 and strips[-1][-1].is_break else []
                strips.append(moved)
            used = sum(each.width for each in strips[-1])
        strips[-1].append(rest)
        used += rest.width
    return [strip for strip in strips if strip]


def _placed(strip: Sequence[_Piece], left: float) -> Iterator[Span]:
    for piece in strip:
        yield Span(piece.begin_us, piece.end_us, left, left + piece.width, piece.is_break)
        left += piece.width
