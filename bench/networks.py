"""The networks that are compared: two containers on two hosts, joined in different ways.

`native` is a bridge on each host and a cable between the bridges: no overlay at all. `vxlan` is what flannel and others
do: classic kernel VXLAN in a bridge with a static forwarding table. `ours` is one hop of weave, `two hops` is through a
host in between, both on agents that really run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

PREFIX = f"wnb{os.getpid()}-"
MTU = 1376
UNDERLAY_MTU = 1500
VNI = 42
LABS = {
    "ours": ("A", "B", "C"),
    "sleeve": ("A", "B"),
    "sealed sleeve": ("A", "B"),
}
"""The hosts of each lab, in a row; it is named after the network."""
LAUNCH: dict[str, tuple[str, ...]] = {
    "ours": (),
    "sleeve": ("--no-fastdp",),
    "sealed sleeve": ("--no-fastdp", "--password", "bench-wfvAwt7sj"),
}
"""What the agents of each lab are told."""
READY_S = 30.0
"""Until a way is found at the latest."""


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
    cables: tuple[tuple[str, str], ...]
    """Ends of the cables on the way: name of the host's namespace, and of the device."""
    workers: tuple[int, ...] = ()
    """Process ids of the sleeve on each end, where it carries the frames."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the namespaces of the hosts on the way."""
        return tuple(dict.fromkeys(host for host, _ in self.cables))


def sh(*words: str) -> str:
    """Run a command. Raises: RuntimeError with what it said."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextmanager
def networks() -> Iterator[tuple[tuple[Network, ...], Lab]]:
    """Make all networks, and remove them however the block ends. The lab is the one of `ours`."""
    try:
        with ExitStack() as stack:
            labs = {name: stack.enter_context(_lab(name)) for name in LABS}
            paths = [_native(), _vxlan(), _ours(labs["ours"], "ours", "B"), _ours(labs["ours"], "two hops", "C")]
            paths += [_sleeve(labs[name], name) for name in ("sleeve", "sealed sleeve")]
            yield tuple(paths), labs["ours"]
    finally:
        for entry in sorted(os.listdir("/run/netns")):
            if entry.startswith(PREFIX):
                sh("ip", "netns", "del", entry)


def _lab(name: str) -> Lab:
    """Return a lab of hosts in a row, each with one container named like it in small letters."""
    hosts = LABS[name]
    lines = [f'[lab]\nname = "bench-{name.replace(" ", "-")}"\nlaunch = {json.dumps(LAUNCH[name])}']
    lines += [f'[[host]]\nname = "{host}"' for host in hosts]
    lines += [f'[[link]]\na = "{one}"\nb = "{other}"' for one, other in pairwise(hosts)]
    lines += [f'[[container]]\nhost = "{host}"\nname = "{host.lower()}"\nattach = true' for host in hosts]
    text = "\n".join(lines)
    return Lab(parse(text), text=text, say=lambda line: print(f"  {line}", flush=True))


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
    return Network(
        name, f"/run/netns/{hosts[0]}c", f"/run/netns/{hosts[1]}c", "10.99.0.2", tuple((host, "up0") for host in hosts)
    )


def _ours(lab: Lab, name: str, host: str) -> Network:
    container = host.lower()
    source, target = lab.namespace("A", "a"), lab.namespace(host, container)
    shown = lab.run(f"{host}.{container}", "ip", "-4", "-o", "addr", "show", "dev", "ethwe").stdout
    address = shown.split("inet ")[1].split("/")[0]
    ends = ((link.a, link.b) for link in lab.file.links)
    cables = tuple((lab.namespace(one).name, f"to-{two}") for pair in ends for one, two in (pair, pair[::-1]))
    return Network(name, str(source.path), str(target.path), address, cables)


def _sleeve(lab: Lab, name: str) -> Network:
    """Wait until the sleeve carries frames. Raises: RuntimeError when it does not, or something else does."""
    network = _ours(lab, name, "B")
    word = "encrypted" if "--password" in LAUNCH[name] else "unencrypted"
    until = time.monotonic() + READY_S
    while True:
        said = lab.run("A", "weave", "status", "connections").stdout
        if re.search(rf"established {word} +sleeve ", said):
            break
        if time.monotonic() > until:
            raise RuntimeError(f"no {word} sleeve after {READY_S:.0f} s: {said}")
        time.sleep(0.2)
    workers = tuple(_worker(lab, host) for host in LABS[name])
    return replace(network, workers=workers)


def _worker(lab: Lab, host: str) -> int:
    """Return the process id of the sleeve on a host: a child of the agent."""
    agent = daemon.running_pid(lab_kernel.directory(lab.file.name, host) / "run")
    for thread in sorted(Path(f"/proc/{agent}/task").iterdir()):
        for child in (thread / "children").read_text().split():
            if b"datapath.sleeve" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    raise RuntimeError(f"the agent on {host} has no sleeve")


def _mac(kind: str, index: int) -> str:
    return f"02:00:00:{ord(kind):02x}:00:{index + 1:02x}"


def compile_c(name: str, folder: Path) -> Path:
    """Compile one of the programs that measure in the kernel's ways. Raises: RuntimeError when there is no compiler."""
    source = Path(__file__).parent / f"{name}.c"
    program = folder / name
    for compiler in ("cc", "gcc", "clang"):
        try:
            sh(compiler, "-O2", "-o", str(program), str(source))
        except (RuntimeError, FileNotFoundError) as error:
            problem = error
        else:
            return program
    raise RuntimeError(f"{source} cannot be compiled: {problem}; on Debian: apt-get install gcc libc6-dev")
