"""The words of `weave dns-add`, `dns-remove`, `dns-lookup` and `dns-args`, as Weave Net has them, and a few more."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from adapters.control.client import NotRunning, NotThere, Refused
from adapters.control.words import Container, Failure, Misuse, ask_or_fail, ask_raw, container_of, quoted

EXTERN = "weave:extern"
"""Whose names those are that belong to no container."""
DOMAIN = "weave.local."
"""What is said while nobody runs who knows better."""
OPTIONS = {"-h": "names", "--ttl": "ttls", "--port": "ports", "--txt": "texts"}


@dataclass(slots=True)
class _Words:
    """What was typed."""

    addresses: list[str] = field(default_factory=list)
    """Leading IP addresses."""
    containers: list[str] = field(default_factory=list)
    """The rest without options: one at most."""
    names: list[str] = field(default_factory=list)
    """Of `-h`."""
    ttls: list[str] = field(default_factory=list)
    """Of `--ttl`."""
    ports: list[str] = field(default_factory=list)
    """Of `--port`."""
    texts: list[str] = field(default_factory=list)
    """Of `--txt`."""


def add(words: list[str]) -> str:
    """Register a name. Raises: Misuse, Failure."""
    typed = _read(words)
    container = container_of(typed.containers[0]) if typed.containers else Container(EXTERN)
    name = typed.names[0] if typed.names else container.fqdn
    if not name:
        raise Failure(f"{container.name} has no host name with a domain: give a name with -h")
    addresses = typed.addresses
    if not addresses and typed.containers:
        addresses = _addresses_of(container.name)
    if not addresses and not typed.ports and not typed.texts:
        raise Failure(f"{container.name} has no address on the network; attach it first, or give an address")
    form = [("fqdn", name), *(("address", address) for address in addresses), *(("ttl", ttl) for ttl in typed.ttls)]
    form += [*(("port", port) for port in typed.ports), *(("txt", text) for text in typed.texts)]
    ask_or_fail("POST", f"/name/{quoted(container.name)}", form)
    return ""


def remove(words: list[str]) -> str:
    """Take names back. Raises: Misuse, Failure."""
    typed = _read(words)
    if typed.ttls or typed.ports or typed.texts:
        raise Misuse
    container = container_of(typed.containers[0], must_exist=False).name if typed.containers else EXTERN
    query = urlencode([("fqdn", name) for name in typed.names])
    for address in typed.addresses or [""]:
        part = f"/{quoted(address)}" if address else ""
        ask_or_fail("DELETE", f"/name/{quoted(container)}{part}?{query}")
    return ""


def lookup(words: list[str]) -> str:
    """Return the addresses of a name, one per line. Raises: Misuse, Failure."""
    if len(words) != 1 or words[0].startswith("-"):
        raise Misuse
    found = ask_or_fail("GET", f"/lookup/{quoted(words[0])}")
    return f"{found}\n" if found else ""


def args(words: list[str]) -> str:
    """Return what makes `docker run` use our name server, without an end of line; nothing when it is off.

    Raises: Misuse.
    """
    if words:
        raise Misuse
    try:
        address, domain = ask_raw("GET", "/dns-address"), ask_raw("GET", "/domain")
    except NotRunning:
        address, domain = "", DOMAIN
    except (NotThere, Refused):
        return ""
    return f"--dns={address} --dns-search={domain}"


VERBS: dict[str, Callable[[list[str]], str]] = {
    "dns-add": add,
    "dns-remove": remove,
    "dns-lookup": lookup,
    "dns-args": args,
}


def _read(words: list[str]) -> _Words:
    typed, rest = _Words(), list(words)
    while rest:
        word = rest.pop(0)
        if word in OPTIONS:
            if not rest:
                raise Misuse
            getattr(typed, OPTIONS[word]).append(rest.pop(0))
        elif word.startswith("-"):
            raise Misuse
        elif not typed.containers and _is_address(word):
            typed.addresses.append(word)
        else:
            typed.containers.append(word)
    is_nobody = not typed.containers and not (typed.addresses or (typed.names and (typed.ports or typed.texts)))
    if len(typed.containers) > 1 or len(typed.names) > 1 or len(typed.ttls) > 1 or is_nobody:
        raise Misuse
    return typed


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _addresses_of(container: str) -> list[str]:
    """Return what a container has on the network, without prefix lengths."""
    for line in ask_or_fail("GET", "/ps").splitlines():
        name, *rest = line.split()
        if name == container:
            return [cidr.partition("/")[0] for cidr in rest[1:]]
    return []
