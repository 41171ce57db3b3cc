"""Two workers, two TAPs, a wire: what passes, what is said about it, and what hostile bytes do."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from datapath_world import sh
from worker_world import SECRET, TAP, UDP_PORT, SleeveHost, pair, tunnel

from core.events import PathDown, PathUp
from datapath.sleeve.__main__ import AUTOGROUP, NICENESS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
MTU_ON_1500 = 1472 - 16 - 32 - 2 - 36
"""UDP payload without header, tag, length, virtio-net header, Ethernet and tags."""


@pytest.fixture(params=[True, False], ids=["sealed", "plain"])
def hosts(request: pytest.FixtureRequest) -> Iterator[tuple[SleeveHost, SleeveHost]]:
    made = pair(is_sealed=request.param)
    yield made
    for host in made:
        host.remove()


@pytest.fixture
def sealed() -> Iterator[tuple[SleeveHost, SleeveHost]]:
    made = pair()
    yield made
    for host in made:
        host.remove()


def ping(host: SleeveHost, *options: str, count: int = 3) -> str:
    return host.sh("ping", f"-c{count}", "-i0.2", "-W1", "-q", *options, f"10.9.0.{3 - host.number}").stdout


def transfer(source: SleeveHost, target: SleeveHost, size: int) -> bool:
    """Send bytes by TCP; say whether they arrive as they were."""

    def listen() -> socket.socket:
        made = socket.create_server((f"10.9.0.{target.number}", 7000))
        made.settimeout(20)
        return made

    listener = target.run(listen)
    data = random.Random(1).randbytes(1 << 20)
    digest = hashlib.sha256()

    def take() -> None:
        taken, _ = listener.accept()
        taken.settimeout(20)
        while part := taken.recv(1 << 20):
            digest.update(part)
        taken.close()

    taker = threading.Thread(target=take)
    taker.start()
    sender = source.run(lambda: socket.create_connection((f"10.9.0.{target.number}", 7000), 20))
    expected = hashlib.sha256()
    for _ in range(size >> 20):
        sender.sendall(data)
        expected.update(data)
    sender.close()
    taker.join(30)
    listener.close()
    return digest.digest() == expected.digest()


def test_both_hear_of_the_path_and_its_size(hosts: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = hosts
    for host in hosts:
        host.wait(lambda host=host: host.mtu() >= MTU_ON_1500)  # type: ignore[misc]  # binds the loop's host
    last = one.last()
    assert isinstance(last, PathUp)
    assert last.address == f"198.18.0.2:{UDP_PORT}"
    assert len(two.sleeve.tunnels()) == 1


def test_small_and_full_and_far_too_large_frames_cross(hosts: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = hosts
    one.wait(lambda: one.mtu() >= MTU_ON_1500)
    for size in ("8", "56", "1348", "10000"):
        assert "3 received" in ping(one, "-s", size), size
        assert "3 received" in ping(two, "-s", size), size


def test_super_frames_of_tcp_arrive_as_they_were(hosts: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = hosts
    for host in hosts:
        host.wait(lambda host=host: host.mtu() >= MTU_ON_1500)  # type: ignore[misc]  # binds the loop's host
    assert transfer(one, two, 64 << 20)
    assert transfer(two, one, 16 << 20)
    for host in hosts:
        rss = [line for line in Path(f"/proc/{host.sleeve.pid}/status").read_text().splitlines() if "VmRSS" in line]
        assert int(rss[0].split()[1]) < 40_960, rss


def test_a_black_hole_of_large_packets_lets_large_frames_through(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = sealed
    one.wait(lambda: one.mtu() >= MTU_ON_1500)
    for host in sealed:
        host.run(lambda: sh("nft", "add table ip hole; add chain ip hole in { type filter hook input priority 0; };"
                            "add rule ip hole in iifname wire meta length > 700 drop"))  # fmt: skip
        # Datagrams leave one by one, as on a real wire: the rule would drop all that are handed over at once.
        host.tool("link", "set", "wire", "gso_max_segs", "1")
    for host in sealed:
        host.wait(lambda host=host: 500 < host.mtu() <= 672 - 86, 15)  # type: ignore[misc]  # binds the loop's host
    assert "3 received" in ping(one, "-s", "10000", "-Mdont")
    assert transfer(one, two, 1 << 20)


def test_a_frame_that_must_not_be_cut_is_answered(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    one, _ = sealed
    one.wait(lambda: one.mtu() >= MTU_ON_1500)
    for name in (TAP, "outer", "inner"):
        one.tool("link", "set", name, "mtu", "1900")
    assert one.run(lambda: _hear_answer(one)) == ("3/4", MTU_ON_1500)


def _hear_answer(host: SleeveHost) -> tuple[str, int]:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ear.bind((TAP, 0))
    ear.settimeout(5)
    assert "mtu = 1386" in host.sh("ping", "-c2", "-W1", "-Mdo", "-s", "1600", "10.9.0.2").stdout
    while True:
        data, address = ear.recvfrom(4096)
        # The outermost tag was taken off by the kernel; two follow, then IPv4 and its ICMP.
        if address[2] != socket.PACKET_OUTGOING and data[20:22] == b"\x08\x00" and data[22 + 9] == 1 and data[42] == 3:
            assert int.from_bytes(data[14:16], "big") & 0xFFF == 2
            assert int.from_bytes(data[18:20], "big") & 0xFFF == 5
            ear.close()
            return f"{data[42]}/{data[43]}", int.from_bytes(data[48:50], "big")


def test_a_neighbour_that_moves_is_followed(hosts: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = hosts
    one.tool("addr", "add", "198.18.0.77/24", "dev", "wire")
    one.tool("addr", "del", "198.18.0.1/24", "dev", "wire")
    one.tool("addr", "replace", "198.18.0.77/24", "dev", "wire")
    two.wait(lambda: two.is_up() and getattr(two.last(), "address", "") == f"198.18.0.77:{UDP_PORT}", 20)
    one.wait(one.is_up, 15)
    assert "3 received" in ping(one)


def test_silence_is_told_within_three_seconds_and_so_is_the_return(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = sealed
    one.run(lambda: sh("nft", "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; };"
                       f"add rule ip deaf in udp dport {UDP_PORT} drop"))  # fmt: skip
    one.wait(lambda: isinstance(one.last(), PathDown), 4)
    two.wait(lambda: isinstance(two.last(), PathDown), 4)
    time.sleep(1)
    one.run(lambda: sh("nft", "delete table ip deaf"))
    for host in sealed:
        host.wait(host.is_up, 6)


def test_the_worker_may_die_at_any_moment(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = sealed
    first = one.sleeve.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    one.wait(lambda: isinstance(one.last(), PathDown))
    assert one.sleeve.deaths == 1
    assert one.sleeve.tunnels() == ()
    wish = tunnel(2, "198.18.0.2", outbound=True, is_sealed=True)
    one.wait(lambda: _is_set(one, wish))
    assert one.sleeve.pid != first
    one.wait(one.is_up)
    two.wait(two.is_up)
    assert "3 received" in ping(one)


def _is_set(host: SleeveHost, wish: object) -> bool:
    try:
        host.run(lambda: host.sleeve.set_tunnel(wish, SECRET))  # type: ignore[arg-type]  # a tunnel
    except OSError:
        return False
    return True


def test_a_worker_shows_no_secret_and_leaves_no_core(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    pid = sealed[0].sleeve.pid
    assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:] == [
        b"-P", b"-m", b"datapath.sleeve", TAP.encode(), b"0.0.0.0", b"6783", b""
    ]  # fmt: skip
    assert "Max core file size        0                    0" in Path(f"/proc/{pid}/limits").read_text()


def test_the_worker_goes_before_others_but_not_the_agent(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    pid = sealed[0].sleeve.pid
    assert pid is not None
    assert os.getpriority(os.PRIO_PROCESS, pid) == NICENESS
    assert os.getpriority(os.PRIO_PROCESS, 0) > NICENESS
    assert os.getsid(pid) == pid
    if AUTOGROUP.exists():
        assert Path(f"/proc/{pid}/autogroup").read_text().split()[-1] == str(NICENESS)


def test_a_tunnel_that_is_removed_carries_nothing(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    one, _ = sealed
    assert one.sleeve.remove_tunnel(one.sleeve.tunnels()[0].peer)
    assert not one.sleeve.remove_tunnel(tunnel(2, "", outbound=True, is_sealed=True).peer)
    assert " 0 received" in ping(one)


def test_twenty_thousand_bad_datagrams_deliver_nothing(sealed: tuple[SleeveHost, SleeveHost]) -> None:
    one, two = sealed
    rng = random.Random(1)
    ear = two.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
    ear.bind((TAP, 0))

    def shout() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            for number in range(20_000):
                mouth.sendto(rng.randbytes(rng.randint(0, 200)), ("198.18.0.2", UDP_PORT))
                if number % 200 == 0:
                    time.sleep(0.01)

    one.run(shout)
    assert "3 received" in ping(one)
    assert two.is_up()
    ear.setblocking(False)
    seen = 0
    while True:
        try:
            _, address = ear.recvfrom(4096)
        except BlockingIOError:
            break
        seen += address[2] != socket.PACKET_OUTGOING
    assert seen <= 20, "the pings, and what IPv6 says of itself"
    two.wait(lambda: sum(two.sleeve.counters.values()) >= 15_000)
