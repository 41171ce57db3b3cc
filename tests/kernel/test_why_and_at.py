"""Three real agents: an address goes from hand to hand, and a host that had no part in it says how it came so."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.control.client import ask
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab, peer_name

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
NAME = f"wnb{os.getpid()}"
TIMEOUT_S = 60.0
SEEDS = ",".join(peer_name(NAME, host) for host in ("A", "B"))
TEXT = f"""
[lab]
name = "{NAME}"
launch = ["--ipalloc-range", "10.32.0.0/28", "--ipalloc-init", "seed={SEEDS}"]
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
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(parse(TEXT), text=TEXT, say=lambda _: None) as made:
        yield made


def weave(lab: Lab, host: str, *words: str) -> str:
    done = lab.run(host, "weave", *words, timeout_s=TIMEOUT_S)
    return done.stdout + done.stderr


def request(host: str, method: str, path: str) -> str:
    return ask(Path(f"/run/weavenet-lab/{NAME}/{host}/run/control.sock"), method, path)


def wait_for(said: Callable[[], str], text: str) -> str:
    deadline = time.monotonic() + TIMEOUT_S
    while text not in (answer := said()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


def test_a_third_host_tells_now_and_then_how_an_address_came_to_its_holder(lab: Lab) -> None:
    wait_for(lambda: weave(lab, "C", "status", "peers"), "(A)")
    # Half of the range is B's: the last ones come by a gift.
    address = [request("A", "POST", f"/ip/c{index}") for index in range(9)][-1].partition("/")[0]
    now = wait_for(lambda: weave(lab, "C", "why", address), f"{address} is held by c8 on A")
    assert "is its own: given by B to A on its request" in now
    assert "was B's: 10.32.0.0/28 was divided among " in now, "in the order of names, which differ from run to run"
    cited = json.loads(weave(lab, "C", "why", "--json", address))["steps"][0]["fact"]
    assert cited.startswith(f"{peer_name(NAME, 'A')}@")
    wait_for(lambda: weave(lab, "C", "at", "-0s", "status", "ipam"), "(A)")
    then = str(time.time())
    time.sleep(1.1)
    request("A", "DELETE", "/ip/c8")
    request("A", "POST", "/ip/d0")
    now = wait_for(lambda: weave(lab, "C", "why", address), f"{address} is held by d0 on A")
    assert "before, A had given it to c8 (allocate)" in now
    assert f"{address} is held by c8 on A" in weave(lab, "C", "at", then, "why", address)
    shares = weave(lab, "C", "status", "ipam")
    assert weave(lab, "C", "at", then, "status", "ipam").endswith(shares)
    weave(lab, "C", "stop")
    assert f"{address} is held by d0 on A" in weave(lab, "C", "why", address), "without an agent the file tells"
    assert "begins at" in weave(lab, "C", "at", "-1h", "status")
