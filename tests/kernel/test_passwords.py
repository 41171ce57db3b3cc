"""Agents with passwords: who comes together, what the others are told, and where the password is not to be found."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
NAME = f"wnp{os.getpid()}"
PASSWORD = f"correct-horse-{os.getpid()}"
OTHER = f"battery-staple-{os.getpid()}"
TIMEOUT_S = 60.0


def text_of(directory: Path) -> str:
    return f"""
[lab]
name = "{NAME}"
launch = ["--ipalloc-init", "consensus=2"]
[[host]]
name = "A"
launch = ["--password", "{PASSWORD}", "--log-level", "debug", "--record", "{directory / "A"}"]
peers = []
[[host]]
name = "B"
launch = false
[[host]]
name = "C"
launch = ["--password={OTHER}"]
peers = ["A"]
[[host]]
name = "D"
peers = ["A"]
[[link]]
a = "A"
b = "B"
[[link]]
a = "A"
b = "C"
[[link]]
a = "A"
b = "D"
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def lab(directory: Path) -> Iterator[Lab]:
    text = text_of(directory)
    with Lab(parse(text), text=text, say=lambda _: None) as made:
        launch = f"WEAVE_PASSWORD={PASSWORD} exec weave launch --name ::b --nickname B {made.address('A', 'B')}"
        done = made.run("B", "sh", "-c", launch, timeout_s=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        yield made


def weave(lab: Lab, host: str, *words: str) -> str:
    done = lab.run(host, "weave", *words, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.1)


def test_those_with_the_password_come_together_and_say_so(lab: Lab) -> None:
    for host in "AB":
        eventually(lambda host=host: "established" in weave(lab, host, "status", "connections"))  # type: ignore[misc]
        assert "Encryption: enabled" in weave(lab, host, "status")
    assert "Encryption: disabled" in weave(lab, "D", "status")


def test_the_others_are_refused_and_both_sides_can_see_why(lab: Lab) -> None:
    words = {
        "C": "the peer has not accepted our proof: its password is another one",
        "D": "no password specified, but peer requested an encrypted connection",
    }
    for host, why in words.items():
        eventually(lambda host=host, why=why: why in weave(lab, host, "status", "connections"))  # type: ignore[misc]
    seen = weave(lab, "A", "status", "connections")
    assert "failed      the peer's proof is wrong: its password is another one" in seen
    assert "failed      password specified, but peer requested an unencrypted connection" in seen
    assert seen.count("established") == 1


def test_the_password_is_in_no_title_environment_log_report_or_file(lab: Lab, directory: Path) -> None:
    secrets = [PASSWORD.encode(), OTHER.encode()]
    for host in "ABC":
        runtime = lab_kernel.directory(NAME, host) / "run"
        pid = daemon.running_pid(runtime)
        assert pid is not None
        assert re.search(r"Max core file size +0 +0 ", Path(f"/proc/{pid}/limits").read_text())
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found = (process / name).read_bytes()
            except OSError:
                # It has ended meanwhile, or is the kernel's.
                continue
            assert not any(secret in found for secret in secrets), (process, name)
    # The recording is read while it is written.
    files = [path for host in "ABC" for path in lab_kernel.directory(NAME, host).rglob("*") if path.is_file()]
    files.append(directory / "A")
    assert any(path.name == "weave.log" for path in files)
    for path in files:
        assert not any(secret in path.read_bytes() for secret in secrets), path
    for words in (("report",), ("status",), ("status", "connections")):
        assert PASSWORD not in weave(lab, "A", *words)


def test_an_agent_with_a_password_is_reset_without_it(lab: Lab) -> None:
    weave(lab, "C", "reset", "--force")
    assert "weave" not in lab.run("C", "ip", "-brief", "link").stdout
