"""Sealing one datagram: AEGIS-128L, ChaCha20-Poly1305, or no cipher at all.

The datagram's header, 16 bytes, is the nonce; whoever makes headers never makes one twice under one key. Works on C
pointers, for PyNaCl's own functions copy and take ten times as long. Source: RFC 8439; draft-irtf-cfrg-aegis-aead;
measured in issue 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl._sodium import ffi, lib

PLAIN, AEGIS, CHACHA = 0, 1, 2
"""Ciphers, as written in headers."""
HEADER_SIZE = 16
"""Bytes of a datagram's header."""
TOKEN_SIZE = 8
"""Bytes that stand behind a plain body: who does not see datagrams cannot forge them."""
TAG_SIZES = {PLAIN: TOKEN_SIZE, AEGIS: 32, CHACHA: 16}
"""Bytes behind a body, by cipher."""
KEY_SIZES = {PLAIN: TOKEN_SIZE, AEGIS: 16, CHACHA: 32}
"""Bytes of a key, by cipher."""
CHACHA_NONCE_AT = 4
"""Its nonce is the last 12 bytes of the header, which hold the counter; all 16 are authenticated."""
CPU_INFO = Path("/proc/cpuinfo")

# Without it, the library computes all ciphers in plain C, AEGIS sixty times as slowly.
if lib.sodium_init() < 0:
    raise ImportError("libsodium cannot be used here")

Pointer = Any
"""`unsigned char *` of cffi, which has no types."""
Arguments = tuple[Any, ...]
"""Of a function in C. They hold the key, and so are kept no longer than the `Aead`."""
WAYS_MAX = 64
"""Kept at hand by a key: sizes and places of runs. A tunnel uses a few; some 10 KB each."""


@dataclass(frozen=True, slots=True, eq=False)
class Aead:
    """A cipher with a key."""

    cipher: int
    """Which."""
    tag_size: int
    """Bytes behind the body."""
    sealing: Callable[[Pointer, Pointer, Pointer, int], Arguments]
    """Given header, place for the sealed body, body and its size, returns what `seal` is called with, any number of
    times: a tuple at hand saves a third of a call."""
    seal: Callable[..., object]
    """Writes size + `tag_size` bytes. No overlap."""
    opening: Callable[[Pointer, Pointer, int, Pointer], Arguments]
    """Given header, sealed body, its size with tag and place for the body, returns what `open` is called with."""
    open: Callable[..., int]
    """Returns 0 when the body is authentic. What is written when it is not means nothing."""
    wipe: Callable[[], None]
    """Forgets the key; nothing else may be called afterwards."""
    token: bytes = b""
    """What stands behind each plain body; empty when there is a cipher."""
    ways: dict[tuple[int, int, int], list[Any]] = field(default_factory=dict)
    """What whole runs are sealed or opened with, kept at hand by whoever does it; see `way`."""

    def way(self, *key: int) -> list[Any]:
        """Return the list kept for a run of that shape; a new one is empty."""
        assert len(key) == 3, "one shape"
        found = self.ways.get(key)
        if found is None:
            if len(self.ways) >= WAYS_MAX:
                self.ways.clear()
            found = self.ways[key] = []
        return found


def make(cipher: int, key: bytes) -> Aead:
    """Return a cipher with a key of `KEY_SIZES` bytes."""
    assert len(key) == KEY_SIZES[cipher], "a key of another cipher"
    return _MAKERS[cipher](key)


def is_aegis_fast() -> bool:
    """Say whether this machine computes AES in hardware and the library has AEGIS; without, ChaCha20 is faster."""
    if not hasattr(lib, "crypto_aead_aegis128l_encrypt"):
        return False
    for line in CPU_INFO.read_text(errors="replace").splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return "aes" in words.split()
    return False


def _wiper(held: Pointer) -> Callable[[], None]:
    return lambda: lib.sodium_memzero(held, len(held))


def _aegis(key: bytes) -> Aead:
    held, null = ffi.new("unsigned char[]", key), ffi.NULL
    encrypt, decrypt = lib.crypto_aead_aegis128l_encrypt, lib.crypto_aead_aegis128l_decrypt

    def sealing(header: Pointer, sealed: Pointer, body: Pointer, size: int) -> Arguments:
        return sealed, null, body, size, null, 0, null, header, held

    def opening(header: Pointer, sealed: Pointer, size: int, body: Pointer) -> Arguments:
        return body, null, null, sealed, size, null, 0, header, held

    return Aead(AEGIS, TAG_SIZES[AEGIS], sealing, encrypt, opening, decrypt, _wiper(held))


def _chacha(key: bytes) -> Aead:
    held, null = ffi.new("unsigned char[]", key), ffi.NULL
    encrypt, decrypt = lib.crypto_aead_chacha20poly1305_ietf_encrypt, lib.crypto_aead_chacha20poly1305_ietf_decrypt

    def sealing(header: Pointer, sealed: Pointer, body: Pointer, size: int) -> Arguments:
        return sealed, null, body, size, header, HEADER_SIZE, null, header + CHACHA_NONCE_AT, held

    def opening(header: Pointer, sealed: Pointer, size: int, body: Pointer) -> Arguments:
        return body, null, null, sealed, size, header, HEADER_SIZE, header + CHACHA_NONCE_AT, held

    return Aead(CHACHA, TAG_SIZES[CHACHA], sealing, encrypt, opening, decrypt, _wiper(held))


def _plain(key: bytes) -> Aead:
    held = ffi.new("unsigned char[]", key)
    move, compare = ffi.memmove, lib.sodium_memcmp

    def sealing(_: Pointer, sealed: Pointer, body: Pointer, size: int) -> Arguments:
        return sealed, body, size

    def seal(sealed: Pointer, body: Pointer, size: int) -> None:
        move(sealed, body, size)
        move(sealed + size, held, TOKEN_SIZE)

    def opening(_: Pointer, sealed: Pointer, size: int, body: Pointer) -> Arguments:
        return sealed, size - TOKEN_SIZE, body

    def open_(sealed: Pointer, size: int, body: Pointer) -> int:
        if size < 0 or compare(sealed + size, held, TOKEN_SIZE) != 0:
            return -1
        move(body, sealed, size)
        return 0

    return Aead(PLAIN, TOKEN_SIZE, sealing, seal, opening, open_, _wiper(held), key)


_MAKERS: dict[int, Callable[[bytes], Aead]] = {PLAIN: _plain, AEGIS: _aegis, CHACHA: _chacha}
