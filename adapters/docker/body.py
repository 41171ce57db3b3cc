"""Where a body ends: counts the bytes of one message as they pass, in pieces of any size.

The bytes are not changed and not kept. Chunked bodies: RFC 9112 §7.1.
"""

from __future__ import annotations

import re

from adapters.docker.head import CHUNKED, CLOSE, HeadError

LINE_SIZE_MAX = 4096
"""Bytes of a chunk's size with its extensions, or of one line of a trailer."""
TRAILER_LINES_MAX = 128
SIZE = re.compile(b"[0-9a-fA-F]{1,15}")


class Body:
    """The end of one message's body, as far as it has been seen."""

    def __init__(self, length: int) -> None:
        """Take the length that the head has told: bytes, CHUNKED or CLOSE."""
        self._is_chunked = length == CHUNKED
        self._until_close = length == CLOSE
        self._left = 0 if length in (CHUNKED, CLOSE) else length
        """Bytes that are still to pass before anything must be looked at."""
        self._line = b""
        self._is_in_trailer = False
        self._trailer_lines = 0
        self.is_complete = length == 0

    @property
    def ends_with_connection(self) -> bool:
        """Only the end of the connection ends it."""
        return self._until_close

    def take(self, data: bytes | memoryview) -> int:
        """Return how many of these bytes belong to the body. Raises: HeadError when a chunk is malformed."""
        if self._until_close:
            return len(data)
        at = 0
        while at < len(data) and not self.is_complete:
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                self.is_complete = not self._left and not self._is_chunked
            else:
                at = self._take_line(data, at)
        return at

    def _take_line(self, data: bytes | memoryview, at: int) -> int:
        piece = bytes(data[at : at + LINE_SIZE_MAX])
        end = piece.find(b"\n")
        self._line += piece if end < 0 else piece[: end + 1]
        if len(self._line) > LINE_SIZE_MAX:
            raise HeadError("a line between two chunks is too long")
        if end < 0:
            return at + len(piece)
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise HeadError("a chunk does not end with a new line")
        self._see_line(line[:-2])
        return at + end + 1

    def _see_line(self, line: bytes) -> None:
        if self._is_in_trailer:
            self._trailer_lines += 1
            self.is_complete = not line
            if self._trailer_lines > TRAILER_LINES_MAX:
                raise HeadError("the trailer is too long")
            return
        digits = line.partition(b";")[0].strip(b" \t")
        if SIZE.fullmatch(digits) is None:
            raise HeadError("the size of a chunk is malformed")
        size = int(digits, 16)
        self._is_in_trailer = size == 0
        # The new line behind its data passes with them; who gets it wrong is told by the daemon.
        self._left = size + 2 if size else 0


def decoded(raw: bytes) -> bytes:
    """Return what a complete chunked body says. Raises: HeadError."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = raw.find(b"\r\n", at)
        if end < 0:
            raise HeadError("a chunk is cut off")
        size = int(raw[at:end].partition(b";")[0].strip(b" \t"), 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
