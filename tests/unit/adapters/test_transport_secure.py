"""Real sockets with and without passwords: who gets through, who hears what, and what strangers cannot do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from greeting import LOOPBACK, greet, greeted
from watching import PATIENCE_S, Watcher

from adapters.mesh import greeter, sealed
from adapters.mesh import transport as module
from adapters.mesh.admission import BURST
from adapters.mesh.framing import packed
from adapters.mesh.greeter import TOO_MANY
from adapters.mesh.handshake import NOT_ACCEPTED, ONLY_THEY, ONLY_WE, PREAMBLE_SIZE, WRONG, Handshake, Refused
from adapters.mesh.keyring import Keyring
from adapters.mesh.transport import Transport
from core.events import DialFailed, LinkDown, LinkUp, Misbehaved, Received
from core.keys import session_of
from core.messages import Have, Heartbeat
from core.wire import encode
from crdt.fact import Origin

KEY = b"k" * 32
OTHER = b"o" * 32


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE_S))


@contextlib.asynccontextmanager
async def listening(key: bytes | None) -> AsyncIterator[tuple[Transport, Watcher, Keyring]]:
    watcher, keyring = Watcher(), Keyring()
    transport = Transport(watcher.report, port=0, host=LOOPBACK, key=key, keyring=keyring)
    await transport.start()
    try:
        yield transport, watcher, keyring
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def wiretap(port: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Listen in between; yields the port to dial, and what was carried over either way."""
    heard: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                heard.append(data)
                writer.write(data)
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, port)
        for one, other in ((reader, far_writer), (far_reader, writer)):
            tasks.append(asyncio.create_task(carry(one, other)))

    server = await asyncio.start_server(accepted, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("key", [None, KEY])
def test_both_ends_name_the_session_alike_and_hold_its_secret(key: bytes | None) -> None:
    async def test() -> None:
        async with listening(key) as (one, one_saw, one_keys), listening(key) as (two, two_saw, two_keys):
            one.dial(f"{LOOPBACK}:{two.port}")
            out, into = await one_saw.next(LinkUp), await two_saw.next(LinkUp)
            assert out.session == into.session
            assert out.is_sealed == into.is_sealed == (key is not None)
            secret = one_keys.secret_of(out.session)
            assert secret is not None
            assert secret == two_keys.secret_of(out.session)
            assert session_of(secret) == out.session
            one.dial(f"{LOOPBACK}:{two.port}")
            assert (await one_saw.next(LinkUp, 2)).session != out.session

    run(test)


def test_a_secret_leaves_with_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with listening(KEY) as (one, one_saw, keys), listening(KEY) as (two, two_saw, _):
            one.dial(f"{LOOPBACK}:{two.port}")
            up = await one_saw.next(LinkUp)
            await two_saw.next(LinkUp)
            two.hangup(two_saw.all(LinkUp)[0].link)
            await one_saw.next(LinkDown)
            assert keys.secret_of(up.session) is not None, "frames may be under way"
            monkeypatch.setattr("adapters.mesh.keyring.GRACE_S", 0.0)
            assert keys.secret_of(up.session) is None

    run(test)


@pytest.mark.parametrize("key", [None, KEY])
def test_what_peers_say_can_be_read_on_the_way_only_without_a_password(key: bytes | None) -> None:
    async def test() -> None:
        async with (
            listening(key) as (one, one_saw, _),
            listening(key) as (two, two_saw, _),
            wiretap(two.port) as (port, heard),
        ):
            one.dial(f"{LOOPBACK}:{port}")
            link = (await one_saw.next(LinkUp)).link
            for index in range(20):
                one.send(link, Have(((Origin("telltale", 1), index),)))
            assert (await two_saw.next(Received, 20)).message == Have(((Origin("telltale", 1), 19),))
            assert (b"telltale" in b"".join(heard)) == (key is None)

    run(test)


def test_keys_move_on_under_way_and_every_message_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(sealed, "FRAMES_MAX", 3)
        async with listening(KEY) as (one, one_saw, _), listening(KEY) as (two, two_saw, _):
            one.dial(f"{LOOPBACK}:{two.port}")
            out, into = (await one_saw.next(LinkUp)).link, (await two_saw.next(LinkUp)).link
            for index in range(200):
                one.send(out, Have(((Origin("peer", 1), index),)))
                two.send(into, Heartbeat())
            await two_saw.next(Received, 200)
            await one_saw.next(Received, 200)
            said = [event.message for event in two_saw.all(Received)]
            assert said == [Have(((Origin("peer", 1), index),)) for index in range(200)]

    run(test)


@pytest.mark.parametrize(
    ("dialler", "acceptor", "dialler_hears", "acceptor_hears"),
    [
        (KEY, None, ONLY_WE, ONLY_THEY),
        (None, KEY, ONLY_THEY, ONLY_WE),
        (KEY, OTHER, f"{NOT_ACCEPTED} (EOF)", WRONG),
    ],
)
def test_mixed_networks_refuse_each_other_and_both_sides_learn_why(
    dialler: bytes | None, acceptor: bytes | None, dialler_hears: str, acceptor_hears: str
) -> None:
    async def test() -> None:
        async with listening(dialler) as (one, one_saw, one_keys), listening(acceptor) as (two, two_saw, two_keys):
            target = f"{LOOPBACK}:{two.port}"
            one.dial(target)
            assert await one_saw.next(DialFailed) == DialFailed(target, dialler_hears)
            down = await two_saw.next(LinkDown)
            assert down.reason == acceptor_hears
            up = two_saw.all(LinkUp)[0]
            assert (up.link, up.outbound, up.session, up.is_sealed) == (down.link, False, "", False)
            assert not one_saw.all(LinkUp)
            assert len(one_keys._secrets) == len(two_keys._secrets) == 0

    run(test)


def test_nothing_can_be_put_into_a_sealed_connection() -> None:
    async def test() -> None:
        async with listening(KEY) as (transport, saw, _):
            _, writer = await greeted(transport.port, KEY)
            await saw.next(LinkUp)
            # What a peer without the seal would say.
            writer.write(packed(encode(Heartbeat())) * 3)
            assert "sealed frame" in (await saw.next(Misbehaved)).reason
            assert not saw.all(Received)
            writer.transport.abort()

    run(test)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "it does not begin as a peer does"),
        (b"weave\1\2" + bytes(40), "it speaks versions 1..2 of the handshake, we speak 3..3: upgrade one"),
        (b"weave\3\3\0", "EOF before it has greeted us"),
        (b"", "EOF before it has greeted us"),
        (b"weave\3\3\1" + bytes(50), "EOF in the handshake"),
    ],
)
def test_strangers_are_hung_up_on_and_status_can_say_why(said: bytes, reason: str) -> None:
    async def test() -> None:
        async with listening(KEY) as (transport, saw, _):
            reader, writer = await asyncio.open_connection(LOOPBACK, transport.port)
            writer.write(said)
            writer.write_eof()
            assert (await saw.next(LinkDown)).reason == reason
            answer = await reader.read()
            assert answer == b"" or (answer.startswith(b"weave") and len(answer) == PREAMBLE_SIZE)
            writer.transport.abort()

    run(test)


