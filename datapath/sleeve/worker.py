"""The process that carries frames: one thread, one loop, nothing that waits.

From the TAP to the neighbour that a frame's outermost tag names; from a neighbour to the TAP, with the neighbour's
number in that tag. It decides nothing else: forwarding is the kernel program's, wishes are the agent's.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time

from datapath.sleeve import frame, icmp, probe
from datapath.sleeve.control import (
    PACKET_MAX,
    ControlError,
    Counters,
    Failed,
    Message,
    RemoveTunnel,
    SetTunnel,
    decode,
    encode,
)
from datapath.sleeve.endpoint import Source, open_socket, overrun, receive
from datapath.sleeve.keys import SECRET_SIZE
from datapath.sleeve.neighbour import Neighbour
from datapath.sleeve.opener import IN_SIZE, Opener, Receiving
from datapath.sleeve.sealer import Sealer, Sending
from datapath.sleeve.tap import is_gone, open_tap

TICK_MS = 25
"""Between two looks at what is due."""
IDLE_MS = 1_000
"""The longest sleep."""
COUNTERS_MS = 2_000
"""Between reports of counters that have changed."""
FRAMES_MAX = 64
"""Frames taken from the TAP before the sockets have their turn."""
RECEIVES_MAX = 64
"""Receptions from one socket before the others have their turn."""
TUNNELS_MAX = 4_095
"""As many as there are numbers."""
RECEIVE_MAX = 1 << 16
"""Bytes of one reception."""
ANSWERS_MAX = 100
"""ICMP answers per tick's second: kernels limit their own likewise."""


