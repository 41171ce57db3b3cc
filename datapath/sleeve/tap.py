"""The TAP device through which the kernel hands frames over, super-frames included.

Source: Documentation/networking/tuntap.rst, linux/if_tun.h.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct

from datapath.sleeve.frame import VNET_SIZE

_TUNSETIFF, _TUNSETOFFLOAD = 0x4004_54CA, 0x4004_54D0
_TUNSETVNETHDRSZ, _TUNSETVNETLE = 0x4004_54D8, 0x4004_54DC
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_CSUM, _TSO4, _TSO6, _TSO_ECN, _USO4, _USO6 = 1, 2, 4, 8, 0x20, 0x40


def open_tap(name: str) -> int:
    """Return a descriptor of an existing TAP device, non-blocking. Raises: OSError."""
    # TUNSETIFF would make a device of its own if there were none.
    socket.if_nametoindex(name)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", VNET_SIZE))
        fcntl.ioctl(fd, _TUNSETVNETLE, struct.pack("i", 1))
        _offload(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _offload(fd: int) -> None:
    """Take super-frames of everything that this kernel makes; UDP only since 6.2."""
    tcp = _CSUM | _TSO4 | _TSO6 | _TSO_ECN
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, _TUNSETOFFLOAD, tcp | _USO4 | _USO6)
        return
    fcntl.ioctl(fd, _TUNSETOFFLOAD, tcp)


def is_gone(error: OSError) -> bool:
    """Say whether an error means that the device was removed under us."""
    return error.errno in (errno.EBADFD, errno.ENODEV)
