"""What becomes of a container that is created through the proxy: rules from texts to texts, without any input.

The container's entrypoint gets the shim in front, and a mount to take it from; its name becomes its host name, and the
agent its name server. Who is on another network than Docker's default one, or says `WEAVE_CIDR=none`, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.docker.document import Document, DocumentError
from adapters.docker.options import ProxyOptions

MOUNT = "/w"
SHIM = "/w/w"
VARIABLE = "WEAVE_CIDR="
HOSTNAME_SIZE_MAX = 64
"""Bytes with the domain: what Linux takes for a host name."""
NAME_SIZE_MAX = 1024
"""Bytes of a name that a regular expression is tried on."""
NETWORKS = ("", "none", "default", "bridge")


@dataclass(frozen=True, slots=True)
class Image:
    """What a container gets from its image."""

    entrypoint: tuple[str, ...]
    """First words."""
    command: tuple[str, ...]
    """The words after them."""
    environment: tuple[str, ...]
    """`NAME=VALUE`."""


def wanted_addresses(network: str, environment: Sequence[str], options: ProxyOptions) -> tuple[str, ...] | None:
    """Return what a container wants of the network, in the words of `weave attach`; None to be left alone."""
    if network not in NETWORKS:
        return None
    text = next((item.removeprefix(VARIABLE) for item in environment if item.startswith(VARIABLE)), None)
    if text == "none":
        return None
    if text is None and not options.default_ipalloc:
        return None
    return tuple((text or "").split()) or ("net:default",)


def environment_of(own: object, image: Sequence[str]) -> tuple[str, ...]:
    """Return a container's environment: what it was given first, then its image's."""
    return (*(str(item) for item in own or ()), *image) if isinstance(own, list | None) else tuple(image)


def rewrite(
    body: Document, query: Mapping[str, Sequence[str]], image: Image, options: ProxyOptions, dns: str
) -> tuple[str, ...] | None:
    """Change a request to create a container; `dns` is the name server's address, empty for none.

    Returns the addresses it will get; None if it is left alone. Raises: DocumentError for values that Docker refuses.
    """
    host = body.part("HostConfig")
    environment = environment_of(body.get("Env"), image.environment)
    addresses = wanted_addresses(str(host.get("NetworkMode") or ""), environment, options)
    entrypoint, command = _program(body, image)
    if addresses is None or not (entrypoint or command):
        return None
    _mount(host, options)
    if not entrypoint or entrypoint[0] != SHIM:
        body.set("Entrypoint", [SHIM, *entrypoint])
    if command != (_words(body, "Cmd") or ()):
        body.set("Cmd", list(command))
    if not options.without_dns and options.dns_domain:
        has_name = _set_name(body, query, options)
        if dns:
            host.set("Dns", [*_texts(host, "Dns"), dns])
        if not _texts(host, "DnsSearch"):
            # The domain of the host name is searched anyway; a dot keeps the host's own domains out.
            host.set("DnsSearch", ["." if has_name else options.dns_domain])
    body.set("HostConfig", host)
    return addresses


def rewrite_start(body: Document, options: ProxyOptions, dns: str) -> None:
    """Change a request to start a container that brings host settings along, as clients up to API 1.23 may.

    They replace those of its creation, the shim's mount with them. Raises: DocumentError for what Docker refuses.
    """
    host = body.part("HostConfig") if body.get("HostConfig") is not None else body
    _mount(host, options)
    if not options.without_dns and options.dns_domain and dns and dns not in _texts(host, "Dns"):
        host.set("Dns", [*_texts(host, "Dns"), dns])
    if host is not body:
        body.set("HostConfig", host)


def _mount(host: Document, options: ProxyOptions) -> None:
    binds = [item for item in _texts(host, "Binds") if _destination(item) != MOUNT]
    host.set("Binds", [*binds, f"{shim_directory(options)}:{MOUNT}:ro"])


def _program(body: Document, image: Image) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return first words and the words after them, of the request and its image as Docker merges them."""
    entrypoint, command = _words(body, "Entrypoint"), _words(body, "Cmd") or ()
    if entrypoint:
        # An empty word takes the image's entrypoint away, and its command with it.
        return (() if entrypoint == ("",) else entrypoint), command
    return image.entrypoint if entrypoint is None else (), command or image.command


def shim_directory(options: ProxyOptions) -> str:
    """Return the directory that containers mount."""
    return f"{options.shim}/{'wait' if options.multicast_route else 'wait-no-multicast'}"


def hostname_of(name: str, options: ProxyOptions) -> str:
    """Return the host name for a container's name: matches are replaced as Go's `ReplaceAllString` does."""
    parts, at, last_end = [], 0, -1
    for found in re.finditer(options.hostname_match, name[:NAME_SIZE_MAX]):
        if found.start() == found.end() == last_end:
            # Go does not see a match of nothing right behind another one; Python does.
            continue
        parts += [name[at : found.start()], _expanded(options.hostname_replacement, found)]
        at = last_end = found.end()
    return "".join((*parts, name[at:]))


def _expanded(template: str, found: re.Match[str]) -> str:
    def value(reference: re.Match[str]) -> str:
        if reference[0] == "$$":
            return "$"
        name = reference[1] or reference[2]
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except (IndexError, ValueError):
            return ""

    return re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", value, template)


def _set_name(body: Document, query: Mapping[str, Sequence[str]], options: ProxyOptions) -> bool:
    """Give a container a host name; say whether it has one."""
    if body.get("Hostname"):
        return True
    labels = body.get("Labels")
    name = ""
    if options.hostname_label and isinstance(labels, dict):
        name = str(labels.get(options.hostname_label) or "")
    name = hostname_of(name or "".join(query.get("name", ())[:1]).removeprefix("/"), options)
    domain = options.dns_domain.removesuffix(".")
    if not name or len(name) + 1 + len(domain) > HOSTNAME_SIZE_MAX:
        return False
    body.set("Hostname", name)
    body.set("Domainname", domain)
    return True


def _destination(bind: str) -> str:
    parts = bind.split(":")
    return parts[1].rstrip("/") if len(parts) > 1 else parts[0].rstrip("/")


def _words(body: Document, name: str) -> tuple[str, ...] | None:
    value = body.get(name)
    if value is None:
        return None
    return (value,) if isinstance(value, str) else _strings(name, value)


def _texts(body: Document, name: str) -> tuple[str, ...]:
    return _strings(name, body.get(name) or [])


def _strings(name: str, value: Any) -> tuple[str, ...]:  # whatever JSON there was
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DocumentError(f"{name} is no list of words")
    return tuple(value)
