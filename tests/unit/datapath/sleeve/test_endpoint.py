"""Sockets of the sleeve."""

from __future__ import annotations

import socket

from datapath.sleeve.endpoint import overrun


def test_what_found_the_buffer_full_is_counted() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        ear.bind(("127.0.0.1", 0))
        ear.setblocking(False)
        assert overrun(ear) == 0
        for _ in range(100):
            mouth.sendto(bytes(1_000), ear.getsockname())
        heard = 0
        while True:
            try:
                ear.recv(2_000)
            except BlockingIOError:
                break
            heard += 1
        assert 0 < heard < 100
        assert overrun(ear) == 100 - heard
