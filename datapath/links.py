"""The host's own devices: the bridge `weave` and the overlay port in it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from core.reconcile.objects import Bridge, VxlanPort
from datapath import filters, ipv6
from datapath.programs import Programs


class Foreign(Exception):
    """Something that is not ours is in the way; the text says what."""


def find(ipr: IPRoute, name: str) -> Any:
    """Return a link by name, untyped like all of pyroute2; None when there is none. Raises: NetlinkError."""
    try:
        return ipr.link("get", ifname=name)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def kind_of(link: Any) -> str:
    """Return what kind of device a link is; empty for hardware."""
    return str(link.get(("linkinfo", "kind")) or "")


def is_up(link: Any) -> bool:
    """Say whether a link is administratively up."""
    return bool(link["flags"] & 1)


def observe_bridge(link: Any) -> Bridge | None:
    """Return our bridge as it is; None while it is not up, or open to router advertisements."""
    if link is None or kind_of(link) != "bridge" or not is_up(link) or ipv6.heeds_routers(link.get("ifname")):
        return None
    return Bridge(link.get("ifname"), link.get("address"), link.get("mtu"))


def ensure_bridge(ipr: IPRoute, wanted: Bridge) -> None:
    """Make the bridge as wanted. Raises: Foreign, NetlinkError."""
    link = find(ipr, wanted.name)
    if link is not None and kind_of(link) != "bridge":
        raise Foreign(f"{wanted.name} is a device of kind {kind_of(link) or 'hardware'}, not a bridge")
    if link is None:
        ipr.link("add", ifname=wanted.name, kind="bridge", br_mcast_snooping=0, br_stp_state=0, br_forward_delay=0)
        link = find(ipr, wanted.name)
    index = link["index"]
    if kind_of(link) == "bridge" and link.get(("linkinfo", "data", "br_mcast_snooping")) != 0:
        # Snooping would keep multicast from hosts whose members only the overlay knows.
        ipr.link("set", index=index, kind="bridge", br_mcast_snooping=0)
    if link.get("address") != wanted.mac:
        ipr.link("set", index=index, address=wanted.mac)
    if link.get("mtu") != wanted.mtu:
        ipr.link("set", index=index, mtu=wanted.mtu)
    ipv6.refuse_routers(wanted.name)
    if not is_up(link):
        ipr.link("set", index=index, state="up")


def observe_port(ipr: IPRoute, link: Any, programs: Programs) -> VxlanPort | None:
    """Return the overlay port as it is; None while something of it is missing."""
    if link is None or not is_overlay(link) or not is_up(link):
        return None
    index = link["index"]
    for parent, name in ((filters.EGRESS, "vxlan_out"), (filters.INGRESS, "vxlan_in")):
        if not filters.runs(index, parent, name, programs.fds[name]):
            return None
    master = link.get("master")
    port_of = "" if not master else str(ipr.link("get", index=master)[0].get("ifname"))
    return VxlanPort(link.get("ifname"), _udp_port(link), link.get("mtu"), port_of)


def ensure_port(ipr: IPRoute, wanted: VxlanPort, programs: Programs) -> None:
    """Make the overlay port as wanted, with its programs on it before it comes up. Raises: Foreign, NetlinkError."""
    link = find(ipr, wanted.name)
    if link is not None and (not is_overlay(link) or _udp_port(link) != wanted.port):
        raise Foreign(f"{wanted.name} exists and is not our overlay device")
    bridge = find(ipr, wanted.bridge)
    if bridge is None:
        raise NetlinkError(errno.ENODEV, f"no bridge {wanted.bridge}")
    if link is None:
        ipr.link(
            "add",
            ifname=wanted.name,
            kind="vxlan",
            vxlan_collect_metadata=True,
            vxlan_port=wanted.port,
            vxlan_learning=False,
        )
        link = find(ipr, wanted.name)
    index = link["index"]
    if link.get("mtu") != wanted.mtu:
        ipr.link("set", index=index, mtu=wanted.mtu)
    programs.set_port(index)
    filters.attach(ipr, index, filters.EGRESS, "vxlan_out", programs.fds["vxlan_out"])
    filters.attach(ipr, index, filters.INGRESS, "vxlan_in", programs.fds["vxlan_in"])
    if link.get("master") != bridge["index"]:
        ipr.link("set", index=index, master=bridge["index"])
    if not is_up(link):
        ipr.link("set", index=index, state="up")


def remove(ipr: IPRoute, name: str, is_ours: Callable[[Any], bool]) -> bool:
    """Delete a device of ours; say whether it was there. Raises: Foreign, NetlinkError."""
    link = find(ipr, name)
    if link is None:
        return False
    if not is_ours(link):
        raise Foreign(f"{name} exists and is not ours")
    ipr.link("del", index=link["index"])
    return True


def is_bridge(link: Any) -> bool:
    """Say whether a link is a bridge."""
    return kind_of(link) == "bridge"


def is_overlay(link: Any) -> bool:
    """Say whether a link is an overlay device such as ours."""
    return kind_of(link) == "vxlan" and bool(link.get(("linkinfo", "data", "vxlan_collect_metadata")))


def _udp_port(link: Any) -> int:
    return int(link.get(("linkinfo", "data", "vxlan_port")))
