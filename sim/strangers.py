"""Machines that somebody has plugged into a bridge, with addresses that nobody gave them (I2).

No address is given for the first time while a stranger on the bridge of the giver answers for it. Those that come
later, or between question and gift, cannot be helped: nobody gives way to a machine that nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.board import Board
from core.effects import Effect, Persist
from core.kinds import AddressRecord, parse
from core.types import Address, address_text
from crdt.fact import Origin
from sim.books import Violation
from sim.host import Host

STRANGER = "02:5a:00:00:00:01"
"""MAC address of all of them."""
PROBE_US = 10_000
"""For how long an agent waits for answers."""
QUICK_US = 5_000_000
"""From question to gift: a paused agent, or a wait for a second address."""
AGAIN = (", adopted", ", found in the kernel")
"""End the reasons of what was given earlier."""


def answers_to(host: Host, addresses: Sequence[Address]) -> tuple[tuple[Address, str], ...]:
    """Return who answers a probe on a host."""
    return tuple((address, STRANGER) for address in addresses if address in host.kernel.strangers)


class Strangers:
    """Looks at what hosts decide to give."""

    def __init__(self) -> None:
        self._decided: dict[tuple[Origin, int], None] = {}

    def applied(self, host: Host, board: Board, effects: Sequence[Effect], now_us: int) -> None:
        """Check what a host has just decided to write; `board` is that of the observer. Raises: Violation.

        What a disk has refused is offered to it again, and was decided before.
        """
        for effect in effects:
            for delta in effect.deltas if isinstance(effect, Persist) else ():
                for fact in delta.facts if delta.origin.peer == host.config.peer else ():
                    record = None if fact.body is None else parse(fact.kind, fact.body)
                    if not isinstance(record, AddressRecord) or (delta.origin, fact.seq) in self._decided:
                        continue
                    self._decided[delta.origin, fact.seq] = None
                    is_new = board.get(host.config.peer, fact.key, AddressRecord) is None
                    since_us = host.kernel.strangers.get(Address(record.address))
                    if since_us is None or not is_new or record.why.endswith(AGAIN) or now_us - since_us <= QUICK_US:
                        continue
                    text = address_text(Address(record.address))
                    raise Violation(f"I2: {host.name} gives {text}, for which a stranger answers: {fact.key}")
