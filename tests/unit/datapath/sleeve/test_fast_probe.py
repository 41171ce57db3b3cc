"""Probes through VXLAN: authentic and whole, or nothing."""

from __future__ import annotations

import random

from datapath.sleeve import probe
from datapath.sleeve.probe import FastProbe

KEY = bytes(range(32))
ONE = FastProbe(probe.HEARS | probe.IS_FULL, b"12345678", 1 << 50, 1376)


def test_it_says_what_was_said() -> None:
    data = probe.frame_to(bytes((10, 1, 2, 3)), probe.encode(ONE, KEY))
    assert len(data) == 10 + 14 + 1376
    assert data[10:24] == bytes.fromhex("02000a010203 020100000000 88b5")
    found = probe.parse_frame(memoryview(data))
    assert found is not None
    assert found[0] == bytes(4)
    assert probe.tag_of(found[1]) == ONE.tag
    assert probe.decode(found[1], KEY) == ONE


def test_each_bit_counts() -> None:
    data = bytearray(probe.encode(FastProbe(0, b"12345678", 7, probe.SMALL_SIZE), KEY))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        view = memoryview(data)
        assert probe.tag_of(view) is None or probe.decode(view, KEY) is None
        data[bit // 8] ^= 1 << bit % 8
    assert probe.decode(memoryview(data), KEY) is not None
    assert probe.decode(memoryview(data), bytes(32)) is None
    assert probe.decode(memoryview(data + b"\0"), KEY) is None


def test_no_bytes_are_mistaken_for_one() -> None:
    rng = random.Random(1)
    for _ in range(5_000):
        view = memoryview(bytearray(b"\1" + rng.randbytes(rng.randint(0, 100))))
        found = probe.parse_frame(view)
        assert found is None
        if probe.tag_of(view) is not None:
            assert probe.decode(view, KEY) is None
