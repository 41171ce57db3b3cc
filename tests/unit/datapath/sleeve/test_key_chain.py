"""Keys of tunnels: both ends the same, every epoch another, old ones gone."""

from __future__ import annotations

import random

import pytest
from sleeve_pair import SECRET, SESSION, Pair, small_frame

from datapath.sleeve import aead, keys
from datapath.sleeve.opener import Drop


def key_of(chain: keys.Chain) -> bytes:
    header, out = bytearray(16), aead.ffi.new("unsigned char[48]")
    cipher = chain.aead(aead.AEGIS)
    cipher.seal(*cipher.sealing(aead.ffi.from_buffer(header), out, out, 0))
    return bytes(aead.ffi.buffer(out))


def test_directions_and_epochs_have_keys_of_their_own() -> None:
    chains = [keys.Chain(SECRET, way, epoch, is_sealed=True) for way in (b"o", b"i") for epoch in range(5)]
    assert len({key_of(chain) for chain in chains}) == 10
    chain = keys.Chain(SECRET, b"o", 0, is_sealed=True)
    for _ in range(3):
        chain.advance()
    assert key_of(chain) == key_of(keys.Chain(SECRET, b"o", 3, is_sealed=True))
    assert keys.tag(SESSION, b"o") != keys.tag(SESSION, b"i")


def test_a_receiver_follows_ten_rotations_and_loses_nothing_of_what_was_under_way() -> None:
    pair, rng = Pair(aead.AEGIS), random.Random(1)
    late: list[bytes] = []
    for epoch in range(10):
        assert pair.sending.keys.epoch == pair.receiving.keys.epoch == epoch
        pair.hear(pair.seal(small_frame(rng, 50)) + late)
        late = pair.seal(small_frame(rng, 50))
        pair.sending.keys.rotate(0, 0)
        pair.hear(pair.seal(small_frame(rng, 50)))
    assert len(pair.frames) == 29
    assert sum(pair.opener.drops.values()) == 0


def test_what_is_two_epochs_old_is_not_opened() -> None:
    pair, rng = Pair(aead.AEGIS), random.Random(1)
    old = pair.seal(small_frame(rng, 50))
    for _ in range(2):
        pair.sending.keys.rotate(0, 0)
        pair.hear(pair.seal(small_frame(rng, 50)))
    pair.hear(old)
    assert len(pair.frames) == 2
    assert pair.opener.drops[Drop.KEY] == 1


@pytest.mark.parametrize(("age_ms", "count", "due"), [
    (keys.ROTATION_MS - 1, 5, False),
    (keys.ROTATION_MS, 5, True),
    (keys.ROTATION_MS_MIN, keys.ROTATION_DATAGRAMS, True),
    (keys.ROTATION_MS_MIN - 1, keys.ROTATION_DATAGRAMS, False),
])  # fmt: skip
def test_an_epoch_ends_by_time_or_volume(age_ms: int, count: int, due: bool) -> None:
    sealed = keys.SendKeys(keys.Chain(SECRET, b"o", 0, is_sealed=True), aead.AEGIS, 0)
    plain = keys.SendKeys(keys.Chain(SECRET, b"o", 0, is_sealed=False), aead.PLAIN, 0)
    assert sealed.is_rotation_due(age_ms, count) is due
    assert plain.is_rotation_due(age_ms, count) is False


def test_the_cipher_may_change_at_any_moment() -> None:
    pair, rng = Pair(aead.CHACHA), random.Random(1)
    pair.hear(pair.seal(small_frame(rng, 50)))
    pair.sending.keys.use(aead.AEGIS)
    pair.hear(pair.seal(small_frame(rng, 50)))
    assert len(pair.frames) == 2
