"""Talks to the agent through its socket. Standard library only: commands must start in milliseconds."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

CONNECT_TIMEOUT_S = 3.0
OK = (200, 204)
NOT_FOUND = 404


class NotRunning(Exception):
    """There is no agent to talk to; the text says so to people."""


class Refused(Exception):
    """The agent said no; the text is its own."""


class NotThere(Refused):
    """The agent does not know that path."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("weave")
        self._path = path

    def connect(self) -> None:
        """Connect. Raises: OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_TIMEOUT_S)
        self.sock.connect(str(self._path))
        # An answer may take as long as it takes; control-C ends the wait.
        self.sock.settimeout(None)


def ask(path: Path, method: str, what: str, form: Sequence[tuple[str, str]] = ()) -> str:
    """Return the body of a good answer. Raises: NotRunning, Refused, NotThere."""
    body = urlencode(form) if form else None
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    connection = UnixConnection(path)
    try:
        connection.request(method, what, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
    except PermissionError as error:
        raise NotRunning(f"weave must be run as 'root': {path} is for root only") from error
    except (OSError, http.client.HTTPException) as error:
        if not os.path.exists(path) or isinstance(error, ConnectionRefusedError):
            raise NotRunning("weave is not running. Have you launched it?") from error
        raise NotRunning(f"weave does not answer at {path}: {error}") from error
    finally:
        connection.close()
    if response.status in OK:
        return text
    if response.status == NOT_FOUND:
        raise NotThere(text.strip() or "not found")
    raise Refused(text.strip())
