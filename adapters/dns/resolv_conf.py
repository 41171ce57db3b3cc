"""Whom this host asks for names: the servers of its `resolv.conf`, as it is now. Source: resolv.conf(5), and
OpenBSD's for `[address]:port`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from pathlib import Path

from adapters.dns.options import DNS_PORT

LOOK_MS = 5_000
"""Between two looks whether the file has changed; Weave Net's."""
SERVERS_MAX = 16
"""Resolvers themselves use three."""
SIZE_MAX = 65_536
"""Bytes that are read."""


class ResolvConf:
    """One file, followed."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._looked_ms = -LOOK_MS
        self._known: tuple[int, int] | None = None
        self._servers: tuple[tuple[str, int], ...] = ()

    def servers(self, now_ms: int, ours: Collection[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
        """Return addresses and ports of whom to ask, in order; we are not among them. Never raises: a file that
        cannot be read names nobody."""
        if now_ms - self._looked_ms >= LOOK_MS:
            self._looked_ms = now_ms
            self._look()
        return tuple(server for server in self._servers if server not in ours)

    def _look(self) -> None:
        try:
            found = self._path.stat()
            state = (found.st_mtime_ns, found.st_ino)
            if state != self._known:
                with self._path.open("rb") as file:
                    self._servers = servers_of(file.read(SIZE_MAX))
                self._known = state
        except OSError:
            self._known, self._servers = None, ()


def servers_of(content: bytes) -> tuple[tuple[str, int], ...]:
    """Return the addresses and ports that a file names, in order."""
    found: dict[tuple[str, int], None] = {}
    for line in content.decode("ascii", "replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found[_server(words[1])] = None
            except ValueError:
                continue
    return tuple(found)[:SERVERS_MAX]


def _server(text: str) -> tuple[str, int]:
    """Raises: ValueError."""
    host, port = text, DNS_PORT
    if text.startswith("["):
        host, _, digits = text[1:].partition("]:")
        port = int(digits)
    if not 0 < port < 65_536:
        raise ValueError(f"{port} is no port")
    return str(ipaddress.ip_address(host)), port
