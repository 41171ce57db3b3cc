"""The worker, as the agent sees it: tunnels go in, transitions of paths come out.

The worker is started again when it dies; tunnels are then missing, as `tunnels` tells, and whoever wants them sets
them again. Secrets are not kept here. Any thread may call; nothing here waits for the worker but `close`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path as FilePath

from core.events import PathDown, PathUp
from core.reconcile.objects import FASTDP, SLEEVE, Tunnel
from core.types import PeerName
from datapath.sleeve.control import (
    PACKET_MAX,
    Counters,
    Epochs,
    Failed,
    Message,
    Path,
    RemoveTunnel,
    SetTunnel,
    decode,
    encode,
)
from datapath.sleeve.sealer import INCARNATION_MAX

ROOT = FilePath(__file__).parents[2]
"""Where the packages lie."""
RESTART_MS = 1_000
"""Between two starts: a worker that cannot run does not keep the host busy."""
SESSIONS_MAX = 8_192
"""Sessions whose epochs are remembered, for a worker that comes after; twice as many as there can be tunnels."""
EXIT_S = 2.0
"""How long a worker that is told to end may take."""
SEND_S = 2
"""How long the worker may take to take a message; it empties its socket at every turn of its loop."""
MESSAGES_MAX = 1_000
"""Messages read at a time; the rest is there the next time."""
_TUNNEL_FIELDS = tuple(field.name for field in fields(Tunnel))


class Sleeve:
    """One worker after another."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._poll = select.epoll()
        self._where: tuple[str, str, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._started_ms = 0
        self._tunnels: dict[PeerName, Tunnel] = {}
        self._up: dict[tuple[str, str], None] = {}
        self._epochs: OrderedDict[str, Epochs] = OrderedDict()
        self._incarnation = 0
        self.counters: dict[str, int] = {}
        """What the worker has carried and dropped, by name."""
        self.deaths = 0
        """Workers that have died without being told to."""
        self.trouble = ""
        """Why the last one died, as far as it could say; empty when all is well."""

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None when there is none."""
        return None if self._process is None else self._process.pid

    def start(self, tap: str, port: int, host: str = "0.0.0.0") -> None:
        """Start a worker on an existing TAP device and a UDP port, in the caller's network namespace. With the same
        arguments again, see that it runs. Raises: OSError with EAGAIN when it died a moment ago."""
        where = (tap, host, port)
        with self._lock:
            if self._where is not None and self._where != where:
                self.close_worker()
            self._where = where
            self._ensure()

    def set_tunnel(self, tunnel: Tunnel, secret: bytes) -> None:
        """Have a tunnel, in place of any other to that peer; `secret` is the link's, 32 bytes. Raises: OSError when
        there is no worker that takes it; another time there may be."""
        with self._lock:
            self._ensure()
            self._set(tunnel, secret)

    def remove_tunnel(self, peer: PeerName) -> bool:
        """Have no tunnel to a peer; say whether there was one. Raises: OSError."""
        with self._lock:
            tunnel = self._tunnels.get(peer)
            if tunnel is None:
                return False
            self._send(encode(RemoveTunnel(peer)))
            del self._tunnels[peer]
            for transport in (FASTDP, SLEEVE):
                self._up.pop((tunnel.session, transport), None)
            return True

    def tunnels(self) -> tuple[Tunnel, ...]:
        """Return the tunnels that the worker has."""
        with self._lock:
            return tuple(self._tunnels.values())

    def is_running(self, tap: str, port: int) -> bool:
        """Say whether a worker serves a device and a port."""
        where = self._where
        return self._socket is not None and where is not None and (where[0], where[2]) == (tap, port)

    def fileno(self) -> int:
        """Return a descriptor, the same for ever, that is readable when `read` has something to tell."""
        return self._poll.fileno()

    def read(self) -> Iterator[PathUp | PathDown]:
        """Tell what has happened; never waits. When the worker has died, all that was up is told to be down, and
        another one is started, without tunnels."""
        with self._lock:
            return iter(tuple(self._read()))

    def close_worker(self) -> None:
        """End the worker; tunnels are gone."""
        with self._lock:
            self._end()

    def close(self) -> None:
        """End the worker, and let go."""
        self.close_worker()
        self._poll.close()

    def _read(self) -> Iterator[PathUp | PathDown]:
        for _ in range(MESSAGES_MAX):
            if self._socket is None:
                return
            try:
                packet = self._socket.recv(PACKET_MAX, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:
                packet = b""
            if packet:
                yield from self._take(decode(memoryview(packet)))
                continue
            yield from self._bury()
            with contextlib.suppress(OSError):
                # Too soon after the last start; whoever sets the next tunnel tries again.
                self._ensure()

    def _ensure(self) -> None:
        if self._socket is not None:
            return
        if self._where is None:
            raise OSError(errno.EAGAIN, "the sleeve was not started yet: its device does not exist")
        now_ms = time.monotonic_ns() // 1_000_000
        if self._started_ms and now_ms - self._started_ms < RESTART_MS:
            raise OSError(errno.EAGAIN, f"the sleeve's process died a moment ago ({self.trouble or 'no reason given'})")
        self._started_ms = now_ms
        tap, host, port = self._where
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Not Python's own timeout: it would wait in `read` as well.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_S, 0))
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-m", "datapath.sleeve", tap, host, str(port)),
                stdin=theirs.fileno(),
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._poll.register(ours, select.EPOLLIN)

    def _set(self, tunnel: Tunnel, secret: bytes) -> None:
        assert self._incarnation < INCARNATION_MAX, "a tunnel set a million times"
        values = {name: getattr(tunnel, name) for name in _TUNNEL_FIELDS}
        known = self._epochs.get(tunnel.session, Epochs(tunnel.session, 0, 0, 0))
        message = SetTunnel(
            **values,
            incarnation=self._incarnation,
            send_epoch=known.send,
            receive_epoch=known.receive,
            newest=known.newest,
        )
        self._incarnation += 1
        packet = encode(message, secret)
        try:
            self._send(packet)
        finally:
            packet[:] = bytes(len(packet))
        self._tunnels[tunnel.peer] = tunnel

    def _send(self, packet: bytearray) -> None:
        if self._socket is None:
            raise OSError(errno.EAGAIN, "the sleeve's process is gone")
        try:
            self._socket.send(packet)
        except BlockingIOError:
            raise OSError(errno.EAGAIN, "the sleeve's process takes no messages") from None

    def _end(self) -> None:
        if self._socket is not None:
            self._poll.unregister(self._socket)
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._tunnels.clear()
        self._up.clear()

    def _take(self, message: Message) -> Iterator[PathUp | PathDown]:
        match message:
            case Path():
                if all(tunnel.session != message.session for tunnel in self._tunnels.values()):
                    # Said before it heard that the tunnel is gone.
                    return
                key = (message.session, message.transport)
                if message.is_up:
                    self._up[key] = None
                    yield PathUp(message.session, message.transport, message.mtu, message.address)
                else:
                    self._up.pop(key, None)
                    yield PathDown(message.session, message.transport, message.why)
            case Epochs():
                self._epochs[message.session] = message
                self._epochs.move_to_end(message.session)
                if len(self._epochs) > SESSIONS_MAX:
                    self._epochs.popitem(last=False)
            case Counters(values):
                self.counters = values
            case Failed(why):
                self.trouble = why
            case _:
                raise AssertionError(f"a worker does not say {type(message).__name__}")

    def _bury(self) -> Iterator[PathDown]:
        up = tuple(self._up)
        self.deaths += 1
        self._end()
        why = f"the sleeve's process died ({self.trouble})" if self.trouble else "the sleeve's process died"
        for session, transport in up:
            yield PathDown(session, transport, why)
