"""Where attachments get addresses and names from; who that is they do not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.types import Address, Cidr, Subnet

Callback = Callable[[tuple[Cidr, ...] | str], None]
"""Told what was got, or why there is nothing."""


class AddressSource(Protocol):
    """What is needed of the allocator."""

    def wait_for(self, key: str, ident: str, subnets: tuple[Subnet, ...], callback: Callback) -> None:
        """Get an address in each subnet."""

    def wait_for_claim(self, key: str, ident: str, cidrs: tuple[Cidr, ...], callback: Callback) -> None:
        """Get these very addresses."""

    def cancel_wait(self, key: str) -> None:
        """Want nothing any more."""

    def release(self, ident: str, cidrs: tuple[Cidr, ...]) -> None:
        """Give back."""

    def held(self, ident: str) -> tuple[Cidr, ...]:
        """Return what is held."""


class NameRegistry(Protocol):
    """What is needed of the registry of names."""

    def attached(self, container: str, names: tuple[str, ...], addresses: tuple[Address, ...]) -> tuple[str, ...]:
        """Give addresses names; return the keys of those that are new."""

    def undone(self, keys: tuple[str, ...]) -> None:
        """Take these names back."""

    def detached(self, container: str, addresses: tuple[Address, ...], *, is_last: bool) -> None:
        """Take names off addresses, the last ones or not."""
