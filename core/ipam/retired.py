"""Peers whose addresses were taken over: how far what they said counts, and whether they have come back."""

from __future__ import annotations

from core.context import Context
from core.kinds import RetiredRecord, put
from core.types import PeerName
from crdt.fact import Change, Origin

PREFIX = "retired/"

Position = tuple[int, int]
"""Incarnation and sequence number: how much somebody has said."""


def retire(context: Context, peer: PeerName, missing: tuple[str, ...]) -> Change:
    """Make the change that says that we took a peer's addresses over, knowing what we know of it now."""
    incarnation, seq = position(context, peer)
    return put(PREFIX + peer, RetiredRecord(incarnation, seq, context.at.wall_ms, missing))


def position(context: Context, peer: PeerName) -> Position:
    """Return how much of a peer is known here; zeros for one never heard of."""
    incarnation = context.board.incarnation(peer)
    if incarnation is None:
        return (0, 0)
    head = context.store.head(Origin(peer, incarnation))
    return (incarnation, 0 if head is None else head.seq)


def departed(context: Context) -> dict[PeerName, None]:
    """Return the peers that were taken over and have said nothing since: what they used is free.

    Who has said more than its remover knew is not dead, or was not when it was removed; it counts like any other.
    """
    found: dict[PeerName, None] = {}
    for _, key, record in context.board.all(RetiredRecord):
        peer = PeerName(key.removeprefix(PREFIX))
        if position(context, peer) <= (record.incarnation, record.seq):
            found[peer] = None
    return found


def removals(context: Context, peer: PeerName) -> list[tuple[PeerName, RetiredRecord]]:
    """Return who has removed a peer, oldest by the removers' clocks first."""
    key = PREFIX + peer
    found = [(writer, record) for writer, place, record in context.board.all(RetiredRecord) if place == key]
    return sorted(found, key=lambda entry: (entry[1].at_ms, entry[0]))
