"""Everything that can be done to a world, as data: what users and operators ask, and what goes wrong.

An action says what is done, never whether it may be done: `stage` decides that at the moment itself, and an action
that makes no sense then (detaching what is not attached) does not take place. So any part of a list of actions is
again a list of actions, which is what lets a failing run shrink. Nothing in an action is drawn: what remains to chance
(latencies, how much of an unsynced tail a power cut takes) belongs to the link or host and its own randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

HostIndex = NewType("HostIndex", int)
"""Number of a host in its scenario, from 0."""

# The network.


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


# Agents and machines.


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


# Disks.


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


# Clocks.


@dataclass(frozen=True, slots=True)
class StepClock:
    """Somebody sets the wall clock."""

    host: HostIndex
    """Whose."""
    by_ms: int
    """Forward, or back."""


# Kernels.


@dataclass(frozen=True, slots=True)
class KernelTrouble:
    """Kernel operations fail for a while each, with what is worth another try."""

    host: HostIndex
    """Whose."""
    percent: int
    """Chance of failure; 0 ends it."""


@dataclass(frozen=True, slots=True)
class LoseObject:
    """Somebody deletes a kernel object of ours behind the agent's back."""

    host: HostIndex
    """Where."""
    key: str
    """Its key, words joined by spaces: `hop 17`."""


# Containers.


@dataclass(frozen=True, slots=True)
class Attach:
    """A container starts and is attached."""

    host: HostIndex
    """Where."""
    container: str
    """Its identity."""


@dataclass(frozen=True, slots=True)
class Detach:
    """A container's interface is taken away."""

    host: HostIndex
    """Where."""
    container: str
    """Its identity."""


@dataclass(frozen=True, slots=True)
class EndContainer:
    """A container ends, and its namespace with it."""

    host: HostIndex
    """Where."""
    container: str
    """Its identity."""


@dataclass(frozen=True, slots=True)
class Take:
    """Somebody asks for addresses, one for each name."""

    host: HostIndex
    """Where."""
    idents: tuple[str, ...]
    """Who shall hold them."""


@dataclass(frozen=True, slots=True)
class ClaimAgain:
    """A name claims the address that it has, as a restarted container does."""

    host: HostIndex
    """Where."""
    ident: str
    """Who."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Names give back what they hold."""

    host: HostIndex
    """Where."""
    idents: tuple[str, ...]
    """Who."""


# Operators.


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """`weave connect`."""

    host: HostIndex
    """Where it is typed."""
    target: HostIndex
    """Whom to dial."""


@dataclass(frozen=True, slots=True)
class ForgetTarget:
    """`weave forget`."""

    host: HostIndex
    """Where it is typed."""
    target: HostIndex
    """Whom not to dial any more."""


@dataclass(frozen=True, slots=True)
class RemovePeers:
    """`weave rmpeer`: the operator says that these hosts are dead."""

    host: HostIndex
    """Where it is typed."""
    peers: tuple[HostIndex, ...]
    """Who is dead."""
    force: bool
    """Go on without those that do not answer."""


@dataclass(frozen=True, slots=True)
class ResetHost:
    """`weave reset`: hand over all addresses, stop, forget everything. `Start` makes a new host of the same name."""

    host: HostIndex
    """Where it is typed."""


Action = (
    Cut
    | Split
    | Heal
    | Reset
    | Lose
    | Kill
    | CutPower
    | Doom
    | Start
    | FillDisk
    | EmptyDisk
    | BackUp
    | RollBack
    | Wipe
    | StepClock
    | KernelTrouble
    | LoseObject
    | Attach
    | Detach
    | EndContainer
    | Take
    | ClaimAgain
    | GiveBack
    | ConnectTo
    | ForgetTarget
    | RemovePeers
    | ResetHost
)
