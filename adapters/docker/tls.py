"""TLS of the proxy's TCP listeners: as asked for, or else as the Docker daemon of this host does it.

Whoever has told the daemon to let in only clients with a certificate does not want a proxy that lets in everybody.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DAEMON = "dockerd"
DEFAULT_NAMES = {"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"}
"""In the directory that the daemon looks in: DOCKER_CERT_PATH, or .docker of its user."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How a daemon is told to use TLS."""

    files: tuple[str, str, str]
    """Authorities' certificates, own certificate, own key."""
    is_verifying: bool
    """Clients need a certificate of those authorities."""


def of_daemon(words: Sequence[str], directory: str) -> Tls | None:
    """Read the command line of a daemon; `directory` holds the files that it does not name. None for no TLS."""
    flags: dict[str, str] = {}
    for index, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or not name.startswith("tls"):
            continue
        if name in DEFAULT_NAMES:
            flags[name] = value if equals else "".join(words[index + 1 : index + 2])
        elif name in ("tls", "tlsverify"):
            flags[name] = value if equals else "true"
    is_verifying = flags.get("tlsverify") == "true"
    if not is_verifying and flags.get("tls") != "true":
        return None
    cacert, cert, key = (flags.get(name) or os.path.join(directory, file) for name, file in DEFAULT_NAMES.items())
    return Tls((cacert, cert, key), is_verifying)


def detected() -> Tls | None:
    """Return how the daemon in our network namespace uses TLS; None if it does not, or there is none."""
    own = os.readlink("/proc/self/ns/net")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if (process / "comm").read_text().strip() != DAEMON or os.readlink(process / "ns/net") != own:
                continue
            words = (process / "cmdline").read_bytes().decode("utf-8", "surrogateescape").split("\0")
            variables = (process / "environ").read_bytes().decode("utf-8", "surrogateescape").split("\0")
        except OSError:
            # It has ended in the meantime.
            continue
        environment = dict(item.partition("=")[::2] for item in variables)
        home = os.path.join(environment.get("HOME", "/root"), ".docker")
        return of_daemon(words[1:], environment.get("DOCKER_CERT_PATH") or home)
    return None
