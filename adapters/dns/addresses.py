"""Where the name server listens: what this host's interfaces have for addresses, as they are now.

IPv4 is asked for with SIOCGIFCONF, which names secondary addresses too (netdevice(7)); IPv6 stands in a file of /proc.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from adapters.dns.options import ServerOptions

DOCKER_BRIDGE = "docker0"
LISTENERS_MAX = 64
"""Addresses that are served; a bridge has one or two."""
_SIOCGIFCONF = 0x8912
_REQUEST_SIZE = 40
_REQUESTS_MAX = 1_024
_IF_INET6 = Path("/proc/self/net/if_inet6")
_LINK_SCOPE = 0x20
_WILDCARDS = {"0.0.0.0": 4, "::": 6}


def wanted(options: ServerOptions) -> tuple[tuple[tuple[str, int], ...], str]:
    """Return addresses and ports to listen on, and why there are none. Raises: OSError."""
    if options.host and options.host not in _WILDCARDS:
        return ((options.host, options.port),), ""
    found = tuple(interface_addresses())
    if options.host:
        family = _WILDCARDS[options.host]
        hosts = [host for _, host in found if ipaddress.ip_address(host).version == family]
        why = "no interface has an address"
    else:
        docker = [host for name, host in found if name == DOCKER_BRIDGE and ":" not in host]
        hosts = docker[:1] or [host for name, host in found if name == options.bridge]
        why = (
            f"the bridge {options.bridge} has no address, and there is no {DOCKER_BRIDGE}; "
            "give it one, or launch with --dns-listen-address"
        )
    places = tuple((host, options.port) for host in dict.fromkeys(hosts))[:LISTENERS_MAX]
    return places, "" if places else why


def interface_addresses() -> Iterator[tuple[str, str]]:
    """Yield names of interfaces and their addresses, those of IPv6 that are valid for one link only left out.

    Raises: OSError.
    """
    room = array.array("B", bytes(_REQUESTS_MAX * _REQUEST_SIZE))
    request = struct.pack("iP", len(room), room.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        size = struct.unpack("iP", fcntl.ioctl(asker, _SIOCGIFCONF, request))[0]
    data = room.tobytes()[:size]
    for at in range(0, size, _REQUEST_SIZE):
        # A label may follow the name: eth0:1.
        name = data[at : at + 16].split(b"\0", 1)[0].split(b":", 1)[0]
        yield name.decode("ascii", "replace"), socket.inet_ntoa(data[at + 20 : at + 24])
    if _IF_INET6.exists():
        for line in _IF_INET6.read_text().splitlines():
            digits, _, _, scope, _, device = line.split()
            if int(scope, 16) != _LINK_SCOPE:
                yield device, str(ipaddress.IPv6Address(bytes.fromhex(digits)))
