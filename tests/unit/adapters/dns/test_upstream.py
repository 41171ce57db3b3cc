"""Names of others: whom the real process asks, what it believes, and what it says when nobody answers."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dnslib import RR, A, DNSRecord
from server import Server, ask_tcp, host_answers, running

from adapters.dns.clients import WAITING_MAX
from adapters.dns.upstream import IN_FLIGHT_MAX, SAME_MAX
from adapters.dns.wire import REFUSED, SERVFAIL, UDP_SIZE_MIN, failure

QUERY = DNSRecord.question("example.com").pack()
OURS = DNSRecord.question("web.weave.local").pack()
Answer = Callable[[bytes], list[bytes]]
"""What a server says to a query: any number of messages."""


class Upstream:
    """A server that says what a test wants, by UDP and by TCP."""

    def __init__(self, answer: Answer) -> None:
        self.queries: list[bytes] = []
        self.ports: list[int] = []
        self._answer = answer
        self._udp, self._tcp = _pair()
        self.place = f"[127.0.0.1]:{self._udp.getsockname()[1]}"
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=serve) for serve in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Be there no more."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while not self._is_over.is_set():
            try:
                query, source = self._udp.recvfrom(65_535)
            except TimeoutError:
                continue
            self.queries.append(query)
            self.ports.append(source[1])
            for message in self._answer(query):
                self._udp.sendto(message, source)

    def _serve_tcp(self) -> None:
        while not self._is_over.is_set():
            try:
                connection, _ = self._tcp.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(None)
                query = connection.recv(65_535)[2:]
                self.queries.append(query)
                for message in self._answer(query):
                    connection.sendall(len(message).to_bytes(2) + message)


def _pair() -> tuple[socket.socket, socket.socket]:
    while True:
        tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            continue
        for one in (udp, tcp):
            one.settimeout(0.02)
        return udp, tcp


@contextmanager
def world(folder: Path, *answers: Answer, timeout_ms: int = 5_000) -> Iterator[tuple[Server, list[Upstream]]]:
    """A name server with these upstreams, in this order."""
    upstreams = [Upstream(answer) for answer in answers]
    conf = folder / "resolv.conf"
    conf.write_text("".join(f"nameserver {upstream.place}\n" for upstream in upstreams))
    with running(str(conf), timeout_ms=timeout_ms) as server:
        server.serve(host_answers("web.weave.local.", ["10.32.0.1"]), is_whole=True)
        server.wait_for("web.weave.local.")
        yield server, upstreams
    for upstream in upstreams:
        upstream.close()


def good(query: bytes) -> list[bytes]:
    reply = DNSRecord.parse(query).reply()
    reply.add_answer(RR("example.com", rdata=A("192.0.2.1")))
    return [reply.pack()]


def large(query: bytes) -> list[bytes]:
    reply = DNSRecord.parse(query).reply()
    for number in range(1, 101):
        reply.add_answer(RR("example.com", rdata=A(f"192.0.2.{number}")))
    return [reply.pack()]


def silent(_: bytes) -> list[bytes]:
    return []


def data(answer: bytes) -> list[str]:
    return [str(record.rdata) for record in DNSRecord.parse(answer).rr]


def test_names_of_others_are_asked_for_by_ids_and_ports_of_their_own(tmp_path: Path) -> None:
    with world(tmp_path, good) as (server, (upstream,)):
        for _ in range(8):
            answer = server.ask(QUERY)
            assert (answer[:2], data(answer)) == (QUERY[:2], ["192.0.2.1"])
        assert len({query[:2] for query in upstream.queries}) > 4
        assert len(set(upstream.ports)) > 4
        with server.connect() as client:
            assert data(ask_tcp(client, QUERY)[0]) == ["192.0.2.1"]


def test_names_of_ours_and_single_labels_are_never_asked_for(tmp_path: Path) -> None:
    with world(tmp_path, good) as (server, (upstream,)):
        for name in ("web", "nobody", "nobody.weave.local", "weave.local"):
            server.ask(DNSRecord.question(name).pack())
        assert upstream.queries == []


def test_the_next_server_is_asked_when_one_refuses_or_is_not_there(tmp_path: Path) -> None:
    def refusing(query: bytes) -> list[bytes]:
        return [failure(query, REFUSED)]

    with world(tmp_path, refusing, silent, good) as (server, upstreams):
        upstreams[1].close()
        assert data(server.ask(QUERY)) == ["192.0.2.1"]
        with server.connect() as client:
            assert data(ask_tcp(client, QUERY)[0]) == ["192.0.2.1"]


def test_a_refusal_is_passed_on_when_nobody_knows_better(tmp_path: Path) -> None:
    with world(tmp_path, lambda query: [failure(query, REFUSED)]) as (server, _):
        assert server.ask(QUERY)[3] & 0x0F == REFUSED


def test_servers_that_never_answer_delay_nobody_else(tmp_path: Path) -> None:
    with world(tmp_path, silent, silent, timeout_ms=300) as (server, upstreams):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(20)
            asker.connect((server.host, server.port))
            # Most make room for later ones at once, the rest hears after two servers have had their time.
            for number in range(IN_FLIGHT_MAX + 200):
                asker.send(DNSRecord.question(f"a{number}.example.com").pack())
                if number % 64 == 0:
                    assert data(server.ask(OURS)) == ["10.32.0.1"]
            assert asker.recv(512)[3] & 0x0F == SERVFAIL
        begin = time.monotonic()
        assert server.ask(QUERY)[3] & 0x0F == SERVFAIL
        assert time.monotonic() - begin >= 0.5, "both have had their time"
        assert all(upstream.queries for upstream in upstreams)
        with server.connect() as client:
            assert ask_tcp(client, QUERY)[0][3] & 0x0F == SERVFAIL


def test_a_flood_of_one_question_is_cut_short(tmp_path: Path) -> None:
    with world(tmp_path, silent) as (server, (upstream,)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(20)
        asker.connect((server.host, server.port))
        for _ in range(SAME_MAX + 20):
            asker.send(QUERY)
        for _ in range(20):
            assert asker.recv(512)[3] & 0x0F == SERVFAIL
        assert len(upstream.queries) <= SAME_MAX


def test_who_asks_for_much_at_once_gets_all_of_it_in_time(tmp_path: Path) -> None:
    with world(tmp_path, good) as (server, _), server.connect() as client:
        queries = [QUERY, OURS] * 2 * WAITING_MAX
        answers = ask_tcp(client, *(number.to_bytes(2) + query[2:] for number, query in enumerate(queries)))
        assert sorted(int.from_bytes(answer[:2]) for answer in answers) == list(range(len(queries)))
        assert all(len(data(answer)) == 1 for answer in answers)


def test_what_repeats_not_id_and_question_is_ignored(tmp_path: Path) -> None:
    def lying(query: bytes) -> list[bytes]:
        wrong_id = bytes((query[0] ^ 1, *query[1:]))
        other = DNSRecord.question("examplE.org").pack()
        poison = DNSRecord.parse(wrong_id).reply(), DNSRecord.parse(query[:2] + other[2:]).reply()
        for reply in poison:
            reply.add_answer(RR("example.com", rdata=A("203.0.113.66")))
        return [b"", query[:2], *(reply.pack() for reply in poison), query, *good(query)]

    with world(tmp_path, lying) as (server, _):
        for _ in range(4):
            assert data(server.ask(QUERY)) == ["192.0.2.1"]


def test_answers_that_are_too_large_for_the_asker_send_it_to_tcp(tmp_path: Path) -> None:
    with world(tmp_path, large) as (server, _):
        answer = server.ask(QUERY)
        assert len(answer) <= UDP_SIZE_MIN
        assert DNSRecord.parse(answer).header.tc
        with server.connect() as client:
            assert len(data(ask_tcp(client, QUERY)[0])) == 100


def test_garbage_from_a_server_hurts_nobody(tmp_path: Path) -> None:
    def garbage(query: bytes) -> list[bytes]:
        return [query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:] + b"\xc0\x0c" + os.urandom(40)]

    with world(tmp_path, garbage) as (server, _):
        assert server.ask(QUERY)[:2] == QUERY[:2]
        with server.connect() as client:
            assert ask_tcp(client, QUERY)[0][:2] == QUERY[:2]
        assert data(server.ask(OURS)) == ["10.32.0.1"]


def test_one_s_own_address_is_not_asked(tmp_path: Path) -> None:
    with world(tmp_path, good) as (server, _):
        pass
    conf = tmp_path / "own.conf"
    with running(str(conf)) as server:
        # Not yet looked at: the file is read with the first foreign name.
        conf.write_text(f"nameserver [{server.host}]:{server.port}\n")
        assert server.ask(QUERY, timeout_s=3)[3] & 0x0F == SERVFAIL
