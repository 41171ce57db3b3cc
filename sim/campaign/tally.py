"""What a campaign has reached: marks, actions and outcomes, each with the number of seeds that came by.

What never happened is said first and loudly: a simulator that never gets somewhere has not tested it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from core.marks import MARKS
from sim.campaign.result import Result
from sim.scenario import ACTIONS

SCRIPTED = ("clone", "lie-about-sync", "relaunch")
"""Go beyond the promises by themselves, so that only stories have them, never seeds."""
UNHEARD_OF = ("gossip.corrupt-replaced", "gossip.equivocation", "gossip.gap", "ipam.note-denies")
"""Marks that no honest cluster passes: a violation if one ever does, never missed if none does."""
COLUMNS = 3
COLUMN_WIDTH = 38
RARE = 12
"""Marks shown with their numbers: the rarest, the others are safe."""


class Tally:
    """Sums over results."""

    def __init__(self) -> None:
        self.seeds = 0
        """Results."""
        self.failed = 0
        """Those that violate something."""
        self.virtual_ms = 0
        """In all worlds together."""
        self.cpu_ms = 0
        """Spent on them."""
        self.events = 0
        """Lines of all traces."""
        self.marks: Counter[str] = Counter()
        """Seeds that passed each mark."""
        self.actions: Counter[str] = Counter()
        """Seeds in which each kind of action took place."""
        self.outcomes: Counter[str] = Counter()
        """Answers of each kind."""

    def add(self, result: Result) -> None:
        """Count a result."""
        self.seeds += 1
        self.failed += bool(result.violation)
        self.virtual_ms += result.virtual_ms
        self.cpu_ms += result.cpu_ms
        self.events += result.events
        self.marks.update(name for name, count in result.marks.items() if count)
        self.actions.update(name for name, count in result.actions.items() if count)
        self.outcomes.update(result.outcomes)

    @property
    def unmarked(self) -> tuple[str, ...]:
        """Return the marks that no seed passed and some should have."""
        return tuple(sorted(name for name in MARKS if not self.marks[name] and name not in UNHEARD_OF))

    @property
    def undone(self) -> tuple[str, ...]:
        """Return the kinds of action that took place in no seed and should have."""
        return tuple(sorted(name for name in ACTIONS if not self.actions[name] and name not in SCRIPTED))

    def lines(self) -> Iterator[str]:
        """Say it for people."""
        count = len(MARKS) - len(UNHEARD_OF)
        yield f"Marks: {count - len(self.unmarked)} of {count} passed"
        if self.unmarked:
            yield "  NEVER PASSED: " + ", ".join(self.unmarked)
        yield from _table("seeds that passed the rarest", _rows(self.marks)[:RARE])
        count = len(ACTIONS) - len(SCRIPTED)
        yield f"Actions: {count - len(self.undone)} of {count} kinds took place"
        if self.undone:
            yield "  NEVER TOOK PLACE: " + ", ".join(self.undone)
        yield from _table("seeds in which each took place", _rows(self.actions))
        yield "Outcomes:"
        yield from _table("answers", _rows(self.outcomes))

    @property
    def speed(self) -> float:
        """Return virtual seconds per second of processor time."""
        return self.virtual_ms / self.cpu_ms if self.cpu_ms else 0.0


def _rows(counts: Counter[str]) -> list[tuple[int, str]]:
    """Return counts and names, the rarest first."""
    return sorted((count, name) for name, count in counts.items() if count)


def _table(title: str, rows: Iterable[tuple[int, str]]) -> Iterator[str]:
    cells = [f"{count:>9,}  {name}" for count, name in rows]
    if cells:
        yield f"  {title}:"
    for first in range(0, len(cells), COLUMNS):
        yield "".join(f"{cell:<{COLUMN_WIDTH}}" for cell in cells[first : first + COLUMNS]).rstrip()
