"""The networks that are compared: two containers on two hosts, joined in different ways.

`native` is a bridge on each host and a cable between the bridges: no overlay at all. `vxlan` is what flannel and others
do: classic kernel VXLAN in a bridge with a static forwarding table. `ours` is one hop of weave, `two hops` is through a
host in between, both on agents that really run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

PREFIX = f"wnb{os.getpid()}-"
MTU = 1376
UNDERLAY_MTU = 1500
VNI = 42
LAB = """
[lab]
name = "bench"
[[host]]
name = "A"
[[host]]
name = "B"
[[host]]
name = "C"
[[link]]
a = "A"
b = "B"
[[link]]
a = "B"
b = "C"
[[container]]
host = "A"
name = "a"
attach = true
[[container]]
host = "B"
name = "b"
attach = true
[[container]]
host = "C"
name = "c"
attach = true
"""


@dataclass(frozen=True, slots=True)
class Network:
    """Two containers between which is measured."""

    name: str
    """What joins them."""
    source: str
    """Path of the one's network namespace."""
    target: str
    """Path of the other's."""
    address: str
    """The other's address."""
    hosts: tuple[str, ...]
    """Names of the namespaces of the hosts on the way."""


def sh(*words: str) -> str:
    """Run a command. Raises: RuntimeError with what it said."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextmanager
def networks() -> Iterator[tuple[tuple[Network, ...], Lab]]:
    """Make all networks, and remove them however the block ends."""
    lab = Lab(parse(LAB), text=LAB, say=lambda line: print(f"  {line}", flush=True))
    try:
        plain = (_native(), _vxlan())
        with lab:
            yield (*plain, _ours(lab, "ours", "B", "b"), _ours(lab, "two hops", "C", "c")), lab
    finally:
        for entry in sorted(os.listdir("/run/netns")):
            if entry.startswith(PREFIX):
                sh("ip", "netns", "del", entry)


def _native() -> Network:
    hosts = _pair("n")
    for host in hosts:
        sh("ip", "-n", host, "link", "set", "up0", "master", "br0")
    return _path("native", "n", hosts)


def _vxlan() -> Network:
    hosts = _pair("v")
    for index, host in enumerate(hosts):
        sh("ip", "-n", host, "addr", "add", f"198.19.0.{index + 1}/24", "dev", "up0")
        words = f"type vxlan id {VNI} dstport 4789 local 198.19.0.{index + 1} nolearning"
        sh("ip", "-n", host, "link", "add", "vx0", "mtu", str(MTU), *words.split())
        sh("ip", "-n", host, "link", "set", "vx0", "master", "br0", "up")
    for index, host in enumerate(hosts):
        other = 1 - index
        for mac in ("00:00:00:00:00:00", _mac("v", other)):
            sh("bridge", "-n", host, "fdb", "append", mac, "dev", "vx0", "dst", f"198.19.0.{other + 1}")
    return _path("vxlan", "v", hosts)


def _pair(kind: str) -> tuple[str, str]:
    """Make two hosts with a bridge and a container each, and a cable between them."""
    names = (f"{PREFIX}{kind}0", f"{PREFIX}{kind}1")
    for index, host in enumerate(names):
        container = f"{host}c"
        sh("ip", "netns", "add", host)
        sh("ip", "netns", "add", container)
        sh("ip", "-n", host, "link", "add", "br0", "mtu", str(MTU), "type", "bridge", "mcast_snooping", "0")
        words = (
            f"link add c0 mtu {MTU} type veth peer name eth0 mtu {MTU} address {_mac(kind, index)} netns {container}"
        )
        sh("ip", "-n", host, *words.split())
        sh("ip", "-n", host, "link", "set", "c0", "master", "br0", "up")
        sh("ip", "-n", host, "link", "set", "br0", "up")
        sh("ip", "-n", container, "addr", "add", f"10.99.0.{index + 1}/24", "dev", "eth0")
        sh("ip", "-n", container, "link", "set", "eth0", "up")
    sh(
        "ip",
        "-n",
        names[0],
        "link",
        "add",
        "up0",
        "mtu",
        str(UNDERLAY_MTU),
        *f"type veth peer up0 netns {names[1]}".split(),
    )
    for host in names:
        sh("ip", "-n", host, "link", "set", "up0", "mtu", str(UNDERLAY_MTU), "up")
    return names


def _path(name: str, kind: str, hosts: tuple[str, str]) -> Network:
    return Network(name, f"/run/netns/{hosts[0]}c", f"/run/netns/{hosts[1]}c", "10.99.0.2", hosts)


def _ours(lab: Lab, name: str, host: str, container: str) -> Network:
    source, target = lab.namespace("A", "a"), lab.namespace(host, container)
    shown = lab.run(f"{host}.{container}", "ip", "-4", "-o", "addr", "show", "dev", "ethwe").stdout
    address = shown.split("inet ")[1].split("/")[0]
    hosts = tuple(lab.namespace(member.name).name for member in lab.file.hosts)
    return Network(name, str(source.path), str(target.path), address, hosts)


def _mac(kind: str, index: int) -> str:
    return f"02:00:00:{ord(kind):02x}:00:{index + 1:02x}"


def compile_cost(folder: Path) -> Path:
    """Compile the program that measures cost per packet. Raises: RuntimeError when there is no compiler."""
    source = Path(__file__).parent / "cost.c"
    program = folder / "cost"
    for compiler in ("cc", "gcc", "clang"):
        try:
            sh(compiler, "-O2", "-o", str(program), str(source))
        except (RuntimeError, FileNotFoundError) as error:
            problem = error
        else:
            return program
    raise RuntimeError(f"bench/cost.c cannot be compiled: {problem}; on Debian: apt-get install gcc libc6-dev")
