"""Loads kernel modules with what they depend on, without kmod: `modules.py FOLDER NAME...`. Runs in the guest.

What a module needs is read from the module itself, so that a package merely unpacked will do.
"""

from __future__ import annotations

import ctypes
import lzma
import os
import sys

INIT_MODULE = 175
"""On x86-64, the only machine that these guests run on."""
EEXIST = 17

libc = ctypes.CDLL(None, use_errno=True)


def paths_in(folder: str) -> dict[str, str]:
    found = {}
    for place, _, files in os.walk(folder):
        for file in files:
            name, dot, _ = file.partition(".ko")
            if dot:
                found[name.replace("-", "_")] = os.path.join(place, file)
    return found


def load(paths: dict[str, str], name: str, done: dict[str, bool]) -> None:
    if name in done or name not in paths:
        # What is no module is built into the kernel; if it is not, the test says so.
        return
    done[name] = True
    with open(paths[name], "rb") as file:
        data = file.read()
    if paths[name].endswith(".xz"):
        data = lzma.decompress(data)
    needs = data.partition(b"\0depends=")[2].partition(b"\0")[0].decode()
    for other in filter(None, needs.split(",")):
        load(paths, other.replace("-", "_"), done)
    if libc.syscall(INIT_MODULE, data, len(data), b"") != 0 and ctypes.get_errno() != EEXIST:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def main() -> None:
    paths, done = paths_in(sys.argv[1]), {}
    for word in sys.argv[2:]:
        load(paths, word.replace("-", "_"), done)


if __name__ == "__main__":
    main()
