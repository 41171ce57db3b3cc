"""Running a piece of code inside another network namespace.

On a thread of its own, which ends afterwards: a thread that has moved must never serve anything else. Sockets opened
inside stay inside.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from datapath import syscall

T = TypeVar("T")


def run_in(path: str, action: Callable[[], T]) -> T:
    """Return what `action` returns in the namespace at a path. Raises: OSError if it cannot be entered, and whatever
    `action` raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                syscall.setns(fd)
            finally:
                os.close(fd)
            results.append(action())
        except BaseException as error:
            # Carried over to the caller's thread.
            errors.append(error)

    thread = threading.Thread(target=work, name=f"netns {path}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
