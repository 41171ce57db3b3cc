"""`weave ps`: what containers have, as lines for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

SHOWN_ID = 12
"""Characters of a container's identity that Docker shows, and we."""


def ps_lines(text: str, containers: Sequence[str]) -> Iterator[str]:
    """Yield the lines of an agent's answer that are about these containers, all for none; notes stay."""
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        shown = name[:SHOWN_ID] if re.fullmatch("[0-9a-f]{64}", name) else name
        if name == "#":
            yield line
        elif not containers:
            yield f"{shown} {rest}".rstrip()
        for word in containers if name != "#" else ():
            if name == word or (len(word) >= SHOWN_ID and name.startswith(word)) or word.rpartition("/")[2] == name:
                yield f"{word[:SHOWN_ID] if shown != name else word} {rest}".rstrip()
