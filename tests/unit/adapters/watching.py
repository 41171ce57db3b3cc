"""Collects what a part of the shell reports, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from core.events import Event

PATIENCE_S = 20.0
"""Only a failing test waits this long; nothing is asserted about time."""

Kind = TypeVar("Kind")


class Watcher:
    """Takes reports in the order of their coming."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def report(self, event: Event) -> None:
        """Take a report."""
        self.events.append(event)
        self._changed.set()

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Return the reports of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def next(self, kind: type[Kind], count: int = 1) -> Kind:
        """Wait until there are `count` reports of a kind; return the last of them."""
        await self.until(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; looked at after every report."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()
