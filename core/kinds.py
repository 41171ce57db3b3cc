"""Every kind of fact: its key, its body, its reader and its writer.

Rules: a kind's name carries its schema (`ring.2`). A body is a MessagePack map; fields we do not know are ignored by
us and stay in the stored bytes. A body that does not fit its kind reads as None: peers may be newer, and a view must
be total. What a body means is said by the view that reads it, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgpack

from core.types import Address, PeerName, ShortId
from crdt.fact import KEY_SIZE_MAX, Change

PARSED_MAX = 4096
"""Bodies whose reading is remembered: of those read lately, about a MiB."""
PARSED_SIZE_MAX = 256
"""Bytes. Only lists of names are longer, and rare."""

NOBODY = PeerName("-")
"""Owner in a joined note: whoever it is, not the writer. Sorts below every peer name."""


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """`peer/self`: who wrote this stream."""

    nickname: str
    """What people call the host."""
    version: str
    """Software version."""
    port: int
    """Control port it listens on; discovery dials it."""
    adopts: int
    """Highest incarnation whose facts this one has re-asserted; 0 for none."""


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """`link/<peer>`: the writer has a connection to that peer."""

    address: str
    """`host:port` at the far end, as the writer sees it."""
    outbound: bool
    """The writer dialled."""
    established: bool
    """Frames get through; they take the link when both ends say so."""
    transport: str
    """What carries frames: `fastdp` or `sleeve`; empty while neither gets through."""


@dataclass(frozen=True, slots=True)
class ShortIdRecord:
    """`id/self`: the writer's number in the datapath."""

    short_id: int
    """1..4095; in a clash the lowest peer name keeps it."""


@dataclass(frozen=True, slots=True)
class RingClaim:
    """`ring/<ring id>/<lo in hex>`: the writer says who owns a range."""

    lo: int
    """First address."""
    hi: int
    """One past the last address."""
    generation: int
    """Raised by takeover only."""
    epoch: int
    """Raised by the owner at each change."""
    owner: str
    """Peer name."""
    free: int
    """Log2 of free addresses in it, rounded down; -1 when full."""
    why: str
    """What led to the claim, for people: `seed`, `given by … to … on its request`, `taken over by … from …`."""
    at_ms: int
    """When its writer first said so, on the writer's wall clock; for people."""


@dataclass(frozen=True, slots=True)
class HomeRecord:
    """`home/self`: where the writer gets addresses from."""

    universe: str
    """CIDR of the range that it was told to share; empty when it allocates nothing."""
    ring: str
    """Ring id; empty while it knows none."""


@dataclass(frozen=True, slots=True)
class SeedPromise:
    """`seed/promise/<range>`: Paxos acceptor state, phase one."""

    round: int
    """Ballot number promised."""
    proposer: str
    """Whose ballot; ties go to the greater name."""


@dataclass(frozen=True, slots=True)
class SeedAccepted:
    """`seed/accepted/<range>`: Paxos acceptor state, phase two; `seed/decided/<range>`: what was decided."""

    round: int
    """Ballot number accepted."""
    proposer: str
    """Whose ballot."""
    value: tuple[str, ...]
    """Peer names that share the universe."""


@dataclass(frozen=True, slots=True)
class SeedProposal:
    """`seed/proposal/<range>`: what a proposer asks the acceptors; phase 1 without value, phase 2 with it."""

    round: int
    """Ballot number."""
    value: tuple[str, ...]
    """Empty in phase one."""


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """`ip/<ident>/<address>`: the writer has given that address to a container."""

    address: int
    """The address."""
    prefix: int
    """Prefix length of the subnet it was asked for."""
    why: str
    """What led to it, for people: `allocate`, `claim`, `attach`; with `, adopted` when said again by a later life."""
    at_ms: int
    """When it was first given, on the writer's wall clock; for people."""


@dataclass(frozen=True, slots=True)
class AttachmentRecord:
    """`att/<container>/<ifname>`: a container's interface on the network."""

    mac: str
    """Its MAC address."""
    addresses: tuple[str, ...]
    """CIDRs on the interface, as text."""
    netns: str
    """Path of the network namespace on the writer's host."""
    multicast_route: bool
    """Send multicast to this interface."""
    why: str
    """What made it so, for people: `attach`, `detach` when addresses were taken away."""
    at_ms: int
    """When it came to be so, on the writer's wall clock; for people."""


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """`target/<host:port>`: the operator asked this host to connect there."""

    name: str
    """As the operator typed it."""


