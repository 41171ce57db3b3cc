"""JSON texts in which some members of an object are replaced, and all else stays as it was written, byte for byte.

Numbers of any size, the order of members, escapes and blanks are none of our business. Names of members are compared as
Go does, which Docker is written in: case does not matter, and of several members the last one counts.
"""

from __future__ import annotations

import json
import re
from typing import Any

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class DocumentError(Exception):
    """The text is no JSON object."""


class Document:
    """One object."""

    def __init__(self, text: str) -> None:
        """Take its text. Raises: DocumentError."""
        self._text = text
        self._spans: dict[str, tuple[int, int]] = {}
        self._is_empty = True
        try:
            self._end = self._scan()
        except (ValueError, IndexError, RecursionError) as error:
            raise DocumentError(str(error)) from error

    def __str__(self) -> str:
        """Return the text as it is now."""
        return self._text

    def get(self, name: str) -> Any:  # whatever JSON there is
        """Return the value of a member; None for null, and if there is none."""
        span = self._spans.get(name.lower())
        return None if span is None else json.loads(self._text[span[0] : span[1]])

    def part(self, name: str) -> Document:
        """Return a member that is an object; an empty one for null, and if there is none. Raises: DocumentError."""
        span = self._spans.get(name.lower())
        text = "null" if span is None else self._text[span[0] : span[1]]
        return Document("{}" if text == "null" else text)

    def set(self, name: str, value: object) -> None:
        """Replace a member, or add it; a `Document` is put in as it is written."""
        text = str(value) if isinstance(value, Document) else json.dumps(value)
        span = self._spans.get(name.lower())
        if span is None:
            comma = "" if self._is_empty else ","
            new = f"{self._text[: self._end]}{comma}{json.dumps(name)}:{text}{self._text[self._end :]}"
        else:
            new = self._text[: span[0]] + text + self._text[span[1] :]
        self.__init__(new)  # type: ignore[misc]  # all positions have moved

    def _scan(self) -> int:
        """Find the members; return where the closing brace is: Go's decoder looks no further either."""
        at = self._skip(0)
        if self._text[at] != "{":
            raise ValueError("not an object")
        at = self._skip(at + 1)
        if self._text[at] == "}":
            return at
        self._is_empty = False
        while True:
            if self._text[at] != '"':
                raise ValueError("a member has no name")
            name, at = _DECODER.raw_decode(self._text, at)
            at = self._skip(at)
            if self._text[at] != ":":
                raise ValueError("a member has no value")
            begin = self._skip(at + 1)
            _, end = _DECODER.raw_decode(self._text, begin)
            self._spans[name.lower()] = (begin, end)
            at = self._skip(end)
            if self._text[at] == "}":
                return at
            if self._text[at] != ",":
                raise ValueError("members are not set apart")
            at = self._skip(at + 1)

    def _skip(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        assert found is not None, "it matches nothing as well"
        return found.end()


def document_of(body: bytes) -> Document:
    """Read bytes, such that `bytes_of` gives them back. Raises: DocumentError."""
    return Document(body.decode("utf-8", "surrogateescape"))


def bytes_of(document: Document) -> bytes:
    """Return the bytes of a document."""
    return str(document).encode("utf-8", "surrogateescape")
