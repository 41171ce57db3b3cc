"""The keys of a tunnel, made from the secret of its link.

Each direction has a chain of secrets, one per epoch: the next is made from the last one, which is then forgotten, so
what is sealed stays sealed when a later key gets out. Headers carry the epoch's low bits: the receiver knows the key
before, at and after the epoch it is in, and follows when something authentic arrives from the one after. Thus rotation
needs no message. A sender may go one epoch ahead of what its receiver has heard, never two.

Source: HKDF (RFC 5869) in form, BLAKE2b (RFC 7693) in substance; the hash ratchet of Signal's Double Ratchet.
"""

from __future__ import annotations

from hashlib import blake2b

from datapath.sleeve import aead
from datapath.sleeve.aead import Aead

SECRET_SIZE = 32
"""Bytes of a link's secret, and of every secret made from it."""
EPOCH_MASK = 3
"""Of the epoch in headers."""
EPOCH_MAX = 1 << 20
"""Epochs of one link, reached after a century of rotations by the hour."""
ROTATION_MS = 3_600_000
"""An epoch ends after an hour…"""
ROTATION_DATAGRAMS = 1 << 32
"""…or after as many datagrams, far below what any of the ciphers bears under one key."""
ROTATION_MS_MIN = 60_000
"""But never sooner: the receiver must have heard something of each epoch."""
DIALLER, ACCEPTOR = b"o", b"i"
"""Directions: what the dialler sends, and what the acceptor sends."""
TAG_SIZE = 8
"""Bytes that name a session and a direction in the clear."""


def direction(*, outbound: bool) -> bytes:
    """Return the direction of what one end sends; `outbound` says whether that end has dialled."""
    return DIALLER if outbound else ACCEPTOR


def tag(session: str, way: bytes) -> bytes:
    """Return what names a session and a direction in the clear, 8 bytes."""
    return blake2b(session.encode() + way, digest_size=TAG_SIZE, person=b"weave tag").digest()


def probe_key(secret: bytes | bytearray, way: bytes) -> bytes:
    """Return the key that authenticates probes through VXLAN in a direction, 32 bytes."""
    return blake2b(way + bytes(4), digest_size=32, key=secret, person=b"weave probe").digest()


class Chain:
    """The secrets of one direction of a tunnel."""

    def __init__(self, secret: bytes | bytearray, way: bytes, epoch: int, *, is_sealed: bool) -> None:
        assert 0 <= epoch < EPOCH_MAX, "an epoch nobody can have reached"
        first = blake2b(way + bytes(4), digest_size=SECRET_SIZE, key=secret, person=b"weave sleeve").digest()
        self._secret = bytearray(first)
        self._is_sealed = is_sealed
        self.epoch = 0
        """Of the secret."""
        for _ in range(epoch):
            self.advance()

    def advance(self) -> None:
        """Go to the next epoch; the secret of this one is gone. Plain tunnels stay where they are."""
        if self._is_sealed:
            self._secret[:] = blake2b(digest_size=SECRET_SIZE, key=self._secret, person=b"weave next").digest()
            self.epoch += 1

    def aead(self, cipher: int) -> Aead:
        """Return a cipher with its key of this epoch."""
        person = b"weave key %d" % cipher
        key = blake2b(digest_size=aead.KEY_SIZES[cipher], key=self._secret, person=person).digest()
        return aead.make(cipher, key)

    def wipe(self) -> None:
        """Forget the secret."""
        self._secret[:] = bytes(len(self._secret))


class SendKeys:
    """What we seal with."""

    def __init__(self, chain: Chain, cipher: int, now_ms: int) -> None:
        self._chain = chain
        self._since_ms = now_ms
        self._since_count = 0
        self.aead = chain.aead(cipher)
        """Of this epoch."""

    @property
    def epoch(self) -> int:
        """Which epoch we seal in."""
        return self._chain.epoch

    def use(self, cipher: int) -> None:
        """Change to another cipher within the epoch; keys differ, so nonces need not."""
        old, self.aead = self.aead, self._chain.aead(cipher)
        old.wipe()

    def is_rotation_due(self, now_ms: int, count: int) -> bool:
        """Say whether the epoch has lasted long enough; `count` is how many datagrams were ever sealed."""
        age_ms = now_ms - self._since_ms
        if self.aead.cipher == aead.PLAIN or age_ms < ROTATION_MS_MIN or self.epoch + 1 >= EPOCH_MAX:
            return False
        return age_ms >= ROTATION_MS or count - self._since_count >= ROTATION_DATAGRAMS

    def rotate(self, now_ms: int, count: int) -> None:
        """Go to the next epoch. Only while the receiver is heard to hear us."""
        self._since_ms, self._since_count = now_ms, count
        self._chain.advance()
        self.use(self.aead.cipher)

    def wipe(self) -> None:
        """Forget everything."""
        self._chain.wipe()
        self.aead.wipe()


class ReceiveKeys:
    """What we open with: the epochs before, at and after the one that the sender is known to be in."""

    def __init__(self, chain: Chain, ciphers: tuple[int, ...]) -> None:
        self._ciphers = ciphers
        self._chain = chain
        self._slots: dict[int, dict[int, Aead]] = {}
        self._fill(chain.epoch)
        if ciphers != (aead.PLAIN,):
            chain.advance()
            self._fill(chain.epoch)

    @property
    def epoch(self) -> int:
        """The highest epoch from which something authentic has come."""
        return self._chain.epoch - (self._ciphers != (aead.PLAIN,))

    def find(self, cipher: int, low_bits: int) -> Aead | None:
        """Return the cipher for a header; None when it speaks of a cipher or an epoch that cannot be."""
        slot = self._slots.get(low_bits)
        return None if slot is None else slot.get(cipher)

    def heard(self, low_bits: int) -> bool:
        """Note that something authentic came from an epoch; say whether that made us follow."""
        if low_bits != self._chain.epoch & EPOCH_MASK or self._ciphers == (aead.PLAIN,):
            return False
        self._chain.advance()
        # Of the three, the oldest makes room: its low bits are now those of the epoch after the next one.
        self._forget(self._chain.epoch - 3)
        self._fill(self._chain.epoch)
        return True

    def wipe(self) -> None:
        """Forget everything."""
        self._chain.wipe()
        for slot in self._slots.values():
            for cipher in slot.values():
                cipher.wipe()
        self._slots.clear()

    def _fill(self, epoch: int) -> None:
        self._slots[epoch & EPOCH_MASK] = {cipher: self._chain.aead(cipher) for cipher in self._ciphers}

    def _forget(self, epoch: int) -> None:
        for cipher in self._slots.pop(epoch & EPOCH_MASK, {}).values():
            cipher.wipe()
