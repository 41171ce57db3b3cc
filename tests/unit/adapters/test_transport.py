"""Real sockets on the loopback: what is said arrives, and whoever misbehaves is alone with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from greeting import greeted
from watching import PATIENCE_S, Watcher

from adapters.mesh import transport as module
from adapters.mesh.framing import packed
from adapters.mesh.transport import Transport, TransportError, parse_target
from core.events import DialFailed, LinkDown, LinkUp, Misbehaved, Received
from core.messages import Deltas, Have, Heartbeat, Message
from core.types import HostPort, LinkId
from core.wire import FRAME_SIZE_MAX, encode
from crdt.fact import FACT_BODY_SIZE_MAX, Change, Origin
from crdt.store import Store

LOOPBACK = "127.0.0.1"


def whole_stream() -> Message:
    """Make a message of nearly 1 MiB."""
    body = bytes(FACT_BODY_SIZE_MAX)
    return Deltas((Store().write(Origin("peer", 1), [Change(f"key-{index}", "k", body) for index in range(60)]),))


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[Transport, Watcher]]:
    watcher = Watcher()
    transport = Transport(watcher.report, port=0, host=LOOPBACK)
    await transport.start()
    try:
        yield transport, watcher
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[tuple[Transport, Watcher, LinkId], tuple[Transport, Watcher, LinkId]]]:
    """Two transports, the first of which has dialled the second."""
    async with listening() as (one, one_saw), listening() as (two, two_saw):
        one.dial(f"{LOOPBACK}:{two.port}")
        out, into = await one_saw.next(LinkUp), await two_saw.next(LinkUp)
        yield (one, one_saw, out.link), (two, two_saw, into.link)


@contextlib.asynccontextmanager
async def stranger() -> AsyncIterator[tuple[Transport, Watcher, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A transport, and somebody who writes bytes to it by hand."""
    async with listening() as (transport, watcher):
        reader, writer = await greeted(transport.port)
        await watcher.next(LinkUp)
        yield transport, watcher, reader, writer
        writer.transport.abort()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE_S))


def test_both_ends_hear_of_a_connection_and_of_who_is_there() -> None:
    async def test() -> None:
        async with listening() as (one, one_saw), listening() as (two, two_saw):
            target = f"{LOOPBACK}:{two.port}"
            one.dial(target)
            out, into = await one_saw.next(LinkUp), await two_saw.next(LinkUp)
            assert out == LinkUp(out.link, True, HostPort(LOOPBACK, two.port), target, into.session)
            assert (into.outbound, into.remote.host, into.target) == (False, LOOPBACK, None)

    run(test)


def test_messages_arrive_in_order_both_ways() -> None:
    async def test() -> None:
        async with connected() as ((one, one_saw, out), (two, two_saw, into)):
            said = [Have(((Origin("peer", 1), seq),)) for seq in range(500)]
            for message in said:
                one.send(out, message)
            two.send(into, Heartbeat())
            await two_saw.next(Received, len(said))
            assert two_saw.all(Received) == [Received(into, message) for message in said]
            assert await one_saw.next(Received) == Received(out, Heartbeat())

    run(test)


def test_a_whole_stream_arrives() -> None:
    async def test() -> None:
        async with connected() as ((one, _, out), (_, two_saw, into)):
            one.send(out, whole_stream())
            assert await two_saw.next(Received) == Received(into, whole_stream())

    run(test)


def test_names_are_resolved_and_every_dial_is_a_link_of_its_own() -> None:
    async def test() -> None:
        async with listening() as (one, one_saw), listening() as (two, _):
            for count in (1, 2):
                one.dial(f"localhost:{two.port}")
                second = await one_saw.next(LinkUp, count)
            assert second.target == f"localhost:{two.port}"
            assert second.remote == HostPort(LOOPBACK, two.port)
            assert len({event.link for event in one_saw.all(LinkUp)}) == 2

    run(test)


def test_a_port_nobody_listens_on_is_a_failed_dial() -> None:
    async def test() -> None:
        async with listening() as (one, saw):
            with socket.socket() as unused:
                unused.bind((LOOPBACK, 0))
                target = f"{LOOPBACK}:{unused.getsockname()[1]}"
                one.dial(target)
                assert await saw.next(DialFailed) == DialFailed(target, f"dial tcp {target}: connection refused")

    run(test)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("host:0", "should be host[:port]"),
        ("host:65536", "should be host[:port]"),
        ("host:x", "should be host[:port]"),
        (":6783", "should be host[:port]"),
        ("a\0b:1", ""),
        ("x" * 300, ""),
    ],
)
def test_a_target_that_cannot_be_is_a_failed_dial_with_a_reason(target: str, reason: str) -> None:
    async def test() -> None:
        async with listening() as (one, saw):
            one.dial(target)
            failed = await saw.next(DialFailed)
            assert failed.target == target
            assert reason in failed.reason

    run(test)


