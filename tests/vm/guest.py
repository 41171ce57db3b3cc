"""Another kernel for one test run, with this machine's files, where a Python script runs as root.

User-Mode Linux as a rule: a run takes less than a minute. Its nftables cannot guard, so now and then, and after a
change of datapath/guard.py, run the same in QEMU with a distribution's kernel, which takes minutes (`apt-get install
qemu-system-x86`; `apt-get download linux-image-6.12…-cloud-amd64`; `dpkg -x` it, and name the folder):

    WEAVE_VM_KERNEL=/tmp/kernel pytest tests/vm
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).parent
LINUX = "linux.uml"
UML_MODULES = "/usr/lib/uml/modules"
TIMEOUT_S, QEMU_TIMEOUT_S = 110, 400
"""A run takes some 45 s and 150 s on a busy machine."""
KERNEL = os.environ.get("WEAVE_VM_KERNEL", "")
"""Folder of an unpacked Debian kernel with virtiofs built in (6.12 or later, flavour cloud), for QEMU."""
QEMU, VIRTIOFSD = "qemu-system-x86_64", "/usr/lib/qemu/virtiofsd"
MEMORY = "1G"


class GuestError(Exception):
    """The guest did not do its work; the text ends with what it said."""


def why_no_guest() -> str:
    """Return why no guest can be had here; empty when one can."""
    if os.geteuid() != 0:
        return "the guest's files are this machine's, and writing them needs root"
    if KERNEL and (shutil.which(QEMU) is None or not Path(VIRTIOFSD).exists()):
        return "qemu-system-x86 is not installed, and WEAVE_VM_KERNEL asks for it"
    if not KERNEL and shutil.which(LINUX) is None:
        return "user-mode-linux is not installed (Debian, x86-64 only): NOTHING OF ESP IS TESTED"
    return ""


def run(script: Path, out: Path) -> str:
    """Boot, run `script` with the folder `out` as its argument, and return what it printed. Raises: GuestError."""
    words = {
        "loglevel": "3",
        "init": str(HERE / "init.sh"),
        "weave_python": sys.executable,
        "weave_here": str(HERE),
        "weave_script": str(script),
        "weave_out": str(out),
    }
    with (out / "console").open("w") as console:
        if KERNEL:
            _run_qemu(words, out, console)
        else:
            _run_uml(words, out, console)
    said = _text(out / "log")
    if _text(out / "status").strip() != "0":
        raise GuestError(f"console:\n{_text(out / 'console')[-2000:]}\nlog:\n{said[-6000:]}")
    return said


def _run_uml(words: dict[str, str], out: Path, console: TextIO) -> None:
    root = {"root": "/dev/root", "rootfstype": "hostfs", "rootflags": "/"}
    own = {"mem": MEMORY, "con": "null", "con0": "null,fd:1", "uml_dir": f"{out}/", "weave_modules": UML_MODULES}
    _wait(_start((LINUX, "rw", "quiet", *_joined(root | own | words)), console), TIMEOUT_S)


def _run_qemu(words: dict[str, str], out: Path, console: TextIO) -> None:
    image = next(Path(KERNEL, "boot").glob("vmlinuz-*"))
    modules = next(Path(KERNEL, "lib/modules").iterdir())
    files = out / "files"
    root = {"root": "root", "rootfstype": "virtiofs", "console": "ttyS0", "panic": "-1"}
    line = " ".join(("rw", *_joined(root | {"weave_modules": str(modules)} | words)))
    # Not in a namespace of its own: root may not be pivoted from everywhere.
    options = ("-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot")
    served = _start((VIRTIOFSD, f"--socket-path={files}", *options), console)
    while not files.exists() and served.poll() is None:
        time.sleep(0.05)
    # fmt: off
    command = (
        QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY, "-nodefaults", "-no-reboot",
        "-display", "none", "-serial", "stdio", "-kernel", str(image), "-append", line,
        "-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on", "-numa", "node,memdev=memory",
        "-chardev", f"socket,id=files,path={files}", "-device", "vhost-user-fs-pci,chardev=files,tag=root",
    )
    # fmt: on
    try:
        _wait(_start(command, console), QEMU_TIMEOUT_S)
    finally:
        _wait(served, 0)


def _start(command: tuple[str, ...], console: TextIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Wait for a process, and end it with its children when its time is over."""
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _joined(words: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in words.items())


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""
