"""What simulated hosts, namespaces, containers and versions of the software are called."""

from __future__ import annotations

from core.types import PeerName

TODAY, NEXT = "", "next"
"""Versions of the software: the one that is tested, and one that is still to come; see `releases`."""

DOMAIN = "weave.local."
TOGETHER = f"all.{DOMAIN}"
"""A name that all containers share."""


def peer_name(index: int) -> PeerName:
    """Return the name of a host; the first one is 02:00:00:00:00:01."""
    number = index + 1
    return PeerName(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}")


def address_of(index: int) -> str:
    """Return a host's address in the underlay."""
    return f"10.0.{index // 250}.{index % 250 + 1}"


def nat_address_of(index: int) -> str:
    """Return the address under which others see a host behind a NAT."""
    return f"192.0.{index // 250}.{index % 250 + 1}"


def netns_of(container: str) -> str:
    """Return the path of a container's network namespace."""
    return f"/run/netns/{container}"


def name_of(container: str) -> str:
    """Return the name that a container has for itself."""
    return f"{container}.{DOMAIN}"
