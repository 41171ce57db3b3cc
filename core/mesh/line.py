"""What two neighbours have agreed about frames between them: a session as the datapath sees it.

All of it follows from the settings of both ends and from where they see each other: it stands as long as the session.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from core.config import Config
from core.messages import Hello
from core.reconcile.objects import FASTDP, SLEEVE
from core.types import HostPort

OFF_HERE = "switched off here"
OFF_THERE = "switched off there"
NO_ESP_HERE = "no ESP in this kernel"
NO_ESP_THERE = "no ESP in its kernel"
NO_IPV4 = "its address is not IPv4"
UNSEALED = "its connection is not encrypted"


@dataclass(frozen=True, slots=True)
class Line:
    """A session as frames see it."""

    session: str
    """Its name, alike at both ends; empty when none was agreed on."""
    outbound: bool
    """We dialled."""
    remote: HostPort
    """Numeric address of the neighbour, and the port of its sleeve, which is its control port's number."""
    is_sealed: bool
    """Frames must be encrypted: there is a password, and not both ends trust each other's network."""
    is_trusted: bool
    """There is a password, and frames need no encryption all the same."""
    no_fastdp: str
    """Why VXLAN is not even tried; empty when it is."""
    no_sleeve: str
    """Why the sleeve is not used; empty when it is. Without it nobody finds out what gets through."""

    @property
    def is_probed(self) -> bool:
        """Say whether both ends have a process that finds out what gets through."""
        return not self.no_sleeve

    @property
    def has_esp(self) -> bool:
        """Say whether VXLAN is to be encrypted by the kernels."""
        return self.is_sealed and not self.no_fastdp


def line_of(config: Config, hello: Hello, *, session: str, outbound: bool, is_sealed: bool, remote: HostPort) -> Line:
    """Return what follows from our settings, the neighbour's greeting, and its numeric address."""
    is_trusted = is_sealed and hello.trusts and is_trusted_host(config, remote.host)
    must_seal = is_sealed and not is_trusted
    offered = hello.transports.split()
    both = UNSEALED if config.has_password and not is_sealed else "" if is_ipv4(remote.host) else NO_IPV4
    no_fastdp = _missing(FASTDP, offered, is_here=config.fastdp)
    if must_seal and not no_fastdp:
        no_fastdp = NO_ESP_HERE if not config.esp else NO_ESP_THERE if not hello.esp else ""
    return Line(
        session=session,
        outbound=outbound,
        remote=HostPort(remote.host, hello.port),
        is_sealed=must_seal,
        is_trusted=is_trusted,
        no_fastdp=both or no_fastdp,
        no_sleeve=both or _missing(SLEEVE, offered, is_here=config.sleeve),
    )


def transports_of(config: Config) -> str:
    """Return by which transports frames may come to us, as greetings say it."""
    return " ".join(name for name, is_on in ((FASTDP, config.fastdp), (SLEEVE, config.sleeve)) if is_on)


def is_trusted_host(config: Config, host: str) -> bool:
    """Say whether a numeric address lies in a network that we trust."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(subnet, strict=False) for subnet in config.trusted)


def is_ipv4(host: str) -> bool:
    """Say whether an address is a numeric IPv4 address, as the datapath needs it."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _missing(transport: str, offered: list[str], *, is_here: bool) -> str:
    if not is_here:
        return OFF_HERE
    return "" if transport in offered else OFF_THERE
