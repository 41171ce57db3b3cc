"""The host's own routes, which the container network must not run into."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

TABLE_MAIN = 254
ANYWHERE = "198.51.100.1"
"""An address that is nobody's (RFC 5737): the way to it is the default route."""
ETHERNET_MTU = 1500
IFF_UP, IFF_LOOPBACK = 1, 8


def overlapping_route(subnet: str, *, ignore_device: str) -> str | None:
    """Return `destination dev name` of a host route that overlaps a range; None when there is none.

    The default route overlaps everything and is no trouble. Raises: NetlinkError.
    """
    wanted = ipaddress.ip_network(subnet)
    family = socket.AF_INET if wanted.version == 4 else socket.AF_INET6
    with IPRoute() as ipr:
        names = {link["index"]: link.get("ifname") for link in ipr.get_links()}
        for route in ipr.get_routes(family=family, table=TABLE_MAIN):
            if not route["dst_len"]:
                continue
            found = ipaddress.ip_network(f"{route.get('dst')}/{route['dst_len']}")
            device = names.get(route.get("oif"), "")
            if device != ignore_device and wanted.version == found.version and wanted.overlaps(found):
                return f"{found} dev {device}"
    return None


def underlay_mtu(peers: Iterable[str]) -> int:
    """Return the least MTU on the way to peers, in bytes, as far as this host knows; names count as anywhere.

    Without a route to any of them, that of the smallest link with an address; 1500 on a host that has none yet.
    Raises: NetlinkError.
    """
    with IPRoute() as ipr:
        links = {link["index"]: link for link in ipr.get_links()}
        hosts = list(dict.fromkeys(map(_host_of, peers))) or [ANYWHERE]
        found = [_mtu_towards(ipr, links, host) for host in hosts]
        if not any(found):
            addressed = {item["index"] for item in ipr.get_addr(family=socket.AF_INET)}
            found = [_mtu_of(link) for index, link in links.items() if index in addressed]
    return min((mtu for mtu in found if mtu), default=ETHERNET_MTU)


def _host_of(peer: str) -> str:
    host = peer.rpartition(":")[0] or peer
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        return ANYWHERE


def _mtu_towards(ipr: IPRoute, links: dict[int, Any], host: str) -> int | None:
    try:
        (route,) = ipr.route("get", dst=host)
    except NetlinkError:
        return None
    return _mtu_of(links.get(route.get("oif")))


def _mtu_of(link: Any) -> int | None:
    """Return the MTU of a link that other hosts may be behind."""
    if link is None or link["flags"] & IFF_LOOPBACK or not link["flags"] & IFF_UP:
        return None
    return int(link.get("mtu"))
