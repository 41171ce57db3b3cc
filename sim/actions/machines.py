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
    """The agent crashes in the middle of the next event that makes it act."""

    host: HostIndex
    """Where."""
    gap: int
    """Effects carried out before the crash; with fewer in the event, all of them."""
    power: bool
    """Whether the machine goes down with it."""


@dataclass(frozen=True, slots=True)
class Start:
    """An agent starts on what the disk holds."""

    host: HostIndex
    """Where."""


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
class StepClock:
    """Somebody sets the wall clock."""

    host: HostIndex
    """Whose."""
    by_ms: int
    """Forward, or back."""


MachineAction = Kill | CutPower | Doom | Start | FillDisk | EmptyDisk | BackUp | RollBack | Wipe | StepClock
