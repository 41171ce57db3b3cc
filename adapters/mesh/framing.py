"""Messages on a byte stream: four bytes of length, then the frame; and the seam where encryption sits.

Everything that leaves or enters a connection passes a `Channel`. Nothing of a frame is kept beyond what one frame may
have; a peer that announces more is cut off before it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

from core.errors import PeerFault
from core.messages import Message
from core.wire import FRAME_SIZE_MAX, decode

LENGTH_SIZE = 4


class Channel(Protocol):
    """Turns frames into what travels, and back."""

    overhead: int
    """Bytes by which what travels is longer than the frame."""

    def seal(self, frame: bytes) -> bytes:
        """Protect a frame for the wire."""

    def open(self, sealed: bytes) -> bytes:
        """Return the frame. Raises: PeerFault when it is not from the peer, or not in its place."""


class PlainChannel:
    """Frames travel as they are."""

    overhead = 0

    def seal(self, frame: bytes) -> bytes:
        """Return the frame."""
        return frame

    def open(self, sealed: bytes) -> bytes:
        """Return the frame."""
        return sealed


def packed(frame: bytes) -> bytes:
    """Put the length in front."""
    return struct.pack(">I", len(frame)) + frame


class FrameReader:
    """Cuts a byte stream into messages."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._size_max = FRAME_SIZE_MAX + channel.overhead
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete. Raises: PeerFault; nothing may be fed after that."""
        self._buffer += data
        while len(self._buffer) >= LENGTH_SIZE:
            size = struct.unpack_from(">I", self._buffer)[0]
            if not 0 < size <= self._size_max:
                raise PeerFault(f"a frame of {size} bytes; 1 to {self._size_max} are allowed")
            if len(self._buffer) < LENGTH_SIZE + size:
                return
            frame = bytes(self._buffer[LENGTH_SIZE : LENGTH_SIZE + size])
            del self._buffer[: LENGTH_SIZE + size]
            yield decode(self._channel.open(frame))