def test_a_stranger_that_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(greeter, "HANDSHAKE_TIMEOUT_S", 0.05)
        async with listening(KEY) as (one, one_saw, _), listening(KEY) as (transport, saw, _):
            reader, _ = await asyncio.open_connection(LOOPBACK, transport.port)
            assert (await saw.next(LinkDown)).reason == "nothing heard for 0.05 seconds before it has greeted us"
            assert await reader.read() == b""

            # The other way round: somebody takes our call and is silent.
            server = await asyncio.start_server(lambda reader, writer: None, LOOPBACK, 0)
            one.dial(f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}")
            assert "nothing heard" in (await one_saw.next(DialFailed)).reason
            server.close()

    run(test)


def test_guesses_of_one_address_are_limited_and_calls_to_it_go_on() -> None:
    async def test() -> None:
        async with listening(KEY) as (one, saw, _), listening(KEY) as (two, _, _):
            for count in range(1, BURST + 3):
                reader, writer = await asyncio.open_connection(LOOPBACK, one.port)
                outcome = await greet(reader, writer, OTHER)
                assert isinstance(outcome, Refused)
                reason = (await saw.next(LinkDown, count)).reason
                assert reason == (WRONG if count <= BURST else TOO_MANY)
                writer.transport.abort()
            # We may still call whoever is at that address.
            one.dial(f"{LOOPBACK}:{two.port}")
            assert (await saw.next(LinkUp, BURST + 3)).outbound

    run(test)


