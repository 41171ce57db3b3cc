"""Facts about names, whatever their kind: which there are, and which a wish to remove means."""

from __future__ import annotations

from dataclasses import dataclass

from core.board import Board
from core.kinds import NameRecord, PortRecord, TextRecord
from core.naming.fqdn import key_of
from core.types import Address, PeerName

Record = NameRecord | PortRecord | TextRecord
KINDS: tuple[type[Record], ...] = (NameRecord, PortRecord, TextRecord)


def record_of(board: Board, peer: PeerName, key: str) -> Record | None:
    """Return what a peer says under a key; None when it is nothing about names."""
    for kind in KINDS:
        record = board.get(peer, key, kind)
        if record is not None:
            return record
    return None


@dataclass(frozen=True, slots=True)
class Selection:
    """Some of a host's facts about names: those that fit all of this."""

    container: str = ""
    """Whose; empty for anybody's."""
    name: str = ""
    """Of which name, in lower case and absolute; empty for any."""
    addresses: tuple[Address, ...] = ()
    """Only these addresses; empty for everything."""
    kinds: tuple[type[Record], ...] = KINDS
    """Only these kinds."""

    def has(self, record: Record) -> bool:
        """Say whether a fact is among them."""
        if not isinstance(record, self.kinds) or (self.container and record.container != self.container):
            return False
        if self.name and key_of(record.name) != self.name:
            return False
        return not self.addresses or (isinstance(record, NameRecord) and record.address in self.addresses)
