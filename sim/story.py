"""What happened in a run, as data for people: the parts that a text or a picture is made of.

A story says what happened and never what it means: words are in `words`, choice and order in `timeline` and `picture`.
It is told by `narrator`, only when somebody asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from core.effects import Ok, Refusal
from core.events import AttachAsked, Commanded, ContainerGone, DetachAsked
from core.messages import Message
from core.reconcile.objects import Op, OpResult
from crdt.fact import Fact, Origin
from sim.actions import Action
from sim.run import Report


class Fate(Enum):
    """What became of something that was on its way."""

    ARRIVED = "arrived"
    """A message reached its host, a write the disk."""
    FAILED = "failed"
    """The disk did not take it."""
    LOST = "lost"
    """The connection or the host it belonged to ended first."""
    UNDER_WAY = "under way"
    """The story ends before."""


@dataclass(frozen=True, slots=True)
class Performed:
    """Somebody did something, or something went wrong: a step of the scenario."""

    at_us: int
    """Virtual microseconds from the beginning."""
    action: Action
    """What."""


@dataclass(frozen=True, slots=True)
class Began:
    """An agent started."""

    at_us: int
    """Virtual microseconds from the beginning."""
    host: int
    """Where."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An agent ended."""

    at_us: int
    """Virtual microseconds from the beginning."""
    host: int
    """Where."""
    power: bool
    """The machine went down with it."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """A host handed facts of its own to its disk."""

    at_us: int
    """Virtual microseconds from the beginning."""
    host: int
    """Where."""
    origin: Origin
    """Whose they are: the host in its present incarnation."""
    facts: tuple[Fact, ...]
    """What it says."""
    done_us: int
    """When they were on disk, or when that became impossible, or when the story ended."""
    fate: Fate
    """What became of it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message between two hosts."""

    at_us: int
    """When it was sent, in virtual microseconds from the beginning."""
    source: int
    """Who sent it."""
    target: int
    """To whom."""
    message: Message
    """What it says."""
    done_us: int
    """When it arrived, or when that became impossible, or when the story ended."""
    fate: Fate
    """What became of it."""
    was_cut: bool
    """There was no path when it was sent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asked an agent for something."""

    at_us: int
    """Virtual microseconds from the beginning."""
    host: int
    """Whom."""
    question: Commanded | AttachAsked | DetachAsked
    """What."""
    done_us: int
    """When it was answered, or when that became impossible, or when the story ended."""
    reply: Ok | Refusal | None
    """The answer; None when there was none."""


@dataclass(frozen=True, slots=True)
class Missed:
    """An agent was told that a container has gone."""

    at_us: int
    """Virtual microseconds from the beginning."""
    host: int
    """Where."""
    event: ContainerGone
    """Which."""


@dataclass(frozen=True, slots=True)
class Operated:
    """A kernel operation was carried out, or was not."""

    at_us: int
    """Virtual microseconds from the beginning."""
    host: int
    """Where."""
    op: Op
    """What was to be done."""
    result: OpResult
    """What came of it."""


@dataclass(frozen=True, slots=True)
class Noted:
    """An agent wrote to its log."""

    at_us: int
    """Virtual microseconds from the beginning."""
    host: int
    """Whose."""
    level: str
    """`DEBU`, `INFO`, `WARN` or `ERRO`."""
    text: str
    """One line."""


@dataclass(frozen=True, slots=True)
class PathsCut:
    """From now on these paths are cut, and no others."""

    at_us: int
    """Virtual microseconds from the beginning."""
    pairs: tuple[tuple[int, int], ...]
    """From whom to whom nothing gets; paths that never were are not among them."""


Kind = TypeVar("Kind")
Happening = Performed | Began | Ended | Wrote | Sent | Asked | Missed | Operated | Noted | PathsCut


@dataclass(frozen=True, slots=True)
class Story:
    """A run."""

    report: Report
    """What came of it; its scenario names the hosts and holds all steps."""
    happenings: tuple[Happening, ...]
    """In order."""
    left_out: int
    """Happenings too many to be remembered: the oldest messages, writes and operations."""
    calm_us: int
    """When trouble ended and all had to come right; the end of the story if it did not get so far."""
    end_us: int
    """When the story ends, in virtual microseconds: all is well, or a promise was broken."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the hosts are called."""
        return tuple(host.nickname for host in self.report.scenario.hosts)

    def all(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """Return all happenings of a kind, in order."""
        return tuple(item for item in self.happenings if isinstance(item, kind))
