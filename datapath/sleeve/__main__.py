"""`python -m datapath.sleeve TAP HOST PORT`: the worker; its standard input is the socket to the agent.

Nothing secret is on the command line, in the environment or in a core file.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import socket
import sys

from datapath.sleeve.worker import serve

_PR_SET_DUMPABLE = 4


def main() -> int:
    """Return the exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        return 1
    # A terminal's interrupt is the agent's to handle: it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tap, host, port = sys.argv[1:]
    return serve(socket.socket(fileno=sys.stdin.fileno()), tap, host, int(port))


if __name__ == "__main__":
    sys.exit(main())
