"""Keys that follow from the secret two neighbours share: one schedule for all that protects what travels between them.

Pure: bytes in, bytes out. Secrets themselves are made by the handshake and live in the keyring; this module keeps none.
Every use has a label, so that no two uses have a key in common, and every direction a key of its own, so that nothing
can be sent back to its sender. A secret is moved on by `next_secret`, which nobody can turn back: what was sealed
before stays closed to whoever learns the secret afterwards.

Source: HKDF's expansion (RFC 5869) with BLAKE2b's key and personalisation (RFC 7693) in place of HMAC.
"""

from __future__ import annotations

from hashlib import blake2b

SECRET_SIZE = 32
"""Bytes of secrets and keys: 128 bits of security with room to spare, as ChaCha20 and BLAKE2b want them."""
SESSION_SIZE = 8
"""Bytes: among some thousands of sessions two are alike once in 10^12 clusters; and it says nothing of the secret."""
EPOCH_MAX = (1 << 32) - 1
"""Four bytes; at one an hour this lasts 490,000 years."""

FROM_DIALLER = b"o"
"""Direction of what the side sends that dialled."""
FROM_ACCEPTOR = b"i"
"""Direction of what the side sends that was dialled."""

CONTROL = b"weave control"
SLEEVE = b"weave sleeve"
PROBE = b"weave probe"
ESP = b"weave esp"
_SESSION = b"weave session"
_NEXT = b"weave next"


def session_of(secret: bytes) -> str:
    """Return the public name of a secret: 16 hex digits, alike at both ends."""
    assert len(secret) == SECRET_SIZE, "a whole secret"
    return blake2b(secret, digest_size=SESSION_SIZE, person=_SESSION).hexdigest()


def derive(secret: bytes, label: bytes, direction: bytes, epoch: int, size: int = SECRET_SIZE) -> bytes:
    """Return the key (`size` bytes, at most 64) of one use, one direction and one epoch (0 to `EPOCH_MAX`)."""
    assert len(secret) == SECRET_SIZE, "a whole secret"
    assert direction in (FROM_DIALLER, FROM_ACCEPTOR), "one of two"
    return blake2b(direction + epoch.to_bytes(4, "big"), digest_size=size, key=secret, person=label).digest()


def next_secret(secret: bytes) -> bytes:
    """Return the secret of the next epoch (32 bytes)."""
    assert len(secret) == SECRET_SIZE, "a whole secret"
    return blake2b(b"", digest_size=SECRET_SIZE, key=secret, person=_NEXT).digest()
