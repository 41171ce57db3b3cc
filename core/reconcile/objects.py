"""What the kernel can hold for us, as data.

Every object has a `key` (what it is) and a `stage` (when it is created; removal runs the other way). Two objects with
one key and different fields are a change. How a freshly started agent recognises each kind as ours is written beside
it: nothing else may be touched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from core.types import PeerName, ShortId


class Stage(IntEnum):
    """Creation order. An endpoint comes up last, so nothing carries traffic before everything that guards it."""

    GUARD = 1
    DEVICE = 2
    IDENTITY = 3
    TUNNEL = 4
    ROUTE = 5
    ENDPOINT = 6
    ADDRESS = 7
    UP = 8


FASTDP = "fastdp"
"""Transport between neighbours: VXLAN by the kernel."""
SLEEVE = "sleeve"
"""Transport between neighbours: UDP by a process of ours, through a TAP device."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge that local containers share. Ours by name."""

    name: str
    """Interface name, `weave`."""
    mac: str
    """Its MAC address, which is the peer name."""
    mtu: int
    """Bytes."""

    stage = Stage.DEVICE

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("bridge", self.name)


@dataclass(frozen=True, slots=True)
class VxlanPort:
    """The overlay device, a port of the bridge, with its programs. Ours by name and UDP port."""

    name: str
    """Interface name, `vxlan-6784`."""
    port: int
    """UDP port."""
    mtu: int
    """Bytes."""
    bridge: str
    """Name of the bridge it is a port of."""

    stage = Stage.DEVICE

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("vxlan", self.name)


@dataclass(frozen=True, slots=True)
class Identity:
    """This host's number, in the map `self`. Ours because the map is."""

    short_id: ShortId
    """1..4095."""

    stage = Stage.IDENTITY

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("identity",)


@dataclass(frozen=True, slots=True)
class Hop:
    """Where frames for a destination go next, in the map `hops`."""

    destination: ShortId
    """Final peer."""
    via: ShortId
    """Neighbour that takes it next."""
    address: str
    """IPv4 address of the neighbour in the underlay."""
    port: int
    """UDP port of its overlay device."""
    by: str = FASTDP
    """Transport to the neighbour."""

    stage = Stage.ROUTE

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("hop", str(self.destination))


@dataclass(frozen=True, slots=True)
class Tree:
    """How a broadcast of one source passes this host, in the map `trees`."""

    source: ShortId
    """Peer that sent it first."""
    parent: str | None
    """IPv4 address it must come from; None when we are the source."""
    children: tuple[tuple[ShortId, str], ...]
    """Neighbours it goes on to: number and IPv4 address, ascending."""
    parent_number: ShortId | None = None
    """Number of the parent, for what comes through the sleeve."""
    sleeved: tuple[ShortId, ...] = ()
    """Children that the sleeve takes it to, ascending; the kernel does for the others."""

    stage = Stage.ROUTE

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("tree", str(self.source))


@dataclass(frozen=True, slots=True)
class Tap:
    """The device through which frames pass to and from the sleeve, with its program. Ours by name; no bridge port."""

    name: str
    """Interface name, `weave-sleeve`."""
    mtu: int
    """Bytes, as on containers' interfaces."""
    port: int
    """UDP port of the sleeve, the control port's number."""

    stage = Stage.DEVICE

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("tap", self.name)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A neighbour as the sleeve process knows it: it carries frames, and finds out which transports get through."""

    peer: PeerName
    """The neighbour."""
    session: str
    """Which keys: the session of the connection on which they were agreed."""
    outbound: bool
    """We dialled that connection; the two directions have keys of their own."""
    number: ShortId
    """Its number in the datapath."""
    address: str
    """IPv4 address where it may be reached."""
    port: int
    """UDP port of its sleeve; who is behind a NAT is found at another one."""
    is_sealed: bool
    """Frames in the sleeve are encrypted."""
    tries_fastdp: bool
    """Also find out whether VXLAN gets through."""
    mtu: int
    """Bytes on containers' interfaces, which VXLAN must carry whole."""

    stage = Stage.TUNNEL

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("tunnel", self.peer)


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule that VXLAN passes only for neighbours with an exception of their own; nftables table `weave-guard`."""

    port: int
    """UDP port of the overlay device."""
    is_whole: bool = True
    """All rules are there. What is observed may lack some; nobody desires so."""

    stage = Stage.GUARD

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("guard", str(self.port))


@dataclass(frozen=True, slots=True)
class Trust:
    """An exception from the guard: a neighbour with which VXLAN need not be encrypted."""

    address: str
    """IPv4 address."""

    stage = Stage.TUNNEL

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("trust", self.address)


@dataclass(frozen=True, slots=True)
class Seal:
    """An exception from the guard: VXLAN with a neighbour inside ESP only. Ours by the policies' `reqid` and port."""

    address: str
    """IPv4 address."""
    port: int
    """UDP port of the overlay device."""
    spi: int
    """Of the association that we send by, which the neighbour has chosen; 0 while there is none."""
    is_whole: bool = True
    """Both policies and the exception are there. What is observed may lack some of that; nobody desires so."""

    stage = Stage.TUNNEL

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("seal", self.address)


