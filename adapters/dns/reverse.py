"""Which of an address's names it answers to: the first, by rank and then by name.

Nearly every address has one name, and its entry is all that is kept. For the others there is a heap, from which what
is gone is taken when it comes to the top: ten thousand names of one address cost no more than as many addresses.
"""

from __future__ import annotations

import heapq

Entry = tuple[int, str, str, int]
"""Rank, key, name with its case, time to live in seconds."""
SLACK = 16
"""Entries in a heap that may be gone, beside as many as are there."""


class _Several:
    __slots__ = ("by_key", "heap")

    def __init__(self, entry: Entry) -> None:
        self.by_key = {entry[1]: entry}
        self.heap = [entry]


class Reverse:
    """The names of all addresses."""

    def __init__(self) -> None:
        self._names: dict[bytes, Entry | _Several] = {}

    def add(self, address: bytes, entry: Entry) -> Entry:
        """Give an address a name that it has not; return its first."""
        found = self._names.get(address)
        if found is None:
            self._names[address] = entry
            return entry
        if isinstance(found, tuple):
            found = self._names[address] = _Several(found)
        found.by_key[entry[1]] = entry
        heapq.heappush(found.heap, entry)
        if len(found.heap) > 2 * len(found.by_key) + SLACK:
            found.heap = sorted(found.by_key.values())
        return _first(found)

    def remove(self, address: bytes, key: str) -> Entry | None:
        """Take a name from an address; return its first, None when it has no more."""
        found = self._names[address]
        if isinstance(found, tuple) or len(found.by_key) == 1:
            del self._names[address]
            return None
        del found.by_key[key]
        return _first(found)


def _first(several: _Several) -> Entry:
    heap = several.heap
    while several.by_key.get(heap[0][1]) is not heap[0]:
        heapq.heappop(heap)
    return heap[0]
