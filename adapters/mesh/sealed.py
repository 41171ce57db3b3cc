"""Frames under ChaCha20-Poly1305, each direction with keys of its own that are replaced as time passes and bytes flow.

TCP delivers in order, so the nonce is a count that need not travel: a frame that was changed, left out, repeated or
sent back does not open. The first byte under the seal says whether this was the last frame under its key. After such a
frame both ends move that direction on and let the old secret go; the other direction goes on as it was. Nothing is lost
by that and nobody waits. The secrets of a connection follow from nothing that is kept elsewhere, so what was sealed
under a key that is gone stays closed even to whoever takes over the host.

Python cannot promise that the bytes of an old key are overwritten; it promises that nobody refers to them.

Source: RFC 8439; ratchets as in TLS 1.3's KeyUpdate (RFC 8446, section 4.6.3).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_ABYTES,
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from core.errors import PeerFault
from core.keys import CONTROL, FROM_ACCEPTOR, FROM_DIALLER, derive, next_secret

OVERHEAD = crypto_aead_chacha20poly1305_ietf_ABYTES + 1
"""Bytes that a sealed frame has more: tag and marker."""
LAST, NOT_LAST = b"\1", b"\0"
"""Markers: whether the next frame comes under the next key."""
FRAMES_MAX = 1 << 26
"""Under one key; the cipher would bear 2^32 of 256 GiB."""
BYTES_MAX = 1 << 30
"""Under one key; a few seconds of a fast line, a day of an ordinary one."""
AGE_MAX_S = 3600.0
"""How long a key is used; heartbeats see to it that a frame comes along that can say so."""
NONCE_SIZE = 12


class SealedChannel:
    """Both directions of one connection."""

    overhead = OVERHEAD

    def __init__(self, control: bytes, *, is_dialler: bool, now: Callable[[], float] = time.monotonic) -> None:
        """Seal with what follows from `control` (32 bytes), as the dialler or the acceptor; `now` counts seconds."""
        ours, theirs = (FROM_DIALLER, FROM_ACCEPTOR) if is_dialler else (FROM_ACCEPTOR, FROM_DIALLER)
        self._now = now
        self._out = _Direction(control, ours, now())
        self._in = _Direction(control, theirs, now())

    @property
    def epochs(self) -> tuple[int, int]:
        """Return how often the keys for sending and for receiving have been replaced."""
        return self._out.epoch, self._in.epoch

    def seal(self, frame: bytes) -> bytes:
        """Protect a frame for the wire."""
        out, now = self._out, self._now()
        is_last = out.is_worn(len(frame), now)
        sealed = crypto_aead_chacha20poly1305_ietf_encrypt(
            (LAST if is_last else NOT_LAST) + frame, None, out.nonce(), out.key
        )
        out.used(len(frame))
        if is_last:
            out.advance(now)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """Return the frame. Raises: PeerFault when it is not from the peer, or not in its place."""
        into = self._in
        if len(sealed) < OVERHEAD:
            raise PeerFault(f"a sealed frame of {len(sealed)} bytes; {OVERHEAD} are the least")
        try:
            plain = crypto_aead_chacha20poly1305_ietf_decrypt(sealed, None, into.nonce(), into.key)
        except CryptoError:
            raise PeerFault("a frame that the peer has not sealed, or not for this place") from None
        marker, frame = plain[:1], plain[1:]
        if marker not in (LAST, NOT_LAST):
            raise PeerFault(f"the unknown marker {marker[0]} in a sealed frame")
        into.used(len(frame))
        if marker == LAST:
            into.advance(self._now())
        return frame


class _Direction:
    """Key and count of one direction."""

    def __init__(self, control: bytes, direction: bytes, now: float) -> None:
        self._direction = direction
        self.epoch = 0
        # A chain for each direction: the secret of one that stands still must not give away what the other had.
        self._begin(derive(control, CONTROL, direction, 0), now)

    def nonce(self) -> bytes:
        return self._count.to_bytes(NONCE_SIZE, "big")

    def is_worn(self, size: int, now: float) -> bool:
        """Say whether a frame of so many bytes is to be the last under this key."""
        return self._count + 1 >= FRAMES_MAX or self._size + size >= BYTES_MAX or now - self._since >= AGE_MAX_S

    def used(self, size: int) -> None:
        self._count += 1
        self._size += size

    def advance(self, now: float) -> None:
        self.epoch += 1
        self._begin(next_secret(self._secret), now)

    def _begin(self, secret: bytes, now: float) -> None:
        self._secret = secret
        self.key = derive(secret, CONTROL, self._direction, self.epoch)
        self._count = self._size = 0
        self._since = now
