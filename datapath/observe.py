"""Hears from the kernel that something of ours has changed, so that nobody has to look again and again.

Links are told of always. What somebody deletes from the guard, or from policies and associations of IPsec, is told of
where the kernel has these; additions are not, for ours are the only ones that matter and are made by us.
"""

from __future__ import annotations

import select
import socket
import struct

from datapath import tap
from datapath.guard import TABLE

GROUP_LINK = 1
NEW_LINK, DEL_LINK = 16, 17
HEADER_SIZE, LINK_SIZE = 16, 16
IFNAME = 3
RECEIVE_SIZE = 65_536
READS_MAX = 64
"""Per call; the rest is read at the next."""
OUR_PREFIX = "vethwepl"

NETLINK_XFRM, NETLINK_NETFILTER = 6, 12
XFRM_GROUPS = 1 << 2 | 1 << 3
"""Associations and policies. Not acquisitions: who hears those promises the kernel to bring keys."""
XFRM_DELETIONS = (0x11, 0x14, 0x1C, 0x1D)
"""One association or policy, or all; on a host with another IPsec they may be others', which is rare enough."""
NFT_GROUPS = 1 << 6
NFT_DELETIONS = tuple(10 << 8 | number for number in (2, 5, 8, 11, 14))
"""Of a table, chain, rule, set, element. Source: linux/netfilter/nf_tables.h."""
NFT_HEADER_SIZE = 4
NFT_TABLE = 1
"""The attribute with the table's name, in all of these."""


class Monitor:
    """A subscription to changes in this namespace."""

    def __init__(self, bridge: str = "weave", port: int = 6784) -> None:
        """Subscribe. Raises: OSError."""
        self._names = (bridge, f"vxlan-{port}", tap.NAME)
        self._sockets = [_subscribe(socket.NETLINK_ROUTE, GROUP_LINK)]
        for family, groups in ((NETLINK_NETFILTER, NFT_GROUPS), (NETLINK_XFRM, XFRM_GROUPS)):
            try:
                self._sockets.append(_subscribe(family, groups))
            except OSError:
                # A kernel without these has nothing of the kind to lose.
                continue
        self._epoll = select.epoll()
        for each in self._sockets:
            self._epoll.register(each.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """Return what to wait on."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Unsubscribe."""
        self._epoll.close()
        for each in self._sockets:
            each.close()

    def read(self) -> bool:
        """Read what has arrived; say whether something of ours has changed, or may have."""
        changes = [self._read(each) for each in self._sockets]
        return any(changes)

    def _read(self, source: socket.socket) -> bool:
        concerned = False
        for _ in range(READS_MAX):
            try:
                data = source.recv(RECEIVE_SIZE)
            except BlockingIOError:
                break
            except OSError:
                # The kernel had more to tell than fitted: something may have been ours.
                return True
            concerned = self._is_ours(source.proto, data) or concerned
        return concerned

    def _is_ours(self, family: int, data: bytes) -> bool:
        at = 0
        while at + HEADER_SIZE <= len(data):
            length, kind = struct.unpack_from("<IH", data, at)
            if length < HEADER_SIZE:
                break
            body = data[at + HEADER_SIZE : at + length]
            if family == NETLINK_XFRM:
                if kind in XFRM_DELETIONS:
                    return True
            elif family == NETLINK_NETFILTER:
                if kind in NFT_DELETIONS and _text(body[NFT_HEADER_SIZE:], NFT_TABLE) == TABLE:
                    return True
            elif kind in (NEW_LINK, DEL_LINK):
                name = _text(body[LINK_SIZE:], IFNAME)
                if name in self._names or name.startswith(OUR_PREFIX):
                    return True
            at += (length + 3) & ~3
        return False


def _subscribe(family: int, groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family)
    try:
        made.bind((0, groups))
    except OSError:
        made.close()
        raise
    return made


def _text(data: bytes, wanted: int) -> str:
    """Return the text of an attribute; empty when there is none."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, at)
        if length < 4:
            break
        if kind == wanted:
            return data[at + 4 : at + length].rstrip(b"\0").decode(errors="replace")
        at += (length + 3) & ~3
    return ""