def test_an_unknown_host_is_a_failed_dial_and_asked_for_again_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        asked: list[object] = []

        def resolve(host: object, *_: object, **__: object) -> object:
            asked.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        saw = Watcher()
        transport = Transport(saw.report, port=0, host=LOOPBACK)
        for count in (1, 2):
            transport.dial("no-such-host")
            failed = await saw.next(DialFailed, count)
            assert failed.reason == "dial tcp no-such-host: lookup failed: Name or service not known"
        assert asked == ["no-such-host"] * 2
        await transport.close()

    run(test)


@contextlib.contextmanager
def silent_place() -> Iterator[str]:
    """Make a place where nobody answers: one connection fills the backlog of a socket that nobody accepts on."""
    with socket.socket() as full, contextlib.ExitStack() as callers:
        full.bind((LOOPBACK, 0))
        full.listen(0)
        for _ in range(2):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        yield f"{LOOPBACK}:{full.getsockname()[1]}"


def test_a_dial_without_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(module, "DIAL_TIMEOUT_S", 0.05)
        monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.05)
        with silent_place() as target:
            async with listening() as (one, saw):
                one.dial(target)
                failed = await saw.next(DialFailed)
                assert failed == DialFailed(target, f"dial tcp {target}: i/o timeout")

    run(test)


def test_a_new_dial_takes_the_place_of_one_that_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(module, "DIAL_TIMEOUT_S", 0.2)
        with silent_place() as target:
            async with listening() as (one, saw):
                for _ in range(3):
                    one.dial(target)
                    await asyncio.sleep(0.05)
                await saw.next(DialFailed)
                await asyncio.sleep(0.3)
                assert len(saw.all(DialFailed)) == 1, "nothing is reported of those that were given up"

    run(test)


def test_the_default_port_is_that_of_weave() -> None:
    assert parse_target("host") == ("host", 6783)
    assert parse_target("10.0.0.1:99") == ("10.0.0.1", 99)


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    async def test() -> None:
        async with listening() as (one, _):
            second = Transport(Watcher().report, port=one.port, host=LOOPBACK)
            with pytest.raises(TransportError) as caught:
                await second.start()
            text = str(caught.value)
            assert f"cannot listen on TCP {LOOPBACK}:{one.port}: address already in use" in text
            assert "ss -ltnp" in text

    run(test)


@pytest.mark.parametrize(
    ("sent", "rule"),
    [
        (struct.pack(">I", 0), "a frame of 0 bytes"),
        (struct.pack(">I", FRAME_SIZE_MAX + 1), f"1 to {FRAME_SIZE_MAX} are allowed"),
        (packed(b"\xc1"), "no MessagePack"),
        (b"GET / HTTP/1.1\r\n\r\n", "are allowed"),
        (packed(b"\x91\xcc\xff"), "unknown type 255"),
    ],
)
def test_bytes_that_are_no_message_end_the_reading_with_the_rule(sent: bytes, rule: str) -> None:
    async def test() -> None:
        async with stranger() as (transport, saw, reader, writer):
            writer.write(packed(encode(Heartbeat())) + sent + packed(encode(Heartbeat())))
            fault = await saw.next(Misbehaved)
            assert rule in fault.reason
            transport.hangup(fault.link)
            assert await reader.read() == b""
            # What came before the fault was heard, nothing after it; and a hang-up is no news.
            assert [type(event) for event in saw.events] == [LinkUp, Received, Misbehaved]

    run(test)


def test_a_misbehaving_peer_harms_no_other() -> None:
    async def test() -> None:
        async with stranger() as (transport, saw, _, writer), listening() as (other, _):
            other.dial(f"{LOOPBACK}:{transport.port}")
            good = (await saw.next(LinkUp, 2)).link
            writer.write(bytes(100))
            await saw.next(Misbehaved)
            for count in range(1, 4):
                # It may say more before it is hung up on; nobody reads that.
                writer.write(bytes(100))
                other.send(LinkId(1), Heartbeat())
                assert await saw.next(Received, count) == Received(good, Heartbeat())
            assert len(saw.all(Misbehaved)) == 1

    run(test)


def test_a_connection_closed_in_the_middle_of_a_frame_is_down() -> None:
    async def test() -> None:
        async with stranger() as (_, saw, _, writer):
            writer.write(packed(encode(Heartbeat()))[:-1])
            writer.close()
            assert (await saw.next(LinkDown)).reason == "EOF"
            assert not saw.all(Received)

    run(test)


def test_a_reset_connection_is_down_and_forgotten() -> None:
    async def test() -> None:
        async with stranger() as (transport, saw, _, writer):
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            down = await saw.next(LinkDown)
            assert down.reason == "connection reset by peer"
            transport.send(down.link, Heartbeat())
            transport.hangup(down.link)

    run(test)


