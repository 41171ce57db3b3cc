"""What goes wrong with hosts, addresses, processes and firewall rules, and that nobody has to restart anything."""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hostile_world import SLEEVE_PORT, VXLAN_PORT, Member, World, datagrams, eventually, vxlan

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab, peer_name

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
PASSWORD = f"correct-horse-{os.getpid()}"
ASLEEP_S = 35.0
"""Longer than any timeout of ours between hosts, so everything must be made anew."""
MOVED = "198.18.99.2"
BACK_S = 20.0
"""For what takes seconds on a quiet machine."""
AGAIN_S = 60.0
"""For what waits until TCP gives up after 30 s, and then for a call."""
CALLS_MAX = 6
"""Within `WATCH_S`, of a host that is refused: at once, and then after 2 s and more, half of it left to chance."""
WATCH_S = 6.0


@dataclass(slots=True)
class Asleep:
    """A pair of which one host sleeps."""

    world: World
    """Where."""
    since: float
    """Since when, on the monotonic clock."""
    processes: tuple[int, ...]
    """Agent and worker of A."""


@pytest.fixture(scope="module")
def asleep() -> Iterator[Asleep]:
    """Put a laptop to sleep; the other tests fill the time."""
    world = World(f"wnfl{os.getpid()}")
    try:
        world.pings_within(BACK_S)
        agent, worker = world.agent(), world.worker()
        assert worker is not None
        world.lab.cut("A", "B")
        for pid in (agent, worker):
            os.kill(pid, signal.SIGSTOP)
        yield Asleep(world, time.monotonic(), (agent, worker))
    finally:
        world.close()


@pytest.fixture(scope="module", autouse=True)
def _begin(asleep: Asleep) -> None:
    """See that it sleeps before anything else happens."""


@pytest.fixture(scope="module")
def plain() -> Iterator[World]:
    world = World(f"wnfp{os.getpid()}")
    yield world
    world.close()


@pytest.fixture(scope="module")
def sealed() -> Iterator[World]:
    world = World(f"wnfs{os.getpid()}", "--password", PASSWORD)
    yield world
    world.close()


def inject(world: World) -> int:
    """Send VXLAN to A's container in B's name; return how many frames of it came out there."""
    ear = world.inside.ear("ethwe")
    frame = b"\xff" * 6 + b"\x02\0\0\0\x07\x07\x88\xb6" + b"injected" + bytes(60)
    with world.evil.mouth(world.b, SLEEVE_PORT) as mouth:
        for source, target in itertools.product(world.numbers, (0, *world.numbers)):
            mouth.sendto(vxlan(frame, source=source, target=target), (world.target, VXLAN_PORT))
    time.sleep(0.2)
    count = sum(b"injected" in heard for heard in ear.frames())
    ear.close()
    return count


@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_a_worker_that_is_killed_is_replaced(kind: str, request: pytest.FixtureRequest) -> None:
    world: World = request.getfixturevalue(kind)
    world.pings_within(BACK_S)
    agent, worker = world.agent(), world.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: world.worker() not in (None, worker), BACK_S)
    world.pings_within(BACK_S)
    assert world.agent() == agent
    assert world.report()["Weavenet"]["Dropped"]["SleeveDeaths"] == 1


def test_without_a_password_vxlan_in_the_name_of_the_peer_would_arrive(plain: World) -> None:
    plain.pings_within(BACK_S)
    assert inject(plain) > 0


def test_flushed_rules_are_back_within_seconds(sealed: World) -> None:
    for words in (("flush", "ruleset"), ("delete", "table", "inet", "weave-guard")):
        assert sealed.lab.run("A", "nft", *words).returncode == 0
        eventually(sealed.guard_is_there, 5)
        assert inject(sealed) == 0
        assert sealed.dropped()["Guard input"] > 0


def test_a_host_whose_address_changes_is_found_by_the_sleeve_and_then_by_vxlan(plain: World) -> None:
    move(plain)
    plain.pings_within(BACK_S)
    eventually(lambda: MOVED in connections(plain) and "established" in connections(plain), AGAIN_S)
    eventually(lambda: "fastdp" in connections(plain), BACK_S)
    plain.pings_within(BACK_S)


def test_an_agent_that_is_killed_leaves_nothing_open(sealed: World) -> None:
    sealed.pings_within(BACK_S)
    agent, worker = sealed.agent(), sealed.worker()
    assert worker is not None
    os.kill(agent, signal.SIGKILL)
    # The worker notices that its agent is gone, and may carry a frame until then.
    eventually(lambda: not daemon.is_alive(agent) and not daemon.is_alive(worker), BACK_S)
    wire = sealed.wire.ear("to-B")
    assert " 0 received" in sealed.ping()
    assert " 0 received" in sealed.ping(source="B.b", target="a")
    heard = list(wire.frames(outgoing=True))
    wire.close()
    assert heard, "the other host goes on asking"
    for source in (sealed.a, sealed.b):
        assert datagrams(heard, VXLAN_PORT, source) == []
    assert inject(sealed) == 0
    with sealed.wire.mouth() as mouth, pytest.raises(PermissionError):
        mouth.sendto(vxlan(bytes(60), source=1, target=2), (sealed.b, VXLAN_PORT))
    sealed.lab.launch("A")
    sealed.pings_within(BACK_S)