def test_guesses_made_at_once_are_limited_as_well() -> None:
    async def test() -> None:
        async with listening(KEY) as (one, saw, _):
            ends = [await asyncio.open_connection(LOOPBACK, one.port) for _ in range(4 * BURST)]
            await asyncio.gather(*(greet(reader, writer, OTHER) for reader, writer in ends))
            await saw.next(LinkDown, 4 * BURST)
            reasons = [down.reason for down in saw.all(LinkDown)]
            assert reasons.count(WRONG) <= BURST
            assert reasons.count(TOO_MANY) >= 3 * BURST
            for _, writer in ends:
                writer.transport.abort()

    run(test)


def test_leaving_before_the_proof_counts_as_a_guess_and_leaving_before_the_share_does_not() -> None:
    async def test() -> None:
        async with listening(KEY) as (one, saw, _):
            begun = Handshake(is_dialler=True, key=OTHER).begin()
            counts = []
            for said in (begun[:PREAMBLE_SIZE], begun):
                for _ in range(2 * BURST):
                    before = len(saw.all(LinkDown))
                    reader, writer = await asyncio.open_connection(LOOPBACK, one.port)
                    writer.write(said)
                    if said is begun:
                        await reader.read(PREAMBLE_SIZE)
                    writer.transport.abort()
                    await saw.next(LinkDown, before + 1)
                counts.append(sum(down.reason == TOO_MANY for down in saw.all(LinkDown)))
            assert counts == [0, BURST]

    run(test)


def test_one_whom_we_call_has_one_guess_per_call_and_not_many_of_them() -> None:
    async def test() -> None:
        async def pose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer, OTHER, is_dialler=False)
            writer.close()

        server = await asyncio.start_server(pose, LOOPBACK, 0)
        target = f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        async with listening(KEY) as (one, saw, _):
            for count in range(1, BURST + 2):
                one.dial(target)
                reason = (await saw.next(DialFailed, count)).reason
                assert reason.startswith(NOT_ACCEPTED if count <= BURST else TOO_MANY)
        server.close()

    run(test)


def test_strangers_that_are_slow_make_room_for_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(module, "STRANGERS_MAX", 4)
        async with listening(None) as (one, _, _), listening(None) as (two, saw, _):
            silent = [await asyncio.open_connection(LOOPBACK, two.port) for _ in range(10)]
            one.dial(f"{LOOPBACK}:{two.port}")
            assert (await saw.next(LinkUp)).session
            for reader, _ in silent[:4]:
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            for _, writer in silent:
                writer.transport.abort()

    run(test)


def test_closing_does_not_wait_for_handshakes() -> None:
    async def test() -> None:
        async with listening(KEY) as (transport, saw, _):
            reader, writer = await asyncio.open_connection(LOOPBACK, transport.port)
            writer.write(b"weave")
            server = await asyncio.start_server(lambda reader, writer: None, LOOPBACK, 0)
            transport.dial(f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}")
            await asyncio.sleep(0.05)
            await asyncio.wait_for(transport.close(), PATIENCE_S / 4)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            assert not saw.events
            server.close()

    run(test)
