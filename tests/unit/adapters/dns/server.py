"""A name server on the loopback, with names that tests give it: the real process, told what an agent would tell."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dnslib import DNSRecord

from adapters.dns.control import status_of, unpacker
from adapters.dns.options import ServerOptions
from adapters.dns.telling import messages_of
from core.effects import ServeNames
from core.naming.answers import HostAnswer, NameAnswers
from core.naming.status import ServerStatus
from core.types import address_of

ROOT = Path(__file__).parents[4]
TIMEOUT_S = 20.0


@dataclass(slots=True)
class Server:
    """A worker that runs."""

    host: str
    port: int
    pid: int
    control: socket.socket

    def serve(self, *names: NameAnswers, is_whole: bool = False) -> None:
        """Have it answer names; a query that is sent later meets them, or comes a moment too soon."""
        for message in messages_of(ServeNames(tuple(names), is_whole)):
            self.control.sendall(message)

    def ask(self, query: bytes, *, timeout_s: float = TIMEOUT_S) -> bytes:
        """Send a datagram from a new socket, and return the answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(timeout_s)
            asker.connect((self.host, self.port))
            asker.send(query)
            return asker.recv(65_535)

    def connect(self) -> socket.socket:
        """Return a TCP connection."""
        return socket.create_connection((self.host, self.port), TIMEOUT_S)

    def wait_for(self, name: str) -> None:
        """Return once a name is known."""
        query = DNSRecord.question(name, "ANY").pack()
        deadline = time.monotonic() + TIMEOUT_S
        while self.ask(query)[3] & 0x0F:
            assert time.monotonic() < deadline, f"{name} is not answered"


def host_answers(name: str, addresses: Sequence[str], *, ttl_s: int = 1, rank: int = 0) -> NameAnswers:
    """Return the answers of a name with these addresses."""
    hosts = tuple(HostAnswer(name, address_of(address), ttl_s, rank) for address in addresses)
    return NameAnswers(name.lower(), hosts)


def ask_tcp(connection: socket.socket, *queries: bytes) -> list[bytes]:
    """Send queries at once, and return as many answers in the order of their coming."""
    connection.sendall(b"".join(len(query).to_bytes(2) + query for query in queries))
    answers = []
    for _ in queries:
        size = int.from_bytes(_exactly(connection, 2))
        answers.append(_exactly(connection, size))
    return answers


@contextmanager
def running(resolv_conf: str = "/nonexistent", *, host: str = "127.0.0.1", timeout_ms: int = 5_000) -> Iterator[Server]:
    """Run a worker on a free port."""
    options = ServerOptions(host=host, port=free_port(host), resolv_conf=resolv_conf, timeout_ms=timeout_ms)
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = (sys.executable, "-m", "adapters.dns", options.to_text())
    process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment)
    theirs.close()
    try:
        status = _status(ours)
        assert status.addresses == (f"{host}:{options.port}",), status
        yield Server(host, options.port, process.pid, ours)
        assert process.poll() is None, "it has died"
    finally:
        ours.close()
        assert process.wait(TIMEOUT_S) == 0


def _status(control: socket.socket) -> ServerStatus:
    messages = unpacker()
    while True:
        data = control.recv(65_536)
        assert data, "it has died"
        messages.feed(data)
        for message in messages:
            return status_of(message)


def free_port(host: str) -> int:
    """Return a port that neither UDP nor TCP uses; between now and its use somebody may take it, which is seldom."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind((host, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "closed"
        data += more
    return data