def test_what_was_sent_before_hanging_up_arrives_though_we_read_nothing_any_more() -> None:
    async def test() -> None:
        async with connected() as ((one, one_saw, out), (two, two_saw, into)):
            # Unread data in our socket would make a plain close reset the connection.
            for _ in range(20):
                two.send(into, whole_stream())
            for _ in range(5):
                one.send(out, whole_stream())
            one.hangup(out)
            assert (await two_saw.next(LinkDown)).reason == "EOF"
            assert len(two_saw.all(Received)) == 5
            assert not one_saw.all(LinkDown)

    run(test)


def test_hanging_up_on_a_peer_that_does_not_read_takes_no_longer_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.05)
        async with stranger() as (transport, saw, reader, _):
            link = saw.all(LinkUp)[0].link
            for _ in range(20):
                transport.send(link, whole_stream())
            transport.hangup(link)
            await transport.close()
            # Cut off: what had not fitted into the kernel's buffers never arrives.
            read = 0
            with contextlib.suppress(ConnectionResetError):
                while data := await reader.read(1 << 20):
                    read += len(data)
            assert read < 20 * len(encode(whole_stream()))

    run(test)


def test_closing_lets_the_peer_have_what_was_sent() -> None:
    async def test() -> None:
        async with listening() as (two, two_saw):
            one_saw = Watcher()
            one = Transport(one_saw.report, port=0, host=LOOPBACK)
            await one.start()
            one.dial(f"{LOOPBACK}:{two.port}")
            link = (await one_saw.next(LinkUp)).link
            for _ in range(10):
                one.send(link, whole_stream())
            await one.close()
            await two_saw.next(LinkDown)
            assert len(two_saw.all(Received)) == 10
            assert not one_saw.all(LinkDown)

    run(test)


def test_a_peer_that_reads_too_slowly_is_cut_off_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        limit = 3 * 1024 * 1024
        monkeypatch.setattr(module, "UNSENT_SIZE_MAX", limit)
        async with stranger() as (transport, saw, _, writer), listening() as (other, other_saw):
            other.dial(f"{LOOPBACK}:{transport.port}")
            good = (await saw.next(LinkUp, 2)).link
            slow = saw.all(LinkUp)[0].link
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # every socket's transport has it
            sent = 0
            while not saw.all(LinkDown):
                transport.send(slow, whole_stream())
                sent += 1
                assert sent < 100, "the limit bites"
            down = saw.all(LinkDown)[0]
            assert down.link == slow
            assert "peer reads too slowly" in down.reason
            assert str(limit) in down.reason
            transport.send(good, Heartbeat())
            assert (await other_saw.next(Received)).message == Heartbeat()

    run(test)


def test_too_many_strangers_are_turned_away_until_one_has_said_something(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(module, "STRANGERS_MAX", 2)
        async with listening() as (transport, saw):
            first, second = [await greeted(transport.port) for _ in range(2)]
            third = await asyncio.open_connection(LOOPBACK, transport.port)
            with contextlib.suppress(ConnectionResetError):
                assert await third[0].read() == b""
            assert len(saw.all(LinkUp)) == 2
            first[1].write(packed(encode(Heartbeat())))
            await saw.next(Received)
            fourth = await greeted(transport.port)
            await saw.next(LinkUp, 3)
            for _, writer in (first, second, third, fourth):
                writer.transport.abort()

    run(test)


def test_strangers_that_leave_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(module, "STRANGERS_MAX", 1)
        async with listening() as (transport, saw):
            for count in range(1, 4):
                _, writer = await greeted(transport.port)
                await saw.next(LinkUp, count)
                writer.close()
                await saw.next(LinkDown, count)

    run(test)


def test_nothing_is_read_while_what_was_read_is_being_handled() -> None:
    async def test() -> None:
        handled: list[int] = []
        waiting: list[int] = []
        saw = Watcher()

        def report(event: object) -> None:
            # The reader's buffer when a message is handed over: bounded, whatever the peer has sent.
            if isinstance(event, Received):
                handled.append(1)
                waiting.append(sum(len(link.reader._buffer) for link in transport._links.values()))  # type: ignore[attr-defined]  # what the test is about
            saw.report(event)  # type: ignore[arg-type]

        transport = Transport(report, port=0, host=LOOPBACK)
        await transport.start()
        _, writer = await greeted(transport.port)
        count = 20_000
        writer.write(packed(encode(Have(((Origin("p" * 60, 1), 1),)))) * count)
        await saw.until(lambda: len(handled) == count)
        assert max(waiting) <= 4 * module.READ_SIZE
        writer.close()
        await saw.next(LinkDown)
        await transport.close()

    run(test)


def test_connections_are_kept_alive_and_do_not_wait_for_more_to_send() -> None:
    async def test() -> None:
        async with connected() as ((one, _, out), (two, _, into)):
            for transport, link in ((one, out), (two, into)):
                connection: socket.socket = transport._links[link].writer.get_extra_info("socket")
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == module.TCP_TIMEOUT_MS

    run(test)
