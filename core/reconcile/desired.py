"""What the kernel should look like, computed from what the views say now.

A pure function of its arguments: no memory, so a freshly started agent wants what the old one wanted. What cannot be
expressed yet (a peer without a number, a neighbour without an IPv4 address) is left out, and appears once it can be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from core.config import Config
from core.kinds import AttachmentRecord
from core.mesh.line import Line, is_ipv4
from core.mesh.routing import TreeRole
from core.reconcile.objects import (
    FASTDP,
    SLEEVE,
    Bridge,
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    Guard,
    Hop,
    Identity,
    KernelObject,
    Tap,
    Tree,
    Trust,
    Tunnel,
    VxlanPort,
)
from core.types import HostPort, PeerName, ShortId

TAP_NAME = "weave-sleeve"
MULTICAST = "224.0.0.0/4"
HOST_IFNAME_PREFIX = "vethwepl"
HOST_IFNAME_DIGITS = 7
"""Linux allows 15 bytes in an interface name."""


def desired(
    config: Config,
    short_id: ShortId | None,
    short_ids: Mapping[PeerName, ShortId],
    next_hops: Mapping[PeerName, PeerName],
    neighbour_addresses: Mapping[PeerName, HostPort],
    trees: Mapping[PeerName, TreeRole],
    attachments: Iterable[tuple[str, str, AttachmentRecord]],
    *,
    transports: Mapping[PeerName, str] = MappingProxyType({}),
    lines: Mapping[PeerName, Line] = MappingProxyType({}),
    seals: Iterable[KernelObject] = (),
) -> tuple[KernelObject, ...]:
    """Return every object this host should hold, sorted by stage and key, no key twice.

    `neighbour_addresses` carries overlay ports; `transports` say what carries frames to a neighbour, the fast one if
    nothing is said; `lines` are the sessions, `seals` what `core.mesh.seals` wants. Empty without a kernel to
    drive.
    """
    if not config.datapath:
        return ()
    ids = {peer: short_ids[peer] for peer in sorted(short_ids) if peer != config.peer}
    if short_id is not None:
        ids[config.peer] = short_id
    underlay = {peer: place for peer, place in neighbour_addresses.items() if is_ipv4(place.host)}
    sleeved = {peer: None for peer, transport in transports.items() if transport == SLEEVE}
    objects: list[KernelObject] = [*_devices(config)]
    if short_id is not None:
        objects.append(Identity(short_id))
        objects.extend(_tunnels(config, ids, lines))
    objects.extend(_trusts(config, lines))
    objects.extend(seals)
    objects.extend(_hops(config.peer, ids, next_hops, underlay, sleeved))
    objects.extend(_trees(config.peer, ids, underlay, trees, sleeved))
    for container, ifname, record in attachments:
        objects.extend(endpoint_objects(config, container, ifname, record))
    unique: dict[tuple[str, ...], KernelObject] = {}
    for item in objects:
        # Numbers clash for a moment after a merge; the lowest peer name keeps its number, as in the view.
        unique.setdefault(item.key, item)
    return tuple(sorted(unique.values(), key=lambda item: (item.stage, item.key)))


def endpoint_objects(config: Config, container: str, ifname: str, record: AttachmentRecord) -> Iterator[KernelObject]:
    """Yield what one attachment needs; nothing when it has no address."""
    if not record.addresses:
        return
    netns = record.netns
    outer = host_ifname(container, ifname)
    yield Endpoint(container, ifname, outer, netns, record.mac, config.mtu)
    for cidr in record.addresses:
        yield EndpointAddress(container, ifname, netns, cidr)
    yield EndpointUp(container, ifname, netns)
    # IPv6 needs none: each interface has one of its own, and programs say by which one they send to groups.
    if record.multicast_route and any(":" not in cidr for cidr in record.addresses):
        yield EndpointRoute(container, ifname, netns, MULTICAST)


def host_ifname(container: str, ifname: str) -> str:
    """Return the outer name of a container's interface: 15 bytes, the same in every run."""
    digest = hashlib.blake2b(f"{container}\0{ifname}".encode(), digest_size=16).hexdigest()
    return HOST_IFNAME_PREFIX + digest[:HOST_IFNAME_DIGITS]


def _devices(config: Config) -> Iterator[KernelObject]:
    port = config.port + 1
    yield Bridge(config.bridge, str(config.peer), config.mtu)
    # Also what the sleeve brings is delivered by way of this device.
    yield VxlanPort(f"vxlan-{port}", port, config.mtu, config.bridge)
    if config.sleeve:
        yield Tap(TAP_NAME, config.mtu, config.port)
    if config.has_password:
        yield Guard(port)


def _tunnels(config: Config, ids: Mapping[PeerName, ShortId], lines: Mapping[PeerName, Line]) -> Iterator[Tunnel]:
    for peer, line in lines.items():
        number = ids.get(peer)
        if number is None or number == ids[config.peer] or line.no_sleeve:
            continue
        yield Tunnel(
            peer=peer,
            session=line.session,
            outbound=line.outbound,
            number=number,
            address=line.remote.host,
            port=line.remote.port,
            is_sealed=line.is_sealed,
            tries_fastdp=not line.no_fastdp,
            mtu=config.mtu,
        )


def _trusts(config: Config, lines: Mapping[PeerName, Line]) -> Iterator[Trust]:
    for line in lines.values():
        if config.has_password and line.is_trusted and not line.no_fastdp:
            yield Trust(line.remote.host)


def _hops(
    me: PeerName,
    ids: Mapping[PeerName, ShortId],
    next_hops: Mapping[PeerName, PeerName],
    underlay: Mapping[PeerName, HostPort],
    sleeved: Mapping[PeerName, None],
) -> Iterator[Hop]:
    own = ids.get(me)
    for peer in sorted(next_hops):
        via = next_hops[peer]
        if peer == me or peer not in ids or via not in ids or via not in underlay or ids[peer] == own:
            continue
        place = underlay[via]
        yield Hop(ids[peer], ids[via], place.host, place.port, SLEEVE if via in sleeved else FASTDP)


def _trees(
    me: PeerName,
    ids: Mapping[PeerName, ShortId],
    underlay: Mapping[PeerName, HostPort],
    trees: Mapping[PeerName, TreeRole],
    sleeved: Mapping[PeerName, None],
) -> Iterator[Tree]:
    # Our own tree first: in a clash of numbers it must not be replaced by somebody else's.
    for source in sorted(trees, key=lambda peer: (peer != me, peer)):
        parent, children = trees[source]
        if source not in ids or (source == me) != (parent is None):
            # A tree without a parent passes everything; only our own may.
            continue
        if parent is None:
            onward, by_sleeve = _branches(children, ids, underlay, sleeved)
            yield Tree(ids[source], None, onward, None, by_sleeve)
        elif parent in underlay:
            onward, by_sleeve = _branches(children, ids, underlay, sleeved)
            yield Tree(ids[source], underlay[parent].host, onward, ids.get(parent), by_sleeve)


def _branches(
    children: Iterable[PeerName],
    ids: Mapping[PeerName, ShortId],
    underlay: Mapping[PeerName, HostPort],
    sleeved: Mapping[PeerName, None],
) -> tuple[tuple[tuple[ShortId, str], ...], tuple[ShortId, ...]]:
    """Return all children, and the numbers of those that the sleeve takes it to."""
    found = [child for child in children if child in ids and child in underlay]
    onward = sorted((ids[child], underlay[child].host) for child in found)
    return tuple(onward), tuple(sorted(ids[child] for child in found if child in sleeved))
