"""What was taken away while earlier lives of this host may still be heard of: their word does not bring it back.

It lives in memory only. Who asks for a removal is answered once nothing can come any more, so that a crash before loses
nothing that was promised; a container that ended is reported again after a crash if an attachment of it comes back.
"""

from __future__ import annotations

from core.naming.records import Record, Selection

SELECTIONS_MAX = 1_024
"""The latest ones; between a start and the first neighbour's word there are few."""


class Withdrawn:
    """Selections, all of which are void as of earlier lives."""

    def __init__(self) -> None:
        self._latest: dict[Selection, None] = {}
        self._by_container: dict[str, dict[Selection, None]] = {}

    def add(self, selection: Selection) -> None:
        """Remember one, and forget the oldest of too many."""
        if selection in self._latest:
            return
        if len(self._latest) >= SELECTIONS_MAX:
            oldest = next(iter(self._latest))
            del self._latest[oldest]
            del self._by_container[oldest.container][oldest]
        self._latest[selection] = None
        self._by_container.setdefault(selection.container, {})[selection] = None

    def has(self, record: Record) -> bool:
        """Say whether a fact of an earlier life is void."""
        places = (record.container, "")
        return any(selection.has(record) for place in places for selection in self._by_container.get(place, ()))
