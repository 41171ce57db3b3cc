"""Machines with addresses of their own choice, on this bridge and beyond the overlay: real agents pass them over."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Iterator

import pytest

from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
RANGE = "10.32.0.0/24,fd00:10:32::/64"
TIMEOUT_S = 60.0
CONTAINERS = ("first", "second", "third", "claimer", "stranger")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    launch = json.dumps(["--ipalloc-init", "consensus=2", "--ipalloc-range", RANGE])
    hosts = "".join(
        f'[[host]]\nname = "{host}"\n'
        + "".join(f'[[container]]\nhost = "{host}"\nname = "{name}"\n' for name in CONTAINERS)
        for host in "AB"
    )
    text = f'[lab]\nname = "wns{os.getpid()}"\nlaunch = {launch}\n{hosts}[[link]]\na = "A"\nb = "B"\n'
    with Lab(parse(text), text=text, say=lambda _: None) as found:
        yield found


def weave(lab: Lab, host: str, *words: str) -> str:
    done = lab.run(host, "weave", *words, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def attach(lab: Lab, host: str, container: str) -> list[str]:
    return weave(lab, host, "attach", str(lab.namespace(host, container).path)).split()


def plug_in(lab: Lab, host: str, *addresses: str) -> str:
    """Plug a machine into a bridge; return its MAC address."""

    def do(place: str, *words: str) -> str:
        done = lab.run(place, "ip", *words)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    until = time.monotonic() + TIMEOUT_S
    while lab.run(host, "ip", "link", "show", "weave").returncode:
        assert time.monotonic() < until, "the agent makes no bridge"
        time.sleep(0.1)
    netns = lab.namespace(host, "stranger").path.name
    do(host, "link", "add", "odd", "type", "veth", "peer", "name", "eth0", "netns", netns)
    do(host, "link", "set", "odd", "master", "weave", "up")
    do(f"{host}.stranger", "link", "set", "eth0", "up")
    for address in addresses:
        how = ("nodad",) if ":" in address else ()
        do(f"{host}.stranger", "addr", "add", address, "dev", "eth0", *how)
    return str(json.loads(do(f"{host}.stranger", "-j", "link", "show", "eth0"))[0]["address"])


def after(address: str, count: int) -> str:
    return str(ipaddress.ip_address(address) + count)


def test_what_strangers_have_is_passed_over_refused_and_shown(lab: Lab) -> None:
    four, six = attach(lab, "A", "first")
    mac = plug_in(lab, "A", f"{after(four, 1)}/24", f"{after(six, 2)}/64")
    # A stranger far away, for what comes next: it answers across the overlay.
    far = plug_in(lab, "B", f"{after(four, 3)}/24")
    until = time.monotonic() + TIMEOUT_S
    while "established" not in weave(lab, "A", "status", "connections"):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert attach(lab, "A", "second") == [after(four, 2), after(six, 1)]
    assert attach(lab, "A", "third") == [after(four, 4), after(six, 3)]
    shown = weave(lab, "A", "status", "ipam")
    for address, who in ((after(four, 1), mac), (after(six, 2), mac), (after(four, 3), far)):
        assert f"address {address} is answered for by a stranger with MAC {who}: it is passed over" in shown
    path = str(lab.namespace("A", "claimer").path)
    refused = lab.run("A", "weave", "attach", f"{after(four, 1)}/24", path, timeout_s=TIMEOUT_S)
    assert refused.returncode == 1
    assert (
        f"address {after(four, 1)} is answered for by a stranger with MAC {mac}; take it away there" in refused.stderr
    )
    lab.run("A", "ip", "link", "del", "odd")
    assert weave(lab, "A", "attach", f"{after(four, 1)}/24", path).split() == [after(four, 1)]
