"""What users, scripts and operators do, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sim.actions.host import HostIndex


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
class ClaimAddress:
    """A new name claims an address, whoever has it: of a container that was elsewhere, or just typed."""

    host: HostIndex
    """Where."""
    ident: str
    """Who."""
    address: str
    """Which, in the range of the host."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Names give back what they hold."""

    host: HostIndex
    """Where."""
    idents: tuple[str, ...]
    """Who."""


@dataclass(frozen=True, slots=True)
class AddName:
    """`weave dns-add`: an attached container gets another name, maybe with a port and a text."""

    host: HostIndex
    """Where."""
    container: str
    """Whose."""
    name: str
    """Which; a name is added once."""
    has_port: bool = False
    """A service is announced, too."""
    has_text: bool = False
    """A text is, too."""


@dataclass(frozen=True, slots=True)
class RemoveName:
    """`weave dns-remove`: a name that was added is taken back."""

    host: HostIndex
    """Where."""
    name: str
    """Which."""


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


@dataclass(frozen=True, slots=True)
class Relaunch:
    """`weave stop`, then `weave launch` with other settings of the range; what is empty is as the scenario says."""

    host: HostIndex
    """Where it is typed."""
    universe: str = ""
    """`--ipalloc-range`; `none` for a host that allocates nothing."""
    ring: str = ""
    """`--ipalloc-init`: `consensus`, `seed` or `observer`."""
    among: tuple[HostIndex, ...] = ()
    """Whom `seed` names, or how many `consensus` expects; empty for all hosts."""


PeopleAction = (
    Attach
    | Detach
    | EndContainer
    | Take
    | ClaimAgain
    | ClaimAddress
    | GiveBack
    | AddName
    | RemoveName
    | ConnectTo
    | ForgetTarget
    | RemovePeers
    | ResetHost
    | Relaunch
)
