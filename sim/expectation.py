"""What people must be able to see of a host at some moment, as data; `witness` looks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sim.actions.host import HostIndex

PARTS = (
    "alarms",
    "answers",
    "conflicts",
    "connections",
    "held",
    "interfaces",
    "names",
    "owners",
    "pending",
    "state",
    "stranded",
    "terminations",
)
"""What can be looked at; how each is written is said in `witness`."""
STORY = "story"
"""What a violation begins with when something is not shown."""
GAP = "…"
"""In a pattern: anything, or nothing."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What some hosts must show, or must not."""

    at_ms: int
    """When: before the steps of that moment. At or after the end of trouble: once all has come right."""
    hosts: tuple[HostIndex, ...]
    """Each of these."""
    part: str
    """Where to look, of `PARTS`."""
    shows: str
    """A pattern that a whole line must match; `…` stands for anything. Empty for no line at all."""
    never: bool = False
    """No line may match."""

    def is_met_by(self, lines: tuple[str, ...]) -> bool:
        """Say whether lines are as expected."""
        found = not lines if not self.shows else any(_matches(self.shows, line) for line in lines)
        return found != self.never


def _matches(pattern: str, line: str) -> bool:
    """Say whether a line is the pieces of a pattern in order, with anything in the gaps."""
    return re.fullmatch(".*".join(re.escape(piece) for piece in pattern.split(GAP)), line, re.DOTALL) is not None
