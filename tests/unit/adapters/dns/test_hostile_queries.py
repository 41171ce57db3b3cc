"""Bytes that nobody should send, to the real process: it goes on answering others, whatever it makes of them."""

from __future__ import annotations

import random
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from dnslib import DNSRecord
from server import Server, ask_tcp, host_answers, running

from adapters.dns.clients import CLIENTS_MAX, QUERY_SIZE_MAX
from adapters.dns.wire import FORMERR, NOTIMP, NXDOMAIN, REFUSED

GOOD = DNSRecord.question("web.weave.local").pack()
WITH_OPT = GOOD[:11] + b"\1" + GOOD[12:] + b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh"
HEADER = b"\x12\x34\1\0\0\1\0\0\0\0\0\0"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as made:
        made.serve(host_answers("web.weave.local.", ["10.32.0.1"]), is_whole=True)
        made.wait_for("web.weave.local.")
        yield made


def is_well(server: Server) -> bool:
    answer = DNSRecord.parse(server.ask(GOOD))
    return [str(record.rdata) for record in answer.rr] == ["10.32.0.1"]


def send(server: Server, *datagrams: bytes) -> None:
    """Send without waiting for answers, yet not faster than they are taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((server.host, server.port))
        for count, datagram in enumerate(datagrams):
            asker.send(datagram)
            if count % 200 == 0:
                assert is_well(server)
    assert is_well(server)


@pytest.mark.parametrize("query", [GOOD, WITH_OPT])
def test_every_byte_may_have_any_of_many_values(server: Server, query: bytes) -> None:
    changed = []
    for at in range(len(query)):
        for value in (0, 1, 0x28, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xC1, 0xFF, query[at] ^ 1):
            changed.append(query[:at] + bytes((value,)) + query[at + 1 :])
    send(server, *changed)


def test_a_query_may_end_anywhere_or_go_on(server: Server) -> None:
    send(server, *(WITH_OPT[:size] for size in range(len(WITH_OPT))), *(GOOD + bytes(size) for size in range(1, 40)))


def test_noise_hurts_nobody(server: Server) -> None:
    noise = random.Random(5)
    send(server, *(HEADER[: noise.randrange(13)] + noise.randbytes(noise.randrange(600)) for _ in range(1_000)))
    send(server, *(noise.randbytes(65_507) for _ in range(5)))


@pytest.mark.parametrize(
    "name", [b"\xc0\x0c", b"\1a\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\xff\xff", b"\x40a\0", b"\1a" * 128 + b"\0"]
)
def test_names_that_turn_in_circles_are_refused(server: Server, name: bytes) -> None:
    answer = server.ask(HEADER + name + b"\0\1\0\1")
    assert (answer[:2], answer[3] & 0x0F) == (HEADER[:2], FORMERR)
    records = (name + b"\0\1\0\1\0\0\0\0" + len(name).to_bytes(2) + name) * 3
    answer = server.ask(b"\x12\x34\1\0\0\1\0\3\0\0\0\0" + GOOD[12:] + records)
    assert answer[3] & 0x0F in (0, FORMERR)
    assert is_well(server)


def test_a_thousand_records_in_a_query_are_not_read(server: Server) -> None:
    answer = server.ask(b"\x12\x34\1\0\0\1\xff\xff\0\0\0\0" + GOOD[12:] + (b"\xc0\x0c\0\1\0\1\0\0\0\0\0\0") * 300)
    assert answer[3] & 0x0F == FORMERR


def test_what_is_no_question_of_the_internet_is_refused(server: Server) -> None:
    for at, value, code in ((2, 0x28, NOTIMP), (5, 2, NXDOMAIN), (5, 0, FORMERR), (len(GOOD) - 1, 3, REFUSED)):
        answer = server.ask(GOOD[:at] + bytes((value,)) + GOOD[at + 1 :])
        assert (answer[:2], answer[2] & 0x80, answer[3] & 0x0F) == (GOOD[:2], 0x80, code)


def test_answers_are_not_answered(server: Server) -> None:
    with pytest.raises(TimeoutError):
        server.ask(GOOD[:2] + b"\x81" + GOOD[3:], timeout_s=0.2)


def test_queries_by_single_bytes_and_many_at_once_are_answered(server: Server) -> None:
    with server.connect() as slow, server.connect() as quick:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in len(GOOD).to_bytes(2) + GOOD[:-1]:
            slow.sendall(bytes((byte,)))
            assert is_well(server)
        answers = ask_tcp(quick, *(count.to_bytes(2) + GOOD[2:] for count in range(500)))
        assert [int.from_bytes(answer[:2]) for answer in answers] == list(range(500))
        slow.sendall(GOOD[-1:])
        assert slow.recv(2) == len(answers[0]).to_bytes(2)


def test_a_message_of_64_kb_by_single_bytes_is_not_waited_for(server: Server) -> None:
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for byte in b"\xff\xff" + bytes(65_535):
                client.sendall(bytes((byte,)))
        except ConnectionError:
            pass
        else:
            pytest.fail("it has taken all of it")
        assert is_well(server)
    with server.connect() as client:
        answer = ask_tcp(client, GOOD + bytes(QUERY_SIZE_MAX - len(GOOD)))[0]
        assert answer[3] & 0x0F == FORMERR or answer[3] & 0x0F == 0


def test_who_takes_no_answers_is_asked_no_more(server: Server) -> None:
    with server.connect() as client:
        client.settimeout(0.5)
        queries = (len(GOOD).to_bytes(2) + GOOD) * 1_000
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                sent += client.send(queries)
        except (TimeoutError, ConnectionError):
            pass
        assert sent < 64 * 1024 * 1024
        assert is_well(server)


def test_thousands_of_idle_clients_leave_room_for_one_that_asks(server: Server) -> None:
    count = 2 * CLIENTS_MAX
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < count + 500:
        pytest.skip("needs more open files than are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 500, hard))
    try:
        with ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(server.connect()).send(b"\0")
            with server.connect() as late:
                assert ask_tcp(late, GOOD)[0][:2] == GOOD[:2]
            assert is_well(server)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
