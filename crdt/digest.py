"""A short summary of a store, so that two replicas find what differs without listing what they hold.

64 buckets of 64 bits, each the sum of the hashes of the heads in it, and a root over all. Equal digests mean equal
stores, up to a collision of hashes. Changing one head costs two additions, however large the store.

Source: Dynamo's anti-entropy trees (DeCandia et al., 2007), reduced to two levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from crdt.fact import Origin, StreamHead

BUCKET_COUNT = 64
_MASK = (1 << 64) - 1


class Digest:
    """Fingerprints of a store, kept up to date head by head."""

    __slots__ = ("_buckets",)

    def __init__(self, buckets: Sequence[int] = (0,) * BUCKET_COUNT) -> None:
        self._buckets = list(buckets)

    def change(self, origin: Origin, old: StreamHead | None, new: StreamHead | None) -> None:
        """Note that the head of a stream is another now; None stands for no stream."""
        bucket = bucket_of(origin)
        value = self._buckets[bucket]
        if old is not None:
            value -= _head_hash(origin, old)
        if new is not None:
            value += _head_hash(origin, new)
        self._buckets[bucket] = value & _MASK

    @property
    def buckets(self) -> tuple[int, ...]:
        """Return all 64 bucket fingerprints."""
        return tuple(self._buckets)

    @property
    def root(self) -> int:
        """Return 128 bits over all buckets."""
        packed = b"".join(value.to_bytes(8, "big") for value in self._buckets)
        return int.from_bytes(blake2b(packed, digest_size=16).digest(), "big")

    def differing(self, buckets: Sequence[int]) -> tuple[int, ...]:
        """Return the indices of buckets in which another store differs."""
        return tuple(i for i, value in enumerate(self._buckets) if i >= len(buckets) or buckets[i] != value)

    def copy(self) -> Digest:
        """Return an independent copy."""
        return Digest(self._buckets)


def bucket_of(origin: Origin) -> int:
    """Return the bucket of an origin, the same on every host."""
    return blake2b(f"{origin.peer}\0{origin.incarnation}".encode(), digest_size=1).digest()[0] % BUCKET_COUNT


def _head_hash(origin: Origin, head: StreamHead) -> int:
    text = f"{origin.peer}\0{origin.incarnation}\0{head.seq}\0{head.floor}\0{head.fingerprint}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
