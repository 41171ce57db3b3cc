"""A piece of memory that the kernel, C and Python all see, with views of it made once.

Making a view costs Python as much as sealing a small datagram, so those for one spacing are kept.
"""

from __future__ import annotations

import sys

from nacl._sodium import ffi

from datapath.sleeve.aead import HEADER_SIZE, Pointer

SPACINGS_MAX = 32
"""Spacings whose views are kept; a tunnel uses a few."""


class Buffer:
    """Bytes at a fixed place."""

    def __init__(self, size: int) -> None:
        assert size % 8 == 0, "seen as words of 8 bytes as well"
        assert sys.byteorder == "little", "headers are read as words of the machine"
        self.data = bytearray(size)
        """Never resized."""
        self.view = memoryview(self.data)
        """All of it."""
        self.words = self.view.cast("Q")
        """All of it, 8 bytes at a time."""
        self._base = ffi.from_buffer("unsigned char[]", self.data)
        self._size = size
        self._slices: dict[tuple[int, int, int], list[memoryview]] = {}

    def pointer(self, at: int) -> Pointer:
        """Return a pointer to a place."""
        assert 0 <= at <= self._size, "outside the buffer"
        return self._base + at

    def slices(self, spacing: int, size: int, shift: int = 0) -> list[memoryview]:
        """Return the `size` bytes at `shift`, `shift` + `spacing` and so on, as many as fit."""
        found = self._slices.get((spacing, size, shift))
        if found is None:
            if len(self._slices) >= SPACINGS_MAX:
                self._slices.clear()
            found = [self.view[at : at + size] for at in range(shift, self._size - size + 1, spacing)]
            self._slices[spacing, size, shift] = found
        return found

    def headers(self, spacing: int, count: int, at: int = 0) -> tuple[list[int], list[int]]:
        """Return the two words at the head of each of `count` datagrams that lie `spacing` bytes apart from `at`."""
        if spacing % 8 or at % 8:
            both = [
                int.from_bytes(self.data[place : place + HEADER_SIZE], "little")
                for place in range(at, at + count * spacing, spacing)
            ]
            return [word & 0xFFFF_FFFF_FFFF_FFFF for word in both], [word >> 64 for word in both]
        start, step = at // 8, spacing // 8
        stop = start + (count - 1) * step + 1
        return self.words[start:stop:step].tolist(), self.words[start + 1 : stop + 1 : step].tolist()