@dataclass(frozen=True, slots=True)
class RetiredRecord:
    """`retired/<peer>`: the writer has taken over that peer's addresses."""

    incarnation: int
    """The newest incarnation it covers; 0 for a peer never heard of."""
    seq: int
    """What that incarnation had said, as far as anybody who was asked knew."""
    at_ms: int
    """When, on the writer's wall clock; for people."""
    missing: tuple[str, ...]
    """Peers that should have answered and had not, when it was forced."""


@dataclass(frozen=True, slots=True)
class TakeoverRecord:
    """`takeover/self`: the writer wants to take over the addresses of dead peers, and asks all for their fences."""

    targets: tuple[str, ...]
    """Who is dead, by the operator's word; ascending."""
    nonce: int
    """Tells this attempt from others."""
    ballot: str
    """Names the attempt and who must answer it, see `core.ipam.electorate`."""
    force: bool
    """It goes on without those that do not answer."""
    since_ms: int
    """When it began, on the writer's wall clock; for people."""


@dataclass(frozen=True, slots=True)
class FenceRecord:
    """`fence/<peer>`: of that peer the writer takes in no more than it must until the takeover is over."""

    taker: str
    """Who asked."""
    incarnation: int
    """In which life it asked."""
    ballot: str
    """What is answered."""
    incarnations: tuple[int, ...]
    """Lives of the peer that the writer knows of."""
    seqs: tuple[int, ...]
    """How much of each it holds."""


@dataclass(frozen=True, slots=True)
class NameRecord:
    """`dns/<name in lower case>/<container>/<address in hex>`: a name of a container on the writer's host."""

    container: str
    """Its identity; `weave:extern` for what is no container, `weave:expose` for the host itself."""
    name: str
    """As registered, case kept, absolute."""
    address: int
    """What it leads to."""
    ttl_s: int
    """How long resolvers may keep it; -1 for the setting of whoever answers."""
    why: str
    """What led to it, for people: `attach`, `dns-add`, `expose`."""
    at_ms: int
    """When, on the writer's wall clock; for people."""


@dataclass(frozen=True, slots=True)
class PortRecord:
    """`srv/<_service._protocol.name in lower case>/<container>/<port>`: where a service of a container listens."""

    container: str
    """As in `NameRecord`."""
    name: str
    """Absolute name of the container; the target."""
    service: str
    """`_http._tcp`."""
    port: int
    """1..65535."""
    priority: int
    """RFC 2782."""
    weight: int
    """RFC 2782."""
    ttl_s: int
    """As in `NameRecord`."""
    at_ms: int
    """When, on the writer's wall clock; for people."""


@dataclass(frozen=True, slots=True)
class TextRecord:
    """`txt/<name in lower case>/<container>`: what is said of a name."""

    container: str
    """As in `NameRecord`."""
    name: str
    """Absolute."""
    texts: tuple[str, ...]
    """At most 255 bytes each."""
    ttl_s: int
    """As in `NameRecord`."""
    at_ms: int
    """When, on the writer's wall clock; for people."""


Body = (
    PeerRecord
    | LinkRecord
    | ShortIdRecord
    | RingClaim
    | HomeRecord
    | SeedPromise
    | SeedAccepted
    | SeedProposal
    | AddressRecord
    | AttachmentRecord
    | TargetRecord
    | RetiredRecord
    | TakeoverRecord
    | FenceRecord
    | NameRecord
    | PortRecord
    | TextRecord
)

KINDS: dict[str, type[Body]] = {
    "peer.1": PeerRecord,
    "link.1": LinkRecord,
    "id.1": ShortIdRecord,
    "ring.2": RingClaim,
    "home.1": HomeRecord,
    "promise.1": SeedPromise,
    "accepted.1": SeedAccepted,
    "proposal.1": SeedProposal,
    "ip.2": AddressRecord,
    "att.2": AttachmentRecord,
    "target.1": TargetRecord,
    "retired.2": RetiredRecord,
    "takeover.1": TakeoverRecord,
    "fence.1": FenceRecord,
    "dns.1": NameRecord,
    "srv.1": PortRecord,
    "txt.1": TextRecord,
}
NAMES: dict[type[Body], str] = {body: name for name, body in KINDS.items()}


