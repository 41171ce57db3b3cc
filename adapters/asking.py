"""Between the heart and the network's answers: who uses an address that is about to be given?

Silence for `WAIT_S` is an answer. Who answers later, up to `LATE_S`, is reported, too: the address has been given then,
and somebody must be told.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from core.effects import ProbeAddresses
from core.events import AddressesProbed
from core.types import Address, address_of, address_text

WAIT_S = 0.010
"""On a bridge answers come within one millisecond, across a data centre within two; it is the price of each attach."""
LATE_S = 1.0
"""Beyond the way around the world, and before anybody has got used to the address."""


Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class Prober(Protocol):
    """Asks the network, and reads its answers."""

    def fileno(self) -> int:
        """Return what to wait on for answers."""

    def ask(self, addresses: Iterable[Ip]) -> None:
        """Send a question about each address. Raises: OSError."""

    def read(self) -> Iterable[tuple[Ip, str]]:
        """Return the answers that have come: address, and MAC address of who has it."""

    def close(self) -> None:
        """Ask no more."""


@dataclass(slots=True)
class _Question:
    probe: int
    is_open: bool = True
    answers: dict[Address, str] = field(default_factory=dict)


class Asking:
    """All questions that are open. On the asyncio thread."""

    def __init__(
        self, prober: Prober, report: Callable[[AddressesProbed], None], note: Callable[[str, str], None]
    ) -> None:
        self._prober = prober
        self._report = report
        self._note = note
        self._asyncio = asyncio.get_running_loop()
        self._questions: dict[Address, _Question] = {}
        self._trouble = ""
        self._asyncio.add_reader(prober.fileno(), self._read)

    def close(self) -> None:
        """Ask no more."""
        self._asyncio.remove_reader(self._prober.fileno())
        self._prober.close()

    def ask(self, effect: ProbeAddresses) -> None:
        """Ask the network, and report what comes of it. What cannot be asked counts as silence, and is noted once."""
        try:
            self._prober.ask(ipaddress.ip_address(address_text(address)) for address in effect.addresses)
        except OSError as error:
            trouble = f"the network cannot be asked whether addresses are in use: {error.strerror or error}"
            if trouble != self._trouble:
                self._trouble = trouble
                self._note("WARN", trouble)
            self._asyncio.call_soon(self._report, AddressesProbed(effect.probe, ()))
            return
        self._trouble = ""
        question = _Question(effect.probe)
        self._questions.update((address, question) for address in effect.addresses)
        self._asyncio.call_later(WAIT_S, self._end, question)
        self._asyncio.call_later(LATE_S, self._forget, question, effect.addresses)

    def _read(self) -> None:
        for ip, mac in self._prober.read():
            address = address_of(str(ip))
            question = self._questions.get(address)
            if question is None or address in question.answers:
                continue
            question.answers[address] = mac
            if not question.is_open:
                self._report(AddressesProbed(question.probe, ((address, mac),)))

    def _end(self, question: _Question) -> None:
        question.is_open = False
        self._report(AddressesProbed(question.probe, tuple(question.answers.items())))

    def _forget(self, question: _Question, addresses: tuple[Address, ...]) -> None:
        for address in addresses:
            if self._questions.get(address) is question:
                del self._questions[address]
