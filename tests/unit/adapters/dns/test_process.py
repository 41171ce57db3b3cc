"""The agent's side: it starts another worker when one dies, tells it all names, and takes it along when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from dnslib import DNSRecord
from server import free_port, host_answers

from adapters.dns.options import ServerOptions
from adapters.dns.process import NameServer, NameServerError, check_address
from core.effects import ServeNames
from core.events import NamesAsked

TIMEOUT_S = 20.0
QUERY = DNSRecord.question("web.weave.local").pack()
NAMES = ServeNames((host_answers("web.weave.local.", ["10.32.0.1"]),), is_whole=True)


def free_options() -> ServerOptions:
    return ServerOptions(host="127.0.0.1", port=free_port("127.0.0.1"), resolv_conf=os.devnull)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():
            await asyncio.sleep(0.02)


async def answers(options: ServerOptions) -> list[str]:
    def ask() -> list[str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(TIMEOUT_S)
            asker.connect((options.host, options.port))
            asker.send(QUERY)
            return [str(record.rdata) for record in DNSRecord.parse(asker.recv(512)).rr]

    return await asyncio.to_thread(ask)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}/cmdline").exists()


async def serve_die_and_serve_again() -> None:
    options, said, asked = free_options(), [], []
    server = NameServer(options, report=asked.append, note=lambda level, text: said.append(f"{level} {text}"))
    server.serve(NAMES)
    server.start()
    assert asked == [NamesAsked()]
    server.serve(NAMES)
    await until(lambda: bool(server.status.addresses))
    assert server.status.addresses == (f"127.0.0.1:{options.port}",)
    assert await answers(options) == ["10.32.0.1"]
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(asked) == 2)
    assert any("died, another one starts" in line for line in said)
    assert not server.status.addresses
    await until(lambda: bool(server.status.addresses))
    assert await answers(options) == [], "it knows what it is told, and was told nothing"
    server.serve(NAMES)
    while await answers(options) != ["10.32.0.1"]:
        await asyncio.sleep(0.02)
    second = server.pid
    server.close()
    assert second is not None
    assert is_gone(second)


def test_a_worker_that_dies_is_followed_by_another_that_asks_for_all_names() -> None:
    asyncio.run(serve_die_and_serve_again())


async def tell_a_stuck_one() -> None:
    options, asked = free_options(), []
    server = NameServer(options, report=asked.append, note=lambda *_: None)
    server.start()
    await until(lambda: bool(server.status.addresses))
    stuck = server.pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    many = tuple(host_answers(f"{'x' * 60}.n{number}.weave.local.", ["10.32.0.1"]) for number in range(20_000))
    server.serve(ServeNames(many, is_whole=True))
    assert await asyncio.wait_for(asyncio.sleep(0, "the agent goes on"), TIMEOUT_S)
    os.kill(stuck, signal.SIGCONT)
    server.serve(NAMES)
    while await answers(options) != ["10.32.0.1"]:
        await asyncio.sleep(0.02)
    server.close()


def test_names_that_a_worker_does_not_take_yet_wait_without_holding_up_the_agent() -> None:
    asyncio.run(tell_a_stuck_one())


def test_an_address_that_was_asked_for_must_be_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.dns.process.FREE_WAIT_S", 0.001)
    options = free_options()
    check_address(options)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind((options.host, options.port))
        with pytest.raises(NameServerError, match=r"Unable to start dns server: listen 127.*: Address already in use"):
            check_address(options)
    check_address(ServerOptions(host="", port=options.port))
