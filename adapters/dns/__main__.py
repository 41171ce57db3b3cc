"""`python -m adapters.dns OPTIONS`: the worker; its standard input is the socket to the agent."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys

from adapters.dns.clients import CLIENTS_MAX
from adapters.dns.options import options_of
from adapters.dns.upstream import IN_FLIGHT_MAX
from adapters.dns.worker import Worker

FILES = CLIENTS_MAX + IN_FLIGHT_MAX + 256
"""Open files at most; where fewer are allowed, clients that have been quiet make room."""


def main() -> int:
    """Return the exit status."""
    # A terminal's interrupt is the agent's to handle: it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()
    # What is made here holds no cycles, and to look for them among half a million records would take a second.
    gc.disable()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if most < 0 else min(FILES, most), most))
    Worker(socket.socket(fileno=sys.stdin.fileno()), options_of(sys.argv[1])).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
