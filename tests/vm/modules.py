"""Loads kernel modules with what they depend on, without kmod: `modules.py NAME...`. Runs in the guest."""

from __future__ import annotations

import ctypes
import os
import sys

ROOT = f"/usr/lib/uml/modules/{os.uname().release}"
FINIT_MODULE = 313
"""On x86-64, the only machine that User-Mode Linux runs on."""
EEXIST = 17

libc = ctypes.CDLL(None, use_errno=True)


def load(path: str) -> None:
    fd = os.open(f"{ROOT}/{path}", os.O_RDONLY)
    try:
        if libc.syscall(FINIT_MODULE, fd, b"", 0) != 0 and ctypes.get_errno() != EEXIST:
            raise OSError(ctypes.get_errno(), f"{path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(fd)


def main() -> None:
    with open(f"{ROOT}/modules.dep", encoding="utf-8") as file:
        needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in file)}
    paths = {path.rsplit("/", 1)[-1].removesuffix(".ko").replace("-", "_"): path for path in needs}
    with open(f"{ROOT}/modules.builtin", encoding="utf-8") as file:
        builtin = {line.strip().rsplit("/", 1)[-1].removesuffix(".ko").replace("-", "_") for line in file}
    for name in (word.replace("-", "_") for word in sys.argv[1:]):
        if name in builtin:
            continue
        path = paths[name]
        # The last named is needed by the others.
        for each in (*reversed(needs[path]), path):
            load(each)


main()
