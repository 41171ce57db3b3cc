"""What a shell evaluates to make its Docker client come to the proxy, and to undo that. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping

NOTHING = (
    "Nothing to restore. This is most likely because there was no preceding invocation of 'eval $(weave env)' "
    "in this shell."
)


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