def test_a_sealed_host_whose_address_changes_is_followed(sealed: World) -> None:
    agents = [sealed.agent(host) for host in "AB"]
    move(sealed)
    sealed.pings_within(BACK_S)
    assert [sealed.agent(host) for host in "AB"] == agents


def connections(world: World) -> str:
    return world.weave("A", "status", "connections")


def move(world: World) -> None:
    """Give B another address on its cable to A."""
    for host, words in (
        ("A", f"route add {MOVED}/32 dev to-B"),
        ("B", f"addr del {world.b}/30 dev to-A"),
        ("B", f"addr add {MOVED}/32 dev to-A"),
        ("B", f"route add {world.a}/32 dev to-A src {MOVED}"),
    ):
        lab_kernel.ip(*words.split(), namespace=world.lab.namespace(host))


def mixed_text(name: str) -> str:
    """Return A with three that will call it: B, one with A's own name, and one without an agent yet."""
    options: dict[str, list[str]] = {"A": [], "B": [], "N": ["--name", peer_name(name, "A")]}
    lines = ["[lab]", f'name = "{name}"']
    for host in "ABNR":
        launch = json.dumps(["--ipalloc-init", "consensus=2", *options[host]]) if host in options else "false"
        peers = json.dumps([] if host == "A" else ["A"])
        lines += ["[[host]]", f'name = "{host}"', f"launch = {launch}", f"peers = {peers}"]
    for host in "BNR":
        lines += ["[[link]]", 'a = "A"', f'b = "{host}"']
    lines += [f'[[container]]\nhost = "{host}"\nname = "{host.lower()}"' for host in "BR"]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    text = mixed_text(f"wnfn{os.getpid()}")
    with Lab(parse(text), say=lambda _: None) as lab:
        yield lab


def test_a_namesake_is_refused_on_both_sides_and_calls_gently(mixed: Lab) -> None:
    def seen(host: str) -> str:
        return mixed.run(host, "weave", "status", "connections").stdout

    for host in "AN":
        eventually(lambda host=host: "another host has our name" in seen(host), BACK_S)  # type: ignore[misc]
    eventually(lambda: "established" in seen("A"), BACK_S)
    calls = _calls(mixed)
    assert 1 <= calls <= CALLS_MAX
    assert seen("A").count("established") == 1
    assert "established" in seen("B"), "others are none the worse for it"
    assert "established" not in seen("N")


def test_another_range_is_named_on_both_sides_and_each_gives_from_its_own(mixed: Lab) -> None:
    assert mixed.attach("B", "b", "net:default")
    init = f"seed={peer_name(mixed.file.name, 'R')}"
    launch = ("weave", "launch", "--nickname", "R", "--name", peer_name(mixed.file.name, "R"), "--ipalloc-init", init)
    done = mixed.run("R", *launch, "--ipalloc-range", "10.96.0.0/12", mixed.address("A", "R"))
    assert done.returncode == 0, done.stderr
    for host in "ABR":
        eventually(lambda host=host: "different --ipalloc-range" in mixed.run(host, "weave", "status").stdout, BACK_S)  # type: ignore[misc]
    mixed.add_container("B", "b2")
    for host, name, network in (("B", "b2", "10.32.0.0/12"), ("R", "r", "10.96.0.0/12")):
        assert ipaddress.ip_address(mixed.attach(host, name)) in ipaddress.ip_network(network)


def _calls(lab: Lab) -> int:
    """Count how often N begins to call A within `WATCH_S`."""
    member = Member(lab, "A")
    ear = member.ear("to-N")
    time.sleep(WATCH_S)
    count = 0
    for frame in ear.frames():
        is_tcp = frame[12:14] == b"\x08\0" and frame[23] == socket.IPPROTO_TCP
        # SYN, and no ACK.
        count += is_tcp and frame[34 + 13] & 0x12 == 0x02
    ear.close()
    member.close()
    return count


def test_a_laptop_that_slept_is_back_without_a_restart(asleep: Asleep) -> None:
    time.sleep(max(0.0, asleep.since + ASLEEP_S - time.monotonic()))
    world = asleep.world
    assert "established" not in world.weave("B", "status", "connections")
    for pid in asleep.processes:
        os.kill(pid, signal.SIGCONT)
    world.lab.heal("A", "B")
    world.pings_within(AGAIN_S)
    assert (world.agent(), world.worker()) == asleep.processes
