"""IPv4 and IPv6 side by side on real hosts: three in a line, by VXLAN and through the sleeve."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
HOSTS = ("A", "B", "C")
RANGE = "10.32.0.0/12,fd00:10:32::/64"
TIMEOUT_S = 60.0
MTU = 1376
HEADERS = 48
"""Bytes of IPv6 and ICMPv6 in a ping."""
TCP_BYTES = 4_000_000
SERVER = """
import socket
listener = socket.create_server(("::", 5000), family=socket.AF_INET6)
print("ready", flush=True)
with listener.accept()[0] as link:
    print(sum(iter(lambda: len(link.recv(65536)), 0)), flush=True)
"""
CLIENT = f"""
import socket, sys
with socket.create_connection((sys.argv[1], 5000), 10) as link:
    link.sendall(bytes({TCP_BYTES}))
"""
ROUTER = """
import socket
sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = socket.inet_pton(socket.AF_INET6, "2001:db8::")
option = bytes((3, 4, 64, 0xC0)) + (3600).to_bytes(4, "big") * 2 + bytes(4) + prefix
advertisement = bytes((134, 0, 0, 0, 64, 0)) + (1800).to_bytes(2, "big") + bytes(8) + option
sender.sendto(advertisement, ("ff02::1", 0, 0, socket.if_nametoindex("ethwe")))
"""


def text_of(name: str, *options: str) -> str:
    launch = json.dumps(["--ipalloc-init", "consensus=3", "--ipalloc-range", RANGE, *options])
    hosts = "".join(f'[[host]]\nname = "{host}"\n[[container]]\nhost = "{host}"\nname = "c"\n' for host in HOSTS)
    return f'[lab]\nname = "{name}"\nlaunch = {launch}\n{hosts}[[link]]\na = "A"\nb = "B"\n[[link]]\na = "B"\nb = "C"\n'


class Line:
    """A–B–C, with a container on each."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        # As Docker leaves a container whose own network has no IPv6.
        assert lab.run("B.c", "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1").returncode == 0
        self.addresses = {host: self.weave(host, "attach", self.path(host)).split() for host in HOSTS}

    def path(self, host: str) -> str:
        return str(self.lab.namespace(host, "c").path)

    def weave(self, host: str, *words: str) -> str:
        done = self.lab.run(host, "weave", *words, timeout_s=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ping(self, source: str, address: str, *options: str) -> str:
        return self.lab.run(f"{source}.c", "ping", "-n", "-c2", "-i0.05", "-W2", "-q", *options, address).stdout

    def carried_by(self, transport: str) -> None:
        until = time.monotonic() + TIMEOUT_S
        while self.weave("B", "status", "connections").count(f" {transport} ") < 2:
            assert time.monotonic() < until, self.weave("B", "status", "connections")
            time.sleep(0.2)


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    text = text_of(f"wnd{os.getpid()}")
    with Lab(parse(text), text=text, say=lambda _: None) as lab:
        yield Line(lab)


@pytest.fixture(scope="module")
def sleeved() -> Iterator[Line]:
    text = text_of(f"wne{os.getpid()}", "--no-fastdp", "--password", "a fairly long secret")
    with Lab(parse(text), text=text, say=lambda _: None) as lab:
        yield Line(lab)


def check_all_reach_each_other(line: Line) -> None:
    for source in HOSTS:
        for target in HOSTS:
            for address in line.addresses[target]:
                output = line.ping(source, address)
                assert "2 received" in output, f"{source} to {target} at {address}: {output}"
                assert "duplicates" not in output


def check_large_ones_and_tcp(line: Line) -> None:
    target = line.addresses["C"][1]
    assert "2 received" in line.ping("A", target, "-Mdo", "-s", str(MTU - HEADERS)), "a full frame passes whole"
    assert "2 received" in line.ping("A", target, "-s", "4000"), "larger ones pass in fragments"
    server = line.lab.start("C.c", sys.executable, "-c", SERVER)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        client = line.lab.run("A.c", sys.executable, "-c", CLIENT, target, timeout_s=TIMEOUT_S)
        assert client.returncode == 0, client.stderr
        assert server.communicate(timeout=TIMEOUT_S)[0] == f"{TCP_BYTES}\n"
    finally:
        server.kill()


def test_attach_gives_and_shows_both(line: Line) -> None:
    for host in HOSTS:
        four, six = line.addresses[host]
        assert re.fullmatch(r"10\.\d+\.\d+\.\d+", four)
        assert six.startswith("fd00:10:32:")
        assert f"{four}/12 {six}/64" in line.weave(host, "ps")
        shown = json.loads(line.lab.run(f"{host}.c", "ip", "-j", "-6", "addr", "show", "ethwe").stdout)
        (found,) = [item for item in shown[0]["addr_info"] if item["scope"] == "global"]
        assert (found["local"], found["prefixlen"]) == (six, 64)
        assert "tentative" not in found
        assert "ff00::/8" in line.lab.run(f"{host}.c", "ip", "-6", "route", "show", "table", "local").stdout


def test_both_families_cross_two_hops(line: Line) -> None:
    line.carried_by("fastdp")
    check_all_reach_each_other(line)
    neighbours = line.lab.run("A.c", "ip", "-6", "neigh", "show", line.addresses["C"][1]).stdout
    assert "lladdr" in neighbours, neighbours


def test_large_packets_and_tcp_cross(line: Line) -> None:
    line.carried_by("fastdp")
    check_large_ones_and_tcp(line)


def test_the_sleeve_carries_both(sleeved: Line) -> None:
    sleeved.carried_by("sleeve")
    check_all_reach_each_other(sleeved)
    check_large_ones_and_tcp(sleeved)


def test_status_and_report_tell_of_both(line: Line) -> None:
    assert f"Range: {RANGE}" in line.weave("A", "status")
    ipam = line.weave("A", "status", "ipam")
    assert re.search(r"^\S+\(A\) +\d+ IPs \(\d\d\.\d% of 10\.32\.0\.0/12\) \(1 active\)$", ipam, re.M), ipam
    assert re.search(r"^\S+\(A\) +2\^6[23] IPs \(\d\d\.\d% of fd00:10:32::/64\) \(1 active\)$", ipam, re.M), ipam
    report = json.loads(line.weave("A", "report"))
    four, six = report["Weavenet"]["Ranges"]
    assert (four["NumIPs"], six["NumIPs"]) == (1 << 20, str(1 << 64))
    assert report["IPAM"]["RangeNumIPs"] == str((1 << 20) + (1 << 64))


def test_a_router_advertisement_of_a_container_changes_nothing(line: Line) -> None:
    until = time.monotonic() + TIMEOUT_S
    while "tentative" in line.lab.run("A.c", "ip", "-6", "addr", "show", "ethwe", "scope", "link").stdout:
        # The kernel makes link-local addresses itself, and asks first; without one, no router is believed.
        assert time.monotonic() < until, "there never is a link-local address"
        time.sleep(0.1)
    done = line.lab.run("A.c", sys.executable, "-c", ROUTER)
    assert done.returncode == 0, done.stderr
    # What comes after it has been heard: the ping.
    assert "2 received" in line.ping("A", line.addresses["B"][1])
    for place in ("B", "B.c", "A"):
        assert "proto ra" not in line.lab.run(place, "ip", "-6", "route").stdout
        assert " 2001:db8:" not in line.lab.run(place, "ip", "-6", "addr").stdout


def test_one_family_comes_and_goes_without_the_other(line: Line) -> None:
    four, six = line.addresses["A"]
    more = line.weave("A", "attach", "net:fd00:10:32::7000/116", "ip:fd00:99::5/64", line.path("A")).split()
    assert more[0] == "fd00:99::5"
    assert more[1].startswith("fd00:10:32::7")
    line.lab.run("A.c", "ip", "link", "set", "ethwe", "down")
    line.lab.run("A.c", "ip", "link", "set", "ethwe", "up")
    inside = line.lab.run("A.c", "ip", "-6", "addr", "show", "ethwe").stdout
    assert all(address in inside for address in (six, *more)), "they outlive a moment without the link"
    gone = line.weave("A", "detach", "net:fd00:10:32::7000/116", "ip:fd00:99::5/64", line.path("A")).split()
    assert sorted(gone) == sorted(more)
    assert "2 received" in line.ping("A", line.addresses["B"][1])
    assert "2 received" in line.ping("A", line.addresses["B"][0])
    assert line.weave("A", "attach", line.path("A")).split() == [four, six], "the same as before"


def test_what_no_container_can_have_is_refused(line: Line) -> None:
    for address in ("ip:fe80::5/64", "ip:ff02::1/128", "net:fe80::/64", "ip:::1/128"):
        done: subprocess.CompletedProcess[str] = line.lab.run("A", "weave", "attach", address, line.path("A"))
        assert done.returncode == 1
        assert "not for containers" in done.stderr, done.stderr
