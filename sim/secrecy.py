"""What a kernel lets out and in by VXLAN where frames must be encrypted, by the rules of netfilter and IPsec.

The guard drops all VXLAN but that of exceptions: in the clear for who is trusted, inside ESP for who has a seal. A seal
demands ESP both ways, and what it has no association for does not leave. Whether a packet can be read at the other end
is a matter of keys: of the same SPI, session and epoch. `tests/kernel/test_guard.py` and `tests/vm` ask real kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.reconcile.objects import Association, Guard, KernelObject, Seal, Trust

CLEAR = "clear"
"""How a packet travels that nothing encrypts."""
Form = str | Association
"""`CLEAR`, or by which association it was encrypted."""


@dataclass(frozen=True, slots=True)
class Locks:
    """What decides about VXLAN on one host."""

    has_guard: bool
    """Nothing passes without an exception."""
    trusted: Mapping[str, None]
    """Addresses with which VXLAN may pass in the clear."""
    seals: Mapping[str, int]
    """By address, the SPI to send by; 0 for none."""
    keys: Mapping[tuple[bool, str, int], Association]
    """Associations by direction (inbound?), address and SPI."""

    def out(self, address: str) -> Form | None:
        """Return in which form a packet leaves for an address; None when it does not."""
        if address in self.seals:
            return self.keys.get((False, address, self.seals[address]))
        return CLEAR if not self.has_guard or address in self.trusted else None

    def lets_in(self, address: str, form: Form) -> bool:
        """Say whether a packet from an address is taken."""
        if isinstance(form, Association):
            key = self.keys.get((True, address, form.spi))
            is_admitted = address in self.seals or not self.has_guard
            return is_admitted and key is not None and (key.session, key.epoch) == (form.session, form.epoch)
        return address not in self.seals and (not self.has_guard or address in self.trusted)


def locks_of(objects: Iterable[KernelObject]) -> Locks:
    """Read what decides about VXLAN."""
    has_guard = False
    trusted: dict[str, None] = {}
    seals: dict[str, int] = {}
    keys: dict[tuple[bool, str, int], Association] = {}
    for item in objects:
        match item:
            case Guard():
                has_guard = True
            case Trust(address):
                trusted[address] = None
            case Seal(address, _, spi):
                seals[address] = spi
            case Association(address, is_inbound, spi):
                keys[is_inbound, address, spi] = item
    return Locks(has_guard, trusted, seals, keys)
