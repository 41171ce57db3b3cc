"""The TAP device through which frames pass between our programs and the sleeve, which attaches to it when it runs.

It stays when the sleeve dies: frames for it are lost then, as on a cable that is cut. It is no port of the bridge, for
what comes through it is already addressed to a host; see `bpf/weave.bpf.c`. Its alias says which UDP port it is for.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from core.reconcile.objects import Tap
from datapath import filters
from datapath.links import Foreign, find, is_up, kind_of
from datapath.programs import Programs

NAME = "weave-sleeve"
DEVICE = "/dev/net/tun"
ALIAS_PREFIX = "weave:sleeve/"
TAGS_SIZE = 12
"""Bytes that three VLAN tags add to a frame."""
QUEUE_MAX = 1000
"""Frames, of up to 64 KB, that wait for the sleeve: some milliseconds' worth of small ones while it does not run."""
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TYPE_TAP = 2
"""IFLA_TUN_TYPE; the other kind has no Ethernet header."""
ADDRESSES_NONE = 1
"""IN6_ADDR_GEN_MODE_NONE: without an address IPv6 sends nothing."""


def is_tap(link: Any) -> bool:
    """Say whether a link is a TAP device."""
    return kind_of(link) == "tun" and link.get(("linkinfo", "data", "tun_type")) == TYPE_TAP


def observe(link: Any, programs: Programs) -> Tap | None:
    """Return the device as it is; None while something of it is missing."""
    if link is None or not is_tap(link) or not is_up(link) or link.get("master"):
        return None
    index = link["index"]
    port = (link.get("ifalias") or "").removeprefix(ALIAS_PREFIX)
    is_joined = programs.tap() == index and filters.runs(index, filters.INGRESS, "tap_in", programs.fds["tap_in"])
    if not is_joined or not port.isdecimal():
        return None
    return Tap(link.get("ifname"), link.get("mtu") - TAGS_SIZE, int(port))


def ensure(ipr: IPRoute, wanted: Tap, programs: Programs) -> None:
    """Make the device as wanted, with its program on it before it comes up. Raises: Foreign, NetlinkError, OSError."""
    link = find(ipr, wanted.name)
    if link is not None and not is_tap(link):
        raise Foreign(f"{wanted.name} is a device of kind {kind_of(link) or 'hardware'}, not a TAP")
    if link is None:
        _make(wanted.name)
        link = find(ipr, wanted.name)
        # Now, for IPv6 begins when the device comes up.
        _without_ipv6(ipr, link["index"])
    index = link["index"]
    alias, mtu = f"{ALIAS_PREFIX}{wanted.port}", wanted.mtu + TAGS_SIZE
    if link.get("ifalias") != alias:
        ipr.link("set", index=index, ifalias=alias)
    if link.get("mtu") != mtu or link.get("txqlen") != QUEUE_MAX:
        ipr.link("set", index=index, mtu=mtu, txqlen=QUEUE_MAX)
    if link.get("master"):
        ipr.link("set", index=index, master=0)
    filters.attach(ipr, index, filters.INGRESS, "tap_in", programs.fds["tap_in"])
    programs.set_tap(index)
    if not is_up(link):
        ipr.link("set", index=index, state="up")


def _make(name: str) -> None:
    """Create a persistent TAP device in this thread's network namespace. Raises: OSError."""
    request = struct.pack("<16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OSError(errno.EOPNOTSUPP, f"no {DEVICE}: load the module tun") from error
    try:
        fcntl.ioctl(fd, TUNSETIFF, request)
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    finally:
        os.close(fd)


def _without_ipv6(ipr: IPRoute, index: int) -> None:
    inet6 = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", ADDRESSES_NONE)]}
    try:
        ipr.link("set", index=index, IFLA_AF_SPEC={"attrs": [("AF_INET6", inet6)]})
    except NetlinkError as error:
        if error.code != errno.EAFNOSUPPORT:
            raise
