"""What passes on a cable, as seen by AF_PACKET, and means to put frames there past every rule of the sender."""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass

from datapath_world import PORT, Namespace

ETH_P_ALL, ETH_P_IP = 3, 0x0800
SO_RCVBUFFORCE = 33
ETHERNET, IPV4 = 14, 20
FRAMES_MAX = 20_000
"""Of those that are kept; all are counted."""


@dataclass(frozen=True)
class Frame:
    """A frame with an IPv4 packet without options."""

    data: bytes

    @property
    def protocol(self) -> int:
        return self.data[ETHERNET + 9]

    @property
    def source(self) -> str:
        return socket.inet_ntoa(self.data[ETHERNET + 12 : ETHERNET + 16])

    @property
    def is_plain(self) -> bool:
        """Say whether it is VXLAN for anybody to read."""
        to_port = struct.unpack_from("!H", self.data, ETHERNET + IPV4 + 2)[0]
        return self.protocol == socket.IPPROTO_UDP and to_port == PORT

    @property
    def is_esp(self) -> bool:
        return self.protocol == socket.IPPROTO_ESP

    def changed(self, offset: int, value: bytes) -> bytes:
        """Return the frame with other bytes at an offset within the IPv4 payload."""
        at = ETHERNET + IPV4 + offset
        return self.data[:at] + value + self.data[at + len(value) :]


class Sniffer:
    """Hears a device of a host from now on."""

    def __init__(self, host: Namespace, device: str) -> None:
        self.frames: list[Frame] = []
        self.plain = self.esp = 0
        self._socket = host.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self._socket.bind((device, ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()

    def stop(self) -> Sniffer:
        """Hear what is still on its way, then nothing more."""
        self._stopped.set()
        self._thread.join()
        self._socket.close()
        return self

    def has(self, text: bytes) -> bool:
        """Say whether a text could be read on the cable."""
        return any(text in frame.data for frame in self.frames)

    def _hear(self) -> None:
        while True:
            try:
                data, about = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                if self._stopped.is_set():
                    return
                continue
            if about[1] != ETH_P_IP or len(data) < ETHERNET + IPV4 + 8:
                continue
            frame = Frame(data)
            self.plain += frame.is_plain
            self.esp += frame.is_esp
            if len(self.frames) < FRAMES_MAX:
                self.frames.append(frame)


def inject(host: Namespace, device: str, *frames: bytes) -> None:
    """Send frames from a device of a host, past its policies and rules."""
    with host.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)) as out:
        out.bind((device, 0))
        for frame in frames:
            out.send(frame)
