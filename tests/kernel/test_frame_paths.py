"""Every path that frames can take between real hosts: blocked ports, black holes, loss, NATs, relays."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
NUMBERS = itertools.count()
"""Of labs: several are up at once."""
TIMEOUT_S = 60.0
TWO = "--ipalloc-init consensus=2"
PING_EVERY_S = 0.1
GAP_MAX_S = 4.0
"""The promise is three; machines that run tests are busy."""
HOST = '[[host]]\nname = "{}"\n'
LINK = '[[link]]\na = "{}"\nb = "{}"\n'
CONTAINER = '[[container]]\nhost = "{}"\nname = "{}"\nattach = true\n'
NAT = (
    "nft add table ip nat; nft 'add chain ip nat out {{ type nat hook postrouting priority srcnat; }}'; "
    "nft add rule ip nat out oifname {0} masquerade random; "
    "nft add table ip wall; nft 'add chain ip wall through {{ type filter hook forward priority filter; }}'; "
    "nft add rule ip wall through ct state established,related accept; nft add rule ip wall through iifname {0} drop"
)
"""What a home router does, with its outside interface."""


def lab_text(*parts: str, launch: str) -> str:
    options = ", ".join(f'"{word}"' for word in launch.split())
    return f'[lab]\nname = "wnp{os.getpid()}x{next(NUMBERS)}"\nlaunch = [{options}]\n' + "".join(parts)


def pair(launch: str = "", **kinds: str) -> str:
    hosts = [HOST.format(name) + kinds.get(name, "") for name in ("A", "B")]
    return lab_text(
        *hosts, LINK.format("A", "B"), CONTAINER.format("A", "a"), CONTAINER.format("B", "b"), launch=f"{TWO} {launch}"
    )


@contextmanager
def up(text: str) -> Iterator[Lab]:
    with Lab(parse(text), text=text, say=lambda _: None) as made:
        yield made


def line_about(lab: Lab, host: str, peer: str) -> str:
    """Return what a host says about its connection to a peer; empty when there is none."""
    shown = lab.run(host, "weave", "status", "connections", timeout_s=TIMEOUT_S).stdout
    return next((line for line in shown.splitlines() if f"({peer})" in line), "")


def transport(lab: Lab, host: str, peer: str) -> str:
    found = re.search(r"established (?:un)?encrypted\s+(\w+) ", line_about(lab, host, peer))
    return found[1] if found else ""


def eventually(is_so: Callable[[], bool], what: str = "it") -> None:
    until = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < until, f"{what} never came about"
        time.sleep(0.1)


def address(lab: Lab, host: str, container: str) -> str:
    shown = lab.run(f"{host}.{container}", "ip", "-4", "-o", "addr", "show", "dev", "ethwe").stdout
    return shown.split("inet ")[1].split("/")[0]


def ping(lab: Lab, place: str, target: str, *options: str) -> str:
    return lab.run(place, "ping", "-c", "3", "-i", "0.2", "-W", "2", *options, target, timeout_s=TIMEOUT_S).stdout


def reaches(lab: Lab, place: str, target: str, *options: str) -> bool:
    return " 0% packet loss" in ping(lab, place, target, *options)


def nft(lab: Lab, host: str, *lines: str) -> None:
    for line in lines:
        done = lab.run(host, "nft", line)
        assert done.returncode == 0, done.stderr


@contextmanager
def rule(lab: Lab, host: str, text: str) -> Iterator[None]:
    """Have a rule for what comes in at a host, for a while."""
    nft(lab, host, "add table ip test", "add chain ip test in { type filter hook input priority -10; }")
    nft(lab, host, f"add rule ip test in {text}")
    try:
        yield
    finally:
        nft(lab, host, "delete table ip test")


class Pings:
    """Pings all the time, and tells how long nothing came back."""

    def __init__(self, lab: Lab, place: str, target: str) -> None:
        self._process = lab.start(place, "ping", "-n", "-D", "-i", str(PING_EVERY_S), target)

    def longest_gap_s(self) -> float:
        self._process.terminate()
        text = self._process.communicate(timeout=TIMEOUT_S)[0]
        stamps = [float(stamp) for stamp in re.findall(r"^\[([\d.]+)\].*icmp_seq", str(text), re.MULTILINE)]
        assert len(stamps) > 2, text
        return max(later - sooner for sooner, later in itertools.pairwise(stamps))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with up(pair()) as made:
        eventually(lambda: transport(made, "A", "B") == "fastdp", "the fast path")
        yield made


def test_the_fast_path_carries_frames_where_it_can(lab: Lab) -> None:
    assert reaches(lab, "A.a", address(lab, "B", "b"))
    assert "unencrypted fastdp" in line_about(lab, "B", "A")
    assert "mtu=1376" in line_about(lab, "B", "A")


def test_frames_take_the_sleeve_while_vxlan_is_blocked_and_go_back_by_themselves(lab: Lab) -> None:
    pings = Pings(lab, "A.a", address(lab, "B", "b"))
    time.sleep(1)
    with rule(lab, "B", "udp dport 6784 drop"):
        eventually(lambda: transport(lab, "A", "B") == "sleeve", "the sleeve")
        assert "(fastdp: " in line_about(lab, "A", "B"), "it says why"
        # Smaller frames count as heard for a moment longer.
        eventually(lambda: "UDP port 6784 blocked?" in line_about(lab, "A", "B"), "the reason")
        time.sleep(1)
    eventually(lambda: transport(lab, "A", "B") == transport(lab, "B", "A") == "fastdp", "the way back")
    time.sleep(1)
    assert pings.longest_gap_s() < GAP_MAX_S


def test_large_packets_get_through_a_black_hole(lab: Lab) -> None:
    lab.run("A", "ip", "link", "set", "to-B", "gso_max_segs", "1")
    lab.run("B", "ip", "link", "set", "to-A", "gso_max_segs", "1")
    target = address(lab, "B", "b")
    with rule(lab, "B", "udp dport { 6783, 6784 } meta length > 700 drop"):
        eventually(lambda: transport(lab, "A", "B") == "sleeve", "the sleeve")
        assert "frames of 1390 bytes do not get through" in line_about(lab, "A", "B")
        eventually(lambda: reaches(lab, "A.a", target, "-s", "10000"), "a large packet")
        eventually(
            lambda: "mtu = " in ping(lab, "A.a", target, "-s", "1300", "-M", "do"), "the answer that it is too big"
        )
    eventually(lambda: transport(lab, "A", "B") == "fastdp", "the way back")
    assert reaches(lab, "A.a", target, "-s", "10000")


def test_loss_of_a_third_makes_nothing_flap(lab: Lab) -> None:
    with rule(lab, "B", "udp dport { 6783, 6784 } numgen random mod 10 < 3 drop"):
        seen: dict[str, None] = {}
        for _ in range(30):
            seen[transport(lab, "A", "B")] = None
            time.sleep(0.4)
    assert list(seen) == ["fastdp"]


def test_without_any_udp_the_link_carries_nothing_and_says_so(lab: Lab) -> None:
    with rule(lab, "B", "udp dport { 6783, 6784 } drop"):
        eventually(lambda: "pending" in line_about(lab, "A", "B"), "that nothing gets through")
        assert "UDP port 678" in line_about(lab, "A", "B")
    eventually(lambda: transport(lab, "A", "B") == "fastdp", "the way back")


def test_a_host_may_have_no_fast_path_by_option_or_environment() -> None:
    with up(pair(A='launch = ["--no-fastdp"]\n')) as lab:
        eventually(lambda: transport(lab, "A", "B") == transport(lab, "B", "A") == "sleeve", "the sleeve")
        assert "(fastdp: switched off here)" in line_about(lab, "A", "B")
        assert reaches(lab, "A.a", address(lab, "B", "b"), "-s", "5000")
        lab.run("A", "weave", "stop", timeout_s=TIMEOUT_S)
        words = lab.launch_command("A")
        quiet = [word for word in words if word != "--no-fastdp"]
        again = lab.run("A", "env", "WEAVE_NO_FASTDP=1", "WEAVE_MTU=1200", *quiet, timeout_s=TIMEOUT_S)
        assert again.returncode == 0, again.stderr
        eventually(lambda: transport(lab, "A", "B") == "sleeve", "the sleeve")
        eventually(lambda: "mtu 1200" in lab.run("A", "ip", "link", "show", "weave").stdout, "the other MTU")


def test_jumbo_frames_pass_where_the_links_have_them() -> None:
    jumbo = 'setup = ["ip link set to-{} mtu 9000"]\n'
    with up(pair(A=jumbo.format("B"), B=jumbo.format("A"))) as lab:
        eventually(lambda: transport(lab, "A", "B") == "fastdp", "the fast path")
        assert "mtu=8876" in line_about(lab, "A", "B")
        assert reaches(lab, "A.a", address(lab, "B", "b"), "-s", "8800", "-M", "do")


def nat_text(launch: str = "") -> str:
    """Two hosts behind routers of their own, and one that both can call: A – NA – C – NB – B."""
    behind = 'peers = []\nlaunch = ["{}"]\nsetup = ["ip route add default via {}"]\n'
    router = 'launch = false\nsetup = ["sysctl -qw net.ipv4.ip_forward=1", "{}"]\n'
    return lab_text(
        HOST.format("A") + behind.format("198.18.0.6", "198.18.0.2"),
        HOST.format("NA") + router.format(NAT.format("to-C")),
        HOST.format("C") + "peers = []\n",
        HOST.format("NB") + router.format(NAT.format("to-C")),
        HOST.format("B") + behind.format("198.18.0.9", "198.18.0.13"),
        *(LINK.format(*ends) for ends in (("A", "NA"), ("NA", "C"), ("C", "NB"), ("NB", "B"))),
        *(CONTAINER.format(host, host.lower()) for host in "ABC"),
        launch=f"--ipalloc-init consensus=3 {launch}",
    )


@pytest.mark.parametrize("launch", ["", "--password wfvAwt7sj"])
def test_hosts_behind_nats_meet_through_one_that_both_can_call(launch: str) -> None:
    with up(nat_text(launch)) as lab:
        eventually(lambda: transport(lab, "A", "C") == transport(lab, "C", "B") == "sleeve", "the sleeve")
        for place, target in (("A.a", "C"), ("C.c", "B"), ("A.a", "B"), ("B.b", "A")):
            eventually(
                lambda place=place, target=target: reaches(lab, place, address(lab, target, target.lower())),
                f"a path from {place} to {target}",
            )
        # Masquerading forgets its mappings with the device: from now on A's packets come from other ports.
        lab.cut("NA", "C")
        lab.heal("NA", "C")
        eventually(lambda: reaches(lab, "A.a", address(lab, "B", "b")), "a path through the router as it is now")


def test_a_relay_needs_no_addresses_of_its_own() -> None:
    text = lab_text(
        HOST.format("A") + f"launch = {TWO.split()}\n",
        HOST.format("B") + 'launch = ["--ipalloc-range="]\n',
        HOST.format("C") + f"launch = {TWO.split()}\n",
        LINK.format("A", "B"),
        LINK.format("B", "C"),
        CONTAINER.format("A", "a"),
        CONTAINER.format("C", "c"),
        launch="",
    )
    with up(text) as lab, rule(lab, "C", "udp dport 6784 drop"):
        eventually(lambda: transport(lab, "B", "C") == "sleeve", "the sleeve")
        assert transport(lab, "A", "B") == "fastdp"
        target = address(lab, "C", "c")
        eventually(lambda: reaches(lab, "A.a", target), "a path over both kinds of hops")
        assert reaches(lab, "A.a", target, "-s", "6000")


class Capture:
    """What passes a device, by tcpdump."""

    def __init__(self, lab: Lab, host: str, device: str) -> None:
        words = ("tcpdump", "--immediate-mode", "-U", "-w", "-", "-i", device)
        self._process = subprocess.Popen(lab.command(host, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        while b"listening on" not in self._process.stderr.readline():
            assert self._process.poll() is None, "tcpdump has ended"

    def end(self) -> bytes:
        self._process.terminate()
        return self._process.communicate(timeout=TIMEOUT_S)[0]


def packets(capture: bytes, expression: str) -> int:
    words = ("tcpdump", "-nn", "-r", "-", expression)
    done = subprocess.run(words, input=capture, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return len(done.stdout.splitlines())


def test_what_is_on_the_wire_of_a_sealed_pair(lab: Lab) -> None:
    pattern = "77656176656e6574"
    plain = Capture(lab, "A", "to-B")
    assert reaches(lab, "A.a", address(lab, "B", "b"), "-p", pattern)
    shown = plain.end()
    assert bytes.fromhex(pattern * 3) in shown, "without a password everybody can read along"
    assert packets(shown, "udp port 6784") >= 6
    with up(pair("--password wfvAwt7sj")) as sealed:
        eventually(lambda: transport(sealed, "A", "B") == "sleeve", "the sleeve")
        assert "encrypted=true" in line_about(sealed, "A", "B")
        assert "no ESP in this kernel" in line_about(sealed, "A", "B")
        target = address(sealed, "B", "b")
        assert reaches(sealed, "A.a", target)
        capture = Capture(sealed, "A", "to-B")
        sealed.run("A", "weave", "connect", "198.18.0.2", timeout_s=TIMEOUT_S)
        assert reaches(sealed, "A.a", target, "-p", pattern)
        shown = capture.end()
        assert packets(shown, "udp port 6783") >= 6
        assert packets(shown, "udp port 6784") == 0
        assert bytes.fromhex(pattern * 3) not in shown


def test_trusted_subnets_spare_the_frames_and_not_the_control() -> None:
    options = "--password wfvAwt7sj --trusted-subnets 198.18.0.0/15"
    with up(pair(options)) as lab:
        eventually(lambda: transport(lab, "A", "B") == "fastdp", "the fast path")
        assert "unencrypted fastdp" in line_about(lab, "A", "B")
        assert reaches(lab, "A.a", address(lab, "B", "b"))
    one = pair("--password wfvAwt7sj", A='launch = ["--trusted-subnets", "198.18.0.0/15"]\n')
    with up(one) as lab:
        eventually(lambda: transport(lab, "A", "B") == transport(lab, "B", "A") == "sleeve", "the sleeve")
        assert "encrypted=true" in line_about(lab, "A", "B"), "one alone trusts in vain"
