"""A short summary of a store, so that two replicas find what differs without listing what they hold.

64 buckets of 64 bits, each the sum of the marks of the streams in it, and a root over all. Equal digests mean equal
stores, up to a collision of hashes. Changing one stream costs two additions, however large the store.

Source: Dynamo's anti-entropy trees (DeCandia et al., 2007), reduced to two levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct

from crdt.fact import STORE_ORIGINS_MAX, Origin

BUCKET_COUNT = 64
_MASK = (1 << 64) - 1
_PACKING = Struct(f">{BUCKET_COUNT}Q")


class Digest:
    """Fingerprints of a store, kept up to date stream by stream."""

    __slots__ = ("_buckets",)

    def __init__(self, buckets: Sequence[int] = (0,) * BUCKET_COUNT) -> None:
        self._buckets = list(buckets)

    def change(self, origin: Origin, old: int, new: int) -> None:
        """Note that the mark of a stream is another now; 0 stands for no stream."""
        bucket = bucket_of(origin)
        self._buckets[bucket] = (self._buckets[bucket] - old + new) & _MASK

    @property
    def buckets(self) -> tuple[int, ...]:
        """Return all 64 bucket fingerprints."""
        return tuple(self._buckets)

    @property
    def root(self) -> int:
        """Return 128 bits over all buckets."""
        return int.from_bytes(blake2b(_PACKING.pack(*self._buckets), digest_size=16).digest(), "big")

    def differing(self, buckets: Sequence[int]) -> tuple[int, ...]:
        """Return the indices of buckets in which another store differs."""
        return tuple(i for i, value in enumerate(self._buckets) if i >= len(buckets) or buckets[i] != value)

    def copy(self) -> Digest:
        """Return an independent copy."""
        return Digest(self._buckets)


@lru_cache(2 * STORE_ORIGINS_MAX)
def bucket_of(origin: Origin) -> int:
    """Return the bucket of an origin, the same on every host."""
    return blake2b(f"{origin.peer}\0{origin.incarnation}".encode(), digest_size=1).digest()[0] % BUCKET_COUNT
