"""What the mesh shows to people and scripts, as data; others turn it into text."""

from __future__ import annotations

from dataclasses import dataclass

from core.types import PeerName, ShortId


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """One line of `weave status connections`."""

    address: str
    """`host:port` of the far end; for a target that has none, the target."""
    outbound: bool
    """We dial."""
    state: str
    """In Weave Net's words: `connecting`, `failed`, `retrying`, `pending` or `established`."""
    peer: PeerName | None
    """Who is there, once it has said so."""
    nickname: str
    """What people call it; empty when unknown."""
    info: str
    """Transport and peer when it stands; else why not, and when it is tried again."""
    attributes: tuple[tuple[str, str | int | bool], ...]
    """More by name: `encrypted` of who has greeted, `name` (transport) and `mtu` if established, `error` if failed."""
    retry_at_ms: int | None
    """When it is dialled again, in milliseconds since 1970; None when it is not."""
    why: str = ""
    """Why frames do not go the fastest way, or none; empty when they do."""


@dataclass(frozen=True, slots=True)
class PeerLink:
    """One connection as its owner reports it."""

    peer: PeerName
    """Far end."""
    nickname: str
    """What people call it; empty when unknown."""
    address: str
    """`host:port` of the far end."""
    outbound: bool
    """The owner dialled."""
    established: bool
    """Both ends say so."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One peer of `weave status peers`."""

    peer: PeerName
    """Its name."""
    nickname: str
    """What people call it."""
    incarnation: int
    """Of its stream."""
    seq: int
    """Number of the newest fact held of it."""
    short_id: ShortId | None
    """Its number in the datapath; None while it has none, or lost it in a clash."""
    version: str
    """Its software."""
    is_reachable: bool
    """A path of established links leads there."""
    links: tuple[PeerLink, ...]
    """What it says about its connections, by peer."""


@dataclass(frozen=True, slots=True)
class MeshStatus:
    """Everything about peers and connections."""

    connections: tuple[ConnectionStatus, ...]
    """Ours, inbound first, then by address."""
    targets: tuple[str, ...]
    """What the operator asked for, as typed."""
    peers: tuple[PeerStatus, ...]
    """Ourselves first, then by name."""
    short_id: ShortId | None
    """Ours."""
    in_sync: bool
    """We have caught up with a neighbour, or there is none."""
    next_hops: tuple[tuple[PeerName, PeerName], ...]
    """Destination and neighbour to go through."""
    trees: tuple[tuple[PeerName, PeerName | None, tuple[PeerName, ...]], ...]
    """Source, parent and children of our place in its broadcast tree."""
    terminations: int
    """Connections that ended since the start."""
