"""A running lab: hosts that are network namespaces, each with an agent of its own, joined by virtual cables.

`Lab` is what `weave lab`, the demo, the benchmark and the kernel tests all use. It holds no state beyond the file it
was made from; what runs is asked of the kernel each time. The life of a lab is `up`, any number of `cut`, `heal`,
`run`, `launch`, and `down`; as a context manager it goes down however the block ends.

Each cable gets a /30 of 198.18.0.0/15 (RFC 2544: for measuring between devices, routed nowhere), and there are no other
routes: hosts that no cable joins cannot reach each other except through weave.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from adapters.control import lab_kernel as kernel
from adapters.control.lab_file import Container, Host, LabError, LabFile, Link
from adapters.control.lab_kernel import Namespace

UNDERLAY = ipaddress.IPv4Network("198.18.0.0/15")
LINK_PREFIX = 30
# Longer than any launch on a loaded two-core machine; a launch that hangs must not hang the lab.
LAUNCH_TIMEOUT_S = 60.0
ATTACH_TIMEOUT_S = 60.0
SETUP_TIMEOUT_S = 60.0
COPY_NAME = "lab.toml"


def _print(line: str) -> None:
    print(line, flush=True)


class Lab:
    """A lab made from a file; see the module for its life."""

    def __init__(self, file: LabFile, *, text: str = "", say: Callable[[str], None] = _print) -> None:
        """Take a checked file, the text it came from (kept for `weave lab launch`), and where progress goes."""
        self.file = file
        self._text = text
        self._say = say

    def __enter__(self) -> Lab:
        """Bring the lab up."""
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the lab down."""
        self.down()

    # -- up and down -------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Make hosts, cables and containers, start the agents, attach what the file says.

        All or nothing: a step that fails takes the lab down again. Raises: LabError.
        """
        require_root()
        self._require_fresh()
        try:
            self._make_namespaces()
            self._make_links()
            self._set_up_hosts()
            self._launch_all()
            for container in self.file.containers:
                if container.attach:
                    self.attach(container.host, container.name)
        except BaseException:
            self._say(f"lab {self.file.name}: taking down what was made")
            self.down()
            raise
        self._say(f"lab {self.file.name} is up; try: weave lab exec {self.file.hosts[0].name} -- weave status")

    def down(self) -> None:
        """Remove everything of this lab, also after a crash. Raises: LabError."""
        remove(self.file.name, self._say)

    def _require_fresh(self) -> None:
        there = [found for found in kernel.namespaces() if found.lab == self.file.name]
        if not there and not kernel.directory(self.file.name).exists():
            return
        hosts = [found.host for found in there if found.container is None]
        missing = [host.name for host in self.file.hosts if host.name not in hosts]
        state = f"partly up (missing: {', '.join(missing)})" if missing else "already up"
        raise LabError(f"lab {self.file.name} is {state}; run 'weave lab down {self.file.name}' first")

    def _make_namespaces(self) -> None:
        self._say(f"lab {self.file.name}: hosts {', '.join(host.name for host in self.file.hosts)}")
        members = [self.namespace(host.name) for host in self.file.hosts]
        members += [self.namespace(container.host, container.name) for container in self.file.containers]
        kernel.directory(self.file.name).mkdir(parents=True, mode=0o700)
        (kernel.directory(self.file.name) / COPY_NAME).write_text(self._text)
        kernel.batch(f"netns add {member.name}" for member in members)
        for member in members:
            kernel.batch(["link set lo up"], member)
        for host in self.file.hosts:
            for folder in ("run", "data"):
                (kernel.directory(self.file.name, host.name) / folder).mkdir(parents=True, mode=0o700)

    def _make_links(self) -> None:
        kernel.batch(
            f"link add to-{link.b} netns {self.namespace(link.a).name} "
            f"type veth peer name to-{link.a} netns {self.namespace(link.b).name}"
            for link in self.file.links
        )
        for host in self.file.hosts:
            lines = [line for link in self.file.links for line in self._address_lines(link, host.name)]
            kernel.batch(lines, self.namespace(host.name))
        for link in self.file.links:
            wishes = [f"{word} {value}" for word in ("delay", "rate", "loss") if (value := getattr(link, word))]
            self._say(f"  link {link.a} – {link.b} {' '.join(wishes)}".rstrip())
            ends = ((self.namespace(link.a), f"to-{link.b}"), (self.namespace(link.b), f"to-{link.a}"))
            for lack in kernel.shape(ends, link):
                self._say(f"  WARNING: {lack}")

    def _set_up_hosts(self) -> None:
        for host in self.file.hosts:
            for line in host.setup:
                done = self.run(host.name, "sh", "-c", line, timeout_s=SETUP_TIMEOUT_S)
                if done.returncode:
                    raise LabError(f"host {host.name}: setup '{line}' failed: {done.stderr.strip()}")

    def _address_lines(self, link: Link, host: str) -> list[str]:
        if host not in (link.a, link.b):
            return []
        device = f"to-{link.b if host == link.a else link.a}"
        return [
            f"addr add {self.address(host, device.removeprefix('to-'))}/{LINK_PREFIX} dev {device}",
            f"link set {device} up",
        ]

    # -- agents and containers ---------------------------------------------------------------------------------------

    def _launch_all(self) -> None:
        starting = [(host, self._start(host)) for host in self.file.hosts if host.launch is not None]
        for host, process in starting:
            self._finish_launch(host, process)

    def launch(self, host: str) -> None:
        """Start a host's agent as the file says; waits until it answers. Raises: LabError with what it said."""
        found = self.file.host(host)
        if found.launch is None:
            raise LabError(f"host {host} has launch = false in its lab file")
        self._finish_launch(found, self._start(found))

    def launch_command(self, host: str) -> tuple[str, ...]:
        """Return the full `weave launch` of a host: name, nickname, options, addresses of its peers."""
        found = self.file.host(host)
        peers = tuple(self.address(peer, host) for peer in found.peers)
        name = peer_name(self.file.name, host)
        # A Docker daemon of this machine belongs to none of the lab's hosts, unless the file says so.
        own = ("--proxy=false", "--name", name, "--nickname", host)
        return ("weave", "launch", *own, *(found.launch or ()), *peers)

    def attach(self, host: str, container: str, *addresses: str) -> str:
        """Attach a container of the lab; return what `weave attach` printed (addresses). Raises: LabError."""
        found = self._container(host, container)
        wanted = addresses or found.addresses
        path = str(self.namespace(host, container).path)
        done = self.run(host, "weave", "attach", *wanted, path, timeout_s=ATTACH_TIMEOUT_S)
        if done.returncode:
            raise LabError(f"weave attach of {host}.{container} failed: {done.stderr.strip()}")
        self._say(f"  container {host}.{container} has {done.stdout.strip()}")
        return done.stdout.strip()

    def add_container(self, host: str, name: str) -> None:
        """Make one more container namespace on a host of the running lab; attach it with `attach`."""
        self.file.host(host)
        self.file = LabFile(
            self.file.name, self.file.hosts, self.file.links, (*self.file.containers, Container(host, name))
        )
        member = self.namespace(host, name)
        kernel.ip("netns", "add", member.name)
        kernel.batch(["link set lo up"], member)

    def _container(self, host: str, name: str) -> Container:
        for container in self.file.containers:
            if (container.host, container.name) == (host, name):
                return container
        names = [f"{container.host}.{container.name}" for container in self.file.containers]
        raise LabError(f"lab {self.file.name} has no container {host}.{name}; it has {', '.join(names) or 'none'}")

    def _start(self, host: Host) -> subprocess.Popen[str]:
        # Output goes to a file: a daemon that kept our pipe open would make us wait for its end.
        log = kernel.directory(self.file.name, host.name) / "launch.log"
        with log.open("w") as sink:
            return subprocess.Popen(
                self.command(host.name, *self.launch_command(host.name)),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                text=True,
                env=self.environment(host.name),
            )

    def _finish_launch(self, host: Host, process: subprocess.Popen[str]) -> None:
        log = kernel.directory(self.file.name, host.name) / "launch.log"
        try:
            status = process.wait(LAUNCH_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise LabError(f"weave launch on {host.name} did not return within {LAUNCH_TIMEOUT_S:.0f} s") from error
        if status:
            raise LabError(f"weave launch on {host.name} failed:\n{log.read_text().strip()}")
        self._say(f"  agent on {host.name} is running")

    # -- cables ------------------------------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        """Pull the cable between two hosts. Raises: LabError when there is none."""
        set_link(self.file.name, one, other, up=False)

    def heal(self, one: str, other: str) -> None:
        """Plug the cable between two hosts in again. Raises: LabError when there is none."""
        set_link(self.file.name, one, other, up=True)

    def address(self, host: str, towards: str) -> str:
        """Return the underlay address of a host on its cable to another. Raises: LabError when there is none."""
        for index, link in enumerate(self.file.links):
            if link.joins(host, towards):
                first = UNDERLAY[index << (32 - LINK_PREFIX)]
                return str(first + (1 if host == link.a else 2))
        raise LabError(f"lab {self.file.name} has no link {host} – {towards}")

    # -- running things ----------------------------------------------------------------------------------------------

    def namespace(self, host: str, container: str | None = None) -> Namespace:
        """Return the namespace of a host, or of a container on it."""
        return Namespace(self.file.name, host, container)

    def command(self, place: str, *words: str) -> tuple[str, ...]:
        """Return the words that run a command at `HOST` or `HOST.CONTAINER`."""
        host, _, container = place.partition(".")
        return command(self.namespace(host, container or None), words)

    def environment(self, place: str) -> dict[str, str]:
        """Return the environment in which `weave` talks to that host's agent."""
        return environment(self.namespace(place.partition(".")[0]))

    def run(self, place: str, *words: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command at a host or container and wait for it; never raises for its exit status."""
        return subprocess.run(
            self.command(place, *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env=self.environment(place),
        )

    def start(self, place: str, *words: str) -> subprocess.Popen[str]:
        """Start a command at a host or container, its output in pipes; it ends with the lab at the latest."""
        return subprocess.Popen(
            self.command(place, *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(place),
        )


def require_root() -> None:
    """Raise LabError unless we may make namespaces."""
    if os.geteuid():
        raise LabError("a lab makes network namespaces and needs root; try: sudo weave lab …")


def remove(lab: str, say: Callable[[str], None] = _print) -> bool:
    """Remove a lab of that name, whatever is left of it. False when there was nothing. Raises: LabError."""
    require_root()
    removed = kernel.remove(lab)
    say(f"lab {lab} is gone" if removed else f"lab {lab}: nothing there")
    return removed


def set_link(lab: str, one: str, other: str, *, up: bool) -> None:
    """Set both ends of a cable up or down. Raises: LabError when no cable joins the two."""
    require_root()
    for host, towards in ((one, other), (other, one)):
        find_host(lab, host)
        names = link_names(Namespace(lab, host))
        if towards not in names:
            raise LabError(f"lab {lab} has no link {one} – {other}; {host} is linked to {', '.join(names) or 'none'}")
    for host, towards in ((one, other), (other, one)):
        kernel.ip("link", "set", f"to-{towards}", "up" if up else "down", namespace=Namespace(lab, host))


def link_names(host: Namespace) -> dict[str, bool]:
    """Return the hosts that cables lead to, each with whether its near end is up."""
    lines = kernel.ip("-brief", "link", "show", "type", "veth", namespace=host).splitlines()
    found = (line.split() for line in lines if line.startswith("to-"))
    # the third column lists the flags; UP there is what `cut` takes away
    return {words[0].partition("@")[0].removeprefix("to-"): "UP" in words[3].strip("<>").split(",") for words in found}


def find_host(lab: str, place: str) -> Namespace:
    """Return the namespace of `HOST` or `HOST.CONTAINER` of a running lab. Raises: LabError that lists them."""
    there = [found for found in kernel.namespaces() if found.lab == lab]
    for found in there:
        if place == (found.host if found.container is None else f"{found.host}.{found.container}"):
            return found
    hosts = ", ".join(found.host for found in there if found.container is None)
    raise LabError(f"lab {lab} has no host {place}; its hosts are {hosts or 'none'}")


def command(namespace: Namespace, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that run a command in a namespace.

    nsenter, not `ip netns exec`: that would give each command mounts of its own, and the maps an agent pins would die
    with it.
    """
    return ("nsenter", f"--net={namespace.path}", "--", *words)


def environment(namespace: Namespace) -> dict[str, str]:
    """Return an environment in which `weave` is this program and talks to the agent of this host."""
    home = kernel.directory(namespace.lab, namespace.host)
    return {
        **os.environ,
        "PATH": f"{_program_directory()}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
        "WEAVE_RUNTIME_DIR": str(home / "run"),
        "WEAVE_DATA_DIR": str(home / "data"),
        "WEAVE_LAB": namespace.lab,
    }


def peer_name(lab: str, host: str) -> str:
    """Return a peer name that is the same at every start: all hosts share one machine's identity otherwise."""
    digest = bytearray(hashlib.sha256(f"{lab}/{host}".encode()).digest()[:6])
    digest[0] = digest[0] & 0xFC | 0x02  # unicast, locally administered
    return ":".join(f"{byte:02x}" for byte in digest)


def _program_directory() -> Path:
    beside = Path(sys.executable).parent
    if (beside / "weave").exists():
        return beside
    found = shutil.which("weave")
    return Path(found).parent if found else beside
