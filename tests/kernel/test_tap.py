"""The TAP device, and the probes of VXLAN that pass through it before anybody has a number."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from datapath_world import MTU, PORT, Host, Namespace, cable, devices, endpoint
from sleeve_world import PROBE_ETHERTYPE, PUMP_TAP, await_carrier, ear, frame, open_tap, read, write

from core.reconcile.objects import AlreadySo, Done, Refused, Tap, Verb
from datapath import tap

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
OUTER_SIZE = 14 + 20 + 8 + 8
"""Ethernet, IPv4, UDP and VXLAN in front of a frame."""
DONT_FRAGMENT = 0x4000


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host(9)
    yield made
    made.remove()


class Pair:
    """Two hosts with devices and no numbers."""

    def __init__(self) -> None:
        self.near, self.far = Host(1), Host(2)
        self.near_address, self.far_address = cable(self.near, self.far, 1)
        for host in (self.near, self.far):
            bridge, port, _ = devices(host.number)
            host.create(PUMP_TAP, bridge, port)
        self.near_tap, self.far_tap = open_tap(self.near), open_tap(self.far)
        for host, cable_end in ((self.near, "to2"), (self.far, "to1")):
            await_carrier(host, cable_end)
            await_carrier(host, tap.NAME)

    def remove(self) -> None:
        for fd in (self.near_tap, self.far_tap):
            os.close(fd)
        for host in (self.near, self.far):
            host.remove()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.remove()


def probe(address: str, payload: bytes) -> bytes:
    """Return a probe of VXLAN to a neighbour."""
    return frame(octets("02:00", address), octets("02:01", "0.0.0.0"), payload, PROBE_ETHERTYPE)


def octets(head: str, address: str) -> str:
    return f"{head}:{socket.inet_aton(address).hex(':')}"


def next_probe(fd: int, timeout_s: float = 1.0) -> bytes | None:
    """Return the next probe from the kernel; its own noise does not count."""
    while (got := read(fd, timeout_s)) is not None:
        if got[1][12:14] == PROBE_ETHERTYPE.to_bytes(2, "big"):
            return got[1]
    return None


def test_a_probe_comes_out_of_the_other_tap_with_its_senders_address(pair: Pair) -> None:
    full = os.urandom(MTU)
    for payload in (b"a probe", full):
        write(pair.near_tap, probe(pair.far_address, payload))
        got = next_probe(pair.far_tap)
        assert got is not None
        assert got[:14] == frame(
            octets("02:00", pair.far_address), octets("02:01", pair.near_address), b"", PROBE_ETHERTYPE
        )
        assert got[14 : 14 + len(payload)] == payload
        write(pair.far_tap, probe(pair.near_address, payload))
        assert next_probe(pair.near_tap) is not None
    assert next_probe(pair.near_tap, 0.1) is None


def test_a_probe_is_vxlan_of_network_0_that_may_not_be_fragmented(pair: Pair) -> None:
    wire = ear(pair.far, "to1", 0x0800)
    write(pair.near_tap, probe(pair.far_address, bytes(MTU)))
    data = wire.recv(2000)
    wire.close()
    assert len(data) == OUTER_SIZE + 14 + MTU
    assert struct.unpack_from("!H", data, 20)[0] == DONT_FRAGMENT
    target, _, checksum = struct.unpack_from("!HHH", data, 36)
    assert (target, checksum) == (PORT, 0)
    assert data[42:50] == b"\x08\0\0\0\0\0\0\0"


def test_a_probe_larger_than_the_path_is_lost_and_not_fragmented(pair: Pair) -> None:
    fits = 1300
    wire = ear(pair.far, "to1", 0x0800)
    assert pair.near.sh("ip", "link", "set", "to2", "mtu", str(fits)).returncode == 0
    payload = fits - (OUTER_SIZE - 14) - 14
    for size in (payload + 1, MTU):
        write(pair.near_tap, probe(pair.far_address, bytes(size)))
    assert next_probe(pair.far_tap, 0.2) is None
    wire.settimeout(0.1)
    with pytest.raises(TimeoutError):
        wire.recv(2000)
    write(pair.near_tap, probe(pair.far_address, bytes(payload)))
    assert next_probe(pair.far_tap) is not None
    wire.close()


def test_a_container_cannot_send_probes(pair: Pair) -> None:
    container = Namespace()
    pair.near.containers.append(container)
    pair.near.create(devices(1)[2], *endpoint(container, 1, "10.32.0.1/12"))
    raw = probe(pair.far_address, b"forged")

    def emit() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("ethwe", 0))
            sender.send(raw)

    container.run(emit)
    assert next_probe(pair.far_tap, 0.3) is None
    write(pair.near_tap, raw)
    assert next_probe(pair.far_tap) is not None


def test_a_probe_without_a_sleeve_at_the_other_end_is_counted(pair: Pair) -> None:
    assert pair.far.execute(Verb.REMOVE, PUMP_TAP) == Done()
    write(pair.near_tap, probe(pair.far_address, b"hello"))
    listening = ear(pair.far, "weave", PROBE_ETHERTYPE)
    listening.settimeout(0.2)
    with pytest.raises(TimeoutError):
        listening.recv(2000)
    listening.close()
    assert pair.far.run(pair.far.driver.drops)["no_tap"] == 1


def test_the_device_is_observed_as_it_was_asked_for(host: Host) -> None:
    bridge, port, identity = devices(9)
    host.create(bridge, PUMP_TAP, port, identity)
    assert PUMP_TAP in host.observe()
    host.restart()
    assert PUMP_TAP in host.observe()
    wider = Tap(tap.NAME, 8900, 7000)
    host.create(wider)
    assert wider in host.observe()
    shown = host.sh("ip", "-d", "link", "show", tap.NAME).stdout
    for word in ("mtu 8912", "type tap", "pi off", "vnet_hdr on", "persist on", "addrgenmode none"):
        assert word in shown, shown
    assert host.execute(Verb.REMOVE, wider) == Done()
    assert not any(isinstance(item, Tap) for item in host.observe())
    assert host.execute(Verb.REMOVE, wider) == AlreadySo()


def test_a_device_that_lacks_something_is_not_taken_for_whole_and_is_mended(host: Host) -> None:
    bridge, port, _ = devices(9)
    host.create(bridge, PUMP_TAP, port)
    for words in (
        ("ip", "link", "set", tap.NAME, "down"),
        ("ip", "link", "set", tap.NAME, "mtu", "1300"),
        ("ip", "link", "set", tap.NAME, "alias", "something else"),
        ("ip", "link", "set", tap.NAME, "master", "weave"),
        ("tc", "qdisc", "del", "dev", tap.NAME, "clsact"),
        ("ip", "link", "del", tap.NAME),
    ):
        assert PUMP_TAP in host.observe()
        assert host.sh(*words).returncode == 0
        assert PUMP_TAP not in host.observe(), words
        host.create(PUMP_TAP)
    assert PUMP_TAP in host.observe()


def test_the_sleeve_may_hold_the_device_while_it_is_mended(host: Host) -> None:
    host.create(PUMP_TAP)
    fd = open_tap(host)
    host.restart()
    host.create(Tap(tap.NAME, MTU, PORT))
    write(fd, bytes(20))
    assert host.run(host.driver.drops)["tags"] == 1
    os.close(fd)


@pytest.mark.parametrize(
    "words",
    [
        ("ip", "link", "add", tap.NAME, "type", "veth", "peer", "name", "x"),
        ("ip", "tuntap", "add", tap.NAME, "mode", "tun"),
    ],
)
def test_another_kind_of_device_of_that_name_is_left_alone(host: Host, words: tuple[str, ...]) -> None:
    assert host.sh(*words).returncode == 0
    for verb in (Verb.CREATE, Verb.REMOVE):
        assert isinstance(host.execute(verb, PUMP_TAP), Refused)
    host.run(host.driver.remove_all)
    assert host.sh("ip", "link", "show", tap.NAME).returncode == 0


def test_it_goes_with_everything_else(host: Host) -> None:
    host.create(*devices(9), PUMP_TAP)
    host.run(host.driver.remove_all)
    assert tap.NAME not in host.sh("ip", "link").stdout


def test_containers_send_super_frames_that_the_sleeve_can_take_at_once(host: Host) -> None:
    container = Namespace()
    host.containers.append(container)
    host.create(*devices(9), *endpoint(container, 9, "10.32.0.9/12"))
    assert "gso_max_size 59700" in container.sh("ip", "-d", "link", "show", "ethwe").stdout
