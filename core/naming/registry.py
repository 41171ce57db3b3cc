"""Names of this host's containers: what people and attachments say of them becomes facts of our own stream.

A name belongs to a container and goes with it, at once: what answered for it does so no more. Whoever gives an address
a name twice gives it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.context import Context
from core.effects import Answer, Ok
from core.events import NameAdd, NameLookup, NameRemove
from core.kinds import NameRecord, PortRecord, TextRecord, gone, name_key, port_key, put, text_key
from core.naming.fqdn import BadName, absolute, key_of
from core.naming.zone import Zone
from core.types import Address, RequestId, address_of, address_text
from crdt.fact import FACT_BODY_SIZE_MAX

EXTERN = "weave:extern"
"""Whose names those are that belong to no container."""
CONTAINER_SIZE_MAX = 128
"""Bytes, as of attachments."""
NAMES_MAX = 4096
"""Facts about names that one host may have: a tenth of them would be many for one machine's containers."""
TTL_MAX_S = 604_800
"""A week, as RFC 2181 §8 allows resolvers to cut it."""
TEXT_SIZE_MAX = 255
"""Bytes, by RFC 1035 §3.3.14."""
TEXTS_MAX = 32
"""Texts of one name."""
NUMBER_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Port:
    """A service's port, as people type it: `_http._tcp=80,10,5`."""

    service: str
    """`_http._tcp`."""
    port: int
    """1..65535."""
    priority: int
    """RFC 2782."""
    weight: int
    """RFC 2782."""


