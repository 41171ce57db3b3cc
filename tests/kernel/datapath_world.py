"""Hosts as network namespaces with a driver in each, for tests of the data path without an agent."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from core.reconcile.objects import (
    Again,
    Bridge,
    Done,
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    Hop,
    Identity,
    KernelObject,
    Op,
    OpResult,
    Tree,
    Verb,
    VxlanPort,
)
from core.types import ShortId
from datapath import syscall
from datapath.driver import KernelDriver

T = TypeVar("T")
MTU = 1376
PORT = 6784
AGAIN_MAX = 20
"""Tries: a kernel may have no memory at hand for an element of a map, and take it from the next millisecond on."""
_numbers = itertools.count(1)


def sh(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{done.stdout}"
    return done.stdout


class Namespace:
    """A network namespace with a thread that lives in it."""

    def __init__(self) -> None:
        self.name = f"wnt{os.getpid()}-{next(_numbers)}"
        self.path = f"/run/netns/{self.name}"
        sh("ip", "netns", "add", self.name)
        sh("ip", "-n", self.name, "link", "set", "lo", "up")
        self._thread = ThreadPoolExecutor(1, initializer=self._enter)

    def _enter(self) -> None:
        fd = os.open(self.path, os.O_RDONLY)
        syscall.setns(fd)
        os.close(fd)

    def run(self, action: Callable[[], T]) -> T:
        """Run something inside, on the thread."""
        return self._thread.submit(action).result()

    def sh(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(("nsenter", f"--net={self.path}", *words), capture_output=True, text=True, check=False)

    def remove(self) -> None:
        self._thread.shutdown()
        subprocess.run(("ip", "netns", "del", self.name), check=False)


class Host(Namespace):
    """A host with a driver."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = ShortId(number)
        self.containers: list[Namespace] = []
        self.secrets: dict[str, bytes] = {}
        self.restart()

    def execute(self, verb: Verb, item: KernelObject) -> OpResult:
        return self.run(lambda: self.driver.execute(Op(verb, item)))

    def create(self, *items: KernelObject) -> None:
        for item in items:
            result = self.execute(Verb.CREATE, item)
            for _ in range(AGAIN_MAX):
                if not isinstance(result, Again):
                    break
                time.sleep(result.after_ms / 1000)
                result = self.execute(Verb.CREATE, item)
            assert result == Done(), f"{item}: {result}"

    def observe(self) -> tuple[KernelObject, ...]:
        return self.run(self.driver.observe)

    def restart(self) -> None:
        """Lose the driver without a farewell, and start another."""
        self.driver = self.run(lambda: KernelDriver("weave", PORT, secret_of=self.secrets.get))

    def remove(self) -> None:
        for container in self.containers:
            container.remove()
        super().remove()


def devices(number: int) -> tuple[KernelObject, ...]:
    """Return a host's own objects."""
    return (
        Bridge("weave", f"02:00:00:00:01:{number:02x}", MTU),
        VxlanPort(f"vxlan-{PORT}", PORT, MTU, "weave"),
        Identity(ShortId(number)),
    )


def endpoint(container: Namespace, number: int, address: str) -> tuple[KernelObject, ...]:
    """Return what attaches a container."""
    name, path = container.name, container.path
    return (
        Endpoint(name, "ethwe", f"vethwepl{number:07x}", path, f"02:00:00:00:02:{number:02x}", MTU),
        EndpointAddress(name, "ethwe", path, address),
        EndpointUp(name, "ethwe", path),
        EndpointRoute(name, "ethwe", path, "224.0.0.0/4"),
    )


def cable(one: Host, other: Host, subnet: int) -> tuple[str, str]:
    """Join two hosts; return their addresses on the cable."""
    addresses = (f"198.18.{subnet}.1", f"198.18.{subnet}.2")
    near, far = f"to{other.number}", f"to{one.number}"
    sh("ip", "link", "add", near, "netns", one.name, "type", "veth", "peer", "name", far, "netns", other.name)
    for host, device, address in ((one, near, addresses[0]), (other, far, addresses[1])):
        sh("ip", "-n", host.name, "addr", "add", f"{address}/30", "dev", device)
        sh("ip", "-n", host.name, "link", "set", device, "up")
    return addresses


def pair() -> tuple[Host, Host, tuple[str, str]]:
    """Return A–B with one container each, 10.32.0.1 and 10.32.0.2, and their addresses on the cable."""
    a, b = Host(1), Host(2)
    addresses = cable(a, b, 1)
    for host, other, address in ((a, b, addresses[1]), (b, a, addresses[0])):
        host.create(*devices(host.number), Hop(other.number, other.number, address, PORT))
        host.create(Tree(host.number, None, ((other.number, address),)), Tree(other.number, address, ()))
        container = Namespace()
        host.containers.append(container)
        sh("ip", "-n", container.name, "link", "set", "lo", "up")
        host.create(*endpoint(container, host.number, f"10.32.0.{host.number}/12"))
    return a, b, addresses


def line_of_three() -> tuple[Host, Host, Host]:
    """Return A–B–C with one container each, 10.32.0.1 to 10.32.0.3; A and C have no path but through B."""
    a, b, c = Host(1), Host(2), Host(3)
    a_b, b_a = cable(a, b, 1)
    b_c, c_b = cable(b, c, 2)
    for host in (a, b, c):
        host.create(*devices(host.number))
    one, two, three = ShortId(1), ShortId(2), ShortId(3)
    a.create(Hop(two, two, b_a, PORT), Hop(three, two, b_a, PORT))
    b.create(Hop(one, one, a_b, PORT), Hop(three, three, c_b, PORT))
    c.create(Hop(two, two, b_c, PORT), Hop(one, two, b_c, PORT))
    a.create(Tree(one, None, ((two, b_a),)), Tree(two, b_a, ()), Tree(three, b_a, ()))
    b.create(
        Tree(two, None, ((one, a_b), (three, c_b))), Tree(one, a_b, ((three, c_b),)), Tree(three, c_b, ((one, a_b),))
    )
    c.create(Tree(three, None, ((two, b_c),)), Tree(one, b_c, ()), Tree(two, b_c, ()))
    for host in (a, b, c):
        container = Namespace()
        host.containers.append(container)
        sh("ip", "-n", container.name, "link", "set", "lo", "up")
        host.create(*endpoint(container, host.number, f"10.32.0.{host.number}/12"))
    return a, b, c
