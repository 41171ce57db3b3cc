"""What is shown of names, as data."""

from __future__ import annotations

from dataclasses import dataclass

from core.types import Address, PeerName


@dataclass(frozen=True, slots=True)
class NameStatus:
    """One address of one name."""

    name: str
    """Absolute, case kept."""
    address: Address
    """Where it leads."""
    container: str
    """Whose it is."""
    peer: PeerName
    """Who says so."""
    ttl_s: int
    """How long resolvers may keep it."""
    is_present: bool
    """It is answered; names of hosts that are cut off are withheld."""
    why: str
    """What led to it."""
    at_ms: int
    """When, on the writer's wall clock."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The name server of a host."""

    addresses: tuple[str, ...]
    """`ip:port` where it is asked; empty while there is no address."""
    upstreams: tuple[str, ...]
    """Whom it asks for names that are not ours, as `ip:port`."""
    trouble: str = ""
    """Why it does not serve; empty when it does."""
