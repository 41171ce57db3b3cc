"""Small senders and receivers that run inside a container's namespace: standard library only, one line of JSON out.

probe.py listen GROUP PORT DEVICE     count datagrams by text until SIGTERM; prints `ready` first
probe.py say ADDRESS PORT DEVICE TEXT send one datagram (broadcast allowed)
probe.py sink PORT                    accept one TCP connection, read it to its end, print bytes and seconds
probe.py pour ADDRESS PORT SECONDS    connect and send zeros for so long
probe.py echo PORT COUNT              answer COUNT datagrams
probe.py ask ADDRESS PORT COUNT       send COUNT datagrams, each after the last one's answer; print median and p99 µs
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable

CHUNK_BYTES = 262_144
DATAGRAM_MAX_BYTES = 2048
ANSWER_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 5.0


def listen(group: str, port: str, device: str) -> None:
    """Count every datagram to the port, on the group's or any address, until SIGTERM."""
    counts: Counter[str] = Counter()

    def finish(_signal: int, _frame: object) -> None:
        print(json.dumps(counts), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, finish)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        receiver.bind(("", int(port)))
        member = (
            socket.inet_aton(group) + socket.inet_aton("0.0.0.0") + socket.if_nametoindex(device).to_bytes(4, "little")
        )
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        print("ready", flush=True)
        while True:
            counts[receiver.recv(DATAGRAM_MAX_BYTES).decode(errors="replace")] += 1


def say(address: str, port: str, device: str, text: str) -> None:
    """Send one datagram out of one device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
        sender.sendto(text.encode(), (address, int(port)))


def sink(port: str) -> None:
    """Read one connection to its end."""
    with socket.create_server(("", int(port))) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
        buffer = bytearray(CHUNK_BYTES)
        size = 0
        begin = time.monotonic()
        with connection:
            while got := connection.recv_into(buffer):
                size += got
        print(json.dumps({"bytes": size, "seconds": time.monotonic() - begin}), flush=True)


def pour(address: str, port: str, seconds: str) -> None:
    """Send zeros for some seconds."""
    zeros = bytes(CHUNK_BYTES)
    with socket.create_connection((address, int(port)), timeout=CONNECT_TIMEOUT_S) as connection:
        # Paced congestion control measures its own model of the path, not the path.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        until = time.monotonic() + float(seconds)
        while time.monotonic() < until:
            connection.sendall(zeros)


def echo(port: str, count: str) -> None:
    """Answer datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", int(port)))
        print("ready", flush=True)
        for _ in range(int(count)):
            text, sender = server.recvfrom(DATAGRAM_MAX_BYTES)
            server.sendto(text, sender)


def ask(address: str, port: str, count: str) -> None:
    """Measure round trips, one at a time."""
    took = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ANSWER_TIMEOUT_S)
        client.connect((address, int(port)))
        for _ in range(int(count)):
            begin = time.perf_counter_ns()
            client.send(bytes(64))
            client.recv(DATAGRAM_MAX_BYTES)
            took.append((time.perf_counter_ns() - begin) / 1000)
    took.sort()
    figures = {"median_us": statistics.median(took), "p99_us": took[len(took) * 99 // 100], "count": len(took)}
    print(json.dumps(figures), flush=True)


VERBS: dict[str, Callable[..., None]] = {
    "listen": listen,
    "say": say,
    "sink": sink,
    "pour": pour,
    "echo": echo,
    "ask": ask,
}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
