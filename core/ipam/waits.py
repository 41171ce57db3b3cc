"""Who waits for addresses, and what one try to satisfy them comes to.

A try either finds everything that a wait wants or changes nothing, so a wait that is given up leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core.ipam.asking import ELSEWHERE, SILENT, UNREACHABLE, AskKey, Asks
from core.ipam.held import Held
from core.ipam.labels import Labels
from core.ipam.space import Space
from core.ipam.universe import Universe
from core.kinds import NOBODY
from core.types import Address, Cidr, PeerName, Subnet, address_text

WAITS_MAX = 1024
"""Requests that may wait at once: more than a host has containers means that somebody retries without cancelling."""
AWAY = "it was launched with another --ipalloc-range or --ipalloc-init since"
CATCHING_UP = "catching up with the other peers"
NO_RING = "the peers have not yet agreed who shares the address range"

Callback = Callable[[tuple[Cidr, ...] | str], None]


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody who needs addresses."""

    key: str
    """By which it is cancelled."""
    ident: str
    """Who shall hold the addresses."""
    wants: tuple[Subnet | Cidr, ...]
    """A subnet wants any address in it, a CIDR that very one."""
    callback: Callback
    """Told the addresses, in the order of `wants`, or what went wrong; once."""
    why: str
    """What asked, for people: `allocate`, `claim`, `attach`."""
    is_in_use: bool = False
    """The ident has the addresses already: whoever answers for them is no stranger."""

    @property
    def is_claim(self) -> bool:
        """Say whether particular addresses are wanted."""
        return any(isinstance(want, Cidr) for want in self.wants)


@dataclass(frozen=True, slots=True)
class Found:
    """All that was wanted; nothing has been recorded."""

    cidrs: tuple[Cidr, ...]
    """In the order of the wants."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It can never be satisfied."""

    why: str
    """The error for who waits."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """Somebody else must give space first."""

    asks: tuple[AskKey, ...]
    """What to ask the owners for."""
    why: str
    """What is waited for, for people."""


class Finder:
    """Looks for what waits want, in our space."""

    def __init__(
        self,
        universe: Universe,
        held: Held,
        space: Space,
        asks: Asks,
        labels: Labels,
        squatted: Callable[[], Iterable[Address]],
    ) -> None:
        """`squatted` are addresses that somebody uses who was not given them."""
        self._universe = universe
        self._held = held
        self._space = space
        self._asks = asks
        self._labels = labels
        self._squatted = squatted

    def look(self, wait: Wait, owner_at: Callable[[Address], PeerName | None]) -> Found | Failed | Lacking:
        """Find addresses for everything that is wanted."""
        found: dict[Subnet | Cidr, Cidr] = {}
        asks: dict[AskKey, str] = {}
        for want in wait.wants:
            if want in found:
                continue
            if isinstance(want, Cidr):
                answer = self._claim(wait.ident, want, owner_at)
            else:
                answer = self._allocate(wait.ident, want, [cidr.address for cidr in found.values()])
            if isinstance(answer, Failed):
                return answer
            if isinstance(answer, Lacking):
                asks.update(dict.fromkeys(answer.asks, answer.why))
            else:
                found[want] = answer.cidrs[0]
        if asks:
            return Lacking(tuple(asks), next(iter(asks.values())))
        return Found(tuple(found[want] for want in wait.wants))

    def _allocate(self, ident: str, subnet: Subnet, taken: list[Address]) -> Found | Lacking:
        same = [cidr for cidr in self._held.of(ident) if cidr.address in subnet and cidr.prefix == subnet.prefix]
        if same:
            return Found((same[0],))
        hosts = self._universe.clip(subnet)
        assert hosts is not None, "others were refused when they came"
        address = self._space.lowest_free(*hosts, [*taken, *self._squatted()])
        if address is not None:
            return Found((Cidr(address, subnet.prefix),))
        key = (*hosts, False)
        return Lacking((key,), self._shortage(subnet, key))

    def _claim(
        self, ident: str, cidr: Cidr, owner_at: Callable[[Address], PeerName | None]
    ) -> Found | Failed | Lacking:
        address, text = cidr.address, address_text(cidr.address)
        holder = self._held.at(address)
        if holder is not None and holder != ident:
            return Failed(f"address {text} is already owned by {holder}")
        if holder == ident or address not in self._universe:
            return Found((cidr,))
        if self._space.owns(address):
            squatter = self._space.squatter(address)
            if squatter is None:
                return Found((cidr,))
            return Failed(f"address {text} is still used on {self._labels.of(squatter)}: free it there first")
        owner = owner_at(address)
        key = (address, Address(address + 1), True)
        if owner == NOBODY:
            why = f"address {text} {self._why_void(address)}"
            return Failed(why) if self._asks.failure(key) else Lacking((key,), why)
        name = "unknown" if owner is None else self._labels.of(owner)
        is_away = owner is not None and self._asks.is_elsewhere(owner)
        failure = AWAY if is_away else self._asks.failure(key)
        if failure:
            return Failed(f"address {text} is owned by other peer {name} - {failure}")
        return Lacking((key,), f"address {text} is owned by other peer {name}, which was asked for it")

    def _why_void(self, address: Address) -> str:
        """Say why an address has no owner that we know of, and what to do."""
        giver, taker = self._asks.void_gift(address)
        name = "another peer" if giver is None else self._labels.of(giver)
        if taker is not None:
            return (
                f"was given away by {name} after {self._labels.of(taker)} had begun to remove {name}, so it is "
                "nobody's until that is over: see 'weave status ipam', then try again"
            )
        return (
            f"was given away by {name}, and who owns it now is not known here: connect whoever is missing in "
            "'weave status peers', then try again"
        )

    def _shortage(self, subnet: Subnet, key: AskKey) -> str:
        """Say why there is no free address, with the numbers and what to do."""
        donor = self._asks.donor(key)
        if donor is not None:
            return f"no free address of our own in {subnet}; {self._labels.of(donor)} was asked for some"
        tried, count = self._asks.tried(key), self._asks.owner_count(key)
        if not count:
            return f"no free address in {subnet}, and nobody else owns any of it: free some or use another subnet"
        if not tried:
            return f"no free address of our own in {subnet}; the others will be asked in a moment"
        lost = [peer for peer in tried if tried[peer] in (UNREACHABLE, SILENT)]
        away = [peer for peer in tried if tried[peer] == ELSEWHERE]
        others = "1 other owner" if count == 1 else f"{count} other owners"
        problem, remedies = f"no free address in {subnet}: {others}", []
        if lost:
            problem += f", {len(lost)} unreachable ({self._labels.listed(lost)})"
            remedies.append(f"wait for them or run 'weave rmpeer {self._labels.typed(lost)}'")
        if away:
            problem += f", {len(away)} launched with other settings since ({self._labels.listed(away)})"
            remedies.append("launch them with --ipalloc-range and --ipalloc-init as here")
        if not remedies:
            return f"{problem}, none has any: free some or use another subnet"
        return f"{problem}; {'; '.join(remedies)}"
