"""Where lanes lie in a strip: the network on top, then a block per host, and the axis below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim.picture.axis import Axis
from sim.picture.flags import HEIGHT, ROW, Placed, placed
from sim.picture.matter import NETWORK, Flag, Stretch

POLE = 15.0
"""From a lane to its lowest flag."""
HEADROOM = 20.0
"""From the top of a block to its lane, without flags."""
KERNEL = 28.0
"""From a lane to the lane of its kernel."""
FOOTROOM = 22.0
"""From the lane of a kernel to the foot of its block."""
BETWEEN = 12.0
"""From one block to the next."""
MARGIN = 8.0
"""From the top of a block to its flags."""
EDGE = 2.0
"""Air above the first flag, so that its edge is not cut off."""
AXIS = 36.0
"""From the last block to the foot of a strip."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that has a place."""

    index: int
    """Number of its host, or `NETWORK`."""
    top: float
    """Where its block begins."""
    y: float
    """Where the lane itself runs."""
    bottom: float
    """Where its block ends."""
    flags: tuple[Placed, ...]
    """What stands on it."""

    @property
    def kernel(self) -> float:
        """Return where the lane of its kernel runs."""
        return self.y + KERNEL

    def flag_top(self, flag: Placed) -> float:
        """Return where a flag begins."""
        return self.y - POLE - HEIGHT - flag.row * ROW


@dataclass(frozen=True, slots=True)
class Strip:
    """A strip whose parts have places."""

    axis: Axis
    """Its time."""
    network: Lane
    """The lane on top."""
    hosts: tuple[Lane, ...]
    """The lanes of the hosts, by number."""

    @property
    def foot(self) -> float:
        """Return where the last block ends."""
        return self.hosts[-1].bottom

    @property
    def height(self) -> float:
        """Return how high it is."""
        return self.foot + AXIS

    def lane(self, index: int) -> Lane:
        """Return the lane of a host, or of the network."""
        return self.network if index == NETWORK else self.hosts[index]


def strip_of(axis: Axis, flags: Sequence[Flag], cuts: Sequence[Stretch], *, host_count: int, right: float) -> Strip:
    """Lay out one strip whose flags end at `right`."""
    by_lane: dict[int, list[Flag]] = {}
    for flag in flags:
        if axis.owns(flag.at_us):
            by_lane.setdefault(flag.lane, []).append(flag)
    has_network = NETWORK in by_lane or any(axis.shows(cut.begin_us, cut.end_us) for cut in cuts)
    network = _network(axis, by_lane, right) if has_network else Lane(NETWORK, 0.0, 0.0, 0.0, ())
    top = network.bottom
    hosts: list[Lane] = []
    for index in range(host_count):
        lane = _host(index, top, placed(by_lane.get(index, ()), axis, right))
        hosts.append(lane)
        top = lane.bottom + BETWEEN
    return Strip(axis, network, tuple(hosts))


def _network(axis: Axis, by_lane: Mapping[int, Sequence[Flag]], right: float) -> Lane:
    flags = placed(by_lane.get(NETWORK, ()), axis, right)
    y = EDGE + _flags_height(flags) + POLE
    return Lane(NETWORK, 0.0, y, y + BETWEEN + 5.0, flags)


def _host(index: int, top: float, flags: tuple[Placed, ...]) -> Lane:
    y = top + (MARGIN + _flags_height(flags) + POLE if flags else HEADROOM)
    return Lane(index, top, y, y + KERNEL + FOOTROOM, flags)


def _flags_height(flags: Sequence[Placed]) -> float:
    rows = max((flag.row for flag in flags), default=-1) + 1
    return rows * ROW - (ROW - HEIGHT) if rows else 0.0
