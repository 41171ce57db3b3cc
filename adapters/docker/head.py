"""Heads of HTTP/1.1 messages: what a proxy must know of a message to pass it on unchanged (RFC 9112).

The bytes of a head are kept as they came; only what decides where the message ends is read. What two readers could
understand in two ways is refused, never repaired.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_SIZE_MAX = 64 * 1024
"""Bytes; Docker's own limit is 1 MiB, its clients send less than 4 KiB."""
FIELDS_MAX = 128
"""Header lines; Docker's clients send ten."""
LENGTH_MAX = 1 << 62
STREAMS = ("application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream")
"""Types of answers after which a connection carries raw bytes both ways: API up to 1.41, and from 1.42 on."""
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
CLOSE, CHUNKED = -1, -2
"""Lengths of bodies that end with the connection, and with a chunk of no bytes."""


class HeadError(Exception):
    """The bytes are no head; the text says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first lines of a message."""

    raw: bytes
    """All bytes up to and with the empty line."""
    line: bytes
    """The first line."""
    fields: tuple[tuple[bytes, bytes], ...]
    """Names in lower case and values, in order."""
    is_http_10: bool
    """The sender speaks HTTP/1.0."""

    def field(self, name: bytes) -> bytes | None:
        """Return the value of the first field of that name (lower case)."""
        return next((value for key, value in self.fields if key == name), None)

    def has_token(self, name: bytes, token: bytes) -> bool:
        """Say whether a comma-separated field has this word, in any case."""
        return any(
            token == part.strip().lower() for key, value in self.fields if key == name for part in value.split(b",")
        )

    @property
    def keeps_open(self) -> bool:
        """The sender means to use the connection again."""
        if self.is_http_10:
            return self.has_token(b"connection", b"keep-alive")
        return not self.has_token(b"connection", b"close")

    def with_length(self, size: int) -> bytes:
        """Return the head for a body of that many bytes, all else as it is."""
        lines = self.raw.split(b"\r\n")[:-2]
        kept = [
            line
            for line in lines[1:]
            if line.partition(b":")[0].strip().lower() not in (b"content-length", b"transfer-encoding", b"trailer")
        ]
        return b"\r\n".join((lines[0], *kept, b"Content-Length: %d" % size, b"", b""))


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request."""

    head: Head
    """As it came."""
    method: str
    """Case matters."""
    target: str
    """Path and query, not decoded."""
    length: int
    """Bytes of the body, or CHUNKED."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an answer."""

    head: Head
    """As it came."""
    status: int
    """100 to 999."""
    length: int
    """Bytes of the body, or CHUNKED, or CLOSE."""
    is_stream: bool
    """From here on the connection carries raw bytes both ways."""

    @property
    def is_interim(self) -> bool:
        """Another answer to the same request follows."""
        return self.status < 200 and self.status != 101


def head_end(data: bytes | bytearray) -> int:
    """Return the size of the head that data begin with; 0 if its end is not there yet. Raises: HeadError."""
    end = data.find(b"\r\n\r\n", 0, HEAD_SIZE_MAX)
    if end >= 0:
        return end + 4
    if len(data) >= HEAD_SIZE_MAX:
        raise HeadError(f"the header is longer than {HEAD_SIZE_MAX} bytes")
    return 0


def read_request(raw: bytes) -> Request:
    """Read the head of a request. Raises: HeadError."""
    head = _head(raw)
    found = REQUEST_LINE.fullmatch(head.line)
    if found is None:
        raise HeadError("the request line is malformed")
    length = _length(head)
    return Request(head, found[1].decode("ascii"), found[2].decode("latin-1"), 0 if length == CLOSE else length)


def read_response(raw: bytes, method: str) -> Response:
    """Read the head of an answer to a request with that method. Raises: HeadError."""
    head = _head(raw)
    found = STATUS_LINE.fullmatch(head.line)
    if found is None:
        raise HeadError("the status line is malformed")
    status = int(found[2])
    length = _length(head)
    if status == 101:
        return Response(head, status, 0, True)
    if method == "HEAD" or status < 200 or status in (204, 304):
        return Response(head, status, 0, False)
    kind = (head.field(b"content-type") or b"").partition(b";")[0].strip().lower().decode("latin-1")
    # Answers of the same types to GET, logs of a container, have an end of their own.
    return Response(head, status, length, length == CLOSE and status == 200 and kind in STREAMS)


def _head(raw: bytes) -> Head:
    lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if len(lines) - 1 > FIELDS_MAX:
        raise HeadError(f"there are more than {FIELDS_MAX} header fields")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or TOKEN.fullmatch(name) is None or any(byte in value for byte in b"\0\r\n"):
            raise HeadError("a header field is malformed")
        fields.append((name.lower(), value.strip(b" \t")))
    return Head(raw, lines[0], tuple(fields), b"HTTP/1.0" in lines[0])


def _length(head: Head) -> int:
    codings = [value.lower() for name, value in head.fields if name == b"transfer-encoding"]
    lengths = {value: None for name, value in head.fields if name == b"content-length"}
    if codings:
        if codings != [b"chunked"] or lengths or head.is_http_10:
            raise HeadError("the length of the body is told in more than one way, or in an unknown one")
        return CHUNKED
    if not lengths:
        return CLOSE
    (text, *others) = lengths
    if others or not text.isdigit() or len(text) > 19 or int(text) > LENGTH_MAX:
        raise HeadError("Content-Length is malformed")
    return int(text)
