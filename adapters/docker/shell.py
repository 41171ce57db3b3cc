"""What a shell evaluates to make its Docker client come to the proxy, and to undo that. Standard library only."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from adapters.control.client import NotRunning, Refused, ask

NOTHING = (
    "Nothing to restore. This is most likely because there was no preceding invocation of 'eval $(weave env)' "
    "in this shell."
)


def env(control: Path, *, is_undoing: bool) -> int:
    """Print the line for `eval`, nothing without a proxy; return the exit status. `control` is the agent's socket."""
    if is_undoing:
        line = restored(os.environ)
        print(line or NOTHING, file=sys.stdout if line else sys.stderr)
        return 0 if line else 1
    address = _proxy(control)
    if address:
        print(exports(address, os.environ))
    return 0


def config(control: Path) -> int:
    """Print the option that makes a Docker client come to the proxy; return 1 if there is none."""
    address = _proxy(control)
    if address:
        print(f"-H={address}")
    return 0 if address else 1


def _proxy(control: Path) -> str:
    """Return where this shell's Docker client would come to; empty if there is no proxy."""
    try:
        lines = ask(control, "GET", "/proxyaddrs").splitlines()
    except (NotRunning, Refused):
        return ""
    return address_for(lines[0], os.environ) if lines else ""


def address_for(listening: str, env: Mapping[str, str]) -> str:
    """Return an address that a client may use for one that the proxy listens on."""
    host = env.get("PROXY_HOST")
    if not host:
        found = re.fullmatch(r"tcp://(.*):\d+", env.get("DOCKER_CLIENT_HOST") or env.get("DOCKER_HOST", ""))
        host = found[1] if found else "127.0.0.1"
    return listening.replace("0.0.0.0", host)


def exports(address: str, env: Mapping[str, str]) -> str:
    """Return the line for `eval $(weave env)`."""
    before = env.get("DOCKER_HOST", "")
    return f"export DOCKER_HOST={address}" + (f" ORIG_DOCKER_HOST={before}" if before != address else "")


def restored(env: Mapping[str, str]) -> str | None:
    """Return the line for `eval $(weave env --restore)`; None if there is nothing to restore."""
    return f"DOCKER_HOST={env['ORIG_DOCKER_HOST']}" if "ORIG_DOCKER_HOST" in env else None
