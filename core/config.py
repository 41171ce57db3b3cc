"""What a host is told once, at start, and what it found on its disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.ipam.universe import Universe
from core.types import PeerName, Subnet
from crdt.fact import Delta, Origin


@dataclass(frozen=True, slots=True)
class SeedMode:
    """How the ring comes to be. Source: Weave Net's `--ipalloc-init`."""

    mode: str
    """`seed`, `consensus` or `observer`."""
    names: tuple[PeerName, ...] = ()
    """For `seed`: the peers that share the universe; the same list everywhere."""
    count: int = 0
    """For `consensus`: expected number of peers; 0 lets the targets decide when first needed."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one host."""

    peer: PeerName
    """Its name, also the bridge's MAC address."""
    nickname: str
    """What people call it."""
    version: str = "0.1.0"
    """Software version, shown to others."""
    port: int = 6783
    """Control port; the overlay uses the next one."""
    targets: tuple[str, ...] = ()
    """Peers to dial, as typed."""
    discovery: bool = True
    """Dial peers of peers."""
    connection_limit: int = 200
    """Connections in and out together; 0 for no limit."""
    universe: Universe | None = None
    """Range shared by all; None switches allocation off."""
    default_subnet: tuple[Subnet, ...] = ()
    """Where addresses come from unless asked otherwise, one of a family at most; without one, its part of the range."""
    seed: SeedMode = field(default_factory=lambda: SeedMode("consensus"))
    """How the ring comes to be."""
    mtu: int = 1376
    """Bytes on containers' interfaces."""
    bridge: str = "weave"
    """Name of the bridge."""
    resume: bool = False
    """Use the persisted targets instead of `targets`."""
    datapath: bool = True
    """Drive a kernel at all; off for hosts that only gossip."""
    fastdp: bool = True
    """Let VXLAN carry frames to neighbours."""
    sleeve: bool = True
    """Let the sleeve carry frames to neighbours, and find out what gets through."""
    has_password: bool = False
    """Neighbours prove that they know the password, which is elsewhere; what passes between them is encrypted."""
    trusted: tuple[str, ...] = ()
    """CIDR blocks whose hosts get frames unencrypted if they trust us too."""
    esp: bool = False
    """The kernel can encrypt VXLAN."""
    dns: bool = True
    """Serve names."""
    domain: str = "weave.local."
    """What names belong to, absolute, lower case."""
    dns_ttl_s: int = 1
    """How long resolvers may keep an answer unless its name says otherwise."""
    rotate_ms: int = 3_600_000
    """How long a key serves that encrypts VXLAN."""
    rotate_bytes: int = 1 << 36
    """How many bytes it carries. 64 GiB are 2^32 blocks of AES, with which AES-GCM's margin (blocks squared over 2^129)
    stays at 2^-65; what passes until the kernel is looked at again, a minute at worst, costs it some bits of that.
    They are also at most 2^30 packets, for one of VXLAN has 64 bytes and more."""

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        """Where addresses come from unless asked otherwise, one of each family; empty when allocation is off."""
        return () if self.universe is None else self.universe.defaults(self.default_subnet)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the journal held."""

    origin: Origin
    """Our own stream's name; a new incarnation when the journal was lost."""
    streams: tuple[Delta, ...]
    """Whole streams (`since` 0), own and foreign, checked."""
