"""Whether somebody on the network uses an address already, before it is given for the first time.

The ring keeps our hosts from giving an address twice. It knows nothing of machines that somebody has plugged into the
network with an address of their own choice, and nothing of containers that a host forgot. So the network is asked
(ARP, or neighbour discovery, from the bridge) about every address that nobody here holds yet; meanwhile it is reserved.
For one that is answered for, the next is given; who wants that very one is refused, with the MAC address that has it.

Silence for some milliseconds counts as no: whoever sits on this bridge answers within one, and other hosts of the
overlay within their round trip. A later answer cannot be undone, but is shown. Source: RFC 5227 §2.1 for the question;
its seconds of waiting are for networks without an allocator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.context import Context
from core.effects import ProbeAddresses
from core.events import AddressesProbed
from core.ipam.held import Held
from core.ipam.labels import Labels
from core.ipam.waits import Failed, Found, Wait
from core.kinds import AttachmentRecord
from core.types import Address, address_text

TIMER = "ipam/squatter"
REMEMBERED_MS = 300_000
"""How long an address that somebody answers for is passed over without asking again."""
SQUATTERS_MAX = 256
"""Remembered at once. If so many are answered for, something answers for everything, and must be found."""
ASKED_MAX = 256
"""Addresses in one question."""


@dataclass(frozen=True, slots=True)
class Squatter:
    """Somebody who uses an address that was not given to him."""

    mac: str
    """Who answered."""
    until_ms: int
    """How long that is remembered, on the monotonic clock."""


@dataclass(slots=True)
class _Question:
    """What is asked for one wait."""

    number: int
    """Of the probe; 0 when it has been answered."""
    addresses: tuple[Address, ...]
    """Reserved meanwhile."""
    clear: dict[Address, None]
    """About these nobody has answered."""
    refusal: str = ""
    """Why it cannot be had."""


class Probes:
    """Questions to the network, and who answered lately."""

    def __init__(self, context: Context, held: Held, is_own: Callable[[str, str], bool]) -> None:
        """`is_own` says whether a container's own interface on this host has a MAC address."""
        self._context = context
        self._held = held
        self._is_own = is_own
        self._questions: dict[str, _Question] = {}
        self._last_number = 0
        self.squatters: dict[Address, Squatter] = {}
        """By address; the latest last."""

    def is_asking(self, key: str) -> bool:
        """Say whether a wait waits for an answer of the network."""
        question = self._questions.get(key)
        return question is not None and question.number != 0

    def asked_about(self, key: str) -> tuple[Address, ...]:
        """Return the addresses that the network is asked about for a wait."""
        question = self._questions.get(key)
        return () if question is None or not question.number else question.addresses

    def refusal(self, key: str) -> str:
        """Say why a wait cannot be satisfied; empty when nothing is known against it."""
        question = self._questions.get(key)
        return "" if question is None else question.refusal

    def check(self, key: str, found: Found) -> Found | Failed | None:
        """Return what was found for a wait if it may be given now; None while the network is asked about it."""
        if not self._context.config.datapath:
            return found
        universe = self._context.config.universe
        fresh = [
            cidr.address
            for cidr in found.cidrs
            if universe is not None and cidr.address in universe and self._held.at(cidr.address) is None
        ]
        question = self._questions.get(key) or _Question(0, (), {})
        unsure = tuple(address for address in fresh if address not in question.clear)[:ASKED_MAX]
        if not unsure:
            return found
        if len(self.squatters) >= SQUATTERS_MAX:
            address, squatter = next(reversed(self.squatters.items()))
            told = self._told(address, squatter.mac)
            return Failed(
                f"{SQUATTERS_MAX} addresses are in use on the network, the last: {told}; find out what that is"
            )
        if any(self._held.is_reserved(address) for address in unsure):
            # For another wait, whose answer is near.
            return None
        self._last_number += 1
        question.number, question.addresses = self._last_number, unsure
        self._questions[key] = question
        self._held.reserve(unsure)
        self._context.emit(ProbeAddresses(question.number, unsure))
        return None

    def answered(self, event: AddressesProbed, waits: Mapping[str, Wait]) -> None:
        """Learn who answered, if anybody; `waits` are by key."""
        found = [(key, one) for key, one in self._questions.items() if one.number == event.probe]
        answers = dict(event.answers)
        for key, question in found:
            wait = waits[key]
            answers = {address: mac for address, mac in answers.items() if not self._is_own(wait.ident, mac)}
            self._held.unreserve(question.addresses)
            question.number = 0
            question.clear.update((address, None) for address in question.addresses if address not in answers)
            if wait.is_claim and answers:
                self._context.mark("probes.claim-refused")
                address = next(iter(answers))
                question.refusal = f"{self._told(address, answers[address])}; take it away there, or use another one"
        for address, mac in answers.items():
            holder = self._held.at(address)
            if holder is None or not self._is_own(holder, mac):
                self._remember(address, mac)

    def forget(self, key: str) -> None:
        """Want nothing any more for a wait."""
        question = self._questions.pop(key, None)
        if question is not None and question.number:
            self._held.unreserve(question.addresses)

    def timer(self) -> None:
        """Forget whom we have heard of long ago."""
        now_ms = self._context.at.mono_ms
        self.squatters = {address: one for address, one in self.squatters.items() if one.until_ms > now_ms}
        self._arm()

    def describe(self) -> tuple[str, ...]:
        """Return a line for each address that somebody uses to whom it was not given."""
        lines = []
        for address, squatter in sorted(self.squatters.items()):
            line, holder = self._told(address, squatter.mac), self._held.at(address)
            if holder is None:
                lines.append(f"{line}: it is passed over; take it away there to have it back")
            else:
                lines.append(f"{line}, and {holder} has it here: take it away there, or restart {holder}")
        return tuple(lines)

    def _told(self, address: Address, mac: str) -> str:
        users = (
            f"{key.split('/')[1]} on {Labels(self._context).of(peer)}"
            for peer, key, record in self._context.board.all(AttachmentRecord)
            if record.mac == mac
        )
        return f"address {address_text(address)} is answered for by {next(users, 'a stranger')} with MAC {mac}"

    def _remember(self, address: Address, mac: str) -> None:
        self._context.mark("probes.answered")
        if address not in self.squatters:
            self._context.note("WARN", f"{self._told(address, mac)}: see 'weave status ipam'")
        self.squatters.pop(address, None)
        if len(self.squatters) >= SQUATTERS_MAX:
            del self.squatters[next(iter(self.squatters))]
        self.squatters[address] = Squatter(mac, self._context.at.mono_ms + REMEMBERED_MS)
        self._arm()

    def _arm(self) -> None:
        due = [one.until_ms for one in self.squatters.values()]
        self._context.timer(TIMER, min(due) - self._context.at.mono_ms if due else None)
