"""How far a campaign is: one line that is written over on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TextIO

from sim.campaign.tally import Tally

BAR_SIZE = 24
TERMINAL_EVERY_S = 0.2
"""Faster than that nobody reads."""
PLAIN_EVERY_S = 30.0
"""A log wants few lines."""


class Progress:
    """Tells a stream."""

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float]) -> None:
        """`clock` returns seconds; it only has to go on."""
        self._total = total
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream.isatty()
        self._begun_s = clock()
        self._shown_s: float | None = None
        self._at_begin = 0

    def begin(self, tally: Tally) -> None:
        """Show where it starts: what is there already says nothing about speed."""
        self._at_begin = tally.seeds
        self._show(tally)

    def step(self, tally: Tally) -> None:
        """Show what has come, unless that was done a moment ago."""
        every_s = TERMINAL_EVERY_S if self._is_terminal else PLAIN_EVERY_S
        if self._shown_s is None or self._clock() - self._shown_s >= every_s:
            self._show(tally)

    def end(self, tally: Tally) -> None:
        """Show how it ended."""
        self._show(tally)
        if self._is_terminal:
            self._stream.write("\n")

    def say(self, text: str) -> None:
        """Tell something else, on a line of its own."""
        self._stream.write(f"\r\033[K{text}\n" if self._is_terminal else f"{text}\n")
        self._stream.flush()

    def line(self, tally: Tally) -> str:
        """Return the line."""
        done, total = tally.seeds, self._total
        elapsed_s = self._clock() - self._begun_s
        rate = (done - self._at_begin) / elapsed_s if elapsed_s > 0 else 0.0
        left = f"{_span((total - done) / rate)} left" if rate and done < total else ""
        parts = [
            f"{done:,}/{total:,} seeds",
            f"{tally.failed} failed",
            f"{rate:.1f} seeds/s",
            f"{tally.speed:,.0f} virtual s per CPU s",
            left,
        ]
        return ", ".join(part for part in parts if part)

    def _show(self, tally: Tally) -> None:
        self._shown_s = self._clock()
        line = self.line(tally)
        if self._is_terminal:
            full = BAR_SIZE * tally.seeds // self._total if self._total else BAR_SIZE
            line = f"[{'#' * full}{'.' * (BAR_SIZE - full)}] {line}"
            # A line that wraps cannot be written over.
            self._stream.write("\r\033[K" + line[: shutil.get_terminal_size().columns - 1])
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def _span(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
