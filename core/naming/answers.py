"""What the name server is told: for each name, everything that it may answer, in the order in which it should.

The server holds these and nothing else of ours. It never asks while a resolver waits: whoever decides that a name has
another answer tells it at once (`effects.ServeNames`).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.types import Address


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """One address under a name, for A, AAAA and PTR."""

    name: str
    """As it was registered, case kept, absolute: `Web.weave.local.`."""
    address: Address
    """Where it leads; its family says whether it is an A or an AAAA."""
    ttl_s: int
    """How long resolvers may keep it."""
    rank: int
    """Answers of the lowest rank come first, those of one rank are shuffled: 0 on this host, 1 elsewhere."""


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """One port of a service, for SRV."""

    target: str
    """Absolute name of the host that serves."""
    port: int
    """1..65535."""
    priority: int
    """RFC 2782; the lowest is tried first."""
    weight: int
    """RFC 2782; share among those of one priority."""
    ttl_s: int
    """How long resolvers may keep it."""
    rank: int
    """As for addresses."""


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """One TXT record."""

    text: str
    """At most 255 bytes of UTF-8."""
    ttl_s: int
    """How long resolvers may keep it."""


@dataclass(frozen=True, slots=True)
class NameAnswers:
    """Everything that one name answers. Without any answers the name is no more."""

    key: str
    """The name in lower case, absolute: `web.weave.local.`, `_http._tcp.web.weave.local.`."""
    hosts: tuple[HostAnswer, ...] = ()
    """Addresses."""
    services: tuple[ServiceAnswer, ...] = ()
    """Ports."""
    texts: tuple[TextAnswer, ...] = ()
    """Texts."""
