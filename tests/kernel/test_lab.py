"""`weave lab` against the kernel: what it makes, what it cuts, and that nothing remains."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.control import lab_kernel as kernel
from adapters.control.lab_file import LabError, parse
from adapters.control.lab_hosts import Lab, find_host, link_names, remove, set_link

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root: namespaces are made for real")

NAME = f"wnt{os.getpid()}"
LINE = f"""
[lab]
name = "{NAME}"
[[host]]
name = "A"
launch = false
[[host]]
name = "B"
launch = false
[[host]]
name = "C"
launch = false
[[link]]
a = "A"
b = "B"
[[link]]
a = "B"
b = "C"
rate = "10mbit"
[[container]]
host = "A"
name = "a1"
"""


def weave_lab(*words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from adapters.control.lab import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run((sys.executable, "-c", code, *words), capture_output=True, text=True, check=False)


def ping(lab: Lab, place: str, address: str) -> bool:
    return lab.run(place, "ping", "-c", "1", "-W", "1", address).returncode == 0


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def lab(said: list[str]) -> Iterator[Lab]:
    with Lab(parse(LINE), text=LINE, say=said.append) as up:
        yield up


def left() -> list[str]:
    return [found.name for found in kernel.namespaces() if found.lab == NAME]


def test_linked_hosts_reach_each_other_and_others_do_not(lab: Lab) -> None:
    assert ping(lab, "A", lab.address("B", "A"))
    assert ping(lab, "C", lab.address("B", "C"))
    assert not ping(lab, "A", lab.address("C", "B"))


def test_a_cut_link_carries_nothing_until_it_heals(lab: Lab) -> None:
    lab.cut("B", "A")
    assert not ping(lab, "A", lab.address("B", "A"))
    assert link_names(lab.namespace("B")) == {"A": False, "C": True}
    assert ping(lab, "B", lab.address("C", "B"))
    lab.heal("A", "B")
    assert ping(lab, "A", lab.address("B", "A"))


def test_a_link_that_is_not_there_cannot_be_cut(lab: Lab) -> None:
    with pytest.raises(LabError, match="no link A – C; A is linked to B"):
        set_link(NAME, "A", "C", up=False)


def test_an_unknown_host_is_answered_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match="no host Z; its hosts are A, B, C"):
        find_host(NAME, "Z")


def test_a_command_runs_on_its_host_and_finds_its_agent(lab: Lab) -> None:
    done = weave_lab("--lab", NAME, "exec", "B", "--", "sh", "-c", "ip -br link; echo $WEAVE_RUNTIME_DIR; exit 7")
    assert done.returncode == 7
    assert "to-A" in done.stdout
    assert "to-C" in done.stdout
    assert f"/run/weavenet-lab/{NAME}/B/run" in done.stdout


def test_a_container_is_a_namespace_of_its_own_with_loopback(lab: Lab) -> None:
    assert ping(lab, "A.a1", "127.0.0.1")
    assert "to-B" not in lab.run("A.a1", "ip", "-br", "link").stdout


def test_a_wish_the_kernel_cannot_fulfil_is_said_aloud(lab: Lab, said: list[str]) -> None:
    queue = lab.run("B", "tc", "qdisc", "show", "dev", "to-C").stdout
    assert ("10Mbit" in queue) != any("WARNING: link B – C runs without its rate" in line for line in said)


def test_up_twice_says_what_to_do(lab: Lab) -> None:
    with pytest.raises(LabError, match=f"already up; run 'weave lab down {NAME}' first"):
        Lab(parse(LINE)).up()


def test_half_a_lab_is_told_and_removed(lab: Lab) -> None:
    kernel.ip("netns", "del", lab.namespace("B").name)
    with pytest.raises(LabError, match=r"partly up \(missing: B\)"):
        Lab(parse(LINE)).up()
    assert remove(NAME, lambda _: None)
    assert left() == []


def test_down_ends_processes_mounts_and_files(lab: Lab) -> None:
    sleepers = [lab.start("A", "sleep", "600"), lab.start("A.a1", "sh", "-c", "sleep 600; true")]
    bystander = subprocess.Popen(("sleep", "600"))
    mount = kernel.directory(NAME, "A") / "run" / "mnt"
    mount.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "none", str(mount)), check=True)
    try:
        lab.down()
        assert [sleeper.wait(10) for sleeper in sleepers] == [-9, -9]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert left() == []
    assert not kernel.directory(NAME).exists()
    assert str(mount) not in Path("/proc/self/mountinfo").read_text()


def test_down_again_finds_nothing(lab: Lab) -> None:
    assert remove(NAME, lambda _: None)
    assert not remove(NAME, lambda _: None)


def test_a_failed_start_leaves_nothing() -> None:
    text = LINE.replace('name = "A"\nlaunch = false', 'name = "A"\nlaunch = ["--no-such-option"]')
    with pytest.raises(LabError, match="weave launch on A failed"):
        Lab(parse(text), say=lambda _: None).up()
    assert left() == []
    assert not kernel.directory(NAME).exists()


def test_hosts_are_set_up_before_agents_start() -> None:
    routed = LINE.replace(
        'name = "B"\nlaunch = false', 'name = "B"\nlaunch = false\nsetup = ["sysctl -qw net.ipv4.ip_forward=1"]'
    )
    for host, gateway in (("A", "198.18.0.2"), ("C", "198.18.0.5")):
        routed = routed.replace(
            f'name = "{host}"\nlaunch = false',
            f'name = "{host}"\nlaunch = false\nsetup = ["ip route add default via {gateway}"]',
        )
    with Lab(parse(routed), say=lambda _: None) as lab:
        assert ping(lab, "A", lab.address("C", "B"))


def test_a_setup_that_fails_is_told_and_leaves_nothing() -> None:
    text = LINE.replace(
        'name = "A"\nlaunch = false', 'name = "A"\nlaunch = false\nsetup = ["echo no such luck >&2; false"]'
    )
    with pytest.raises(LabError, match="host A: setup 'echo no such luck >&2; false' failed: no such luck"):
        Lab(parse(text), say=lambda _: None).up()
    assert left() == []


def test_labs_whose_names_begin_alike_are_not_mixed_up(lab: Lab) -> None:
    longer = LINE.replace(f'name = "{NAME}"', f'name = "{NAME}-x"')
    with Lab(parse(longer), say=lambda _: None):
        remove(NAME, lambda _: None)
        assert left() == []
        assert [found.host for found in kernel.namespaces() if found.lab == f"{NAME}-x"] == ["A", "A", "B", "C"]
