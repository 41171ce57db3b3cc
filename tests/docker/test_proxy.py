"""Docker's own client through the proxy, with a real daemon: all it does works, and containers are on the network."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_attach import IMAGE, NAME, TIMEOUT_S, Docker, eventually
from test_attach import pytestmark as pytestmark

from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab

ADDRESS = r"10\.\d+\.\d+\.\d+"
BARE = "weavenet-test/bare:1"
ONE = """
[lab]
name = "{name}p"
[[host]]
name = "A"
launch = ["--ipalloc-init", "consensus=1", "--no-dns", "--proxy", "--docker-api", "unix://{folder}/docker.sock",
          "-H", "unix://{folder}/proxy.sock", "-H", "tcp://127.0.0.1:12375"]
"""


class Proxied(Docker):
    """A daemon with a proxy in front of it."""

    def __init__(self, lab: Lab, host: str, folder: Path) -> None:
        super().__init__(lab, host, folder)
        self.lab = lab
        self.host = host
        self.folder = folder
        self.direct, self.proxy = self.socket, f"unix://{folder}/proxy.sock"
        self._import_bare()
        self.socket = self.proxy

    def directly(self, *words: str) -> str:
        done = subprocess.run(("docker", "-H", self.direct, *words), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def piped(self, *words: str, data: bytes) -> bytes:
        command = ("docker", "-H", self.socket, *words)
        return subprocess.run(command, input=data, capture_output=True, check=True, timeout=TIMEOUT_S).stdout

    def ps(self) -> str:
        return self.weave("ps").stdout

    def end(self) -> None:
        self.socket = self.direct
        super().end()

    def restart_daemon(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(TIMEOUT_S)
        self._daemon = subprocess.Popen(self._daemon.args, stdout=self._log, stderr=self._log)
        eventually(lambda: self.try_to("version").returncode == 0)

    def _import_bare(self) -> None:
        with io.BytesIO() as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                tar.add("/bin/busybox", "busybox")
            data = file.getvalue()
        self.piped("import", "-c", 'ENTRYPOINT ["/busybox"]', "-c", 'CMD ["ip", "addr"]', "-", BARE, data=data)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("docker")
    text = ONE.format(name=NAME, folder=folder)
    # The agent is there first, and waits for the daemon.
    with Lab(parse(text), text=text, say=lambda _: None) as lab:
        made = Proxied(lab, "A", folder)
        try:
            yield made
        finally:
            made.end()


@pytest.fixture(autouse=True)
def nothing_is_left(docker: Proxied) -> Iterator[None]:
    yield
    ids = docker.directly("ps", "-aq").split()
    if ids:
        docker.directly("rm", "-f", *ids)
    eventually(lambda: len(docker.ps().splitlines()) == 1)
    eventually(lambda: "vethwepl" not in docker.lab.run("A", "ip", "-br", "link").stdout)


def run(docker: Docker, *words: str) -> str:
    return docker("run", "--net=none", *words)


def test_the_first_instruction_of_a_container_sees_the_network(docker: Proxied) -> None:
    shown = run(docker, "--rm", IMAGE, "ip", "addr", "show", "ethwe")
    assert re.search(rf"inet {ADDRESS}/12", shown)
    assert "UP" in shown
    assert "224.0.0.0/4 dev ethwe" in run(docker, "--rm", "--entrypoint", "ip", IMAGE, "route")


@pytest.mark.parametrize("words", [(), ("--read-only",), ("--user", "1000"), ("--cap-drop", "ALL"), ("-t",)])
def test_nothing_is_needed_of_an_image(docker: Proxied, words: tuple[str, ...]) -> None:
    assert re.search(rf"inet {ADDRESS}/12.* ethwe", run(docker, "--rm", *words, BARE))


def test_a_container_finds_its_own_name(docker: Proxied) -> None:
    words = ("--name", "web", "--hostname", "web", "--add-host", "db:10.9.9.9")
    first, *_ = run(docker, "--rm", *words, IMAGE, "hostname", "-i").split()
    assert re.fullmatch(ADDRESS, first)
    hosts = run(docker, "--rm", *words, IMAGE, "cat", "/etc/hosts")
    assert hosts.startswith("# created by Weave - BEGIN")
    assert "10.9.9.9        db" in hosts


def test_addresses_are_asked_for_by_environment(docker: Proxied) -> None:
    shown = run(docker, "--rm", "-e", "WEAVE_CIDR=10.2.1.1/24 net:10.40.0.0/16", IMAGE, "ip", "addr", "show", "ethwe")
    assert "inet 10.2.1.1/24" in shown
    assert "inet 10.40.0." in shown
    assert "ethwe" not in run(docker, "--rm", "-e", "WEAVE_CIDR=none", IMAGE, "ip", "addr")
    assert "/w" not in run(docker, "--rm", "-e", "WEAVE_CIDR=none", IMAGE, "cat", "/proc/mounts").split()


def test_an_address_that_cannot_be_had_kills_the_container_and_says_why(docker: Proxied) -> None:
    bad = docker.try_to("run", "--net=none", "--name", "bad", "-e", "WEAVE_CIDR=10.2.1.300/24", IMAGE, "true")
    assert bad.returncode != 0
    assert "10.2.1.300" in bad.stderr
    assert docker.directly("inspect", "-f", "{{.State.Running}}", "bad") == "false"


def test_errors_are_docker_s_own(docker: Proxied) -> None:
    missing = docker.try_to("run", "--rm", "--net=none", IMAGE, "no-such-program")
    assert missing.returncode == 1
    assert missing.stderr == 'exec: "no-such-program": executable file not found in $PATH\n'
    assert "No such container: nobody" in docker.try_to("start", "nobody").stderr
    assert "No command specified" in docker.try_to("run", "--net=none", IMAGE).stderr
    created = docker.try_to("create", "--pull=never", "weavenet-test/nothing:9", "true").stderr
    assert "No such image: weavenet-test/nothing:9" in created


def test_streams_pass_in_both_directions(docker: Proxied, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    assert docker.piped("run", "--rm", "-i", "--net=none", IMAGE, "cat", data=data) == data
    run(docker, "-d", "--name", "job", IMAGE, "sh", "-c", "while true; do echo tick; sleep 0.1; done")
    assert docker.piped("exec", "-i", "job", "cat", data=data) == data
    assert docker.piped("exec", "-i", "job", "wc", "-c", data=data).split() == [b"%d" % len(data)]
    assert "ethwe" in docker("exec", "job", "ip", "addr")
    (tmp_path / "file").write_bytes(data)
    docker("cp", str(tmp_path / "file"), "job:/file")
    docker("cp", "job:/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    saved = docker.piped("save", IMAGE, data=b"")
    assert docker.piped("load", data=saved).startswith(b"Loaded image")
    (tmp_path / "Dockerfile").write_text(f"FROM {BARE}\nCOPY file /copied\n")
    docker("build", "-q", "-t", "weavenet-test/built:1", str(tmp_path))
    assert run(docker, "--rm", "weavenet-test/built:1", "wc", "-c", "/copied").split()[0] == str(len(data))


def test_following_logs_and_events_passes_at_once_and_ends_with_the_client(docker: Proxied) -> None:
    before = _connections(docker)
    assert before, "the proxy's own are always there"
    run(docker, "-d", "--name", "job", IMAGE, "sh", "-c", "while true; do echo tick; sleep 0.1; done")
    for words in (("logs", "-f", "job"), ("events", "--since", "1"), ("attach", "--no-stdin", "job"), ("wait", "job")):
        client = subprocess.Popen(("docker", "-H", docker.proxy, *words), stdout=subprocess.PIPE)
        assert client.stdout is not None
        if words[0] != "wait":
            assert client.stdout.readline()
        client.send_signal(signal.SIGKILL)
        client.wait()
    docker.directly("kill", "job")
    eventually(lambda: _connections(docker) <= before)


def test_a_container_is_attached_however_it_starts(docker: Proxied) -> None:
    run(docker, "-d", "--name", "job", "--restart", "always", IMAGE, "sleep", "1000")
    pid = docker("inspect", "-f", "{{.State.Pid}}", "job")
    first = docker("exec", "job", "ip", "addr", "show", "ethwe")

    def is_back() -> bool:
        done = docker.try_to("exec", "job", "ip", "addr", "show", "ethwe")
        return done.returncode == 0 and docker("inspect", "-f", "{{.State.Pid}}", "job") != pid

    docker("restart", "-t", "0", "job")
    assert re.findall(ADDRESS, docker("exec", "job", "ip", "addr", "show", "ethwe")) == re.findall(ADDRESS, first)
    docker.directly("restart", "-t", "0", "job")
    eventually(is_back)
    pid = docker("inspect", "-f", "{{.State.Pid}}", "job")
    subprocess.run(("kill", "-9", pid), check=True)
    eventually(is_back)
    docker.directly("stop", "-t", "0", "job")
    eventually(lambda: len(docker.ps().splitlines()) == 1)
    docker.directly("start", "job")
    eventually(lambda: len(docker.ps().splitlines()) == 2)
    assert "ethwe" in docker("exec", "job", "ip", "addr")


def test_a_restarted_daemon_s_containers_are_attached(docker: Proxied) -> None:
    # The daemon waits ten seconds for a first process that does not heed SIGTERM.
    words = ("--restart", "always", "--stop-signal", "KILL")
    run(docker, "-d", "--name", "job", *words, IMAGE, "sleep", "1000")
    docker.restart_daemon()
    eventually(lambda: len(docker.ps().splitlines()) == 2)
    assert "ethwe" in docker("exec", "job", "ip", "addr", "show", "ethwe")


def test_containers_that_started_without_an_agent_wait_for_it(docker: Proxied) -> None:
    run(docker, "-d", "--name", "job", IMAGE, "sleep", "1000")
    docker.directly("kill", "job")
    docker.weave("stop")
    docker.directly("start", "job")
    assert "/w/w" in docker.directly("top", "job"), "it waits"
    docker.lab.launch("A")
    eventually(lambda: "/w/w" not in docker.directly("top", "job"))
    assert "ethwe" in docker("exec", "job", "ip", "addr", "show", "ethwe")


def test_a_start_of_an_old_client_that_brings_settings_is_put_on_the_network(docker: Proxied) -> None:
    docker("create", "--net=none", "--name", "old", IMAGE, "sleep", "1000")
    body = json.dumps({"NetworkMode": "none"}).encode()
    head = f"POST /v1.20/containers/old/start HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(docker.proxy.removeprefix("unix://"))
        client.sendall(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body)
        assert client.recv(100).startswith(b"HTTP/1.1 204")
    assert "ethwe" in docker("exec", "old", "ip", "addr", "show", "ethwe")


def test_env_and_config_lead_to_the_proxy(docker: Proxied) -> None:
    assert docker.weave("config").stdout == f"-H={docker.proxy}\n"
    assert docker.weave("env").stdout == f"export DOCKER_HOST={docker.proxy}\n", "the client comes to it already"
    refused = docker.weave("env", "--restore")
    assert (refused.returncode, refused.stdout) == (1, "")
    over_tcp = docker.lab.run("A", "docker", "-H", "tcp://127.0.0.1:12375", "run", "--rm", "--net=none", BARE)
    assert "ethwe" in over_tcp.stdout, over_tcp.stderr


def test_rubbish_is_answered_and_hurts_nobody(docker: Proxied) -> None:
    for data in (b"\0" * 100 + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000, b"POST /containers/create"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(docker.proxy.removeprefix("unix://"))
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(100)
            except (BrokenPipeError, ConnectionResetError):
                continue
            assert answer.startswith(b"HTTP/1.1 400") or not answer
    assert docker("version", "-f", "{{.Server.Version}}")


def test_many_containers_at_once_are_all_attached(docker: Proxied) -> None:
    count = 12
    started = [
        subprocess.Popen(("docker", "-H", docker.proxy, "run", "--rm", "--net=none", BARE), stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    shown = [client.communicate(timeout=TIMEOUT_S)[0].decode() for client in started]
    addresses = {found[1] for text in shown if (found := re.search(rf"inet ({ADDRESS})/12", text))}
    assert len(addresses) == count


def _connections(docker: Proxied) -> int:
    """Return how many connections to the daemon's socket there are."""
    lines = docker.lab.run("A", "ss", "-xH").stdout.splitlines()
    return sum(str(docker.direct.removeprefix("unix://")) in line for line in lines)


