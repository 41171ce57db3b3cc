"""Starts and ends the agent as a process of its own.

The pid file holds pid and start time: a pid alone may have passed to a stranger. A killed agent leaves socket and pid
file behind; both are recognised as stale and replaced.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from adapters.password import FD_OPTION

READY_TIMEOUT_S = 60.0
PROGRESS_AFTER_S = 2.0
STOP_TIMEOUT_S = 20.0
"""The journal may have to finish a commit on a slow disk."""
POLL_S = 0.02
LOG = "weave.log"
PID = "weave.pid"
OPTIONS = "weave.options"
LOG_KEPT_SIZE = 10 * 1024 * 1024
"""Bytes; a longer log is put aside at the next launch, and replaces the one put aside before."""


class LaunchError(Exception):
    """The agent did not start; the text is its own."""


def running_pid(runtime: Path) -> int | None:
    """Return the pid of the agent that uses this directory; None when there is none."""
    try:
        pid, started = (runtime / PID).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if is_alive(int(pid)) and _start_time(int(pid)) == started else None


def write_pid(runtime: Path) -> None:
    """Say that this process is the agent."""
    (runtime / PID).write_text(f"{os.getpid()} {_start_time(os.getpid())}\n")


def write_options(runtime: Path, words: Sequence[str]) -> None:
    """Remember the options of this run, for `weave reset`."""
    (runtime / OPTIONS).write_text("\0".join(words))


def last_options(runtime: Path) -> list[str]:
    """Return the options of the last run; none if there was none."""
    try:
        text = (runtime / OPTIONS).read_text()
    except OSError:
        return []
    return text.split("\0") if text else []


def remove_pid(runtime: Path) -> None:
    """Say that there is no agent any more."""
    (runtime / PID).unlink(missing_ok=True)


def launch(runtime: Path, arguments: Sequence[str], secret: int | None = None) -> int:
    """Start an agent and wait until it works; return its pid. Raises: LaunchError, OSError.

    `secret` is a pipe that holds the password; it is closed here. None if there is no password.
    """
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_path = runtime / LOG
    if log_path.exists() and log_path.stat().st_size > LOG_KEPT_SIZE:
        log_path.replace(runtime / f"{LOG}.1")
    reading, writing = os.pipe()
    told = ["--ready-fd", str(writing)]
    passed = [writing]
    if secret is not None:
        told += [FD_OPTION, str(secret)]
        passed.append(secret)
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "adapters.control.cli", "agent", *told, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=passed,
            start_new_session=True,
        )
    for fd in passed:
        os.close(fd)
    try:
        answer = _await(reading, process)
    finally:
        os.close(reading)
    if answer.strip() == "ok":
        return process.pid
    if process.poll() is None:
        process.kill()
    process.wait()
    if answer.strip():
        raise LaunchError(answer.strip())
    tail = log_path.read_text(errors="replace").strip().splitlines()[-5:]
    raise LaunchError(
        "The weave agent has died. Consult its log for further details: " + "\n".join((str(log_path), *tail))
    )


def end(pid: int) -> None:
    """End an agent that was asked to stop: wait, then SIGTERM, then SIGKILL."""
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        try:
            if number is not None:
                os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if not is_alive(pid):
                return
            time.sleep(POLL_S)


def is_alive(pid: int) -> bool:
    """Say whether a process runs."""
    started = _start_time(pid)
    return started != "" and _state(pid) != "Z"


def _await(reading: int, process: subprocess.Popen[bytes]) -> str:
    """Return what the agent writes when it is ready or gives up; empty when it just ends or takes too long."""
    answer = b""
    begin = time.monotonic()
    has_spoken = False
    while time.monotonic() - begin < READY_TIMEOUT_S:
        ready, _, _ = select.select([reading], [], [], 0.1)
        if ready:
            data = os.read(reading, 65_536)
            if not data:
                return answer.decode(errors="replace")
            answer += data
        elif process.poll() is not None:
            return answer.decode(errors="replace")
        if not has_spoken and time.monotonic() - begin > PROGRESS_AFTER_S:
            has_spoken = True
            print("weave: the agent is starting ...", file=sys.stderr, flush=True)
    return f"the agent was not ready within {READY_TIMEOUT_S:.0f} seconds"


def _start_time(pid: int) -> str:
    """Return when a process started, in the kernel's own units; empty when there is none."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else ""


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The name, in parentheses, may itself hold blanks and parentheses.
    return text.rpartition(")")[2].split()
