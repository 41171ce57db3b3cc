"""What a lab asks of the kernel: namespaces, cables, queueing, and the end of all of it.

There is no state file. Everything a lab owns can be found again by name alone, so `remove` works after any crash:
namespaces are called `wnlab-<lab>-<host>` or `wnlab-<lab>-<host>.<container>`, cable ends `to-<host>`, and files live
below `/run/weavenet-lab/<lab>/`. Only iproute2 is used, in batches, so that starting costs milliseconds.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from adapters.control.lab_file import RATE_PATTERN, LabError, Link

NETNS_DIRECTORY = Path("/run/netns")
LABS_DIRECTORY = Path("/run/weavenet-lab")
NAME_PREFIX = "wnlab-"
# A process may fork while it is being killed; each round catches the children of the one before.
KILL_ROUNDS_MAX = 50
KILL_ROUND_PAUSE_S = 0.02
# tbf cuts frames longer than its burst, and veths carry segments of up to 64 KiB.
BURST_MIN_BYTES = 65_536
# The timer may wake only once in 10 ms (HZ=100): a burst must last as long, or the rate is not reached.
BURST_S = 0.01
# Queue of a rate limit: a little more than a usual router's, less than what makes TCP unusable.
QUEUE_MS = 50
RATE_UNIT_BITS = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of a lab, as its name tells."""

    lab: str
    """Lab it belongs to."""
    host: str
    """Host it is, or runs on."""
    container: str | None = None
    """Container it is; None for the host itself."""

    @property
    def name(self) -> str:
        """Name for `ip netns`."""
        tail = "" if self.container is None else f".{self.container}"
        return f"{NAME_PREFIX}{self.lab}-{self.host}{tail}"

    @property
    def path(self) -> Path:
        """File that stands for the namespace; `weave attach` takes it."""
        return NETNS_DIRECTORY / self.name


def namespaces() -> list[Namespace]:
    """Return every lab's namespaces, by name."""
    if not NETNS_DIRECTORY.is_dir():
        return []
    found = (parse_name(name) for name in sorted(os.listdir(NETNS_DIRECTORY)))
    return [namespace for namespace in found if namespace is not None]


def parse_name(name: str) -> Namespace | None:
    """Take a namespace's name apart; None when it is none of ours."""
    if not name.startswith(NAME_PREFIX):
        return None
    front, dot, container = name.removeprefix(NAME_PREFIX).partition(".")
    lab, _, host = front.rpartition("-")
    if not lab or not host or bool(dot) != bool(container):
        return None
    return Namespace(lab, host, container or None)


def directory(lab: str, host: str | None = None) -> Path:
    """Return where a lab, or one host of it, keeps its files."""
    return LABS_DIRECTORY / lab if host is None else LABS_DIRECTORY / lab / host


def ip(*words: str, namespace: Namespace | None = None, text: str | None = None) -> str:
    """Run `ip`, with `text` as the lines of a batch. Raises: LabError with what ip said."""
    inside = ("-n", namespace.name) if namespace else ()
    return _tool(("ip", *inside, *words), text)


def batch(lines: Iterable[str], namespace: Namespace | None = None) -> None:
    """Run many `ip` commands in one process; stops at the first that fails. Raises: LabError."""
    ip("-batch", "-", namespace=namespace, text="".join(f"{line}\n" for line in lines))


def shape(ends: Iterable[tuple[Namespace, str]], link: Link) -> list[str]:
    """Limit a cable as its file asks. Return one line for each wish the kernel cannot fulfil.

    netem does delay, loss and rate; without it, tbf still does the rate. Both are found out by trying.
    """
    if link.delay is None and link.rate is None and link.loss is None:
        return []
    netem = "netem"
    for word, value in (("delay", link.delay), ("loss", link.loss), ("rate", link.rate)):
        netem += f" {word} {value}" if value else ""
    ends = tuple(ends)
    if _queue(ends, netem):
        return []
    where = f"link {link.a} – {link.b}"
    missing = [
        f"{where} runs without its {word} of {value}: this kernel has no netem (CONFIG_NET_SCH_NETEM)"
        for word, value in (("delay", link.delay), ("loss", link.loss))
        if value
    ]
    if link.rate and not _queue(ends, f"tbf rate {link.rate} burst {burst_bytes(link.rate)} latency {QUEUE_MS}ms"):
        missing.append(f"{where} runs without its rate of {link.rate}: this kernel has neither netem nor tbf")
    return missing


def burst_bytes(rate: str) -> int:
    """Return the token bucket's depth for a rate such as `100mbit`."""
    found = RATE_PATTERN.fullmatch(rate)
    assert found, rate
    bits_per_second = float(found[1]) * RATE_UNIT_BITS[found[2]]
    return max(BURST_MIN_BYTES, int(bits_per_second * BURST_S / 8))


def processes(members: Iterable[Namespace]) -> list[int]:
    """Return the processes whose network namespace is one of these, by pid."""
    wanted = _identities(members)
    pids = sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if _identity(Path(f"/proc/{pid}/ns/net")) in wanted]


def remove(lab: str) -> bool:
    """End a lab: its processes, namespaces, mounts and files. False when there was nothing.

    Raises: LabError when something will not go away, or when the caller itself stands inside the lab.
    """
    members = [namespace for namespace in namespaces() if namespace.lab == lab]
    home = directory(lab)
    if not members and not home.exists():
        return False
    _kill(members)
    for namespace in members:
        ip("netns", "del", namespace.name)
    for mount in sorted(_mounts_below(home), reverse=True):
        _tool(("umount", "--lazy", mount))
    left = _mounts_below(home)
    if left:
        raise LabError(f"lab {lab}: {', '.join(left)} cannot be unmounted; unmount by hand and run down again")
    shutil.rmtree(home, ignore_errors=True)
    return True


def _kill(members: list[Namespace]) -> None:
    wanted = _identities(members)
    for _ in range(KILL_ROUNDS_MAX):
        pids = processes(members)
        if os.getpid() in pids:
            raise LabError("this command runs inside the lab that it should remove; leave its shell first")
        if not pids:
            return
        for pid in pids:
            _kill_one(pid, wanted)
        time.sleep(KILL_ROUND_PAUSE_S)
    raise LabError(f"processes {processes(members)} do not end; see why with 'ps', then run down again")


def _kill_one(pid: int, wanted: list[tuple[int, int]]) -> None:
    """Kill through a descriptor: between looking and killing, a pid may have passed to a stranger."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _identity(Path(f"/proc/{pid}/ns/net")) in wanted:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _identities(members: Iterable[Namespace]) -> list[tuple[int, int]]:
    found = (_identity(member.path) for member in members)
    return [identity for identity in found if identity]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:  # gone in the meantime, or a kernel thread
        return None
    return found.st_dev, found.st_ino


def _mounts_below(home: Path) -> list[str]:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point == str(home) or point.startswith(f"{home}/")]


def _queue(ends: tuple[tuple[Namespace, str], ...], words: str) -> bool:
    for namespace, device in ends:
        command = ("tc", "-n", namespace.name, "qdisc", "replace", "dev", device, "root", *words.split())
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
    return True


def _tool(command: tuple[str, ...], text: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=text or "", capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed; on Debian: apt-get install iproute2 util-linux") from error
    if done.returncode:
        raise LabError(f"'{' '.join(command)}' failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
