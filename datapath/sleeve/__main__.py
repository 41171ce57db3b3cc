"""`python -m datapath.sleeve TAP HOST PORT`: the worker; its standard input is the socket to the agent.

Nothing secret is on the command line, in the environment or in a core file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from datapath.sleeve.worker import serve

NICENESS = -11
"""Others wait for what passes here, as for the kernel's own part, which goes before every process. On a host whose
processors were all busy, TCP was 1.7 times as fast with it."""
AUTOGROUP = Path("/proc/self/autogroup")
"""Where niceness has to be said where the kernel weighs sessions, not processes (sched(7))."""
_PR_SET_DUMPABLE = 4


def main() -> int:
    """Return the exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        return 1
    # A terminal's interrupt is the agent's to handle: it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _go_first()
    tap, host, port = sys.argv[1:]
    return serve(socket.socket(fileno=sys.stdin.fileno()), tap, host, int(port))


def _go_first() -> None:
    """Ask for the processor before others; where that is not allowed, it works without."""
    # A session of our own, for the agent need not go first.
    os.setsid()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(str(NICENESS))


if __name__ == "__main__":
    sys.exit(main())
