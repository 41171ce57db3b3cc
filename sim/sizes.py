"""How many bytes a message takes on the wire, closely enough for slow lines and small MTUs, and without encoding it."""

from __future__ import annotations

from core.messages import Buckets, Deltas, Digest, Have, Message, Need, Routed
from crdt.fact import Delta, size_of

SMALL_SIZE = 60
"""Hello, Heartbeat, Digest: all within some tens of bytes, with the length in front."""
HEAD_SIZE = 22
"""A peer's name of 17 bytes, an incarnation and a number."""
DELTA_SIZE = 48
"""Name, numbers and fingerprint of a delta."""
FACT_OVERHEAD = 8
"""Number and lengths of a fact."""
BUCKETS_SIZE = 524
ROUTED_SIZE = 96


def message_size(message: Message) -> int:
    """Estimate the bytes of a message, its length in front included."""
    match message:
        case Deltas(deltas):
            return 8 + sum(_delta_size(delta) for delta in deltas)
        case Have(heads):
            return 8 + HEAD_SIZE * len(heads)
        case Need(known):
            return 8 + HEAD_SIZE * len(known)
        case Buckets():
            return BUCKETS_SIZE
        case Routed():
            return ROUTED_SIZE
        case Digest():
            return 24
        case _:
            return SMALL_SIZE


def _delta_size(delta: Delta) -> int:
    return DELTA_SIZE + sum(size_of(fact) + FACT_OVERHEAD for fact in delta.facts)