def put(key: str, body: Body) -> Change:
    """Make the change that writes `body` under `key`."""
    # Addresses exceed MessagePack's 64-bit integers.
    packed = {name: _wide(getattr(body, name)) for name, _ in _FIELDS[type(body)]}
    return Change(key, NAMES[type(body)], msgpack.packb(packed))


def gone(key: str, body: type[Body]) -> Change:
    """Make the change that deletes `key`."""
    return Change(key, NAMES[body], None)


def parse(kind: str, body: bytes) -> Body | None:
    """Read a body; None when the kind is unknown or the body does not fit it. Never raises.

    A body is often read more than once: by every host of a simulation, and by whoever rebuilds a view.
    """
    return _parse_again(kind, body) if len(body) <= PARSED_SIZE_MAX else _parse(kind, body)


def _parse(kind: str, body: bytes) -> Body | None:
    shape = KINDS.get(kind)
    if shape is None:
        return None
    try:
        values = msgpack.unpackb(body, max_map_len=64, max_array_len=4096, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    arguments = [reader(values.get(name)) for name, reader in _FIELDS[shape]]
    return None if None in arguments else shape(*arguments)


_parse_again = lru_cache(PARSED_MAX)(_parse)


def peer_key() -> str:
    """Key of the writer's own record."""
    return "peer/self"


def link_key(peer: PeerName) -> str:
    """Key of the link to `peer`."""
    return f"link/{peer}"


def ring_key(ring_id: str, lo: Address) -> str:
    """Key of the claim that begins at `lo`."""
    return f"ring/{ring_id}/{lo:x}"


def address_key(ident: str, address: Address) -> str:
    """Key of one address given to `ident`."""
    return f"ip/{ident}/{address:x}"


def attachment_key(container: str, ifname: str) -> str:
    """Key of a container's interface."""
    return f"att/{container}/{ifname}"


def home_key() -> str:
    """Key of the writer's range and ring."""
    return "home/self"


def takeover_key() -> str:
    """Key of the writer's own takeover; one at a time."""
    return "takeover/self"


def fence_key(peer: str) -> str:
    """Key of the fence about `peer`."""
    return f"fence/{peer}"


def name_key(container: str, name: str, address: int) -> str:
    """Key of one address of a name."""
    return _fitting(f"dns/{name.lower()}/{container}/{address:x}")


def port_key(container: str, name: str, service: str, port: int) -> str:
    """Key of one port of a service."""
    return _fitting(f"srv/{service}.{name}/{container}/{port}".lower())


def text_key(container: str, name: str) -> str:
    """Key of what is said of a name."""
    return _fitting(f"txt/{name.lower()}/{container}")


def is_short_id(value: int) -> bool:
    """Say whether a number can be a peer's number in the datapath."""
    return 1 <= ShortId(value) <= 4095


def _fitting(key: str) -> str:
    """Return a key, or one that stands for it when it is too long."""
    if len(key.encode("utf-8", "surrogatepass")) <= KEY_SIZE_MAX:
        return key
    return f"{key[:4]}~{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def _wide(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 63:
        return value.to_bytes(17, "big")
    return value


def _read_int(value: Any) -> int | None:
    if isinstance(value, bytes) and len(value) == 17:
        return int.from_bytes(value, "big")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_texts(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _read_numbers(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        return None
    return tuple(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "int": _read_int,
    "str": _read_str,
    "bool": _read_bool,
    "tuple[str, ...]": _read_texts,
    "tuple[int, ...]": _read_numbers,
}
_FIELDS: dict[type[Body], tuple[tuple[str, Callable[[Any], Any]], ...]] = {
    shape: tuple((field.name, _READERS[str(field.type)]) for field in fields(shape)) for shape in KINDS.values()
}
"""Name and reader of every field, in order."""
