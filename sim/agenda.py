"""What a chooser has in mind: things to decide at certain times, each when its time has come and not before."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator

from sim.actions import Action

Choice = Callable[[], Iterator[Action]]
"""Decides, from how things stand at that moment, what is to be done."""


class Agenda:
    """Choices in the order of their times; of one time, in the order of planning."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Choice]] = []
        self._planned = 0

    def plan(self, at_ms: int, choice: Choice) -> None:
        """Let something be decided at a time."""
        self._planned += 1
        heapq.heappush(self._heap, (at_ms, self._planned, choice))

    def every(self, first_ms: int, span_ms: tuple[int, int], entropy: random.Random, choice: Choice) -> None:
        """Let something be decided again and again, with a drawn pause between."""
        at_ms = first_ms + entropy.randint(*span_ms)

        def decide() -> Iterator[Action]:
            self.every(at_ms, span_ms, entropy, choice)
            yield from choice()

        self.plan(at_ms, decide)

    def next_ms(self) -> int | None:
        """Return when something is to be decided next."""
        return self._heap[0][0] if self._heap else None

    def take(self) -> Iterator[Action]:
        """Decide what is next, one action after the other, each in the light of those before it."""
        _, _, choice = heapq.heappop(self._heap)
        yield from choice()
