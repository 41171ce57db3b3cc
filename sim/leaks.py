"""Addresses that interfaces had and nobody will give back: none may be left once faults have stopped (I8)."""

from __future__ import annotations

from core.kinds import AddressRecord, AttachmentRecord
from core.replica import Replica
from core.types import Address, address_text
from sim.host import Host
from sim.stage import Stage


def leaks(stage: Stage, host: Host, heart: Replica) -> list[str]:
    """Name the addresses that a host holds for interfaces that are gone."""
    me, board = host.config.peer, heart.board
    carried: dict[tuple[str, str], None] = {}
    for key, attachment in board.of(me, AttachmentRecord):
        carried.update(dict.fromkeys((key.split("/")[1], text) for text in attachment.addresses))
    busy = [pending.user for pending in stage.books.pending[host.index].values()]
    found = []
    for key, record in board.of(me, AddressRecord):
        ident, text = key.split("/")[1], address_text(Address(record.address))
        served = record.why.startswith("attach") or ", ended" in record.why
        if served and (ident, f"{text}/{record.prefix}") not in carried and ident not in busy:
            found.append(f"{host.name} still holds {text} for {ident}, which is gone")
    return found
