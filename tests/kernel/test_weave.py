"""The command as its users meet it: real agents on real hosts, made by a lab."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import LabError, parse
from adapters.control.lab_hosts import Lab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
NAME = f"wnw{os.getpid()}"
TWO = f"""
[lab]
name = "{NAME}"
launch = ["--ipalloc-init", "consensus=2"]
[[host]]
name = "A"
[[host]]
name = "B"
[[link]]
a = "A"
b = "B"
[[container]]
host = "A"
name = "a1"
[[container]]
host = "A"
name = "a2"
[[container]]
host = "B"
name = "b1"
"""
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(parse(TWO), text=TWO, say=lambda _: None) as made:
        yield made


def weave(lab: Lab, *words: str, host: str = "A") -> subprocess.CompletedProcess[str]:
    return lab.run(host, "weave", *words, timeout_s=TIMEOUT_S)


def good(lab: Lab, *words: str, host: str = "A") -> str:
    done = weave(lab, *words, host=host)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bad(lab: Lab, *words: str, host: str = "A") -> str:
    done = weave(lab, *words, host=host)
    assert done.returncode == 1, f"{words}: {done.stdout}"
    assert done.stdout == ""
    return done.stderr


def eventually(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.1)


def path_of(lab: Lab, host: str, container: str) -> str:
    return str(lab.namespace(host, container).path)


def test_attach_is_idempotent_and_detach_takes_all_away(lab: Lab) -> None:
    path = path_of(lab, "A", "a1")
    address = good(lab, "attach", path).strip()
    assert re.fullmatch(r"10\.\d+\.\d+\.\d+", address)
    assert good(lab, "attach", path).strip() == address
    assert good(lab, "attach", "10.47.1.7/12", path).strip() == "10.47.1.7"
    line = next(line for line in good(lab, "ps").splitlines() if ".a1 " in line)
    assert re.fullmatch(rf"\S+ [0-9a-f:]{{17}} {address}/12 10\.47\.1\.7/12", line)
    inside = lab.run("A.a1", "ip", "-4", "addr", "show", "ethwe").stdout
    assert f"inet {address}/12" in inside
    assert "inet 10.47.1.7/12" in inside
    assert "224.0.0.0/4" in lab.run("A.a1", "ip", "route").stdout
    assert good(lab, "detach", path).split() == [address, "10.47.1.7"]
    assert lab.run("A.a1", "ip", "link", "show", "ethwe").returncode != 0
    assert ".a1 " not in good(lab, "ps")


def test_containers_on_two_hosts_reach_each_other(lab: Lab) -> None:
    good(lab, "attach", path_of(lab, "A", "a2"))
    address = good(lab, "attach", path_of(lab, "B", "b1"), host="B").strip()
    assert "3 received" in lab.run("A.a2", "ping", "-c3", "-i0.2", "-W2", "-q", address).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("attach", "10.32.0.1/99", "PATH"), "10.32.0.1/99"),
        (("attach", "net:10.2.3.2/30", "PATH"), "bits after network prefix are not all zero"),
        (("attach", "net:192.168.0.0/24", "PATH"), "out of bounds"),
        (("attach", "net:10.32.0.0/31", "PATH"), "smaller than minimum size"),
        (("attach", "/run/netns/there-is-none"), "there is no network namespace"),
        (("attach", "/proc/self/ns/net"), "host network namespace"),
        (("attach", "no-such-container"), "no-such-container"),
        (("detach", "PATH"), "has no interface"),
        (("connect", "no-such-host.invalid"), "no-such-host.invalid"),
        (("connect", "host:port"), "should be host[:port]"),
        (("status", "nonsense"), "Invalid 'weave status' sub-command: nonsense"),
        (("report", "-f", "{{.Nonsense}}"), "can't evaluate field Nonsense"),
        (("report", "-f", "{{range}"), "unclosed action"),
        (("nonsense",), "Unknown weave command 'nonsense'"),
        (("attach",), "Usage"),
        (("run", "x"), "has been removed"),
    ],
)
def test_a_mistake_is_explained_and_changes_nothing(lab: Lab, words: tuple[str, ...], message: str) -> None:
    before = good(lab, "ps"), good(lab, "status", "targets")
    path = path_of(lab, "A", "a1")
    assert message in bad(lab, *(path if word == "PATH" else word for word in words))
    assert (good(lab, "ps"), good(lab, "status", "targets")) == before


def test_status_speaks_in_the_formats_that_scripts_know(lab: Lab) -> None:
    eventually(lambda: "established" in good(lab, "status", "connections"))
    text = good(lab, "status")
    assert text.startswith("\n        Version: ")
    assert re.search(r"(?<= Name: ).*\(A\)", text)
    assert "Service: ipam" in text
    connections = good(lab, "status", "connections")
    assert re.search(r"^(<-|->) \S+ +established +unencrypted fastdp \S+\(B\) ", connections, re.M)
    assert re.search(r"^[0-9a-f:]{17}\(A\)\n   (<-|->) ", good(lab, "status", "peers"), re.M)
    assert re.search(r"^\S+\(A\) +\d+ IPs \(\d\d\.\d% of total\) \(\d+ active\)", good(lab, "status", "ipam"), re.M)
    assert good(lab, "report", "-f", "{{.Router.NickName}} {{len .Router.Peers}}") == "A 2"
    assert json.loads(good(lab, "report"))["IPAM"]["Range"] == "10.32.0.0/12"


def test_reading_is_open_on_loopback_and_changing_is_not(lab: Lab) -> None:
    host = lab.namespace("A")

    def fetch(method: str, path: str, port: int = 6784) -> str:
        program = (
            "import sys, urllib.request as u\n"
            f"data = b'peer=10.9.9.9' if '{method}' == 'POST' else None\n"
            f"r = u.Request('http://127.0.0.1:{port}{path}', method='{method}', data=data)\n"
            "try: print(u.urlopen(r, timeout=5).read().decode())\n"
            "except u.HTTPError as e: print('status', e.code)\n"
        )
        done = subprocess.run(
            ("nsenter", f"--net={host.path}", "python3", "-c", program), capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "Service: router" in fetch("GET", "/status")
    assert "established" in fetch("GET", "/status/connections")
    assert fetch("GET", "/report?format=%7B%7B.Router.NickName%7D%7D") == "A\n"
    assert "weave_connections{" in fetch("GET", "/metrics", 6782)
    for path in ("/connect", "/attach", "/stop", "/ip/x"):
        assert fetch("POST", path) in ("status 404\n", "status 405\n"), path
    assert (lab_kernel.directory(NAME, "A") / "run" / "control.sock").stat().st_mode & 0o777 == 0o600


def test_garbage_on_the_control_port_closes_that_connection_only(lab: Lab) -> None:
    before = good(lab, "status", "peers")
    address = lab.address("A", "B")
    program = (
        f"import socket; s = socket.create_connection(('{address}', 6783)); "
        "s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); s.recv(65536); s.recv(65536)"
    )
    lab.run("B", "python3", "-c", program, timeout_s=20)
    eventually(lambda: "it does not begin as a peer does" in good(lab, "status", "connections"))
    assert good(lab, "status", "peers") == before


def test_a_second_launch_is_told_so(lab: Lab) -> None:
    with pytest.raises(LabError, match="already running"):
        lab.launch("A")
    done = weave(lab, "launch")
    assert done.returncode == 3


def test_a_killed_agent_comes_back_with_all_it_had(lab: Lab) -> None:
    before = good(lab, "ps")
    pid = daemon.running_pid(lab_kernel.directory(NAME, "A") / "run")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not daemon.is_alive(pid))
    assert "weave is not running" in bad(lab, "status")
    lab.launch("A")
    assert good(lab, "ps") == before
    eventually(lambda: "established" in good(lab, "status", "connections"))


def test_a_port_in_use_is_an_error_before_anything_is_changed(lab: Lab) -> None:
    good(lab, "stop")
    host = lab.namespace("A")
    holder = subprocess.Popen(
        (
            "nsenter",
            f"--net={host.path}",
            "python3",
            "-c",
            "import socket,time; s=socket.create_server(('',6783)); print('up', flush=True); time.sleep(60)",
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(LabError, match=r"TCP.*6783.*in use"):
            lab.launch("A")
    finally:
        holder.kill()
        holder.wait()
    lab.launch("A")


def test_a_range_that_overlaps_a_route_of_the_host_is_refused(lab: Lab) -> None:
    good(lab, "stop")
    lab_kernel.ip("route", "add", "10.33.0.0/16", "via", lab.address("B", "A"), namespace=lab.namespace("A"))
    try:
        done = weave(lab, "launch")
        assert done.returncode == 1
        assert "overlaps with existing route on host" in done.stderr
    finally:
        lab_kernel.ip("route", "del", "10.33.0.0/16", namespace=lab.namespace("A"))
    lab.launch("A")


def test_stopping_leaves_the_kernel_forwarding_and_reset_removes_everything(lab: Lab) -> None:
    address = good(lab, "ps", host="B").splitlines()[-1].split()[-1].split("/")[0]
    good(lab, "stop")
    assert "3 received" in lab.run("A.a2", "ping", "-c3", "-i0.2", "-W2", "-q", address).stdout
    lab.launch("A")
    # It hands over nothing before it has caught up with the other.
    good(lab, "prime")
    good(lab, "reset")
    links = lab.run("A", "ip", "-brief", "link").stdout
    assert not re.search("weave|vxlan|vethwepl", links)
    assert not (lab_kernel.directory(NAME, "A") / "data" / "journal.db").exists()
    owners = good(lab, "status", "ipam", host="B")
    assert re.search(r"1048576 IPs \(100\.0% of total\)", owners), "the other host is the heir"
    good(lab, "reset")
