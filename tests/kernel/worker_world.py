"""Hosts with a sleeve each. Two small programs stand in for the data path's own: they push and pop the tags, so an
ordinary IP stack, with its offloads, sends and receives through the TAP."""

from __future__ import annotations

import platform
import select
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from datapath_world import Namespace, sh

from core.events import PathDown, PathUp
from core.reconcile.objects import Tunnel
from core.types import PeerName, ShortId
from datapath.sleeve.process import Sleeve

TAP = "weave-sleeve"
UDP_PORT = 6783
SESSION = "0123456789abcdef"
SECRET = bytes(range(32))
INNER_ID = 5
"""Source and destination in the tags; the sleeve only copies them."""
PROGRAMS = """
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#define TPID bpf_htons(0x88a8)
SEC("push") int push_tags(struct __sk_buff *skb)
{
    if (bpf_skb_vlan_push(skb, TPID, ID) || bpf_skb_vlan_push(skb, TPID, ID) || bpf_skb_vlan_push(skb, TPID, VIA))
        return 2;
    return bpf_redirect(TAP, 0);
}
SEC("pop") int pop_tags(struct __sk_buff *skb)
{
    if (bpf_skb_vlan_pop(skb) || bpf_skb_vlan_pop(skb) || bpf_skb_vlan_pop(skb))
        return 2;
    return bpf_redirect(OUTER, 0);
}
char _license[] SEC("license") = "GPL";
"""


class SleeveHost(Namespace):
    """A namespace with a TAP and a worker."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.run(lambda: sh("ip", "tuntap", "add", TAP, "mode", "tap", "vnet_hdr"))
        self.run(lambda: sh("ip", "link", "set", TAP, "mtu", "1388", "up"))
        self.events: list[PathUp | PathDown] = []
        self.sleeve = Sleeve()
        self.start()

    def start(self) -> None:
        self.run(lambda: self.sleeve.start(TAP, UDP_PORT))

    def stack(self, via: int, mtu: int = 1376) -> None:
        """Make an interface `inner`, 10.9.0.NUMBER, whose frames go to a neighbour."""
        self.tool("link", "add", "inner", "type", "veth", "peer", "name", "outer")
        for name in ("inner", "outer"):
            self.tool("link", "set", name, "mtu", str(mtu), "up")
        self.tool("addr", "add", f"10.9.0.{self.number}/24", "dev", "inner")
        index = {name: self.run(lambda name=name: socket.if_nametoindex(name)) for name in (TAP, "outer")}  # type: ignore[misc]  # binds the loop's name
        with tempfile.TemporaryDirectory() as folder:
            source, built = f"{folder}/tags.c", f"{folder}/tags.o"
            Path(source).write_text(PROGRAMS)
            defines = (f"-DVIA={via}", f"-DID={INNER_ID}", f"-DTAP={index[TAP]}", f"-DOUTER={index['outer']}")
            headers = f"-I/usr/include/{platform.machine()}-linux-gnu"
            sh("clang", "-O2", "-target", "bpf", headers, *defines, "-c", source, "-o", built)
            for device, section in (("outer", "push"), (TAP, "pop")):
                for words in (
                    ("qdisc", "add", "dev", device, "clsact"),
                    ("filter", "add", "dev", device, "ingress", "bpf", "da", "obj", built, "sec", section),
                ):
                    done = self.sh("tc", *words)
                    assert done.returncode == 0, done.stderr

    def tool(self, *words: str) -> None:
        sh("ip", "-n", self.name, *words)

    def wait(self, wish: Callable[[], bool], seconds: float = 8.0) -> None:
        """Read events until something is so."""
        end = time.monotonic() + seconds
        while not wish():
            assert time.monotonic() < end, f"{self.number}: {self.events[-8:]} {self.sleeve.counters}"
            if select.select([self.sleeve], [], [], 0.05)[0]:
                # Inside, for a worker that died is started again where it is read of.
                self.events.extend(self.run(self.sleeve.read))

    def last(self, transport: str = "sleeve") -> PathUp | PathDown | None:
        found = [event for event in self.events if event.transport == transport]
        return found[-1] if found else None

    def is_up(self, transport: str = "sleeve") -> bool:
        return isinstance(self.last(transport), PathUp)

    def mtu(self) -> int:
        last = self.last()
        return last.mtu if isinstance(last, PathUp) else 0

    def remove(self) -> None:
        self.run(self.sleeve.close)
        super().remove()


def tunnel(number: int, address: str, *, outbound: bool, is_sealed: bool, tries_fastdp: bool = False) -> Tunnel:
    """Return a tunnel to a host."""
    return Tunnel(
        PeerName(f"02:00:00:00:00:{number:02x}"),
        SESSION,
        outbound,
        ShortId(number),
        address,
        UDP_PORT,
        is_sealed,
        tries_fastdp,
        1376,
    )


def wire(one: SleeveHost, other: SleeveHost) -> None:
    """Join two hosts: 198.18.0.1 and 198.18.0.2, device `wire`."""
    sh("ip", "link", "add", "wire", "netns", one.name, "type", "veth", "peer", "name", "wire", "netns", other.name)
    for host in (one, other):
        host.tool("addr", "add", f"198.18.0.{host.number}/24", "dev", "wire")
        host.tool("link", "set", "wire", "up")


def pair(*, is_sealed: bool = True, mtu: int = 1376) -> tuple[SleeveHost, SleeveHost]:
    """Return two hosts with a tunnel; the first has dialled."""
    one, two = SleeveHost(1), SleeveHost(2)
    try:
        join(one, two, is_sealed=is_sealed, mtu=mtu)
    except BaseException:
        one.remove()
        two.remove()
        raise
    return one, two


def join(one: SleeveHost, two: SleeveHost, *, is_sealed: bool, mtu: int) -> None:
    """Make the tunnel between two hosts, and wait until it is up."""
    wire(one, two)
    one.stack(2, mtu)
    two.stack(1, mtu)
    one.sleeve.set_tunnel(tunnel(2, "198.18.0.2", outbound=True, is_sealed=is_sealed), SECRET)
    two.sleeve.set_tunnel(tunnel(1, "198.18.0.1", outbound=False, is_sealed=is_sealed), SECRET)
    for host in (one, two):
        host.wait(host.is_up)
