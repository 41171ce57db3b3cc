"""What can happen to a host. The complete list: a reviewer sees a new input arrive here, and nowhere else.

Events are facts in the past tense; the shell reports them, `Replica.apply` decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.messages import Message
from core.reconcile.objects import KernelObject, Op, OpResult
from core.types import Address, HostPort, LinkId, RequestId, Ticket


@dataclass(frozen=True, slots=True)
class Started:
    """The shell runs and effects are carried out from here on."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A TCP connection stands; nothing has been said on it."""

    link: LinkId
    """Its number."""
    outbound: bool
    """We dialled."""
    remote: HostPort
    """Its far end, numeric."""
    target: str | None
    """The target we dialled, as given in `Dial`; None when inbound."""
    session: str = ""
    """Names the secret that both ends share from here on, alike at both; says nothing about it."""
    is_sealed: bool = False
    """The connection is encrypted: both ends have proved that they know the password."""


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A connection could not be made."""

    target: str
    """As given in `Dial`."""
    reason: str
    """What the operating system or the resolver said."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """A connection is gone; nothing more arrives on it."""

    link: LinkId
    """Its number."""
    reason: str
    """Why, for people."""


@dataclass(frozen=True, slots=True)
class Received:
    """A well-formed message arrived."""

    link: LinkId
    """On which connection."""
    message: Message
    """What it says; its values are untrusted."""


@dataclass(frozen=True, slots=True)
class Misbehaved:
    """Bytes arrived that are no message; the shell has stopped reading that connection."""

    link: LinkId
    """On which connection."""
    reason: str
    """The rule that was broken."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` is due."""

    name: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """A commit is on disk, and with it all earlier tickets."""

    ticket: Ticket
    """Its number."""


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """A commit did not reach the disk; the shell tries no further by itself."""

    ticket: Ticket
    """Its number."""
    reason: str
    """What the disk said."""


@dataclass(frozen=True, slots=True)
class PathUp:
    """Frames get through to a neighbour by one transport, both ways; told again when anything of that changes."""

    session: str
    """Of the tunnel."""
    transport: str
    """`fastdp` or `sleeve`."""
    mtu: int
    """Bytes on containers' interfaces that get through whole."""
    address: str
    """`ip:port` where the neighbour's frames come from."""


@dataclass(frozen=True, slots=True)
class PathDown:
    """Frames do not get through to a neighbour by one transport, or only one way, or only small ones."""

    session: str
    """Of the tunnel."""
    transport: str
    """`fastdp` or `sleeve`."""
    why: str
    """For people."""


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """Who asked has gone away; no Answer is wanted any more."""

    request: RequestId
    """Which question."""


@dataclass(frozen=True, slots=True)
class AttachAsked:
    """Somebody wants a container on the network."""

    request: RequestId
    """Answered with the addresses once its interface is up."""
    container: str
    """Identity: container id, or a name for a plain namespace."""
    ifname: str
    """Inner name of the interface."""
    netns: str
    """Path of its network namespace."""
    addresses: tuple[str, ...]
    """`ip:CIDR`, `net:CIDR`, `net:default` or CIDR; empty means `net:default`."""
    multicast_route: bool
    """Whether multicast leaves through this interface."""
    names: tuple[str, ...] = ()
    """Absolute names that the addresses answer to while attached."""


@dataclass(frozen=True, slots=True)
class DetachAsked:
    """Somebody wants addresses, or the whole interface, taken away."""

    request: RequestId
    """Answered with the addresses removed."""
    container: str
    """Identity as at attach."""
    ifname: str
    """Inner name of the interface."""
    addresses: tuple[str, ...]
    """Syntax as at attach; empty means `net:default`."""


@dataclass(frozen=True, slots=True)
class ContainerGone:
    """A container and its namespace no longer exist."""

    container: str
    """Its identity."""


@dataclass(frozen=True, slots=True)
class KernelDumped:
    """Everything of ours that the kernel holds."""

    objects: tuple[KernelObject, ...]
    """In any order."""


@dataclass(frozen=True, slots=True)
class KernelChanged:
    """Something of ours, or near it, changed under us."""