@dataclass(frozen=True, slots=True)
class Association:
    """Keys of ESP in one direction, XFRM's security association."""

    address: str
    """IPv4 address of the neighbour."""
    is_inbound: bool
    """For what it sends us."""
    spi: int
    """Chosen by the receiver; 0x1000 or more."""
    port: int
    """UDP port of the overlay device: it serves nothing else."""
    session: str
    """From whose secret the key is made."""
    epoch: int
    """Which key of that session, ascending from 0."""
    from_dialler: bool
    """For what that side sends which dialled the session's connection: each direction has keys of its own."""
    size_bytes: int = field(default=0, compare=False)
    """Carried until it was observed; nobody desires any, and it makes no difference between two of them."""

    stage = Stage.GUARD

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("association", "in" if self.is_inbound else "out", self.address, f"{self.spi:#x}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's veth pair, its inner end down. Ours by `ifalias` `weave:<container>@<netns>`."""

    container: str
    """Identity of the container, at most 128 bytes."""
    ifname: str
    """Inner name, `ethwe`."""
    host_ifname: str
    """Outer name, `vethwepl…`, at most 15 bytes."""
    netns: str
    """Path of the container's network namespace."""
    mac: str
    """Inner MAC address."""
    mtu: int
    """Bytes."""
    is_whole: bool = True
    """In the bridge, outer end up, its program on it. What is observed may lack some of that; nobody desires so."""

    stage = Stage.ENDPOINT

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("endpoint", self.container, self.ifname)


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """An address on a container's interface."""

    container: str
    """Identity of the container."""
    ifname: str
    """Inner name."""
    netns: str
    """Path of its namespace."""
    cidr: str
    """`a.b.c.d/n`, or its like in IPv6."""

    stage = Stage.ADDRESS

    @property
    def is_ipv4(self) -> bool:
        """Say of which family it is."""
        return ":" not in self.cidr

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("address", self.container, self.ifname, self.cidr)


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """A link route on a container's interface; applied after it is up, where the kernel demands it."""

    container: str
    """Identity of the container."""
    ifname: str
    """Inner name."""
    netns: str
    """Path of its namespace."""
    destination: str
    """`224.0.0.0/4`."""

    stage = Stage.UP

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("route", self.container, self.ifname, self.destination)


@dataclass(frozen=True, slots=True)
class EndpointUp:
    """The inner interface is up and its addresses have been announced."""

    container: str
    """Identity of the container."""
    ifname: str
    """Inner name."""
    netns: str
    """Path of its namespace."""

    stage = Stage.UP

    @property
    def key(self) -> tuple[str, ...]:
        """What it is."""
        return ("up", self.container, self.ifname)


KernelObject = (
    Bridge
    | VxlanPort
    | Tap
    | Guard
    | Association
    | Identity
    | Tunnel
    | Trust
    | Seal
    | Hop
    | Tree
    | Endpoint
    | EndpointAddress
    | EndpointRoute
    | EndpointUp
)


class Verb(Enum):
    """What an operation does."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Op:
    """One step of a plan."""

    verb: Verb
    """What to do."""
    object: KernelObject
    """With what; for REMOVE, as it was observed."""


@dataclass(frozen=True, slots=True)
class Done:
    """The kernel did it."""


@dataclass(frozen=True, slots=True)
class AlreadySo:
    """Nothing had to be done."""


@dataclass(frozen=True, slots=True)
class Again:
    """It did not work now but may later."""

    after_ms: int
    """Wait at least this long."""
    why: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not work until somebody changes something."""

    why: str
    """What the kernel said, about what."""
    hint: str
    """What to do."""


OpResult = Done | AlreadySo | Again | Refused
