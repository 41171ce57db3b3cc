"""Peers whose addresses were taken over."""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.kinds import RetiredRecord, put
from core.types import PeerName
from crdt.fact import Change

PREFIX = "retired/"


def retire(context: Context, peer: PeerName) -> Change:
    """Make the change that says that we took a peer's addresses over."""
    return put(PREFIX + peer, RetiredRecord(context.board.incarnation(peer) or 0))


def departed(context: Context, reachable: Callable[[PeerName], bool]) -> dict[PeerName, None]:
    """Return the peers that were taken over and have not come back: what they use is free."""
    found: dict[PeerName, None] = {}
    for _, key, record in context.board.all(RetiredRecord):
        peer = PeerName(key.removeprefix(PREFIX))
        if record.incarnation >= (context.board.incarnation(peer) or 0) and not reachable(peer):
            found[peer] = None
    return found
