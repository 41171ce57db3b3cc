"""The group in which SPAKE2 computes: that of Ed25519, by libsodium.

The package `spake2` brings the protocol, and a group in plain Python whose running time depends on the password:
whoever measures it over many connections could sort out guesses without trying them. libsodium takes the same time for
every scalar, and a fraction of it altogether. What travels is the same, bit for bit: a test lets both implementations
talk to each other.
"""

from __future__ import annotations

from collections.abc import Callable

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from spake2.ed25519_group import Ed25519Group
from spake2.params import _Params

SCALAR_SIZE = 32
ELEMENT_SIZE = 32


class Element:
    """A point of the prime-order subgroup."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def scalarmult(self, scalar: int) -> Element:
        """Multiply. Raises: nacl.exceptions.RuntimeError where that makes the neutral element."""
        return Element(crypto_scalarmult_ed25519_noclamp(_scalar_bytes(scalar), self._encoded))

    def add(self, other: Element) -> Element:
        """Add."""
        return Element(crypto_core_ed25519_add(self._encoded, other._encoded))

    def to_bytes(self) -> bytes:
        """Return the one encoding, 32 bytes."""
        return self._encoded


class _Base:
    """The generator, for which there is a faster way."""

    def scalarmult(self, scalar: int) -> Element:
        return Element(crypto_scalarmult_ed25519_base_noclamp(_scalar_bytes(scalar)))


class _Group:
    """What `spake2` asks of a group."""

    Base = _Base()
    scalar_size_bytes = SCALAR_SIZE
    element_size_bytes = ELEMENT_SIZE

    def random_scalar(self, entropy: Callable[[int], bytes]) -> int:
        return int(Ed25519Group.random_scalar(entropy))

    def password_to_scalar(self, password: bytes) -> int:
        return int(Ed25519Group.password_to_scalar(password))

    def arbitrary_element(self, seed: bytes) -> Element:
        return Element(Ed25519Group.arbitrary_element(seed).to_bytes())

    def bytes_to_element(self, data: bytes) -> Element:
        assert is_element(data), "checked before"
        return Element(data)


def is_element(data: bytes) -> bool:
    """Say whether bytes are the canonical encoding of a point of the subgroup, not the neutral element."""
    return len(data) == ELEMENT_SIZE and bool(crypto_core_ed25519_is_valid_point(data))


def _scalar_bytes(scalar: int) -> bytes:
    return (scalar % int(Ed25519Group.order())).to_bytes(SCALAR_SIZE, "little")


PARAMETERS = _Params(_Group())
"""Group and blinding elements; those of the package, whose logarithms nobody knows."""