@dataclass(frozen=True, slots=True)
class OpsDone:
    """The operations of one `Execute` have been carried out, in order."""

    results: tuple[tuple[Op, OpResult], ...]
    """Each with what came of it. After a failed one the others are tried, but for its attachment (`held_back`)."""


@dataclass(frozen=True, slots=True)
class AddressesProbed:
    """The network was asked who uses addresses: these are, as far as anybody has answered in time, or later."""

    probe: int
    """As in `ProbeAddresses`."""
    answers: tuple[tuple[Address, str], ...]
    """Address and MAC address of who answered."""


@dataclass(frozen=True, slots=True)
class NamesAsked:
    """A name server has started and knows no names: it wants all of them."""


# Commands: what people and scripts ask of the agent.


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to peers, now and after every loss."""

    peers: tuple[str, ...]
    """`host[:port]` each, already checked for syntax."""
    replace: bool
    """Forget all other targets."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Stop dialling targets; connections that stand are kept."""

    peers: tuple[str, ...]
    """Exactly as they were given."""


@dataclass(frozen=True, slots=True)
class RemovePeers:
    """Take over the addresses of dead peers."""

    peers: tuple[str, ...]
    """Names or nicknames."""
    force: bool = False
    """Do not wait for ever for peers that must answer and do not."""


@dataclass(frozen=True, slots=True)
class Prime:
    """Answer when the ring exists."""


@dataclass(frozen=True, slots=True)
class Allocate:
    """Give `ident` an address in each subnet; the same ones when asked again."""

    ident: str
    """Container id or `weave:expose`."""
    subnet: str
    """CIDR, or one of each family separated by a comma; empty for the default subnets."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Record that `ident` uses an address."""

    ident: str
    """Who."""
    cidr: str
    """Address with prefix length."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Say which addresses `ident` holds; never waits."""

    ident: str
    """Who."""
    subnet: str
    """CIDR to look in, or one of each family separated by a comma; empty for all."""


@dataclass(frozen=True, slots=True)
class Free:
    """Give addresses back."""

    ident: str
    """Who held them."""
    address: str
    """One address without prefix; empty for all."""


@dataclass(frozen=True, slots=True)
class FreeIdle:
    """Give back what a container that is gone holds and no interface has."""

    ident: str
    """Who held it."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Hand everything to an heir before this host is reset."""


@dataclass(frozen=True, slots=True)
class NameAdd:
    """Have a name answer with what a container has."""

    container: str
    """Identity; `weave:extern` for what is no container of ours."""
    name: str
    """Absolute, or relative to the domain."""
    addresses: tuple[str, ...]
    """Without prefix; empty for a name with ports or texts only."""
    ttl_s: int = -1
    """How long resolvers may keep it; -1 for the setting of the host."""
    ports: tuple[str, ...] = ()
    """`_service._protocol=PORT[,PRIORITY[,WEIGHT]]` each, for SRV."""
    texts: tuple[str, ...] = ()
    """For TXT."""


@dataclass(frozen=True, slots=True)
class NameRemove:
    """Have names answer no more."""

    container: str
    """Identity as at the registration."""
    name: str
    """Empty for all names."""
    addresses: tuple[str, ...]
    """Empty for all addresses, ports and texts."""


@dataclass(frozen=True, slots=True)
class NameLookup:
    """Say which addresses a name has, one per line."""

    name: str
    """Absolute, or relative to the domain."""


Command = (
    Connect
    | Forget
    | RemovePeers
    | Prime
    | Allocate
    | Claim
    | Lookup
    | Free
    | FreeIdle
    | Leave
    | NameAdd
    | NameRemove
    | NameLookup
)


@dataclass(frozen=True, slots=True)
class Commanded:
    """A command arrived on the control socket."""

    request: RequestId
    """Gets exactly one Answer unless cancelled."""
    command: Command
    """What is asked."""


Event = (
    Started
    | LinkUp
    | DialFailed
    | LinkDown
    | Received
    | Misbehaved
    | TimerFired
    | Persisted
    | PersistFailed
    | PathUp
    | PathDown
    | RequestCancelled
    | AttachAsked
    | DetachAsked
    | ContainerGone
    | KernelDumped
    | KernelChanged
    | OpsDone
    | AddressesProbed
    | NamesAsked
    | Commanded
)
