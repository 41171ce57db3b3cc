"""Frames pass hosts by VXLAN and through the sleeve's TAP alike, in any mix; the sleeve itself is a pump here."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from datapath_world import MTU, PORT, Host, Namespace
from sleeve_world import (
    B_C,
    C_B,
    ETHERTYPE,
    EVERYBODY,
    VNET_HEADER,
    SleeveLine,
    Tagged,
    ear,
    frame,
    parse,
    read,
    too_big,
    write,
)

from core.reconcile.objects import FASTDP, SLEEVE, Hop, Tree, Verb
from core.types import ShortId

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
PROBE = str(Path(__file__).parents[2] / "bench" / "probe.py")
STRANGER = "02:00:00:00:77:01"
MACS = {number: f"02:00:00:00:02:{number:02x}" for number in (1, 2, 3)}
"""Of the containers."""
BULK_SIZE = 8_000_000
NEEDS_CHECKSUM, GSO_TCPV4 = 1, 1
"""Of the offload header."""
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 3, 263, 8, 0x10


@pytest.fixture(scope="module")
def made() -> Iterator[SleeveLine]:
    line = SleeveLine()
    yield line
    line.remove()


@pytest.fixture
def line(made: SleeveLine) -> SleeveLine:
    made.route()
    made.pump.size_max = 0
    return made


def ping(source: Namespace, address: str, *options: str) -> str:
    return source.sh("ping", "-c3", "-i0.2", "-W1", "-q", *options, address).stdout


def drops(host: Host) -> dict[str, int]:
    return host.run(host.driver.drops)


def place_of(host: Host, mac: str) -> tuple[int | None, int] | None:
    return host.run(lambda: host.driver._programs.macs()).get(mac)


def heard(listener: socket.socket, payload: bytes, *, patience_s: float = 1.0) -> int:
    """Count the frames with a payload, for as long as there may come more of them."""
    count = 0
    listener.settimeout(patience_s)
    while True:
        try:
            data, place = listener.recvfrom(70_000)
        except TimeoutError:
            return count
        if payload in data and place[2] != socket.PACKET_OUTGOING:
            count += 1
            listener.settimeout(0.05)


@contextmanager
def only_drops(host: Host, **reasons: int) -> Iterator[None]:
    """Expect just these drops."""
    before = drops(host)
    yield
    after = drops(host)
    assert {why: after[why] - before[why] for why in after if after[why] != before[why]} == reasons


# All frames get there.


@pytest.mark.parametrize("options", [(), ("-Mdo", "-s", str(MTU - 28)), ("-s", "6000")], ids=["small", "full", "large"])
def test_every_container_reaches_every_other(line: SleeveLine, options: tuple[str, ...]) -> None:
    for one, source in enumerate(line.containers, 1):
        for other in (1, 2, 3):
            if one != other:
                output = ping(source, f"10.32.0.{other}", *options)
                assert "3 received" in output, f"{one} to {other}: {output}"
                assert "duplicates" not in output


@pytest.mark.parametrize("address", ["255.255.255.255", "224.1.2.3"])
def test_a_broadcast_arrives_exactly_once_everywhere(line: SleeveLine, address: str) -> None:
    ears = [
        subprocess.Popen(
            ("nsenter", f"--net={c.path}", sys.executable, PROBE, "listen", "224.1.2.3", "5301", "ethwe"),
            stdout=subprocess.PIPE,
            text=True,
        )
        for c in line.containers
    ]
    for listener in ears:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
    for speaker in line.containers:
        assert speaker.sh(sys.executable, PROBE, "say", address, "5301", "ethwe", speaker.name).returncode == 0
    time.sleep(0.3)
    for container, listener in zip(line.containers, ears, strict=True):
        listener.terminate()
        counts = json.loads(listener.communicate(timeout=10)[0])
        for speaker in line.containers:
            if speaker is not container:
                assert counts.get(speaker.name) == 1, f"{container.name} heard {counts}"


@pytest.mark.parametrize(("source", "target"), [(1, 3), (3, 1), (2, 3), (3, 2)])
def test_super_frames_pass_the_tap_whole(line: SleeveLine, source: int, target: int) -> None:
    bulk = random.Random(source).randbytes(BULK_SIZE)
    line.pump.largest.clear()
    assert stream(line.containers[source - 1], line.containers[target - 1], f"10.32.0.{target}", bulk) == bulk
    sender = max(source, 2)
    assert line.pump.largest[sender] > 10 * MTU, line.pump.largest


def stream(source: Namespace, target: Namespace, address: str, bulk: bytes) -> bytes:
    """Return what arrives of a stream of TCP."""

    def listen() -> socket.socket:
        made = socket.create_server(("0.0.0.0", 0))
        made.settimeout(5)
        return made

    def make() -> socket.socket:
        made = socket.socket()
        made.settimeout(10)
        return made

    got = bytearray()
    with target.run(listen) as server, source.run(make) as sender:
        sender.connect((address, server.getsockname()[1]))
        receiver, _ = server.accept()
        receiver.settimeout(10)

        def pour() -> None:
            sender.sendall(bulk)
            sender.shutdown(socket.SHUT_WR)

        pouring = threading.Thread(target=pour)
        pouring.start()
        with receiver:
            while chunk := receiver.recv(1 << 20):
                got += chunk
        pouring.join()
    return bytes(got)


@pytest.mark.parametrize(("source", "target"), [(1, 3), (3, 1), (2, 3)])
@pytest.mark.parametrize("group", [False, True])
def test_a_containers_own_vlan_tag_stays_on_its_frames(line: SleeveLine, source: int, target: int, group: bool) -> None:
    there = line.containers[target - 1]
    ping(line.containers[source - 1], f"10.32.0.{target}")
    listener = ear(there, "ethwe", ETH_P_ALL)
    listener.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    payload = b"tagged" + ETHERTYPE.to_bytes(2, "big") + bytes(50)
    raw = frame(EVERYBODY if group else MACS[target], MACS[source], b"\x00\x05" + payload[6:8] + payload, 0x88A8)
    line.containers[source - 1].run(lambda: emit("ethwe", raw))
    while True:
        data, auxiliary, _, _ = listener.recvmsg(2000, 200)
        if payload in data:
            break
    listener.close()
    status, _, _, _, _, tci, tpid = struct.unpack("<IIIHHHH", auxiliary[0][2])
    assert status & VLAN_VALID
    assert (tci, tpid) == (5, 0x88A8)
    assert data == raw[:12] + raw[16:]


def test_each_child_in_the_sleeve_gets_one_copy_with_its_own_tags(line: SleeveLine) -> None:
    near, far = line.b, line.taps[2]
    one, three, four, five = (ShortId(number) for number in (1, 3, 4, 5))
    children = ((one, line.a_b), (four, "198.18.9.4"), (five, "198.18.9.5"))
    near.create(Tree(three, C_B, children, three, (four, five)))
    tcp = tcp_super_frame()
    offload = VNET_HEADER.pack(NEEDS_CHECKSUM, GSO_TCPV4, 66, 1000, 26 + 20, 16)
    listener = ear(line.containers[0], "ethwe", 0x0800)
    line.pump.stop()
    try:
        write(far, Tagged(3, 3, 0, 9, tcp).pack(), offload)
        copies = [read(far), read(far)]
        assert read(far, 0.1) is None
        assert heard(listener, tcp[-500:]) == 1, "the copy by VXLAN"
    finally:
        line.pump.start()
        listener.close()
    for copy, via in zip(copies, (four, five), strict=True):
        assert copy is not None
        header, data = copy
        assert parse(data) == Tagged(via, 3, 0, 8, tcp)
        flags, kind, _, gso_size, checksum_start, checksum_offset = VNET_HEADER.unpack(header)
        assert (flags, kind, gso_size) == (NEEDS_CHECKSUM, GSO_TCPV4, 1000)
        assert (checksum_start, checksum_offset) == (26 + 20, 16)


def tcp_super_frame() -> bytes:
    """Return a broadcast of one TCP segment that is to be cut into ten."""
    payload = random.Random(5).randbytes(10_000)
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 40 + len(payload), 1, 0x4000, 64, 6, 0, 0x0A200003, 0x0A200001)
    total = sum(struct.unpack("!10H", ip))
    ip = ip[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", 9, 9, 1, 1, 0x50, 0x10, 1000, 0, 0)
    return frame(EVERYBODY, MACS[3], ip + tcp + payload, 0x0800)


def test_links_change_between_transports_while_frames_pass(line: SleeveLine) -> None:
    one, two, three = ShortId(1), ShortId(2), ShortId(3)
    line.b.create(Hop(one, one, line.a_b, PORT, SLEEVE))
    line.pump.strays.clear()
    line.containers[1].sh("ping", "-c1", "-W0.2", "10.32.0.1")
    tagged = [found for stray in line.pump.strays if (found := parse(stray[VNET_HEADER.size :])) and found.via == one]
    assert tagged, "the ping has not come to the TAP"
    assert {(found.source, found.target, found.ttl) for found in tagged} == {(2, 1, 63)}
    line.b.create(Hop(one, one, line.a_b, PORT, FASTDP))
    assert "3 received" in ping(line.containers[1], "10.32.0.1")
    # What still comes by the other transport is welcome, from whichever neighbour is the parent.
    line.a.create(Tree(two, line.b_a, (), two))
    listener = ear(line.containers[0], "ethwe")
    with only_drops(line.a, parent=1):
        write(line.taps[1], Tagged(two, two, 0, 9, frame(EVERYBODY, STRANGER, b"from the parent")).pack())
        write(line.taps[1], Tagged(three, two, 0, 9, frame(EVERYBODY, STRANGER, b"from another")).pack())
    assert heard(listener, b"from the parent") == 1
    listener.close()


# What must not pass.


def test_a_broadcast_from_another_than_the_parent_is_dropped(line: SleeveLine) -> None:
    listener = ear(line.containers[1], "ethwe")
    with only_drops(line.b, parent=1):
        write(line.taps[2], Tagged(3, 1, 0, 9, frame(EVERYBODY, STRANGER, b"wrong parent")).pack())
    with only_drops(line.b, no_tree=1):
        write(line.taps[2], Tagged(3, 99, 0, 9, frame(EVERYBODY, STRANGER, b"no tree")).pack())
    assert heard(listener, b"wrong parent", patience_s=0.1) == 0
    assert place_of(line.b, STRANGER) is None
    with only_drops(line.b):
        write(line.taps[2], Tagged(3, 3, 0, 9, frame(EVERYBODY, STRANGER, b"right parent")).pack())
    assert heard(listener, b"right parent") == 1
    assert place_of(line.b, STRANGER) == (3, 0)
    listener.close()


def test_the_ttl_ends_a_frames_journey(line: SleeveLine) -> None:
    listener = ear(line.containers[0], "ethwe")
    for ttl in (0, 1):
        with only_drops(line.b, ttl=1):
            write(line.taps[2], Tagged(3, 3, 1, ttl, frame(MACS[1], MACS[3], b"tired")).pack())
        with only_drops(line.b):
            write(line.taps[2], Tagged(3, 3, 0, ttl, frame(EVERYBODY, MACS[3], b"tired")).pack())
    assert heard(listener, b"tired", patience_s=0.2) == 0
    with only_drops(line.b):
        write(line.taps[2], Tagged(3, 3, 1, 2, frame(MACS[1], MACS[3], b"fresh")).pack())
    assert heard(listener, b"fresh") == 1
    listener.close()


def test_what_comes_back_is_dropped(line: SleeveLine) -> None:
    with only_drops(line.b, loop=3):
        write(line.taps[2], Tagged(3, 2, 0, 9, frame(EVERYBODY, STRANGER, b"our own")).pack())
        write(line.taps[2], Tagged(3, 2, 1, 9, frame(MACS[1], STRANGER, b"our own")).pack())
        write(line.taps[2], Tagged(3, 1, 3, 9, frame(MACS[3], MACS[1], b"back to C")).pack())
    with only_drops(line.b, no_hop=1):
        write(line.taps[2], Tagged(3, 3, 77, 9, frame(MACS[1], STRANGER, b"to nobody")).pack())


def test_without_a_tap_the_frames_for_it_are_dropped(line: SleeveLine) -> None:
    tap_index = line.b.run(lambda: line.b.driver._programs.tap())
    line.b.run(lambda: line.b.driver._programs.set_tap(None))
    before = drops(line.b)["no_tap"]
    try:
        listener = ear(line.b, "weave")
        line.containers[1].run(lambda: emit("ethwe", frame(MACS[3], MACS[2], b"no way")))
        # Containers ask for each other's addresses now and then, so there may be more.
        assert drops(line.b)["no_tap"] > before
        before = drops(line.b)["no_tap"]
        line.containers[1].run(lambda: emit("ethwe", frame(EVERYBODY, MACS[2], b"no way")))
        assert heard(listener, b"no way") == 1
        assert drops(line.b)["no_tap"] > before
        listener.close()
    finally:
        line.b.run(lambda: line.b.driver._programs.set_tap(tap_index))


def emit(device: str, raw: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((device, 0))
        sender.send(raw)


# Too big.


def test_the_sleeves_own_too_big_reaches_the_sender(line: SleeveLine) -> None:
    line.pump.size_max = 1000
    for source, target in ((1, 3), (3, 1), (2, 3)):
        container = line.containers[source - 1]
        container.sh("ip", "route", "flush", "cache")
        output = container.sh("ping", "-c2", "-i0.2", "-W1", "-Mdo", "-s1200", f"10.32.0.{target}").stdout
        assert "mtu = 1000" in output or "mtu=1000" in output, f"{source} to {target}: {output}"
        assert "3 received" in ping(container, f"10.32.0.{target}", "-s", "900")


def test_the_kernels_too_big_goes_back_through_the_sleeve(line: SleeveLine) -> None:
    mtu, overhead = 1300, 50
    for container in line.containers:
        container.sh("ip", "route", "flush", "cache")
    assert line.b.sh("ip", "link", "set", "to1", "mtu", str(mtu)).returncode == 0
    try:
        output = line.containers[2].sh("ping", "-c2", "-i0.2", "-W1", "-Mdo", "-s1300", "10.32.0.1").stdout
    finally:
        line.b.sh("ip", "link", "set", "to1", "mtu", "1500")
    assert f"mtu = {mtu - overhead}" in output or f"mtu={mtu - overhead}" in output, output


def test_too_big_is_taken_even_with_our_own_number_and_teaches_nothing(line: SleeveLine) -> None:
    for container in line.containers:
        ping(container, "10.32.0.2")
        container.sh("ip", "route", "flush", "cache")
    before = place_of(line.b, MACS[1])
    here = place_of(line.b, MACS[2])
    assert here is not None
    outer = here[1]
    about = frame(MACS[1], MACS[2], ipv4_datagram("10.32.0.2", "10.32.0.1"), 0x0800)
    for source in (2, 3, 2):
        listener = ear(line.containers[1], "ethwe", 0x0800)
        answer = too_big(about, 1200)
        with only_drops(line.b):
            write(line.taps[2], Tagged(3, source, 2, 63, answer).pack())
        assert heard(listener, answer[14:]) == 1, source
        listener.close()
        assert place_of(line.b, MACS[1]) == before == (1, 0)
        # Once more when it is not known where the container is.
        line.b.run(lambda: line.b.driver._programs.forget_interface(outer))
    with only_drops(line.b, loop=1):
        write(line.taps[2], Tagged(3, 2, 2, 63, about).pack())


def ipv4_datagram(source: str, target: str) -> bytes:
    return struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0x4000, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target)
    ) + struct.pack("!HHHH", 9, 9, 8, 0)


def test_neighbours_that_share_an_address_are_told_apart(line: SleeveLine) -> None:
    """Behind one NAT: what A sends by VXLAN may go on to C through the sleeve, though B sees both at one address."""
    line.b.create(Hop(ShortId(3), ShortId(3), line.a_b, PORT, SLEEVE))
    assert "3 received" in ping(line.containers[0], "10.32.0.3")


def test_removed_routes_stay_removed(line: SleeveLine) -> None:
    hop = Hop(ShortId(3), ShortId(3), C_B, PORT, SLEEVE)
    tree = Tree(ShortId(3), None, ((ShortId(2), B_C),), None, (ShortId(2),))
    assert hop in line.b.observe()
    assert tree in line.c.observe()
    line.b.execute(Verb.REMOVE, hop)
    line.c.execute(Verb.REMOVE, tree)
    assert hop not in line.b.observe()
    assert tree not in line.c.observe()


# Whatever is written.


def test_nothing_written_to_the_tap_does_harm(line: SleeveLine) -> None:
    entropy = random.Random(4)
    tap = line.taps[2]
    before = drops(line.b)
    whole = Tagged(3, 3, 2, 9, frame(MACS[2], STRANGER, ipv4_datagram("10.32.0.3", "10.32.0.2"), 0x0800)).pack()
    untagged = 0
    for turn in range(100_000):
        draw = turn % 4
        if draw == 0:
            data = entropy.randbytes(entropy.randrange(14, 200))
            untagged += data[12:14] != b"\x88\xb5"
        elif draw == 1:
            data = whole[: entropy.randrange(14, len(whole) + 1)]
        elif draw == 2:
            words = (entropy.getrandbits(16) for _ in range(3))
            data = whole[:12] + b"".join(struct.pack("!HH", 0x88A8, word) for word in words) + whole[24:]
        else:
            at = entropy.randrange(len(whole))
            data = whole[:at] + bytes((entropy.getrandbits(8),)) + whole[at + 1 :]
        write(tap, data)
    after = drops(line.b)
    assert after["tags"] - before["tags"] >= untagged > 20_000
    assert after["no_tree"] + after["no_hop"] + after["parent"] + after["loop"] > 10_000
    for end in (1, 2, 3):
        for other in (1, 2, 3):
            if end != other:
                line.containers[end - 1].sh("ip", "neigh", "flush", "all")
                assert "3 received" in ping(line.containers[end - 1], f"10.32.0.{other}")


def test_a_broken_offload_header_is_refused_or_harmless(line: SleeveLine) -> None:
    entropy = random.Random(7)
    whole = Tagged(3, 3, 0, 9, tcp_super_frame()).pack()
    refused = 0
    for _ in range(2_000):
        try:
            write(line.taps[2], whole[: entropy.randrange(14, len(whole) + 1)], entropy.randbytes(10))
        except OSError:
            refused += 1
    assert refused
    assert "3 received" in ping(line.containers[2], "10.32.0.1")


def test_a_frame_of_nobody_is_dropped(line: SleeveLine) -> None:
    raw = frame(MACS[2], STRANGER, b"nobody", ETHERTYPE)
    with only_drops(line.b, tags=3):
        write(line.taps[2], Tagged(0, 3, 2, 9, raw).pack())
        write(line.taps[2], Tagged(3, 0, 2, 9, raw).pack())
        write(line.taps[2], raw)
    whole = Tagged(3, 3, 2, 9, raw).pack()
    with only_drops(line.b, tags=3):
        for at in (12, 16, 20):
            write(line.taps[2], whole[:at] + b"\x81\x00" + whole[at + 2 :])
