"""Our own facts about names as they stand on the board, found by container and by name. A change costs itself only."""

from __future__ import annotations

from core.context import Context
from core.naming.fqdn import key_of
from core.naming.records import KINDS, Record, Selection, record_of


class OwnNames:
    """An index that follows the board."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._news = context.board.watch_keys(KINDS)
        self._records: dict[str, Record] = {}
        self._by_container: dict[str, dict[str, None]] = {}
        self._by_name: dict[str, dict[str, None]] = {}

    @property
    def count(self) -> int:
        """Return how many facts there are."""
        self.refresh()
        return len(self._records)

    def find(self, selection: Selection) -> tuple[tuple[str, Record], ...]:
        """Return key and body of some of them, by key. O(facts of the container or name), whichever is given."""
        self.refresh()
        if selection.container:
            keys = self._by_container.get(selection.container, {})
        elif selection.name:
            keys = self._by_name.get(selection.name, {})
        else:
            keys = dict.fromkeys(self._records)
        return tuple((key, self._records[key]) for key in sorted(keys) if selection.has(self._records[key]))

    def refresh(self) -> None:
        """Catch up with the board; to be called often, for until then it collects what changes elsewhere, too."""
        board, me = self._context.board, self._context.me
        for key in self._news.get(me, ()):
            old, record = self._records.pop(key, None), record_of(board, me, key)
            if old is not None:
                _drop(self._by_container, old.container, key)
                _drop(self._by_name, key_of(old.name), key)
            if record is not None:
                self._records[key] = record
                self._by_container.setdefault(record.container, {})[key] = None
                self._by_name.setdefault(key_of(record.name), {})[key] = None
        self._news.clear()


def _drop(index: dict[str, dict[str, None]], place: str, key: str) -> None:
    del index[place][key]
    if not index[place]:
        del index[place]
