"""Hears from the kernel that links have changed, so that nobody has to look again and again."""

from __future__ import annotations

import socket
import struct

from datapath import tap

GROUP_LINK = 1
NEW_LINK, DEL_LINK = 16, 17
HEADER_SIZE, LINK_SIZE = 16, 16
IFNAME = 3
RECEIVE_SIZE = 65_536
READS_MAX = 64
"""Per call; the rest is read at the next."""
OUR_PREFIX = "vethwepl"


class Monitor:
    """A subscription to changes of links in this namespace."""

    def __init__(self, bridge: str = "weave", port: int = 6784) -> None:
        """Subscribe. Raises: OSError."""
        self._names = (bridge, f"vxlan-{port}", tap.NAME)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, GROUP_LINK))

    def fileno(self) -> int:
        """Return what to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()

    def read(self) -> bool:
        """Read what has arrived; say whether something of ours has changed, or may have."""
        concerned = False
        for _ in range(READS_MAX):
            try:
                data = self._socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                break
            except OSError:
                # The kernel had more to tell than fitted: something may have been ours.
                return True
            concerned = self._is_ours(data) or concerned
        return concerned

    def _is_ours(self, data: bytes) -> bool:
        at = 0
        while at + HEADER_SIZE <= len(data):
            length, kind = struct.unpack_from("<IH", data, at)
            if length < HEADER_SIZE:
                break
            if kind in (NEW_LINK, DEL_LINK):
                name = _name(data[at + HEADER_SIZE + LINK_SIZE : at + length])
                if name in self._names or name.startswith(OUR_PREFIX):
                    return True
            at += (length + 3) & ~3
        return False


def _name(data: bytes) -> str:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, at)
        if length < 4:
            break
        if kind == IFNAME:
            return data[at + 4 : at + length].rstrip(b"\0").decode(errors="replace")
        at += (length + 3) & ~3
    return ""