def test_a_killed_agent_takes_its_proxy_along_and_a_killed_proxy_comes_back(docker: Proxied) -> None:
    run(docker, "-d", "--name", "job", IMAGE, "sleep", "1000")
    (proxy,) = _proxies(docker)
    subprocess.run(("kill", "-9", proxy), check=True)
    eventually(lambda: docker.try_to("version").returncode == 0 and _proxies(docker) != [proxy])
    assert "ethwe" in docker("exec", "job", "ip", "addr", "show", "ethwe")
    pid = (Path(docker.lab.environment("A")["WEAVE_RUNTIME_DIR"]) / "weave.pid").read_text().split()[0]
    subprocess.run(("kill", "-9", pid), check=True)
    eventually(lambda: not _proxies(docker))
    docker.lab.launch("A")
    assert "ethwe" in run(docker, "--rm", BARE)


def test_options_of_the_proxy(docker: Proxied, tmp_path: Path) -> None:
    files = _certificates(tmp_path)
    docker.weave("stop")
    words = ["--name", "7e:00:00:00:0d:01", "--ipalloc-init", "consensus=1", "--proxy", "--docker-api", docker.direct]
    words += ["-H", docker.proxy, "-H", "tcp://127.0.0.1:12376", "--docker-bridge", "lo", "--rewrite-inspect"]
    words += ["--dns-listen-address", "127.0.0.1"]
    words += ["--no-multicast-route", "--no-rewrite-hosts", "--hostname-match", "(.*)-[0-9]+", "--tlsverify", *files]
    launched = docker.weave("launch", *words)
    assert launched.returncode == 0, launched.stderr
    try:
        run(docker, "-d", "--name", "web-12", IMAGE, "sleep", "1000")
        shown = docker(
            "inspect", "-f", "{{.Config.Hostname}} {{.HostConfig.Dns}} {{.NetworkSettings.IPAddress}}", "web-12"
        )
        assert re.fullmatch(rf"web \[127\.0\.0\.1\] {ADDRESS}", shown)
        assert "224.0.0.0" not in docker("exec", "web-12", "ip", "route")
        assert "Weave" not in docker("exec", "web-12", "cat", "/etc/hosts")
        client = ("docker", "-H", "tcp://127.0.0.1:12376")
        plain = docker.lab.run("A", *client, "version")
        assert plain.returncode != 0
        trusted = docker.lab.run("A", *client, "--tlsverify", *files, "exec", "-i", "web-12", "ip", "addr")
        assert "ethwe" in trusted.stdout, trusted.stderr
        docker.directly("rm", "-f", "web-12")
    finally:
        docker.weave("stop")
        docker.lab.launch("A")


def _proxies(docker: Proxied) -> list[str]:
    """Return the process ids of this host's proxies."""
    own = docker.lab.run("A", "readlink", "/proc/self/ns/net").stdout.strip()
    found = subprocess.run(("pgrep", "-f", "adapters.docker$"), capture_output=True, text=True, check=False).stdout
    return [pid for pid in found.split() if _namespace(pid) == own]


def _namespace(pid: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _certificates(folder: Path) -> list[str]:
    """Make an authority and a certificate for both ends; return the options that name them."""
    ca, key, cert = (str(folder / name) for name in ("ca.pem", "key.pem", "cert.pem"))
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    )
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run((*command, *names, "-keyout", key, "-out", cert), check=True, capture_output=True)
    Path(ca).write_bytes(Path(cert).read_bytes())
    return [f"--tlscacert={ca}", f"--tlscert={cert}", f"--tlskey={key}"]
