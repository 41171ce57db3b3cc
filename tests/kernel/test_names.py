"""Names as containers see them: resolvers that others wrote ask real agents, and a cable is cut.

Skipped where `dig` or `musl-gcc` is missing; `./setup.sh VENV test` installs them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from names_world import MANY, SERVERS, Resolvers, dig, give_addresses, text, wait_for, weave

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab, peer_name

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root"),
    pytest.mark.skipif(not (shutil.which("dig") and shutil.which("musl-gcc")), reason="needs dig and musl-gcc"),
]
NAME = f"wnn{os.getpid()}"
CUT_S = 30.0
BACK_S = 15.0
"""The target is 2 s on a machine that is not busy; what it took is printed."""
HOLD_PORT = f"""
import socket, time
held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
held.bind(({SERVERS["B"]!r}, 53))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(parse(text(NAME)), text=text(NAME), say=lambda _: None) as made:
        give_addresses(made)
        weave(made, "A", "dns-add", *MANY, "-h", "Many.weave.local")
        weave(made, "A", "dns-add", "10.46.1.1", "fd00::1", "-h", "web.weave.local", "--ttl", "7")
        weave(made, "B", "dns-add", "10.46.1.2", "-h", "db.weave.local", "--port", "_sql._tcp=5432,1,2", "--txt", "a b")
        wait_for(lambda: " ".join(dig(made, "A", "db")), "10.46.1.2")
        wait_for(lambda: " ".join(dig(made, "B", "web") + dig(made, "B", "many")), MANY[-1])
        yield made


@pytest.fixture(scope="module")
def resolvers(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Resolvers:
    return Resolvers(lab, tmp_path_factory.mktemp("names"))


@pytest.mark.parametrize("place", ["A.a1", "B.b1"])
def test_dig_gets_all_of_fifty_addresses(lab: Lab, place: str) -> None:
    for words in ((), ("+tcp",), ("+noedns",), ("+bufsize=512",)):
        assert dig(lab, place, "mAny.weave.local", *words) == sorted(MANY), words
    cut = dig(lab, place, "many", "+noedns", "+ignore")
    assert 20 < len(cut) < 50


def test_dig_gets_services_texts_and_names_of_addresses(lab: Lab) -> None:
    assert dig(lab, "A.a1", "_sql._tcp.db.weave.local", "SRV") == sorted(["1", "2", "5432", "db.weave.local."])
    assert dig(lab, "A.a1", "db", "TXT") == ['"a', 'b"']
    assert dig(lab, "B.b1", "-x", MANY[0]) == ["Many.weave.local."]
    assert dig(lab, "B.b1", "-x", "fd00::1") == ["web.weave.local."]
    assert dig(lab, "B.b1", "web", "AAAA") == ["fd00::1"]


def test_libc_finds_names_and_tells_what_is_missing(resolvers: Resolvers) -> None:
    for options in ("", "options use-vc"):
        found = resolvers.run("A.a1", "getent", "ahostsv4", "many.weave.local", options=options)
        assert sorted({line.split()[0] for line in found.splitlines()}) == sorted(MANY)
        assert resolvers.run("B.b1", "getent", "hosts", "db", options=options).split() == [
            "10.46.1.2",
            "db.weave.local",
        ]
        assert resolvers.run("A.a1", "getent", "hosts", "10.46.1.2", options=options).split()[1] == "db.weave.local"
        assert resolvers.run("A.a1", "getent", "hosts", "nobody.weave.local", options=options) == ""


def test_musl_finds_names_of_one_family_and_of_both(resolvers: Resolvers) -> None:
    assert resolvers.run("A.a1", resolvers.musl, "db").split() == ["10.46.1.2"]
    assert sorted(resolvers.run("B.b1", resolvers.musl, "web.weave.local").split()) == ["10.46.1.1", "fd00::1"]
    # Before 1.2.4 it never asks by TCP, and it never returns more than 48.
    many = resolvers.run("B.b1", resolvers.musl, "many").split()
    assert len(many) > 20
    assert set(many) <= set(MANY)
    assert "does not resolve" in resolvers.run("A.a1", resolvers.musl, "nobody")


def test_busybox_finds_names(resolvers: Resolvers) -> None:
    found = resolvers.run("A.a1", "busybox", "nslookup", "web.weave.local", SERVERS["A"])
    assert "10.46.1.1" in found
    assert "fd00::1" in found


def test_a_restarted_agent_serves_its_names_and_those_of_others(lab: Lab) -> None:
    weave(lab, "B", "stop")
    assert "refused" in dig(lab, "B", "db"), "the server has gone with its agent"
    lab.launch("B")
    wait_for(lambda: " ".join(dig(lab, "B", "many")), MANY[-1])
    wait_for(lambda: " ".join(dig(lab, "B", "db") + dig(lab, "A", "db")), "10.46.1.2 10.46.1.2")


def test_each_half_resolves_its_own_side_and_all_names_are_back_after_the_heal(lab: Lab) -> None:
    begin = time.monotonic()
    lab.cut("A", "B")
    wait_for(lambda: str(dig(lab, "A", "db")), "[]")
    wait_for(lambda: str(dig(lab, "B", "web")), "[]")
    withheld_s = time.monotonic() - begin
    while time.monotonic() - begin < CUT_S:
        assert dig(lab, "A.a1", "web") == ["10.46.1.1"]
        assert dig(lab, "B.b1", "db") == ["10.46.1.2"]
        time.sleep(1)
    begin = time.monotonic()
    lab.heal("A", "B")
    while dig(lab, "A.a1", "db") != ["10.46.1.2"] or dig(lab, "B.b1", "web") != ["10.46.1.1"]:
        assert time.monotonic() - begin < BACK_S
        time.sleep(0.05)
    print(f"withheld after {withheld_s:.1f} s, back {time.monotonic() - begin:.2f} s after the heal")


def test_an_address_that_is_taken_is_fatal_only_if_it_was_asked_for(lab: Lab) -> None:
    weave(lab, "B", "stop")
    with lab.start("B", sys.executable, "-c", HOLD_PORT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        name = ("--name", peer_name(NAME, "B"), "--nickname", "B", "--resolv-conf", "/dev/null")
        said = weave(lab, "B", "launch", *name, "--dns-listen-address", SERVERS["B"])
        assert f"Unable to start dns server: listen {SERVERS['B']}:53: Address already in use" in said
        lab.launch("B")
        wait_for(lambda: weave(lab, "B", "status"), f"Trouble: {SERVERS['B']}:53: Address already in use")
        holder.kill()
    wait_for(lambda: str(dig(lab, "B", "db")), "10.46.1.2")


def test_the_server_ends_with_an_agent_that_is_killed(lab: Lab) -> None:
    pid = daemon.running_pid(lab_kernel.directory(NAME, "B") / "run")
    assert pid is not None
    (server,) = (child for child in children(pid) if "adapters.dns" in command_of(child))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: f"[{command_of(server)}]", "[]")


def command_of(pid: int) -> str:
    """Return a process's command; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
