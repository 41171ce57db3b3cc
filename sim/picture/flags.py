"""Gives captions their places: like flags on poles of different height, so that none covers another or its pole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.picture.axis import Axis
from sim.picture.matter import NETWORK, Flag
from sim.picture.metrics import ROUNDING, fitted, text_width

SIZE = 11.0
"""Of the letters."""
ROW = 21.0
"""From one row of flags to the next."""
HEIGHT = 17.0
PADDING = 6.0
"""Between text and edge."""
GAP = 5.0
"""Between two flags of a row."""
WIDTH_MAX = 150.0
"""Of a host's flag; the network's name many hosts, and stand alone."""
NETWORK_WIDTH_MAX = 300.0
NEAR = 5.0
"""Flags of one lane no further apart are one flag."""
JOINED_MAX = 2
"""Captions that are spelled out on one flag."""

ENDS = ("kept", "broken")
"""The end of a story has a flag of its own."""
LOUDNESS = ("quiet", "use", "repair", "warning", "trouble", "refusal", *ENDS)
"""Of several captions on one flag the loudest decides how it looks."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A flag that has a place."""

    flag: Flag
    """Which."""
    x: float
    """Where its pole stands, which is its left edge."""
    row: int
    """0 is nearest to the lane."""
    width: float
    """From its left to its right edge."""
    text: str
    """What it says, cut short if need be."""


def width_of(flag: Flag) -> float:
    """Return how wide a flag is that has room."""
    most = NETWORK_WIDTH_MAX if flag.lane == NETWORK else WIDTH_MAX
    return min(most, text_width(flag.text, SIZE) + 2 * PADDING)


def placed(flags: Sequence[Flag], axis: Axis, right: float) -> tuple[Placed, ...]:
    """Place the flags of one lane, none of them beyond `right`; they ascend in time.

    From right to left each takes the lowest row above all flags that begin where it reaches, so that its own pole, at
    its left edge, has nobody's flag before it.
    """
    result: list[Placed] = []
    for flag, x in reversed(_joined(flags, axis)):
        width = min(width_of(flag), right - x)
        row = 1 + max((other.row for other in result if other.x < x + width + GAP - ROUNDING), default=-1)
        result.append(Placed(flag, x, row, width, fitted(flag.text, SIZE, width - 2 * PADDING)))
    return tuple(reversed(result))


def _joined(flags: Sequence[Flag], axis: Axis) -> list[tuple[Flag, float]]:
    """Make one of flags at the same place; the loudest decides how it looks."""
    groups: list[tuple[list[Flag], float]] = []
    for flag in flags:
        x = axis.x(flag.at_us)
        if groups and x - groups[-1][1] <= NEAR and flag.style not in ENDS:
            groups[-1][0].append(flag)
        else:
            groups.append(([flag], x))
    return [(_one(group), x) for group, x in groups]


def _one(group: Sequence[Flag]) -> Flag:
    if len(group) == 1:
        return group[0]
    texts = tuple(dict.fromkeys(flag.text for flag in group))
    more = f" +{len(texts) - JOINED_MAX}" if len(texts) > JOINED_MAX else ""
    return replace(
        group[0],
        text=", ".join(texts[:JOINED_MAX]) + more,
        style=max((flag.style for flag in group), key=LOUDNESS.index),
        title=tuple(line for flag in group for line in flag.title),
    )
