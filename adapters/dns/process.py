"""The name server, as the agent sees it: names go in, its state comes out.

Another worker is started when one dies; it knows nothing, so names are asked for. Nothing here waits for the worker but
`close`: what it does not take yet is kept, up to a limit.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from adapters.dns.control import status_of, unpacker
from adapters.dns.listeners import open_sockets
from adapters.dns.options import ServerOptions
from adapters.dns.telling import messages_of
from core.effects import ServeNames
from core.events import NamesAsked
from core.naming.status import ServerStatus

ROOT = Path(__file__).parents[2]
"""Where the packages lie."""
RESTART_S = 1.0
"""Between the death of a worker and the next one: one that cannot run does not keep the host busy."""
EXIT_S = 2.0
"""How long a worker that is told to end may take."""
UNSENT_MAX = 100_000
"""Messages that wait for the worker; one that takes none of so many is stuck, and is ended."""
READ_SIZE = 65_536
FREE_TRIES, FREE_WAIT_S = 10, 0.2
"""How often, and how long between, an address is tried at start: the server of an agent that has just been stopped may
still have it."""


class NameServerError(Exception):
    """The address that was asked for cannot be served; the text says why."""


def check_address(options: ServerOptions) -> None:
    """See that an address that was asked for can be served; one found by ourselves may come later. Waits for up to
    two seconds. Raises: NameServerError."""
    if not options.host:
        return
    for count in range(FREE_TRIES):
        try:
            for made in open_sockets((options.host, options.port)):
                made.close()
        except OSError as error:
            if count + 1 == FREE_TRIES:
                where = f"[{options.host}]" if ":" in options.host else options.host
                what = os.strerror(error.errno or 0)
                raise NameServerError(f"Unable to start dns server: listen {where}:{options.port}: {what}") from error
            time.sleep(FREE_WAIT_S)
        else:
            return


class NameServer:
    """One worker after another."""

    def __init__(
        self,
        options: ServerOptions,
        *,
        report: Callable[[NamesAsked], None],
        note: Callable[[str, str], None],
    ) -> None:
        """Must be made on the asyncio thread. `report` hears whenever a worker wants all names."""
        self._asyncio = asyncio.get_running_loop()
        self._options = options
        self._report = report
        self._note = note
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._unsent: deque[memoryview] = deque()
        self._messages = unpacker()
        self._restart: asyncio.TimerHandle | None = None
        self.status = ServerStatus((), (), "it is starting")
        """What the worker has last said of itself."""

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None when there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a worker."""
        self._restart = None
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "adapters.dns", self._options.to_text()),
                stdin=theirs.fileno(),
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            ours.close()
            self._mourn(f"its process cannot be started: {error.strerror}")
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        self._socket = ours
        self._messages = unpacker()
        self._asyncio.add_reader(ours.fileno(), self._read)
        self._report(NamesAsked())

    def serve(self, effect: ServeNames) -> None:
        """Have names answered; while there is no worker, the next one will ask for them."""
        if self._socket is None:
            return
        is_idle = not self._unsent
        self._unsent.extend(memoryview(message) for message in messages_of(effect))
        if len(self._unsent) > UNSENT_MAX:
            self._bury("it takes no names any more")
        elif is_idle and self._unsent:
            self._asyncio.add_writer(self._socket.fileno(), self._write)

    def close(self) -> None:
        """End the worker, and let go."""
        if self._restart is not None:
            self._restart.cancel()
        self._end()

    def _read(self) -> None:
        assert self._socket is not None, "a reader of a socket that is open"
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._bury("its process died")
            return
        self._messages.feed(data)
        for message in self._messages:
            status = status_of(message)
            if status.addresses != self.status.addresses or status.trouble != self.status.trouble:
                where = ", ".join(status.addresses) or "no address yet"
                self._note("INFO", f"name server: {where}{f' ({status.trouble})' if status.trouble else ''}")
            self.status = status

    def _write(self) -> None:
        assert self._socket is not None, "a writer of a socket that is open"
        try:
            while self._unsent:
                message = self._unsent[0]
                sent = self._socket.send(message)
                if sent < len(message):
                    self._unsent[0] = message[sent:]
                    return
                self._unsent.popleft()
        except BlockingIOError:
            return
        except ConnectionError:
            # The reader hears of it, too.
            self._unsent.clear()
        self._asyncio.remove_writer(self._socket.fileno())

    def _bury(self, why: str) -> None:
        self._end()
        self._mourn(why)

    def _mourn(self, why: str) -> None:
        self.status = ServerStatus((), (), f"{why}; another one starts")
        self._note("WARN", f"name server: {why}, another one starts")
        self._restart = self._asyncio.call_later(RESTART_S, self.start)

    def _end(self) -> None:
        if self._socket is not None:
            self._asyncio.remove_reader(self._socket.fileno())
            self._asyncio.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._unsent.clear()
        if self._process is not None:
            try:
                # One that is only starting does not read yet that it is to end, and would take its time.
                self._process.terminate()
                self._process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
