"""A fact and when this host learnt it, as its history tells."""

from __future__ import annotations

from dataclasses import dataclass

from crdt.fact import Fact, Origin


@dataclass(frozen=True, slots=True)
class Learnt:
    """One fact, live or superseded since."""

    number: int
    """Order in which this host learnt it."""
    at_ms: int
    """When, on this host's wall clock."""
    is_older: bool
    """It was known when the history began; nobody knows since when."""
    origin: Origin
    """Whose."""
    fact: Fact
    """What."""