class Registry:
    """The only writer of our facts about names."""

    def __init__(self, context: Context, zone: Zone) -> None:
        self._context = context
        self._zone = zone

    # Requests of people and scripts.

    def add(self, request: RequestId, command: NameAdd) -> None:
        """Answer once the name is recorded."""
        try:
            name = absolute(command.name, self._context.config.domain)
            changes = tuple(self._wanted(command, name))
        except ValueError as error:
            self._context.refuse(request, f"Unable to add name: {error}")
            return
        excess = self._excess(len(changes))
        if excess:
            self._context.refuse(request, f"Unable to add name: {excess}")
            return
        for key, body in changes:
            self._write(key, body)
        self._context.answer(request)

    def remove(self, request: RequestId, command: NameRemove) -> None:
        """Answer once nothing of ours answers to that any more."""
        try:
            name = absolute(command.name, self._context.config.domain) if command.name else ""
            addresses = tuple(address_of(text) for text in command.addresses)
        except ValueError as error:
            self._context.refuse(request, f"Unable to remove name: {error}")
            return
        for key, body in tuple(self._ours()):
            if command.container and body.container != command.container:
                continue
            if name and key_of(body.name) != key_of(name):
                continue
            if addresses and not (isinstance(body, NameRecord) and body.address in addresses):
                continue
            self._context.write(gone(key, type(body)))
        self._context.answer(request)

    def lookup(self, request: RequestId, command: NameLookup) -> None:
        """Answer at once with the addresses that a name has here, one per line."""
        try:
            name = absolute(command.name, self._context.config.domain)
        except BadName as error:
            self._context.refuse(request, str(error))
            return
        found = self._zone.answers(key_of(name))
        hosts = () if found is None else found.hosts
        text = "\n".join(dict.fromkeys(address_text(host.address) for host in hosts))
        self._context.emit(Answer(request, Ok(text)))

    # What the life of containers brings about.

    def attached(self, container: str, names: tuple[str, ...], addresses: tuple[Address, ...]) -> None:
        """Give a container's addresses its names; those that are not of our domain are left out, and it is noted."""
        for text in names:
            try:
                name = absolute(text, self._context.config.domain)
            except BadName as error:
                self._context.note("INFO", f"name {text[:64]!r} of {container} is not registered: {error}")
                continue
            excess = self._excess(len(addresses))
            if excess:
                self._context.note("WARN", f"name {name} of {container} is not registered: {excess}")
                return
            for address in addresses:
                record = NameRecord(container, name, address, -1, "attach", self._context.at.wall_ms)
                self._write(name_key(container, name, address), record)

    def detached(self, container: str, addresses: tuple[Address, ...]) -> None:
        """Take the names off addresses that have left a container."""
        for key, body in tuple(self._ours()):
            if body.container == container and isinstance(body, NameRecord) and body.address in addresses:
                self._context.write(gone(key, NameRecord))

    def container_gone(self, container: str) -> None:
        """Take all names of a container away."""
        for key, body in tuple(self._ours()):
            if body.container == container:
                self._context.write(gone(key, type(body)))

    def clear(self) -> None:
        """Take all names of this host away, for a reset."""
        for key, body in tuple(self._ours()):
            self._context.write(gone(key, type(body)))

    # Below here: how.

    def _wanted(self, command: NameAdd, name: str) -> Iterator[tuple[str, NameRecord | PortRecord | TextRecord]]:
        """Yield keys and bodies of what is asked for. Raises: ValueError."""
        container, at_ms, ttl_s = command.container or EXTERN, self._context.at.wall_ms, command.ttl_s
        if not 0 < len(container.encode()) <= CONTAINER_SIZE_MAX or "/" in container or "\0" in container:
            raise ValueError(f"a container's name has 1 to {CONTAINER_SIZE_MAX} bytes and no '/'")
        if not -1 <= ttl_s <= TTL_MAX_S:
            raise ValueError(f"a time to live is 0 to {TTL_MAX_S} seconds, not {ttl_s}")
        if not command.addresses and not command.ports and not command.texts:
            raise ValueError(f"{name} would answer nothing: give an address, a port or a text")
        for text in command.addresses:
            address = address_of(text)
            yield name_key(container, name, address), NameRecord(container, name, address, ttl_s, "dns-add", at_ms)
        for text in command.ports:
            port = port_of(text)
            body = PortRecord(container, name, port.service, port.port, port.priority, port.weight, ttl_s, at_ms)
            if len(f"{port.service}.{name}") > 253:
                raise ValueError(f"{port.service}.{name} is longer than a name may be")
            yield port_key(container, name, port.service, port.port), body
        if command.texts:
            if len(command.texts) > TEXTS_MAX or any(len(text.encode()) > TEXT_SIZE_MAX for text in command.texts):
                raise ValueError(f"a name has at most {TEXTS_MAX} texts of at most {TEXT_SIZE_MAX} bytes each")
            assert TEXTS_MAX * TEXT_SIZE_MAX < FACT_BODY_SIZE_MAX, "they fit into one fact"
            yield text_key(container, name), TextRecord(container, name, command.texts, ttl_s, at_ms)

    def _write(self, key: str, body: NameRecord | PortRecord | TextRecord) -> None:
        """Write a fact, unless it says nothing new."""
        before = self._context.board.get(self._context.me, key, type(body))
        if before is None or replace(before, at_ms=body.at_ms) != body:
            self._context.write(put(key, body))

    def _ours(self) -> Iterator[tuple[str, NameRecord | PortRecord | TextRecord]]:
        board, me = self._context.board, self._context.me
        yield from board.of(me, NameRecord)
        yield from board.of(me, PortRecord)
        yield from board.of(me, TextRecord)

    def _excess(self, more: int) -> str:
        count = sum(1 for _ in self._ours()) + more
        if count <= NAMES_MAX:
            return ""
        return f"this host has {count - more} names, and {NAMES_MAX} are the limit; remove some with 'weave dns-remove'"


def port_of(text: str) -> Port:
    """Read `_service._protocol=PORT[,PRIORITY[,WEIGHT]]`. Raises: ValueError."""
    service, _, numbers = text.partition("=")
    labels = service.split(".")
    values = [int(part) if part.isascii() and part.isdigit() else -1 for part in numbers.split(",")]
    is_service = len(labels) == 2 and all(label.startswith("_") and len(label) > 1 for label in labels)
    is_good = is_service and 1 <= len(values) <= 3 and all(0 <= value <= NUMBER_MAX for value in values)
    if not is_good or values[0] == 0:
        raise ValueError(
            f"{text[:64]!r} is no port: write _http._tcp=80, or with priority and weight _http._tcp=80,10,5"
        )
    return Port(service, values[0], *[*values[1:], 0, 0][:2])
