"""UDP sockets of the sleeve: one that hears strangers, and one per neighbour, all on one port.

A neighbour's socket is connected, so the kernel tells datagrams apart and knows the path. Datagrams are never cut by
IP: how large they may be is found out (`pmtu`).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct

from datapath.sleeve.buffer import Buffer
from datapath.sleeve.sealer import Sealer, calls

BUFFER_SIZE = 4 << 20
"""Bytes of socket buffers: with the default, bursts of super-frames were dropped, with 16 MB nothing got better."""
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = socket.IPPROTO_UDP, 103, 104
_IP_MTU_DISCOVER, _IP_MTU, _PROBE = 10, 14, 3
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
"""Its last word counts datagrams dropped. Source: linux/sock_diag.h, SK_MEMINFO_DROPS."""
ANCILLARY_SIZE = socket.CMSG_SPACE(4)
"""Bytes of what comes with datagrams that the kernel has joined."""
_SEGMENT = struct.Struct("H")
_GRO = struct.Struct("i")
_NO_OFFLOAD = (errno.EINVAL, errno.EIO, errno.EOPNOTSUPP)
"""Answers of a kernel or a path that cannot cut datagrams."""
Source = tuple[str, int]
"""IPv4 address and UDP port."""


def open_socket(host: str, port: int, remote: Source | None = None) -> socket.socket:
    """Return a socket on a port, connected when there is a remote end. Raises: OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # Not SO_REUSEADDR: then processes of other users could have the port as well, and what comes to it.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            made.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)
        with contextlib.suppress(OSError):
            # Kernels before 5.0 join nothing; slower, and that is all.
            made.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        made.bind((host, port))
        if remote is not None:
            made.connect(remote)
    except OSError:
        made.close()
        raise
    return made


def receive(source: socket.socket, inbox: Buffer, at: int) -> tuple[int, int, Source]:
    """Receive to a place; return bytes, spacing of the datagrams in them, and where they came from. Raises:
    OSError, BlockingIOError when there is nothing."""
    size, ancillary, _, remote = source.recvmsg_into([inbox.view[at:]], ANCILLARY_SIZE)
    spacing = size
    for level, kind, data in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO:
            spacing = _GRO.unpack(data[: _GRO.size])[0]
    return size, spacing, remote


def overrun(source: socket.socket) -> int:
    """Return how many datagrams found the buffer of a socket full, ever; those that the kernel has joined are one."""
    return int(_MEMINFO.unpack(source.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1])


class Endpoint:
    """The way to one neighbour."""

    def __init__(self, host: str, port: int, remote: Source) -> None:
        self._host = host
        self._port = port
        self._cuts = True
        self.remote = remote
        """Where it is."""
        self.socket: socket.socket | None = None
        """Connected there; None while the address cannot be reached."""
        self.errors = 0
        """Calls that the kernel refused."""

    def connect(self, remote: Source) -> socket.socket | None:
        """Send to an address from now on, by a socket of its own; return it. None when there is no way there."""
        self.close()
        self.remote = remote
        self._cuts = True
        try:
            self.socket = open_socket(self._host, self._port, remote)
        except OSError:
            self.errors += 1
        return self.socket

    def send(self, sealer: Sealer, total: int, spacing: int) -> None:
        """Send a train of datagrams of `spacing` bytes, the last one perhaps shorter. What the kernel does not take is
        lost, and counted."""
        if self.socket is None:
            self.errors += 1
            return
        for start, stop in calls(total, spacing) if self._cuts else _one_by_one(0, total, spacing):
            parts = sealer.parts(start, stop)
            try:
                if stop - start <= spacing:
                    self.socket.sendmsg(parts)
                else:
                    self.socket.sendmsg(parts, [(_SOL_UDP, _UDP_SEGMENT, _SEGMENT.pack(spacing))])
            except OSError as error:
                if error.errno in _NO_OFFLOAD and stop - start > spacing:
                    self._cuts = False
                    self._send_each(sealer, start, stop, spacing)
                else:
                    # A refusal may be an answer to something sent before: this was not sent either.
                    self.errors += 1

    def mtu(self) -> int | None:
        """Return the bytes of IP packet that the way to the neighbour carries, as far as the kernel knows."""
        if self.socket is None:
            return None
        try:
            return self.socket.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return None

    def close(self) -> None:
        """Let go."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _send_each(self, sealer: Sealer, start: int, stop: int, spacing: int) -> None:
        assert self.socket is not None, "just used"
        for here, there in _one_by_one(start, stop, spacing):
            try:
                self.socket.sendmsg(sealer.parts(here, there))
            except OSError:
                self.errors += 1


def _one_by_one(start: int, stop: int, spacing: int) -> list[tuple[int, int]]:
    return [(here, min(stop, here + spacing)) for here in range(start, stop, spacing)]
