"""Which addresses this host has given to whom: a view of our own `ip/…` facts, and their only writer.

An address is held by one ident at most. Whether it lies in our ranges is not asked here: an address stays held when
its range is taken over, until its container gives it back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import replace

from core.context import Context
from core.kinds import AddressRecord, address_key, gone, put
from core.types import Address, Cidr

IDENT_SIZE_MAX = 200
"""Bytes. With prefix and address it must fit into a fact's key of 256."""


class Held:
    """Addresses by ident and idents by address, as our own stream says."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._version: int | None = None
        self._by_ident: dict[str, tuple[Cidr, ...]] = {}
        self._by_address: dict[Address, str] = {}
        self._sorted: list[Address] = []
        self._is_disputed = False
        self._news: dict[Address, None] | None = None
        self._reserved: dict[Address, None] = {}

    def of(self, ident: str) -> tuple[Cidr, ...]:
        """Return what an ident holds, ascending."""
        self._load()
        return self._by_ident.get(ident, ())

    def at(self, address: Address) -> str | None:
        """Return who holds an address."""
        self._load()
        return self._by_address.get(address)

    def between(self, lo: int, hi: int) -> list[Address]:
        """Return the addresses in `[lo, hi)` that are held or reserved, ascending."""
        self._load()
        held = self._sorted[bisect_left(self._sorted, lo) : bisect_left(self._sorted, hi)]
        if not self._reserved:
            return held
        return sorted(dict.fromkeys([*held, *(address for address in self._reserved if lo <= address < hi)]))

    def reserve(self, addresses: Iterable[Address]) -> None:
        """Keep addresses for somebody who may get them in a moment. Only in memory."""
        for address in addresses:
            self._reserved[address] = None
            self._note(address)

    def unreserve(self, addresses: Iterable[Address]) -> None:
        """Keep them no more."""
        for address in addresses:
            self._reserved.pop(address, None)
            self._note(address)

    def is_reserved(self, address: Address) -> bool:
        """Say whether an address is kept for somebody."""
        return address in self._reserved

    def count(self, lo: int, hi: int) -> int:
        """Return how many addresses in `[lo, hi)` are held or reserved. O(log addresses), and those reserved."""
        self._load()
        reserved = sum(lo <= address < hi and address not in self._by_address for address in self._reserved)
        return bisect_left(self._sorted, hi) - bisect_left(self._sorted, lo) + reserved

    def news(self) -> tuple[Address, ...] | None:
        """Return the addresses that were taken, dropped or reserved since the last call; None when it may be any."""
        self._load()
        news, self._news = self._news, {}
        return None if news is None else tuple(news)

    def items(self) -> tuple[tuple[Address, str], ...]:
        """Return all held addresses and their holders, by address."""
        self._load()
        return tuple((address, self._by_address[address]) for address in self._sorted)

    def take(self, ident: str, cidr: Cidr, why: str, at_ms: int | None = None) -> None:
        """Record that an ident holds an address that nobody else holds, and what led to it. Cost as of `drop`.

        What is held already keeps its record. `at_ms` is when that happened, on our wall clock; now if not given.
        """
        assert self.at(cidr.address) in (None, ident), f"{cidr} is held by {self.at(cidr.address)}"
        held = self.of(ident)
        if cidr in held:
            return
        record = AddressRecord(cidr.address, cidr.prefix, why, self._context.at.wall_ms if at_ms is None else at_ms)
        self._context.write(put(address_key(ident, cidr.address), record))
        if not self._is_disputed and cidr.address not in self._by_address:
            self._by_ident[ident] = tuple(sorted((*held, cidr)))
            self._by_address[cidr.address] = ident
            insort(self._sorted, cidr.address)
            self._note(cidr.address)
            self._version = self._context.board.version_of_ours(AddressRecord)

    def record(self, ident: str, address: Address) -> AddressRecord | None:
        """Return what our stream says of an address that an ident holds."""
        return self._context.board.get(self._context.me, address_key(ident, address), AddressRecord)

    def restate(self, ident: str, cidr: Cidr, why: str) -> None:
        """Say anew what led to an address being held; when it was given stays."""
        record = self.record(ident, cidr.address)
        assert record is not None, f"{ident} holds {cidr}"
        is_read = self._version == self._context.board.version_of_ours(AddressRecord)
        self._context.write(put(address_key(ident, cidr.address), replace(record, why=why)))
        if is_read:
            # Who holds what is as before.
            self._version = self._context.board.version_of_ours(AddressRecord)

    def drop(self, ident: str, address: Address) -> None:
        """Record that an ident holds an address no more. O(addresses held), in one move of memory."""
        holder = self.at(address)
        self._context.write(gone(address_key(ident, address), AddressRecord))
        if not self._is_disputed and holder == ident:
            self._by_ident[ident] = tuple(cidr for cidr in self._by_ident[ident] if cidr.address != address)
            del self._by_address[address]
            del self._sorted[bisect_left(self._sorted, address)]
            self._note(address)
            self._version = self._context.board.version_of_ours(AddressRecord)

    def _note(self, address: Address) -> None:
        if self._news is not None:
            self._news[address] = None

    def _load(self) -> None:
        """Read our facts anew, unless they are as we last read or wrote them."""
        board = self._context.board
        version = board.version_of_ours(AddressRecord)
        if version == self._version:
            return
        self._news = None
        by_ident: dict[str, list[Cidr]] = {}
        self._by_address = {}
        count = 0
        for key, record in board.of(self._context.me, AddressRecord):
            count += 1
            ident = ident_of(key)
            cidr = Cidr(Address(record.address), record.prefix)
            by_ident.setdefault(ident, []).append(cidr)
            self._by_address[cidr.address] = ident
        self._by_ident = {ident: tuple(sorted(cidrs)) for ident, cidrs in by_ident.items()}
        self._sorted = sorted(self._by_address)
        # Two facts about one address do not come from us; then nothing is worked out step by step.
        self._is_disputed = count != len(self._sorted)
        self._version = version


def ident_of(key: str) -> str:
    """Read the ident out of the key of an address record."""
    return key.removeprefix("ip/").rpartition("/")[0]


def is_ident(text: str) -> bool:
    """Say whether a text can name who holds an address."""
    return 0 < len(text.encode("utf-8", "surrogatepass")) <= IDENT_SIZE_MAX and "\0" not in text
