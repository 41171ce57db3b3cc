"""Containers' interfaces: a veth pair, one end in the bridge, the other in the container's network namespace.

The outer end carries the whole identity in its alias, so a later agent recognises it, and nothing else counts as ours.
A pair without an alias is one whose maker died halfway; it is made again.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from core.reconcile.objects import (
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    KernelObject,
)
from datapath import filters, ipv6
from datapath.announce import announce
from datapath.links import Foreign, find, is_up, kind_of
from datapath.netns import run_in
from datapath.programs import Programs

ALIAS_PREFIX = "weave:"
MULTICAST = "224.0.0.0/4"
GSO_SIZE_MAX = 59_700
"""Bytes of a super-frame that a container sends: UDP segmentation offload takes 44 datagrams of 1400 bytes at once;
64 KB, the default, would need 48, and so the sleeve two calls for each."""
PORT_WAIT_S = 0.5
"""Usual is a millisecond."""
PORT_LOOK_S = 0.001
FORWARDING = 3
"""State of a port that passes frames. Source: linux/if_bridge.h."""
NTF_MASTER, NUD_NOARP = 0x04, 0x40
SCOPE_LINK = 253
SCOPE_UNIVERSE = 0


@dataclass(frozen=True, slots=True)
class Inner:
    """The inner end, as found in its namespace."""

    mac: str
    """Its MAC address."""
    mtu: int
    """Bytes."""
    is_up: bool
    """Administratively."""
    addresses: tuple[str, ...]
    """CIDRs."""
    has_multicast_route: bool
    """224.0.0.0/4 leads here."""


def alias_of(container: str, ifname: str, netns: str) -> str:
    """Return the alias that says what a veth pair is for."""
    return f"{ALIAS_PREFIX}{container}/{ifname}@{netns}"


def parse_alias(alias: str) -> tuple[str, str, str] | None:
    """Return container, inner name and namespace; None when the alias is not ours."""
    if not alias.startswith(ALIAS_PREFIX):
        return None
    container, slash, rest = alias.removeprefix(ALIAS_PREFIX).partition("/")
    ifname, at, netns = rest.partition("@/")
    return (container, ifname, f"/{netns}") if container and slash and ifname and at else None


def observe(link: Any, bridge_index: int | None, programs: Programs) -> Iterator[KernelObject]:
    """Yield what an outer end stands for; nothing if it is not ours, or was moved to somebody else's bridge.

    A pair that lacks something is shown, too: it may still have an address that another container gets.
    """
    place = parse_alias(link.get("ifalias") or "")
    if place is None or kind_of(link) != "veth" or link.get("master") not in (None, bridge_index):
        return
    container, ifname, netns = place
    index = link["index"]
    inner = _look_inside(netns, ifname, index)
    if inner is None:
        return
    is_plugged = link.get("master") is not None and is_up(link)
    is_whole = is_plugged and filters.runs(index, filters.INGRESS, "from_container", programs.fds["from_container"])
    yield Endpoint(container, ifname, link.get("ifname"), netns, inner.mac, inner.mtu, is_whole)
    for cidr in inner.addresses:
        yield EndpointAddress(container, ifname, netns, cidr)
    if inner.is_up:
        yield EndpointUp(container, ifname, netns)
    if inner.has_multicast_route:
        yield EndpointRoute(container, ifname, netns, MULTICAST)


def ensure(ipr: IPRoute, wanted: Endpoint, bridge: str, programs: Programs) -> None:
    """Make a pair, its inner end down. Raises: Foreign, NetlinkError, OSError."""
    alias = alias_of(wanted.container, wanted.ifname, wanted.netns)
    master = find(ipr, bridge)
    if master is None or kind_of(master) != "bridge":
        raise NetlinkError(errno.ENODEV, f"no bridge {bridge}")
    link = find(ipr, wanted.host_ifname)
    if link is not None:
        if link.get("ifalias") and parse_alias(link.get("ifalias")) is None:
            raise Foreign(f"{wanted.host_ifname} exists and is not ours")
        inner = _look_inside(wanted.netns, wanted.ifname, link["index"])
        if link.get("ifalias") != alias or inner is None or (inner.mac, inner.mtu) != (wanted.mac, wanted.mtu):
            programs.forget_interface(link["index"])
            ipr.link("del", index=link["index"])
            link = None
    if link is None:
        _make_pair(ipr, wanted)
        link = find(ipr, wanted.host_ifname)
        ipr.link("set", index=link["index"], ifalias=alias)
    index = link["index"]
    filters.attach(ipr, index, filters.INGRESS, "from_container", programs.fds["from_container"])
    if link.get("master") != master["index"]:
        ipr.link("set", index=index, master=master["index"])
    # The bridge never sees the unicast that takes the shortcut, so it would forget where the container is.
    ipr.fdb("replace", ifindex=index, lladdr=wanted.mac, flags=NTF_MASTER, state=NUD_NOARP)
    if not is_up(link):
        ipr.link("set", index=index, state="up")


def remove(ipr: IPRoute, host_ifname: str, programs: Programs) -> bool:
    """Delete a pair; say whether it was there. Raises: Foreign, NetlinkError."""
    link = find(ipr, host_ifname)
    if link is None:
        return False
    if parse_alias(link.get("ifalias") or "") is None:
        raise Foreign(f"{host_ifname} exists and is not ours")
    programs.forget_interface(link["index"])
    ipr.link("del", index=link["index"])
    return True


def add_address(item: EndpointAddress) -> bool:
    """Put an address on the inner end; say whether it was missing. Raises: NetlinkError, OSError."""

    def add() -> bool:
        address = ipaddress.ip_interface(item.cidr)
        with IPRoute() as ipr:
            values: dict[str, Any] = {"address": str(address.ip), "prefixlen": address.network.prefixlen}
            if address.version == 6:
                ipv6.enable(item.ifname)
                values["flags"] = ipv6.NO_DAD
            elif address.network.prefixlen < 31:
                values["broadcast"] = str(address.network.broadcast_address)
            return _unless(errno.EEXIST, lambda: ipr.addr("add", index=_index(ipr, item.ifname), **values))

    return run_in(item.netns, add)


def remove_address(item: EndpointAddress) -> bool:
    """Take an address off the inner end; say whether it was there. Raises: NetlinkError."""

    def remove_it() -> bool:
        address = ipaddress.ip_interface(item.cidr)
        with IPRoute() as ipr:
            link = find(ipr, item.ifname)
            if link is None:
                return False
            if address.version == 4 and len(_addresses(ipr, link["index"])) > 1:
                # Else the first address of a subnet would take the others and all routes with it.
                _set(item.ifname, "promote_secondaries", "1")
            values = {"address": str(address.ip), "prefixlen": address.network.prefixlen}
            return _unless(errno.EADDRNOTAVAIL, lambda: ipr.addr("del", index=link["index"], **values))

    return _if_there(item.netns, remove_it)


def bring_up(host: IPRoute, item: EndpointUp) -> bool:
    """Bring the inner end up and announce its addresses; say whether it was down. Raises: NetlinkError, OSError."""

    def bring() -> tuple[bool, int]:
        with IPRoute() as ipr:
            link = find(ipr, item.ifname)
            if link is None:
                raise NetlinkError(errno.ENODEV, f"no interface {item.ifname} in {item.netns}")
            was_down = not is_up(link)
            if was_down:
                ipr.link("set", index=link["index"], state="up")
            return was_down, int(link.get("link"))

    def tell() -> None:
        with IPRoute() as ipr:
            link = find(ipr, item.ifname)
            if link is not None:
                announce(item.ifname, link.get("address"), _addresses(ipr, link["index"]))

    was_down, outer = run_in(item.netns, bring)
    _await_port(host, outer)
    run_in(item.netns, tell)
    return was_down


def _await_port(host: IPRoute, index: int) -> None:
    """Wait until the bridge forwards what comes from an outer end.

    It hears of the other end a moment later, and what is sent before, as the announcement of addresses, is lost.
    """
    until = time.monotonic() + PORT_WAIT_S
    while time.monotonic() < until:
        port = host.link("get", index=index)[0]
        if port.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_STATE") in (None, FORWARDING):
            return
        time.sleep(PORT_LOOK_S)


def bring_down(item: EndpointUp) -> bool:
    """Bring the inner end down; say whether it was up. Raises: NetlinkError."""

    def bring() -> bool:
        with IPRoute() as ipr:
            link = find(ipr, item.ifname)
            if link is None or not is_up(link):
                return False
            ipr.link("set", index=link["index"], state="down")
            return True

    return _if_there(item.netns, bring)


def add_route(item: EndpointRoute) -> bool:
    """Add a link route through the inner end; say whether it was missing. Raises: NetlinkError, OSError."""

    def add() -> bool:
        with IPRoute() as ipr:
            values = {"dst": item.destination, "oif": _index(ipr, item.ifname), "scope": SCOPE_LINK}
            return _unless(errno.EEXIST, lambda: ipr.route("add", **values))

    return run_in(item.netns, add)


def remove_route(item: EndpointRoute) -> bool:
    """Remove a link route; say whether it was there. Raises: NetlinkError."""

    def remove_it() -> bool:
        with IPRoute() as ipr:
            link = find(ipr, item.ifname)
            if link is None:
                return False
            values = {"dst": item.destination, "oif": link["index"], "scope": SCOPE_LINK}
            return _unless(errno.ESRCH, lambda: ipr.route("del", **values))

    return _if_there(item.netns, remove_it)


def _make_pair(ipr: IPRoute, wanted: Endpoint) -> None:
    fd = os.open(wanted.netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ipr.link(
            "add",
            ifname=wanted.host_ifname,
            kind="veth",
            mtu=wanted.mtu,
            peer={
                "ifname": wanted.ifname,
                "net_ns_fd": fd,
                "address": wanted.mac,
                "mtu": wanted.mtu,
                "gso_max_size": GSO_SIZE_MAX,
            },
        )
    finally:
        os.close(fd)
    # Before it comes up: a container that never asked for IPv6 may have it on.
    run_in(wanted.netns, lambda: ipv6.refuse_routers(wanted.ifname))


def _look_inside(netns: str, ifname: str, outer_index: int) -> Inner | None:
    """Return the inner end of a pair; None when it is not there any more."""

    def look() -> Inner | None:
        with IPRoute() as ipr:
            link = find(ipr, ifname)
            if link is None or link.get("link") != outer_index:
                return None
            index = link["index"]
            routes = ipr.get_routes(family=socket.AF_INET, oif=index)
            has_route = any(f"{route.get('dst')}/{route['dst_len']}" == MULTICAST for route in routes)
            addresses = _addresses(ipr, index)
            return Inner(link.get("address"), link.get("mtu"), is_up(link), addresses, has_route)

    try:
        return run_in(netns, look)
    except OSError:
        # No such namespace any more, or something else at that path: the pair is gone with it.
        return None


def _addresses(ipr: IPRoute, index: int) -> tuple[str, ...]:
    found = ipr.get_addr(index=index)
    return tuple(
        f"{item.get('local') or item.get('address')}/{item['prefixlen']}"
        for item in found
        if item["scope"] == SCOPE_UNIVERSE and item["index"] == index
    )


def _set(ifname: str, name: str, value: str) -> None:
    """Set how IPv4 works on an interface of this thread's namespace. Raises: OSError."""
    with open(f"/proc/sys/net/ipv4/conf/{ifname}/{name}", "w", encoding="ascii") as file:
        file.write(value)


def _index(ipr: IPRoute, ifname: str) -> int:
    link = find(ipr, ifname)
    if link is None:
        raise NetlinkError(errno.ENODEV, f"no interface {ifname}")
    return int(link["index"])


def _unless(number: int, action: Any) -> bool:
    """Do something; False when the kernel says, with this error, that there was nothing to do."""
    try:
        action()
    except NetlinkError as error:
        if error.code != number:
            raise
        return False
    return True


def _if_there(netns: str, action: Any) -> bool:
    try:
        return bool(run_in(netns, action))
    except FileNotFoundError:
        return False
