"""Another kernel for one test run: User-Mode Linux with this machine's files, where a Python script runs as root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LINUX = "linux.uml"
TIMEOUT_S = 110
"""A run takes some 30 s, on a busy machine twice that."""


class GuestError(Exception):
    """The guest did not do its work; the text ends with what it said."""


def why_no_guest() -> str:
    """Return why no guest can be had here; empty when one can."""
    if os.geteuid() != 0:
        return "the guest's files are this machine's, and writing them needs root"
    if shutil.which(LINUX) is None:
        return "user-mode-linux is not installed (Debian, x86-64 only): NOTHING OF ESP IS TESTED"
    return ""


def run(script: Path, out: Path) -> str:
    """Boot, run `script` with the folder `out` as its argument, and return what it printed. Raises: GuestError."""
    words = {
        "mem": "768M",
        "root": "/dev/root",
        "rootfstype": "hostfs",
        "rootflags": "/",
        "loglevel": "3",
        "con": "null",
        "con0": "null,fd:1",
        "uml_dir": f"{out}/",
        "init": str(HERE / "init.sh"),
        "weave_python": sys.executable,
        "weave_here": str(HERE),
        "weave_script": str(script),
        "weave_out": str(out),
    }
    command = (LINUX, "rw", "quiet", *(f"{name}={value}" for name, value in words.items()))
    with (out / "console").open("w") as console:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
        )
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = _text(out / "log")
    if _text(out / "status").strip() != "0":
        raise GuestError(f"console:\n{_text(out / 'console')[-2000:]}\nlog:\n{said[-6000:]}")
    return said


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""
