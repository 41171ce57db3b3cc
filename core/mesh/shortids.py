"""Peers' numbers in the datapath: 12 bits each, drawn by every peer for itself.

Of two peers with one number the lower name keeps it; the other draws again when it learns of that. A number once
drawn is kept over restarts, so kernels need not change.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.context import Context
from core.kinds import ShortIdRecord, is_short_id, put
from core.types import SHORT_ID_MAX, PeerName, ShortId

KEY = "id/self"


class ShortIds:
    """Who has which number."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: tuple[int, ...] | None = None
        self._by_peer: dict[PeerName, ShortId] = {}
        self._news = context.board.watch(ShortIdRecord)
        self._news[context.me] = None
        self._mine: ShortId | None = None

    def of_peers(self) -> Mapping[PeerName, ShortId]:
        """Return the number of every peer that has one. O(peers) when one has changed."""
        version = self._context.board.version(ShortIdRecord)
        if version != self._seen:
            self._seen = version
            owners: dict[int, PeerName] = {}
            for peer, _, record in self._context.board.all(ShortIdRecord):
                if is_short_id(record.short_id):
                    owners.setdefault(record.short_id, peer)
            self._by_peer = {peer: ShortId(number) for number, peer in sorted(owners.items())}
        return self._by_peer

    def mine(self) -> ShortId | None:
        """Return our own number. O(numbers that have changed), unless it was ours or we had none."""
        news, me = self._news, self._context.me
        if news:
            board, number = self._context.board, self._mine
            if number is None or me in news:
                self._mine = self.of_peers().get(me)
            elif any(
                record.short_id == number for peer in news if peer < me for _, record in board.of(peer, ShortIdRecord)
            ):
                self._mine = None
            news.clear()
        return self._mine

    def settle(self) -> None:
        """Draw a number when we have none; call this only when we know what others have."""
        if self.mine() is not None:
            return
        if self._context.board.get(self._context.me, KEY, ShortIdRecord) is not None:
            self._context.mark("shortids.clash-lost")
        taken = dict.fromkeys(self.of_peers().values())
        free = [number for number in range(1, SHORT_ID_MAX + 1) if number not in taken]
        if free:
            self._context.write(put(KEY, ShortIdRecord(self._context.entropy.choice(free))))
