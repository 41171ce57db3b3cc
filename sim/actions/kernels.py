"""What is done to kernels, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sim.actions.host import HostIndex


@dataclass(frozen=True, slots=True)
class KernelTrouble:
    """Some kernel operations go wrong from now on."""

    host: HostIndex
    """Whose."""
    percent: int
    """Chance; 0 ends it."""
    kind: str = "busy"
    """How: `busy`, `answer`, `half`, `refused` or `slow`."""


@dataclass(frozen=True, slots=True)
class MuteKernel:
    """The kernel's news does not reach the agent any more."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class UnmuteKernel:
    """News arrives again; what was missed stays missed."""

    host: HostIndex
    """Whose."""


@dataclass(frozen=True, slots=True)
class LoseObject:
    """Somebody deletes a kernel object of ours behind the agent's back, or brings an endpoint down: `up c1 ethwe`."""

    host: HostIndex
    """Where."""
    key: str
    """Its key, words joined by spaces: `hop 17`."""


@dataclass(frozen=True, slots=True)
class Unplug:
    """Somebody takes a container's interface out of the bridge."""

    host: HostIndex
    """Where."""
    key: str
    """Of the veth pair: `endpoint c1 ethwe`."""


@dataclass(frozen=True, slots=True)
class Squat:
    """Somebody deletes a device of ours and makes one of the same name."""

    host: HostIndex
    """Where."""
    key: str
    """Of ours: `bridge weave`, `vxlan vxlan-6784`, `endpoint c1 ethwe`."""


@dataclass(frozen=True, slots=True)
class ClearAway:
    """What was made in the place of ours goes."""

    host: HostIndex
    """Where."""


@dataclass(frozen=True, slots=True)
class LeaveBehind:
    """While no agent runs, the kernel turns out to hold what one of long ago made: a bridge in another form, a
    container's interface, a route and a tree."""

    host: HostIndex
    """Where."""
    container: str
    """Its identity then; nobody knows it any more."""
    number: int
    """Short id that route and tree are for; that of a host of today, perhaps."""
    is_apart: bool
    """The interface is out of the bridge."""


@dataclass(frozen=True, slots=True)
class Intrude:
    """Somebody plugs a machine into the bridge of a host, with an address that nobody gave it."""

    host: HostIndex
    """Where."""
    address: str
    """IP address of its own choice."""


@dataclass(frozen=True, slots=True)
class Expel:
    """All such machines of a host are taken away."""

    host: HostIndex
    """Where."""


@dataclass(frozen=True, slots=True)
class EndSleeve:
    """The process of the sleeve ends, and forgets all its tunnels; the agent hears of it and begins anew."""

    host: HostIndex
    """Where."""


KernelAction = (
    KernelTrouble
    | EndSleeve
    | Intrude
    | Expel
    | MuteKernel
    | UnmuteKernel
    | LoseObject
    | Unplug
    | Squat
    | ClearAway
    | LeaveBehind
)
