"""Frames through a tunnel that loses, reorders, repeats and falsifies."""

from __future__ import annotations

import random

import pytest
from sleeve_pair import NUMBER, Pair, as_received, payloads, small_frame, super_frame

from datapath.sleeve import aead, frame
from datapath.sleeve.datagram import Run, runs
from datapath.sleeve.opener import Drop
from datapath.sleeve.sealer import SEGMENTS_MAX

CIPHERS = (aead.PLAIN, aead.AEGIS, aead.CHACHA)
SHAPES = [(4, frame.TCP), (6, frame.TCP), (4, frame.UDP), (6, frame.UDP)]


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize(("version", "protocol"), SHAPES)
@pytest.mark.parametrize("capacity", [544, 1472, 8976])
def test_a_super_frame_arrives_as_it_was_sent(cipher: int, version: int, protocol: int, capacity: int) -> None:
    pair = Pair(cipher, capacity)
    rng = random.Random(1)
    for size in (1, 400, 1324, 18_000, 63_000 if capacity > 544 else 19_000):
        data = super_frame(rng.randbytes(size), 300, version, protocol)
        datagrams = pair.seal(data)
        assert max(map(len, datagrams)) <= capacity
        pair.hear(datagrams)
        assert pair.frames == [as_received(data)]
        pair.frames.clear()
    assert sum(pair.opener.drops.values()) == 0


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_super_frame_of_more_datagrams_than_one_call_takes_loses_nothing_between_calls(cipher: int) -> None:
    pair = Pair(cipher, 544)
    payload = random.Random(6).randbytes(40_000)
    datagrams = pair.seal(super_frame(payload, 300))
    assert len(datagrams) > SEGMENTS_MAX
    assert {len(one) for one in datagrams[:-1]} == {544}
    pair.hear(datagrams)
    assert b"".join(payloads(one)[1] for one in pair.frames) == payload
    assert sum(pair.opener.drops.values()) == 0


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize(("version", "protocol"), SHAPES)
def test_only_what_is_lost_is_lost(cipher: int, version: int, protocol: int) -> None:
    rng = random.Random(2)
    for trial in range(60):
        pair = Pair(cipher)
        payload = rng.randbytes(rng.randint(2_000, 60_000))
        segment = 1_100 if protocol == frame.UDP else 1_324
        datagrams = pair.seal(super_frame(payload, segment, version, protocol))
        kept = [one for one in datagrams if rng.random() > 0.1]
        bad = 0
        if trial % 3 == 1:
            rng.shuffle(kept)
        if trial % 3 == 2:
            kept += rng.sample(kept, len(kept) // 2)
        if trial % 3 != 2:
            index = rng.randrange(len(kept))
            bad = 1
            broken = bytearray(kept[index])
            broken[-1] ^= 4
            kept[index] = bytes(broken)
        pair.hear(kept)
        slice_size = len(datagrams[0]) - 16 - pair.sending.keys.aead.tag_size - frame_head(version, protocol)
        got = sum(len(payloads(one)[1]) for one in pair.frames)
        good = {one for one in kept if one in datagrams}
        last = len(payload) - (len(datagrams) - 1) * slice_size
        assert got == len(good) * slice_size - (datagrams[-1] in good) * (slice_size - last)
        assert pair.opener.drops[Drop.FORGED] == bad
        for one in pair.frames:
            offset, part, flags = payloads(one)
            if protocol == frame.TCP:
                assert payload[offset : offset + len(part)] == part
                assert bool(flags & 1) == (offset + len(part) == len(payload))
                assert bool(flags & 0x80) == (offset == 0)
            else:
                assert part in payload


def frame_head(version: int, protocol: int) -> int:
    return 10 + 26 + (20 if version == 4 else 40) + (32 if protocol == frame.TCP else 8)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_small_frames_share_datagrams_and_keep_their_order(cipher: int) -> None:
    pair = Pair(cipher)
    rng = random.Random(3)
    sent, datagrams = [], []
    for _ in range(500):
        data = small_frame(rng, rng.randint(1, 600))
        pair.sealer.frame.view[: len(data)] = data
        while not pair.sealer.bundle(pair.sending, len(data)):
            closed = pair.sealer.close()
            assert closed is not None
            datagrams += pair.cut(*closed[1:])
        sent.append(as_received(data))
    closed = pair.sealer.close()
    assert closed is not None
    datagrams += pair.cut(*closed[1:])
    assert pair.sealer.close() is None
    assert len(datagrams) < 200
    pair.hear(datagrams)
    assert pair.frames == sent


def test_padding_shows_nothing_of_earlier_frames() -> None:
    pair = Pair(aead.PLAIN)
    rng = random.Random(4)
    marked = frame.NO_OFFLOAD + small_frame(rng, 0)[10:] + b"secret" * 200
    pair.seal(marked)
    fill = small_frame(rng, 700)
    for _ in range(4):
        pair.sealer.frame.view[: len(fill)] = fill
        assert pair.sealer.bundle(pair.sending, len(fill))
    closed = pair.sealer.close()
    assert closed is not None
    assert b"secret" not in b"".join(pair.cut(*closed[1:]))


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_large_frame_crosses_in_pieces_in_any_order(cipher: int) -> None:
    pair = Pair(cipher, 544)
    rng = random.Random(5)
    data = small_frame(rng, 10_028)
    datagrams = pair.seal(data)
    rng.shuffle(datagrams)
    pair.hear(datagrams + datagrams)
    assert pair.frames == [as_received(data)]
    assert pair.opener.pieces.held == 0
    assert pair.opener.drops[Drop.REPLAYED] == len(datagrams)


def test_pieces_that_stay_alone_are_given_up() -> None:
    pair = Pair(aead.AEGIS, 544)
    rng = random.Random(6)
    for _ in range(700):
        pair.hear(pair.seal(small_frame(rng, 9_000))[:-1])
    assert pair.opener.pieces.held <= 4 << 20
    pair.now_ms = 10_000
    pair.opener.pieces.expire(pair.now_ms)
    assert pair.opener.pieces.held == 0
    assert pair.opener.pieces.given_up == 700
    assert pair.frames == []


@pytest.mark.parametrize("cipher", CIPHERS)
def test_messages_arrive_and_may_be_padded(cipher: int) -> None:
    pair = Pair(cipher)
    size = pair.sealer.seal_control(pair.sending, b"hello", 1000)
    assert size == 1000
    pair.hear(pair.cut(size, size))
    assert pair.messages[0].rstrip(b"\0") == b"hello"


def test_via_is_overwritten_and_nothing_else() -> None:
    pair = Pair(aead.AEGIS)
    data = small_frame(random.Random(7), 64)
    pair.hear(pair.seal(data))
    assert frame.tags(memoryview(pair.frames[0])) == (0x5000 | NUMBER, 0x2456, 0x0789)


def test_a_bundle_of_nonsense_from_the_neighbour_is_counted() -> None:
    pair = Pair(aead.AEGIS)
    for body in (b"\xff\xff\1", b"\5\0hello", b"\x40\0" + bytes(64), b"\1"):
        pair.sealer.frame.view[: len(body)] = body
        pair.sealer._body.view[: len(body)] = body
        size = pair.sealer._seal_one(pair.sending, 2, 0, len(body))
        pair.hear(pair.cut(size, size))
    assert pair.frames == []
    assert pair.opener.drops[Drop.MALFORMED] == 3


def test_headers_out_of_step_are_not_one_run() -> None:
    step = 1 << 48
    assert list(runs([5, 5 + step, 5 + 2 * step], [9, 10, 11])) == [Run(5, 9, 3)]
    assert [run.length for run in runs([5, 5 + step, 5 + 2 * step, 5 + 3 * step], [9, 11, 10, 12])] == [1, 1, 1, 1]
    assert [run.length for run in runs([5, 5 + 2 * step, 5 + step, 5 + 3 * step], [9, 10, 11, 12])] == [1, 1, 1, 1]
