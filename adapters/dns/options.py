"""What the name server is told once, at its start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

DNS_PORT = 53
FALLBACK_TIMEOUT_MS = 5_000
"""Weave Net's; as long as resolvers themselves wait."""
RESOLV_CONF = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything, in a form that fits on a command line."""

    domain: str = "weave.local."
    """What names belong to, absolute, lower case."""
    ttl_s: int = 1
    """How long resolvers may remember that there is no such name."""
    host: str = ""
    """Numeric address to listen on; empty for that of Docker's bridge, or those of ours where there is no Docker;
    0.0.0.0 or :: for all of that family."""
    port: int = DNS_PORT
    """UDP and TCP."""
    bridge: str = "weave"
    """Name of our bridge."""
    timeout_ms: int = FALLBACK_TIMEOUT_MS
    """How long another server may take to answer what is not ours."""
    resolv_conf: str = RESOLV_CONF
    """The file that names these servers."""

    def to_text(self) -> str:
        """Return all as one line."""
        return json.dumps(asdict(self))


def options_of(text: str) -> ServerOptions:
    """Read what `to_text` has written."""
    return ServerOptions(**json.loads(text))
