"""Names of this host's containers: what people and attachments say of them becomes facts of our own stream.

A name belongs to a container and goes with it, at once: what answered for it does so no more. Whoever gives an address
a name twice gives it once. A host that has lost its journal hears from others what it has said in an earlier life, and
says it again; what was taken away meanwhile is remembered here until then, so that it stays away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from core.context import Context
from core.effects import Answer, Ok
from core.events import NameAdd, NameLookup, NameRemove
from core.kinds import NameRecord, PortRecord, TextRecord, gone, name_key, port_key, put, text_key
from core.naming.fqdn import BadName, absolute, key_of
from core.naming.own import OwnNames
from core.naming.records import Record, Selection
from core.naming.withdrawn import Withdrawn
from core.naming.zone import Zone
from core.types import Address, RequestId, address_of, address_text
from crdt.fact import FACT_BODY_SIZE_MAX

EXTERN = "weave:extern"
"""Whose names those are that belong to no container."""
CONTAINER_SIZE_MAX = 128
"""Bytes, as of attachments."""
NAMES_MAX = 4096
"""Facts about names that one host may have: a tenth of them would be many for one machine's containers."""
REMOVALS_MAX = 256
"""Requests to remove that wait at once for us to know our earlier lives."""
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

    def __init__(self, context: Context, zone: Zone, is_settled: Callable[[], bool]) -> None:
        """Write for a host; `is_settled` says whether all that earlier lives have said is taken up."""
        self._context = context
        self._zone = zone
        self._is_settled = is_settled
        self._own = OwnNames(context)
        self._withdrawn = Withdrawn()
        self._unanswered: dict[RequestId, None] = {}

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
        """Answer once nothing of ours answers to that any more, nor will when earlier lives are heard of."""
        try:
            name = absolute(command.name, self._context.config.domain) if command.name else ""
            addresses = tuple(address_of(text) for text in command.addresses)
        except ValueError as error:
            self._context.refuse(request, f"Unable to remove name: {error}")
            return
        if not self._is_settled() and len(self._unanswered) >= REMOVALS_MAX:
            text = f"{REMOVALS_MAX} others wait until this host knows what it has said before; try again later"
            self._context.refuse(request, f"Unable to remove name: {text}")
            return
        self._withdraw(Selection(command.container, key_of(name), addresses))
        self._unanswered[request] = None
        self.facts_changed()

    def cancelled(self, request: RequestId) -> None:
        """Answer nobody whose caller has gone away; what is removed stays so."""
        self._unanswered.pop(request, None)

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

    def attached(self, container: str, names: tuple[str, ...], addresses: tuple[Address, ...]) -> tuple[str, ...]:
        """Give a container's addresses its names; return the keys of those that are new.

        Names that are not of our domain are left out, and it is noted.
        """
        keys = []
        for text in names:
            try:
                name = absolute(text, self._context.config.domain)
            except BadName as error:
                self._context.note("INFO", f"name {text[:64]!r} of {container} is not registered: {error}")
                continue
            excess = self._excess(len(addresses))
            if excess:
                self._context.note("WARN", f"name {name} of {container} is not registered: {excess}")
                break
            for address in addresses:
                record = NameRecord(container, name, address, -1, "attach", self._context.at.wall_ms)
                key = name_key(container, name, address)
                if self._context.board.get(self._context.me, key, NameRecord) is None:
                    self._write(key, record)
                    keys.append(key)
        return tuple(keys)

    def undone(self, keys: tuple[str, ...]) -> None:
        """Take names back that an attachment has brought which did not come about."""
        for key in keys:
            if self._context.board.get(self._context.me, key, NameRecord) is not None:
                self._context.write(gone(key, NameRecord))

    def detached(self, container: str, addresses: tuple[Address, ...], *, is_last: bool) -> None:
        """Take the names off addresses that have left a container, and with the last ones its ports and texts."""
        self._withdraw(Selection(container, addresses=addresses))
        if is_last:
            self._withdraw(Selection(container, kinds=(PortRecord, TextRecord)))

    def container_gone(self, container: str) -> None:
        """Take all names of a container away."""
        self._withdraw(Selection(container))

    def clear(self) -> None:
        """Take all names of this host away, for a reset."""
        self._withdraw(Selection())

    # What the Replica asks.

    def has_withdrawn(self, body: object) -> bool:
        """Say whether a fact of an earlier life has been taken back since."""
        return isinstance(body, Record) and self._withdrawn.has(body)

    def facts_changed(self) -> None:
        """Answer removals that have come about. Cheap when there are none."""
        self._own.refresh()
        if self._unanswered and self._is_settled():
            for request in self._unanswered:
                self._context.answer(request)
            self._unanswered.clear()

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

    def _withdraw(self, selection: Selection) -> None:
        """Take back what we say, and what an earlier life may yet turn out to have said."""
        self._withdrawn.add(selection)
        for key, body in self._own.find(selection):
            self._context.write(gone(key, type(body)))

    def _excess(self, more: int) -> str:
        count = self._own.count
        if count + more <= NAMES_MAX:
            return ""
        return f"this host has {count} names, and {NAMES_MAX} are the limit; remove some with 'weave dns-remove'"


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
