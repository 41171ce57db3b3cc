"""How one direction between two hosts behaves: how long things take, and what becomes of them on the way.

Delays are for two kinds of traffic. A datagram may be lost, doubled or overtaken. What travels inside a connection may
not: TCP repeats what is lost, which costs time, and puts the rest in order, so that a doubled or reordered segment
costs no more than the wait for the one before it. Nothing is drawn that the path does not need, so a path without
trouble costs one number.

Tails are doublings: with a chance, a delay doubles, and again with the same chance. That is a power law made of
integers and comparisons, the same on every machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

STALL_US = 200_000
"""Linux' least retransmission time-out: what one lost segment costs."""
SHUFFLE_US = 50_000
"""A packet that takes another way comes so much later at most."""
TAIL_MAX_US = 10_000_000
"""No packet is under way for longer."""
QUEUE_SIZE = 65_536
"""Bytes that wait before a slow line; what finds them waiting is dropped, and costs a retransmission."""


@dataclass(frozen=True, slots=True)
class Path:
    """How one direction between two hosts behaves."""

    latency_us: int
    """Least time on the way."""
    jitter_us: int
    """Up to this much more, evenly drawn."""
    tail_percent: int = 0
    """Chance that the time doubles, and doubles again."""
    loss_percent: int = 0
    """Chance that a packet is lost."""
    repeat_percent: int = 0
    """Chance that a packet comes twice."""
    shuffle_percent: int = 0
    """Chance that a packet takes up to `SHUFFLE_US` longer, so that others overtake it."""
    corrupt_percent: int = 0
    """Chance that a message arrives as garbage; whatever guards the frame finds it out."""
    bytes_per_s: int = 0
    """What the line carries; 0 for more than anybody sends."""
    queue_size: int = QUEUE_SIZE
    """Bytes that wait before the line."""
    size_max: int = 0
    """Larger messages never get through, as in a black hole of a path's MTU; 0 for no limit."""

    @property
    def weighs(self) -> bool:
        """Say whether the size of a message matters."""
        return bool(self.bytes_per_s or self.size_max)


@dataclass(slots=True)
class Road:
    """One direction between two hosts, with its randomness."""

    entropy: random.Random
    """Drawn from by nothing else, so that editing one path leaves the others as they were."""
    origin: Path
    """How it behaves when nothing is wrong."""
    path: Path
    """How it behaves now."""
    clogged_until_us: int = 0
    """Nothing arrives before."""
    is_plain: bool = field(init=False)
    """Only latency and jitter matter."""

    def __post_init__(self) -> None:
        self.change(self.path)

    def change(self, path: Path) -> None:
        """Let the path behave in another way."""
        self.path = path
        self.is_plain = not (path.tail_percent or path.loss_percent or path.shuffle_percent)

    def stream_us(self, now_us: int, loss_percent: int) -> int:
        """Draw how long the next message of a connection takes; `loss_percent` is what all paths lose at least."""
        path, draw = self.path, self.entropy.random
        delay_us = path.latency_us + int(draw() * (path.jitter_us + 1))
        if loss_percent or not self.is_plain:
            delay_us = self._detour_us(delay_us)
            loss = max(loss_percent, path.loss_percent)
            while loss and draw() * 100 < loss:
                delay_us += STALL_US
        return max(delay_us, self.clogged_until_us - now_us)

    def datagrams_us(self, now_us: int, loss_percent: int) -> tuple[int, ...]:
        """Draw how long each copy of a datagram takes, in any order: none when it is lost, two when it is doubled."""
        path, draw = self.path, self.entropy.random
        loss = max(loss_percent, path.loss_percent)
        if loss and draw() * 100 < loss:
            return ()
        copies = 2 if path.repeat_percent and draw() * 100 < path.repeat_percent else 1
        clogged_us = self.clogged_until_us - now_us
        return tuple(
            max(self._detour_us(path.latency_us + int(draw() * (path.jitter_us + 1))), clogged_us)
            for _ in range(copies)
        )

    def is_garbled(self) -> bool:
        """Draw whether the next message arrives as garbage."""
        return self.path.corrupt_percent > 0 and self.entropy.random() * 100 < self.path.corrupt_percent

    def _detour_us(self, delay_us: int) -> int:
        path, draw = self.path, self.entropy.random
        while path.tail_percent and delay_us < TAIL_MAX_US and draw() * 100 < path.tail_percent:
            delay_us *= 2
        if path.shuffle_percent and draw() * 100 < path.shuffle_percent:
            delay_us += int(draw() * SHUFFLE_US)
        return min(delay_us, TAIL_MAX_US)


def any_path(entropy: random.Random) -> Path:
    """Draw a path through a rack, a town or a continent, with or without busy queues."""
    return Path(entropy.choice((100, 1_000, 20_000)), entropy.choice((50, 5_000)))
