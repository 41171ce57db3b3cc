"""What is done to agents, machines, disks and clocks, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sim.actions.host import HostIndex


@dataclass(frozen=True, slots=True)
class Kill:
    """The agent ends at once; its kernel and its containers live on."""

    host: HostIndex
    """Where."""


@dataclass(frozen=True, slots=True)
class CutPower:
    """The machine loses power: unsynced writes, memory, kernel and containers are gone."""

    host: HostIndex
    """Which."""


@dataclass(frozen=True, slots=True)
class Doom:
    """The agent crashes in the middle of an event that makes it act; one that is down will, once it has started."""

    host: HostIndex
    """Where."""
    gap: int
    """Effects carried out before the crash; with fewer in the event, all of them."""
    power: bool
    """Whether the machine goes down with it."""
    spared: int = 0
    """Events that make it act and pass before."""


@dataclass(frozen=True, slots=True)
class Start:
    """An agent starts on what the disk holds."""

    host: HostIndex
    """Where."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The agent is stopped, and another version of the software put in its place; `Start` starts that."""

    host: HostIndex
    """Where."""
    release: str
    """Which version, of `releases`; empty for today's, which may be a step back."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The agent does nothing for a while and then learns of everything at once; its timers are late."""

    host: HostIndex
    """Where."""
    for_ms: int
    """How long, in milliseconds."""


@dataclass(frozen=True, slots=True)
class RestartNames:
    """The name server ends; a new one asks its agent for all names after a while."""

    host: HostIndex
    """Where."""
    for_ms: int
    """How long nobody answers names."""


@dataclass(frozen=True, slots=True)
class FillDisk:
    """The disk takes nothing more."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class EmptyDisk:
    """The disk has space again."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """Every transaction takes longer from now on."""

    host: HostIndex
    """Whose."""
    by_ms: int
    """Up to how much, evenly drawn, in milliseconds; 0 ends it."""


@dataclass(frozen=True, slots=True)
class MountReadOnly:
    """The disk takes nothing more, and no agent starts on it."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class MountWritable:
    """The disk can be written again."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class LieAboutSync:
    """The disk says from now on that what is only in its cache is safe; a power cut shows the truth.

    Goes beyond the promises: takes place only if the scenario allows `lying-fsync`.
    """

    host: HostIndex
    """Whose."""
    is_lying: bool
    """Whether it begins to lie; else it writes all it has, and is honest again."""


@dataclass(frozen=True, slots=True)
class BackUp:
    """Somebody copies a disk."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """The agent is stopped and its disk replaced by the last copy."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class Wipe:
    """The agent is stopped and its disk replaced by an empty one."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class Clone:
    """A machine that has never run starts as a copy of another, which goes on: with its disk, name and settings.

    Takes place only if the copy need not come right in the end.
    """

    host: HostIndex
    """The copy."""
    source: HostIndex
    """Of whom."""


@dataclass(frozen=True, slots=True)
class StepClock:
    """Somebody sets the wall clock."""

    host: HostIndex
    """Whose."""
    by_ms: int
    """Forward, or back."""


@dataclass(frozen=True, slots=True)
class DriftClock:
    """The monotonic clock runs at another speed from now on."""

    host: HostIndex
    """Whose."""
    ppm: int
    """Microseconds gained in a second; may be negative."""


MachineAction = (
    Kill
    | CutPower
    | Doom
    | Start
    | Upgrade
    | Pause
    | RestartNames
    | FillDisk
    | EmptyDisk
    | SlowDisk
    | MountReadOnly
    | MountWritable
    | LieAboutSync
    | BackUp
    | RollBack
    | Wipe
    | Clone
    | StepClock
    | DriftClock
)
