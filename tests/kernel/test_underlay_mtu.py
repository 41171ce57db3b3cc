"""The containers' MTU follows that of the links to other hosts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made for real")
NETNS = f"wnm{os.getpid()}"


@pytest.fixture
def host() -> Iterator[str]:
    subprocess.run(("ip", "netns", "add", NETNS), check=True)
    yield NETNS
    subprocess.run(("ip", "netns", "del", NETNS), check=True)


def ip(*words: str) -> None:
    subprocess.run(("ip", "-n", NETNS, *words), check=True)


def link(name: str, mtu: int, cidr: str) -> None:
    ip("link", "add", name, "mtu", str(mtu), "type", "veth", "peer", "name", f"{name}-far", "mtu", str(mtu))
    ip("addr", "add", cidr, "dev", name)
    for end in (name, f"{name}-far"):
        ip("link", "set", end, "up")


def underlay_mtu(*peers: str) -> int:
    code = "import sys; from datapath.routes import underlay_mtu; print(underlay_mtu(sys.argv[1:]))"
    words = ("ip", "netns", "exec", NETNS, sys.executable, "-c", code, *peers)
    return int(subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout)


def test_a_host_without_links_is_taken_for_ethernet(host: str) -> None:
    assert underlay_mtu() == 1500
    assert underlay_mtu("192.0.2.1:6783") == 1500


def test_the_way_to_the_peers_counts_and_else_the_default_route(host: str) -> None:
    link("fat", 9000, "192.0.2.1/24")
    link("thin", 1400, "192.0.3.1/24")
    assert underlay_mtu() == 1400, "nobody knows where peers will be"
    assert underlay_mtu("192.0.2.7", "192.0.2.8:7000") == 9000
    assert underlay_mtu("192.0.2.7", "192.0.3.8") == 1400
    ip("route", "add", "default", "via", "192.0.2.254")
    assert underlay_mtu() == underlay_mtu("host.example", "192.0.2.9") == 9000