class Worker:
    """The loop and all it holds."""

    def __init__(self, control: socket.socket, tap: str, host: str, port: int) -> None:
        """Open everything. Raises: OSError."""
        self._control = control
        self._control.setblocking(False)
        self._host, self._port = host, port
        self._tap = open_tap(tap)
        self._wildcard = open_socket(host, port)
        self._sealer = Sealer()
        self._opener = Opener(self._deliver, self._obey, self._now_ms)
        self._peers: dict[str, Neighbour] = {}
        self._numbers: dict[int, Neighbour] = {}
        self._receivers: dict[int, Neighbour] = {}
        self._fast_tags: dict[bytes, Neighbour] = {}
        self._bundled: dict[Sending, Neighbour] = {}
        self._sockets: dict[int, tuple[socket.socket, Neighbour | None]] = {}
        self._counts: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._overrun = 0
        self._packet = bytearray(PACKET_MAX)
        self._answers = 0
        self._answers_ms = 0
        self._counters_ms = 0
        self._next_ms = 0
        self._poll = select.epoll()
        for fd in (self._tap, control.fileno(), self._wildcard.fileno()):
            self._poll.register(fd, select.EPOLLIN)
        self._sockets[self._wildcard.fileno()] = (self._wildcard, None)

    def run(self) -> None:
        """Serve until the agent closes the control socket, or the TAP is gone. Raises: OSError."""
        tap, control = self._tap, self._control.fileno()
        while True:
            sleep_ms = max(0, self._next_ms - self._now_ms())
            for fd, _ in self._poll.poll(min(sleep_ms, IDLE_MS) / 1000):
                if fd == tap:
                    self._read_tap()
                elif fd == control:
                    if not self._read_control():
                        return
                elif fd in self._sockets:
                    self._read_socket(*self._sockets[fd])
            now_ms = self._now_ms()
            if now_ms >= self._next_ms:
                self._tick(now_ms)

    # What neighbours do to the world.

    def send_control(self, neighbour: Neighbour, body: bytes, size: int) -> None:
        """Send a message by the sleeve, filled up to `size` bytes of datagram."""
        total = self._sealer.seal_control(neighbour.sending, body, size)
        neighbour.endpoint.send(self._sealer, total, total)

    def write_frame(self, data: bytes) -> None:
        """Give a frame to the kernel."""
        self._deliver([memoryview(data)])

    def report(self, message: Message) -> bool:
        """Tell the agent; say whether it was taken."""
        try:
            self._control.send(encode(message))
        except BlockingIOError:
            self._count("reports put off")
            return False
        return True

    # From the kernel to neighbours.

    def _read_tap(self) -> None:
        into = [self._sealer.frame.view]
        for _ in range(FRAMES_MAX):
            try:
                size = os.readv(self._tap, into)
            except BlockingIOError:
                break
            except OSError as error:
                if is_gone(error):
                    raise
                # A device that is down has nothing to read.
                break
            self._send_frame(size)
        self._flush()

    def _send_frame(self, size: int) -> None:
        view = self._sealer.frame.view[:size]
        tags = frame.tags(view)
        if tags is None:
            self._hear_fast(view)
            return
        neighbour = self._numbers.get(tags[0] & 0xFFF)
        if neighbour is None:
            self._count("frames for a neighbour without tunnel")
            return
        sealer, sending = self._sealer, neighbour.sending
        if frame.gso(view):
            self._flush()
            cut = sealer.seal_super_frame(sending, size)
            if cut is None:
                self._send_large(neighbour, view)
            else:
                neighbour.endpoint.send(sealer, *cut)
        elif sealer.fits(sending, size):
            if not sealer.bundle(sending, size):
                self._flush()
                sealer.bundle(sending, size)
        else:
            self._flush()
            self._send_large(neighbour, view)

    def _send_large(self, neighbour: Neighbour, view: memoryview) -> None:
        """Send a frame that does not fit in pieces, or answer it if it must not be cut."""
        is_tcp = frame.gso(view) in (frame.GSO_TCPV4, frame.GSO_TCPV6)
        if not is_tcp and icmp.must_not_be_cut(view, neighbour.mtu):
            self._answer(neighbour, view)
            return
        neighbour.endpoint.send(self._sealer, *self._sealer.seal_pieces(neighbour.sending, len(view)))
        self._count("frames sent in pieces")

    def _answer(self, neighbour: Neighbour, view: memoryview) -> None:
        self._count("frames that do not fit and must not be cut")
        if self._answers >= ANSWERS_MAX:
            return
        answer = icmp.answer(view, neighbour.mtu, neighbour.told.number)
        if answer is not None:
            self._answers += 1
            self._deliver([memoryview(answer)])

    def _flush(self) -> None:
        closed = self._sealer.close()
        if closed is not None:
            sending, total, spacing = closed
            self._bundled[sending].endpoint.send(self._sealer, total, spacing)

    # From neighbours to the kernel.

    def _read_socket(self, source: socket.socket, owner: Neighbour | None) -> None:
        """Take datagrams that wait, those of one size at once; a stranger's one by one, for each has its address."""
        inbox, at = self._opener.inbox, 0
        trains: list[tuple[int, int, int]] = []
        remote: Source | None = None
        for _ in range(RECEIVES_MAX):
            try:
                size, spacing, remote = receive(source, inbox, at)
            except BlockingIOError:
                break
            except OSError:
                # Something sent before was refused, and this is how we hear of it.
                self._count("refusals by neighbours")
                continue
            if size == 0:
                self._count("empty datagrams")
                continue
            if trains and spacing == trains[-1][2] and at == trains[-1][0] + trains[-1][1]:
                trains[-1] = (trains[-1][0], trains[-1][1] + size, spacing)
            else:
                trains.append((at, size, spacing))
            at += size
            if size % spacing:
                # The last one was shorter, so what follows stands apart: where arguments and views are at hand.
                at = (-(-at // spacing) * spacing + 7) & ~7
            if owner is None or at > IN_SIZE - RECEIVE_MAX:
                self._open(trains, remote)
                at, trains = 0, []
                if source.fileno() < 0:
                    # Its neighbour has moved, or is gone.
                    return
        if trains and remote is not None:
            self._open(trains, remote)

    def _open(self, trains: list[tuple[int, int, int]], remote: Source) -> None:
        now_ms = self._now_ms()
        for train in trains:
            receiving = self._opener.open(*train)
            if receiving is None:
                continue
            neighbour = self._receivers[receiving.receiver]
            neighbour.saw_traffic(now_ms)
            if receiving.replay.top > neighbour.newest:
                neighbour.newest = receiving.replay.top
                if remote != neighbour.endpoint.remote:
                    self._count("changes of address")
                    self._connect(neighbour, remote)

    def _deliver(self, parts: list[memoryview]) -> None:
        try:
            os.writev(self._tap, parts)
        except OSError as error:
            if is_gone(error):
                raise
            self._count("frames that the kernel did not take")

    def _obey(self, receiving: Receiving, body: bytes) -> None:
        self._receivers[receiving.receiver].obey(body, self._now_ms(), self)
        self._wake()

    def _hear_fast(self, view: memoryview) -> None:
        found = probe.parse_frame(view)
        if found is None:
            self._count("frames without tags")
            return
        tag = probe.tag_of(found[1])
        neighbour = None if tag is None else self._fast_tags.get(tag)
        if neighbour is None or not neighbour.heard_fast(*found, self._now_ms()):
            self._count("false probes")
            return
        self._wake()

    # Time, and the agent.

    def _tick(self, now_ms: int) -> None:
        next_ms = now_ms + IDLE_MS
        for neighbour in self._peers.values():
            next_ms = min(next_ms, neighbour.tick(now_ms, self))
            remote = neighbour.next_remote(now_ms)
            if remote is not None:
                self._connect(neighbour, remote)
        self._opener.pieces.expire(now_ms)
        self._next_ms = max(next_ms, now_ms + TICK_MS)
        if now_ms - self._answers_ms >= 1_000:
            self._answers, self._answers_ms = 0, now_ms
        if now_ms - self._counters_ms >= COUNTERS_MS:
            self._counters_ms = now_ms
            self._report_counters()

    def _wake(self) -> None:
        """Look soon at what is due, for something has changed."""
        self._next_ms = min(self._next_ms, self._now_ms() + TICK_MS)

    def _report_counters(self) -> None:
        values = dict(self._counts)
        values.update({f"datagrams {drop.value}": count for drop, count in self._opener.drops.items() if count})
        given_up = self._opener.pieces.given_up
        if given_up:
            values["frames of which pieces are missing"] = given_up
        errors = sum(neighbour.endpoint.errors for neighbour in self._peers.values())
        if errors:
            values["datagrams that the kernel did not take"] = errors
        lost = self._overrun + sum(overrun(source) for source, _ in self._sockets.values())
        if lost:
            values["datagrams, or trains of them, that came faster than they could be read"] = lost
        if values != self._told and self.report(Counters(values)):
            self._told = values

    def _read_control(self) -> bool:
        """Obey the agent; say whether it is still there. Raises: ControlError, for the agent is no stranger."""
        try:
            size = self._control.recv_into(self._packet)
        except BlockingIOError:
            return True
        if size == 0:
            return False
        view = memoryview(self._packet)
        message = decode(view[:size])
        if isinstance(message, SetTunnel):
            self._set(message, view[:SECRET_SIZE])
        elif isinstance(message, RemoveTunnel):
            self._remove(message.peer)
        else:
            raise ControlError(f"{type(message).__name__} is nothing an agent says")
        self._packet[:size] = bytes(size)
        self._next_ms = 0
        return True

    def _set(self, told: SetTunnel, secret: memoryview) -> None:
        now_ms = self._now_ms()
        known = self._peers.get(told.peer)
        if known is not None and (known.told.session, known.told.outbound, known.told.is_sealed) == (
            told.session,
            told.outbound,
            told.is_sealed,
        ):
            if self._numbers.get(known.told.number) is known:
                del self._numbers[known.told.number]
            self._numbers[told.number] = known
            if known.change(told, now_ms):
                self._connect(known, (told.address, told.port))
            return
        self._remove(told.peer)
        assert len(self._peers) < TUNNELS_MAX, "more tunnels than numbers"
        made = Neighbour(told, bytearray(secret), self._host, self._port, now_ms)
        self._peers[told.peer] = self._numbers[told.number] = made
        self._bundled[made.sending] = made
        self._receivers[made.receiving.receiver] = self._fast_tags[made.in_tag] = made
        self._opener.tunnels[made.receiving.receiver] = made.receiving
        self._connect(made, (told.address, told.port))

    def _remove(self, peer: str) -> None:
        gone = self._peers.pop(peer, None)
        if gone is None:
            return
        if self._numbers.get(gone.told.number) is gone:
            del self._numbers[gone.told.number]
        del self._bundled[gone.sending]
        receiver = gone.receiving.receiver
        if self._receivers.get(receiver) is gone:
            del self._receivers[receiver], self._opener.tunnels[receiver], self._fast_tags[gone.in_tag]
        self._opener.pieces.forget(receiver)
        self._forget_socket(gone)
        gone.endpoint.close()
        gone.wipe()

    def _connect(self, neighbour: Neighbour, remote: Source) -> None:
        self._forget_socket(neighbour)
        made = neighbour.endpoint.connect(remote)
        if made is not None:
            self._sockets[made.fileno()] = (made, neighbour)
            self._poll.register(made.fileno(), select.EPOLLIN)

    def _forget_socket(self, neighbour: Neighbour) -> None:
        held = neighbour.endpoint.socket
        if held is not None:
            self._sockets.pop(held.fileno(), None)
            self._overrun += overrun(held)
            self._poll.unregister(held.fileno())

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1

    @staticmethod
    def _now_ms() -> int:
        return time.monotonic_ns() // 1_000_000


def serve(control: socket.socket, tap: str, host: str, port: int) -> int:
    """Run a worker; return the exit status."""
    try:
        worker = Worker(control, tap, host, port)
    except OSError as error:
        with contextlib.suppress(OSError):
            control.send(encode(Failed(f"{tap}, UDP {host}:{port}: {os.strerror(error.errno or 0)}")))
        return 1
    try:
        worker.run()
    except OSError as error:
        with contextlib.suppress(OSError):
            control.send(encode(Failed(f"{tap}: {os.strerror(error.errno or 0)}")))
        return 1
    return 0
