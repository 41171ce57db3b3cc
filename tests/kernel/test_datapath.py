"""The data path on the kernel at hand: frames, not tables."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from datapath_world import MTU, PORT, Host, Namespace, cable, devices, endpoint, line_of_three, pair

from core.reconcile.objects import Again, Bridge, Endpoint, EndpointUp, Op, Refused, Verb, VxlanPort
from core.reconcile.plan import creation_order
from datapath import probe
from datapath.driver import KernelDriver

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
PROBE = str(Path(__file__).parents[2] / "bench" / "probe.py")


@pytest.fixture(scope="module")
def line() -> Iterator[tuple[Host, Host, Host]]:
    hosts = line_of_three()
    yield hosts
    for host in hosts:
        host.remove()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host(9)
    yield made
    made.remove()


def ping(source: Namespace, address: str, *options: str) -> str:
    return source.sh("ping", "-c3", "-i0.2", "-W1", "-q", *options, address).stdout


def test_nothing_is_missing_here() -> None:
    assert probe.missing_features() == ()


def test_every_container_reaches_every_other(line: tuple[Host, Host, Host]) -> None:
    for source in line:
        for target in line:
            if source is not target:
                output = ping(source.containers[0], f"10.32.0.{target.number}")
                assert "3 received" in output, f"{source.number} to {target.number}: {output}"
                assert "duplicates" not in output


def test_a_full_frame_passes_two_hops_unfragmented(line: tuple[Host, Host, Host]) -> None:
    overhead = 28
    output = ping(line[0].containers[0], "10.32.0.3", "-Mdo", "-s", str(MTU - overhead))
    assert "3 received" in output, output


@pytest.mark.parametrize("address", ["255.255.255.255", "224.1.2.3"])
def test_a_broadcast_arrives_exactly_once_everywhere(line: tuple[Host, Host, Host], address: str) -> None:
    containers = [host.containers[0] for host in line]
    ears = [
        subprocess.Popen(
            ("nsenter", f"--net={c.path}", sys.executable, PROBE, "listen", "224.1.2.3", "5301", "ethwe"),
            stdout=subprocess.PIPE,
            text=True,
        )
        for c in containers
    ]
    for ear in ears:
        assert ear.stdout is not None
        assert ear.stdout.readline() == "ready\n"
    for speaker in containers:
        done = speaker.sh(sys.executable, PROBE, "say", address, "5301", "ethwe", speaker.name)
        assert done.returncode == 0, done.stderr
    time.sleep(0.3)
    for listener, ear in zip(containers, ears, strict=True):
        ear.terminate()
        heard = json.loads(ear.communicate(timeout=10)[0])
        for speaker in containers:
            if speaker is not listener:
                assert heard.get(speaker.name) == 1, f"{listener.name} heard {heard}"


def test_a_restarted_driver_sees_what_the_old_one_made_and_loses_no_frame(line: tuple[Host, Host, Host]) -> None:
    before = line[1].observe()
    stream = subprocess.Popen(
        ("nsenter", f"--net={line[0].containers[0].path}", "ping", "-q", "-i0.005", "-c300", "-W1", "10.32.0.3"),
        stdout=subprocess.PIPE,
        text=True,
    )
    line[1].restart()
    assert line[1].observe() == before
    for item in before:
        line[1].execute(Verb.CREATE, item)
    assert stream.poll() is None, "the restart fell outside the stream"
    output, _ = stream.communicate(timeout=30)
    assert "300 received" in output, output


def test_what_was_created_is_observed_as_it_was_asked_for(host: Host) -> None:
    container = Namespace()
    host.containers.append(container)
    wanted = (*devices(9), *endpoint(container, 9, "10.32.0.9/12"))
    host.create(*wanted)
    assert sorted(host.observe(), key=creation_order) == sorted(wanted, key=creation_order)


def test_an_interface_that_is_down_carries_nothing(line: tuple[Host, Host, Host]) -> None:
    container = line[2].containers[0]
    up = EndpointUp(container.name, "ethwe", container.path)
    assert line[2].execute(Verb.REMOVE, up) is not None
    assert "3 received" not in ping(line[0].containers[0], "10.32.0.3")
    line[2].create(*[item for item in endpoint(container, 3, "10.32.0.3/12") if item.stage == up.stage])
    assert "3 received" in ping(line[0].containers[0], "10.32.0.3")


def test_a_namespace_that_does_not_exist_is_refused_with_what_to_do(host: Host) -> None:
    host.create(*devices(9))
    item = Endpoint("gone", "ethwe", "vethwepl0000001", "/run/netns/wnt-none", "02:00:00:00:02:01", MTU)
    result = host.execute(Verb.CREATE, item)
    assert isinstance(result, Refused)
    assert "start the container" in result.hint


def test_another_kind_of_device_called_weave_is_left_alone(host: Host) -> None:
    host.run(lambda: None)
    assert host.sh("ip", "link", "add", "weave", "type", "veth", "peer", "name", "x").returncode == 0
    result = host.execute(Verb.CREATE, devices(9)[0])
    assert isinstance(result, Refused)
    assert "not a bridge" in result.why
    assert "veth" in host.sh("ip", "-d", "link", "show", "weave").stdout


def test_a_port_without_its_bridge_is_tried_again(host: Host) -> None:
    assert isinstance(host.execute(Verb.CREATE, devices(9)[1]), Again)


def test_a_udp_port_in_use_is_named(host: Host) -> None:
    def occupy() -> socket.socket:
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("0.0.0.0", 6784))
        return taken

    taken = host.run(occupy)
    host.create(devices(9)[0])
    result = host.execute(Verb.CREATE, devices(9)[1])
    taken.close()
    assert isinstance(result, Refused)
    assert "ss -ulnp" in result.hint


def test_nothing_of_ours_remains_after_remove_all(host: Host) -> None:
    container = Namespace()
    host.containers.append(container)
    host.create(*devices(9), *endpoint(container, 9, "10.32.0.9/12"))
    host.run(host.driver.remove_all)
    assert not any(isinstance(item, Bridge | VxlanPort | Endpoint) for item in host.observe())
    names = host.sh("ip", "-brief", "link").stdout
    assert "weave" not in names
    assert "vxlan" not in names
    assert "vethwepl" not in names


def test_the_driver_does_not_touch_what_is_not_ours(host: Host) -> None:
    host.create(devices(9)[0])
    assert host.sh("ip", "link", "add", "vethwepl0000009", "type", "veth", "peer", "name", "y").returncode == 0
    assert host.sh("ip", "link", "set", "vethwepl0000009", "alias", "somebody else").returncode == 0
    item = Endpoint("c", "ethwe", "vethwepl0000009", host.path, "02:00:00:00:02:01", MTU)
    for verb in (Verb.CREATE, Verb.REMOVE):
        result = host.run(lambda verb=verb: KernelDriver().execute(Op(verb, item)))  # type: ignore[misc]  # bound now
        assert isinstance(result, Refused), verb
    assert "somebody else" in host.sh("ip", "link", "show", "vethwepl0000009").stdout


def test_vxlan_of_who_is_no_neighbour_ends_here() -> None:
    a, b, (near_b, _) = pair()
    stranger = Host(3)
    try:
        near, _ = cable(a, stranger, 2)
        container = a.containers[0]
        ear = container.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)))
        ear.bind(("ethwe", 0))
        ear.settimeout(1)
        frame = b"\x02\0\0\0\x02\x01\x02\0\0\0\x02\x02" + b"\x88\xb5" + bytes(46)

        def say(host: Host, address: str, *, source: int, target: int) -> None:
            vni = (source | target << 12).to_bytes(3, "big")
            with host.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mouth:
                mouth.sendto(b"\x08\0\0\0" + vni + b"\0" + frame, (address, PORT))

        before = a.run(a.driver.drops)
        for to in (1, 2, 0):
            say(stranger, near, source=2, target=to)
        with pytest.raises(TimeoutError):
            ear.recv(2_000)
        after = a.run(a.driver.drops)
        assert {why: after[why] - before[why] for why in after if after[why] != before[why]} == {
            "stranger": 2,
            "parent": 1,
        }
        assert a.run(a.driver._programs.macs)["02:00:00:00:02:02"][0] != 3
        say(b, near_b, source=2, target=1)
        assert ear.recv(2_000) == frame, "as a neighbour it may"
        a.restart()
        a.create(*devices(1))
        say(b, near_b, source=2, target=1)
        assert ear.recv(2_000) == frame, "after a restart as well"
        ear.close()
    finally:
        for host in (a, b, stranger):
            host.remove()


def test_a_container_that_has_moved_is_announced_to_all(line: tuple[Host, Host, Host]) -> None:
    host, container, number = line[0], Namespace(), 77
    host.containers.append(container)
    listener = line[2].containers[0].run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)))
    with listener:
        listener.settimeout(5)
        host.create(*endpoint(container, number, "10.32.0.77/12"))
        own, ip = bytes((2, 0, 0, 0, 2, number)), bytes((10, 32, 0, 77))
        while (frame := listener.recv(2048))[28:32] != ip:
            pass
    assert frame[:6] == b"\xff" * 6
    assert frame[22:28] == own, "who sends"
    assert frame[38:42] == ip, "sender and target are one address"


def test_a_container_that_has_moved_is_announced_in_ipv6_too(line: tuple[Host, Host, Host]) -> None:
    host, container, number = line[0], Namespace(), 78
    host.containers.append(container)
    listener = line[2].containers[0].run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD)))
    with listener:
        listener.settimeout(5)
        host.create(*endpoint(container, number, "fd00:10:32::78/64")[:3])
        target = ipaddress.IPv6Address("fd00:10:32::78").packed
        while (frame := listener.recv(2048))[54:55] != b"\x88" or frame[62:78] != target:
            pass
    assert frame[:6] == bytes((0x33, 0x33, 0, 0, 0, 1)), "to all nodes"
    assert frame[-6:] == bytes((2, 0, 0, 0, 2, number)), "who has it"
