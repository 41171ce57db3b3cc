"""The host's own routes, which the container network must not run into."""

from __future__ import annotations

import ipaddress
import socket

from pyroute2 import IPRoute

TABLE_MAIN = 254


def overlapping_route(subnet: str, *, ignore_device: str) -> str | None:
    """Return `destination dev name` of a host route that overlaps an IPv4 range; None when there is none.

    The default route overlaps everything and is no trouble. Raises: NetlinkError.
    """
    wanted = ipaddress.ip_network(subnet)
    with IPRoute() as ipr:
        names = {link["index"]: link.get("ifname") for link in ipr.get_links()}
        for route in ipr.get_routes(family=socket.AF_INET, table=TABLE_MAIN):
            if not route["dst_len"]:
                continue
            found = ipaddress.ip_network(f"{route.get('dst')}/{route['dst_len']}")
            device = names.get(route.get("oif"), "")
            if device != ignore_device and wanted.version == found.version and wanted.overlaps(found):
                return f"{found} dev {device}"
    return None
