"""What an agent looks at of its host's routes: the MTU of the links to others, and what its range runs into."""

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


def overlapping_route(subnet: str) -> str:
    call = "overlapping_route(sys.argv[1], ignore_device='weave')"
    code = f"import sys; from datapath.routes import overlapping_route; print({call})"
    words = ("ip", "netns", "exec", NETNS, sys.executable, "-c", code, subnet)
    return subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def test_a_range_that_runs_into_a_route_is_told_in_either_family(host: str) -> None:
    link("lan", 1500, "10.40.0.1/16")
    ip("-6", "addr", "add", "fd00:10::1/48", "dev", "lan", "nodad")
    ip("route", "add", "default", "via", "10.40.0.254")
    ip("-6", "route", "add", "default", "via", "fd00:10::254")
    assert overlapping_route("10.32.0.0/12") == "10.40.0.0/16 dev lan"
    assert overlapping_route("fd00:10:0:32::/64") == "fd00:10::/48 dev lan"
    assert overlapping_route("10.64.0.0/12") == overlapping_route("fd00:11::/64") == "None"
