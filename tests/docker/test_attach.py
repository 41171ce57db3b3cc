"""`weave attach` with containers of a real Docker daemon, by name and by id."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="Docker and namespaces need root"),
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="dockerd is not installed: nothing of Docker is tested"),
    pytest.mark.skipif(not Path("/bin/busybox").exists(), reason="busybox-static is not installed: no image"),
]
NAME = f"wnd{os.getpid()}"
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
host = "B"
name = "b1"
attach = true
"""
IMAGE = "weavenet-test/busybox:1"
TIMEOUT_S = 60.0
PROGRAMS = ("sh", "sleep", "ip", "ping", "cat", "id", "hostname", "true", "wc")


class Docker:
    """A daemon on one host of a lab."""

    def __init__(self, lab: Lab, host: str, folder: Path) -> None:
        self._lab = lab
        self._host = host
        self._folder = folder
        self.socket = f"unix://{folder}/docker.sock"
        words = ("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid")
        self._log = (folder / "log").open("w")
        self._daemon = subprocess.Popen(
            lab.command(host, "dockerd", *words, "-H", self.socket, "--bridge=none", "--iptables=false"),
            stdout=self._log,
            stderr=self._log,
        )
        eventually(lambda: self.try_to("version").returncode == 0)
        self._import(folder)

    def try_to(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(("docker", "-H", self.socket, *words), capture_output=True, text=True, check=False)

    def __call__(self, *words: str) -> str:
        done = self.try_to(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def weave(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**self._lab.environment(self._host), "DOCKER_HOST": self.socket}
        command = self._lab.command(self._host, "weave", *words)
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=TIMEOUT_S)

    def end(self) -> None:
        ids = self("ps", "-aq").split()
        if ids:
            self("rm", "-f", *ids)
        self._daemon.terminate()
        self._daemon.wait(TIMEOUT_S)
        self._log.close()
        # The daemon leaves its own namespace mounted, and the folder could not be removed.
        subprocess.run(("umount", "--lazy", f"{self._folder}/exec/netns/default"), capture_output=True, check=False)

    def _import(self, folder: Path) -> None:
        binaries = folder / "image" / "bin"
        binaries.mkdir(parents=True)
        shutil.copy("/bin/busybox", binaries)
        for program in PROGRAMS:
            (binaries / program).symlink_to("busybox")
        tar = subprocess.run(("tar", "-C", str(folder / "image"), "-c", "."), capture_output=True, check=True).stdout
        subprocess.run(("docker", "-H", self.socket, "import", "-", IMAGE), input=tar, capture_output=True, check=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(parse(TWO), text=TWO, say=lambda _: None) as made:
        yield made


@pytest.fixture(scope="module")
def docker(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    made = Docker(lab, "A", tmp_path_factory.mktemp("docker"))
    yield made
    made.end()


def eventually(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.1)


def test_a_container_is_attached_by_name_and_listed_by_id(lab: Lab, docker: Docker) -> None:
    container = docker("run", "-d", "--net=none", "--name", "web", IMAGE, "sleep", "1000")
    done = docker.weave("attach", "web")
    assert done.returncode == 0, done.stderr
    address = done.stdout.strip()
    assert docker.weave("attach", container[:12]).stdout.strip() == address, "by id it is the same one"
    listed = docker.weave("ps").stdout
    assert re.search(rf"^{container[:12]} [0-9a-f:]{{17}} {address}/12$", listed, re.M), listed
    shown = lab.run("B.b1", "ip", "-4", "-o", "addr", "show", "dev", "ethwe").stdout
    other = shown.split("inet ")[1].split("/")[0]
    assert "3 packets received" in docker("exec", "web", "ping", "-c3", "-W2", other)
    assert docker.weave("detach", "web").stdout.strip() == address
    assert "ethwe" not in docker("exec", "web", "ip", "link")


def test_a_stopped_container_is_forgotten_and_a_restarted_one_attached_again(docker: Docker) -> None:
    container = docker("run", "-d", "--net=none", "--name", "job", IMAGE, "sleep", "1000")
    first = docker.weave("attach", "job").stdout.strip()
    docker("kill", "job")
    refused = docker.weave("attach", "job")
    assert refused.returncode == 1
    assert "not running" in refused.stderr
    eventually(lambda: container[:12] not in docker.weave("ps").stdout)
    docker("start", "job")
    assert docker.weave("attach", "job").stdout.strip() == first, "its address waited for it"


def test_a_container_on_the_host_s_network_is_refused(docker: Docker) -> None:
    docker("run", "-d", "--net=host", "--name", "shared", IMAGE, "sleep", "1000")
    refused = docker.weave("attach", "shared")
    assert refused.returncode == 1
    assert "host network namespace" in refused.stderr
