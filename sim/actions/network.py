"""What is done to paths and connections, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sim.actions.host import HostIndex


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing gets from one host to another any more; what is sent waits."""

    source: HostIndex
    """Who is not heard."""
    target: HostIndex
    """Who does not hear."""


@dataclass(frozen=True, slots=True)
class Split:
    """Nothing passes between some hosts and the others, in either direction."""

    side: tuple[HostIndex, ...]
    """One side."""


@dataclass(frozen=True, slots=True)
class Heal:
    """All cuts end."""


@dataclass(frozen=True, slots=True)
class Reset:
    """All connections between two hosts break; what was under way is lost."""

    one: HostIndex
    """Either."""
    other: HostIndex
    """The other."""


@dataclass(frozen=True, slots=True)
class Lose:
    """Every path loses messages from now on: each costs a retransmission."""

    percent: int
    """Chance of a loss; 0 ends it."""


NetworkAction = Cut | Split | Heal | Reset | Lose
