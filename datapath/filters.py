"""Programs on interfaces: attach to the clsact hooks, and read back what is attached.

Reading is done by hand, for the one attribute that matters, the program's number, which pyroute2 does not decode.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from datapath import syscall

INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
"""Parents of filters at the two clsact hooks."""
PRIORITY = 1
HANDLE = 1
NAME_PREFIX = "weave:"
GET_FILTER, NEW_FILTER, DONE, ERROR = 46, 44, 3, 2
REQUEST_DUMP = 0x301
KIND, OPTIONS, BPF_NAME, BPF_ID = 1, 2, 7, 11
HEADER_SIZE, FILTER_SIZE = 16, 20
RECEIVE_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class Filter:
    """A program of ours on a hook."""

    name: str
    """Program's name in the source."""
    program: int
    """Its number in the kernel."""


def attach(ipr: IPRoute, ifindex: int, parent: int, name: str, prog_fd: int) -> None:
    """Put a program on a hook, in place of an older one of ours; no packet is missed. Raises: NetlinkError, OSError."""
    if runs(ifindex, parent, name, prog_fd):
        return
    try:
        ipr.tc("add", "clsact", ifindex)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
    ipr.tc(
        "replace-filter",
        "bpf",
        ifindex,
        handle=HANDLE,
        parent=parent,
        prio=PRIORITY,
        fd=prog_fd,
        name=NAME_PREFIX + name,
        direct_action=True,
    )


def runs(ifindex: int, parent: int, name: str, prog_fd: int) -> bool:
    """Say whether a hook runs just this program on just these maps. Raises: OSError."""
    present = attached(ifindex, parent)
    return present is not None and _is_same(present, name, prog_fd)


def attached(ifindex: int, parent: int) -> Filter | None:
    """Return our program on a hook; None when there is none. Raises: OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        body = struct.pack("<BBHiIII", socket.AF_UNSPEC, 0, 0, ifindex, 0, parent, 0)
        netlink.send(struct.pack("<IHHII", HEADER_SIZE + len(body), GET_FILTER, REQUEST_DUMP, 1, 0) + body)
        found: Filter | None = None
        while True:
            data = netlink.recv(RECEIVE_SIZE)
            at = 0
            while at < len(data):
                length, kind = struct.unpack_from("<IH", data, at)
                if kind == DONE:
                    return found
                if kind == ERROR:
                    number = -struct.unpack_from("<i", data, at + HEADER_SIZE)[0]
                    if number in (errno.EINVAL, errno.ENODEV, errno.ENOENT):
                        # No clsact there, or no interface.
                        return None
                    raise OSError(number, os.strerror(number))
                if kind == NEW_FILTER:
                    found = _ours(data[at + HEADER_SIZE + FILTER_SIZE : at + length]) or found
                at += (length + 3) & ~3


def _is_same(present: Filter, name: str, prog_fd: int) -> bool:
    """Say whether a hook runs just these instructions with just these maps."""
    if present.name != name:
        return False
    fd = syscall.prog_by_id(present.program)
    try:
        return syscall.prog_info(fd) == syscall.prog_info(prog_fd)
    finally:
        os.close(fd)


def _ours(data: bytes) -> Filter | None:
    options = _attributes(data).get(OPTIONS)
    if options is None:
        return None
    values = _attributes(options)
    name = values.get(BPF_NAME, b"").split(b"\0")[0].decode(errors="replace")
    if not name.startswith(NAME_PREFIX) or BPF_ID not in values:
        return None
    return Filter(name.removeprefix(NAME_PREFIX), int(struct.unpack("<I", values[BPF_ID])[0]))


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found
