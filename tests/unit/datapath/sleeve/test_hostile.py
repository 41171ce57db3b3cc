"""Forty thousand bad datagrams of each kind: nothing delivered, nothing crashes, memory flat, counters tell.

A million of each are sent to real agents in `tests/kernel`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sleeve_pair import Pair, small_frame, super_frame

from datapath.sleeve import aead
from datapath.sleeve.control import ControlError, SetTunnel, decode, encode
from datapath.sleeve.opener import Drop

COUNT = 40_000
TRAIN = 25
"""Datagrams of one size at a time, as the kernel hands them over."""
GROWTH_MAX_KB = 6_000


def memory_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def arrive(pair: Pair, trains: Iterator[list[bytes]]) -> int:
    """Let trains arrive; return how many datagrams there were."""
    count, before = 0, 0
    for number, train in enumerate(trains):
        data = b"".join(train)
        pair.opener.inbox.view[: len(data)] = data
        pair.opener.open(0, len(data), len(train[0]))
        count += len(train)
        if number == 200:
            before = memory_kb()
    assert memory_kb() - before < GROWTH_MAX_KB
    return count


def dropped(pair: Pair) -> int:
    return sum(pair.opener.drops.values())


@pytest.mark.parametrize("cipher", [aead.AEGIS, aead.PLAIN])
def test_random_ones(cipher: int) -> None:
    pair, rng = Pair(cipher), random.Random(1)
    tag = pair.receiving.receiver.to_bytes(4, "little")

    def trains() -> Iterator[list[bytes]]:
        for _ in range(COUNT // TRAIN):
            size = rng.randint(1, 200)
            train = [rng.randbytes(size) for _ in range(TRAIN)]
            if rng.random() < 0.7:
                # Who listens knows what tunnels are called.
                train = [(one[:2] + tag + one[6:])[:size] for one in train]
            yield train

    assert arrive(pair, trains()) == dropped(pair) == COUNT
    assert pair.frames == []
    assert pair.opener.drops[Drop.FORGED] > COUNT // 1_000
    assert pair.opener.drops[Drop.STRANGER] > COUNT // 100
    assert pair.opener.drops[Drop.KEY] > COUNT // 100


def test_truncated_ones() -> None:
    pair, rng = Pair(aead.AEGIS), random.Random(2)

    def trains() -> Iterator[list[bytes]]:
        for _ in range(COUNT // 44):
            whole = pair.seal(super_frame(rng.randbytes(44 * 1336), 1324))[:44]
            size = rng.randint(1, len(whole[-1]) - 1)
            yield [one[:size] for one in whole]

    count = arrive(pair, trains())
    assert count > COUNT - 100
    assert dropped(pair) == count
    assert pair.frames == []


@pytest.mark.parametrize("cipher", [aead.AEGIS, aead.PLAIN])
def test_replayed_ones(cipher: int) -> None:
    pair, rng = Pair(cipher), random.Random(3)
    known = [pair.seal(small_frame(rng, 60))[0] for _ in range(1_000)]
    pair.hear(known)
    pair.frames.clear()

    def trains() -> Iterator[list[bytes]]:
        for _ in range(COUNT // TRAIN):
            yield rng.sample(known, TRAIN)

    assert arrive(pair, trains()) == pair.opener.drops[Drop.REPLAYED] == COUNT
    assert pair.frames == []


def test_reordered_ones_are_all_delivered_once() -> None:
    pair, rng = Pair(aead.AEGIS), random.Random(4)
    seen = 0

    def count(_: memoryview) -> None:
        nonlocal seen
        seen += 1

    pair.opener._deliver = count

    def trains() -> Iterator[list[bytes]]:
        for _ in range(COUNT // 4_000):
            sealed = [pair.seal(small_frame(rng, 60))[0] for _ in range(4_000)]
            rng.shuffle(sealed)
            for at in range(0, 4_000, TRAIN):
                yield sealed[at : at + TRAIN]

    assert arrive(pair, trains()) == seen == COUNT
    assert dropped(pair) == 0


@pytest.mark.parametrize("cipher", [aead.AEGIS, aead.CHACHA])
def test_forged_ones(cipher: int) -> None:
    pair, rng = Pair(cipher), random.Random(5)

    def trains() -> Iterator[list[bytes]]:
        for _ in range(COUNT // TRAIN):
            train = []
            for one in [pair.seal(small_frame(rng, 60))[0]] * TRAIN:
                bad = bytearray(one)
                bad[rng.randrange(6, len(bad))] ^= 1 << rng.randrange(8)
                train.append(bytes(bad))
            yield train

    assert arrive(pair, trains()) == dropped(pair) == COUNT
    assert pair.frames == []
    assert pair.opener.drops[Drop.FORGED] > COUNT * 9 // 10


def test_what_is_forged_does_not_move_the_window() -> None:
    pair, rng = Pair(aead.AEGIS), random.Random(6)
    good = pair.seal(small_frame(rng, 60))
    far = bytearray(good[0])
    far[8:16] = (1 << 63).to_bytes(8, "little")
    pair.hear([bytes(far)])
    pair.hear(good)
    assert len(pair.frames) == 1


def test_packets_between_agent_and_worker_are_typed() -> None:
    rng = random.Random(7)
    told = SetTunnel("p", "s", True, 5, "198.18.0.1", 6783, True, False, 1376, 7, 0, 0, 9)
    packet = encode(told, bytes(range(32)))
    assert decode(memoryview(packet)) == told
    for _ in range(20_000):
        bad = bytearray(packet)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(32, len(bad))] = rng.getrandbits(8)
        bad = bad[: rng.randint(32, len(bad))] if rng.random() < 0.3 else bad
        try:
            found = decode(memoryview(bad))
        except ControlError:
            continue
        assert type(found) is SetTunnel
        assert all(type(getattr(found, name)) is type(getattr(told, name)) for name in told.__slots__)
