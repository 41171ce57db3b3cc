"""Sealed frames: they open in their place and nowhere else, and keys move on without a loss."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mesh import sealed as module
from adapters.mesh.framing import FrameReader, packed
from adapters.mesh.sealed import OVERHEAD, SealedChannel
from core.errors import PeerFault
from core.keys import CONTROL as CONTROL_LABEL
from core.keys import FROM_ACCEPTOR, FROM_DIALLER, derive
from core.messages import Heartbeat
from core.wire import FRAME_SIZE_MAX, encode

CONTROL = b"c" * 32


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pair(clock: Clock | None = None) -> tuple[SealedChannel, SealedChannel]:
    now = clock or Clock()
    return SealedChannel(CONTROL, is_dialler=True, now=now), SealedChannel(CONTROL, is_dialler=False, now=now)


def test_frames_open_at_the_other_end_both_ways_and_are_not_to_be_read_on_the_way() -> None:
    one, other = pair()
    for frame in (b"", b"x", b"a frame of some length" * 10_000):
        for sender, receiver in ((one, other), (other, one)):
            sealed = sender.seal(frame)
            assert len(sealed) == len(frame) + OVERHEAD
            assert len(frame) < 8 or frame[:8] not in sealed
            assert receiver.open(sealed) == frame


def test_the_same_frame_never_looks_the_same() -> None:
    one, other = pair()
    seen = [side.seal(b"frame") for _ in range(10) for side in (one, other)]
    assert len(dict.fromkeys(seen)) == 20


def test_a_changed_byte_anywhere_is_a_fault() -> None:
    size = len(b"frame") + OVERHEAD
    for place in range(size):
        one, other = pair()
        sealed = bytearray(one.seal(b"frame"))
        sealed[place] ^= 0x10
        with pytest.raises(PeerFault, match="not sealed"):
            other.open(bytes(sealed))


@pytest.mark.parametrize(
    "what", ["repeated", "left out", "reordered", "sent back", "cut short", "of another connection"]
)
def test_a_frame_that_is_not_in_its_place_is_a_fault(what: str) -> None:
    one, other = pair()
    first, second = one.seal(b"first"), one.seal(b"second")
    if what == "repeated":
        assert other.open(first) == b"first"
        other, bad = other, first
    elif what in ("left out", "reordered"):
        bad = second
    elif what == "sent back":
        other, bad = one, first
    elif what == "cut short":
        bad = first[:-1]
    else:
        bad = SealedChannel(b"d" * 32, is_dialler=True).seal(b"first")
    with pytest.raises(PeerFault):
        other.open(bad)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100))
def test_random_bytes_are_a_fault_and_nothing_else(data: bytes) -> None:
    _, other = pair()
    with pytest.raises(PeerFault):
        other.open(data)


def test_an_unknown_marker_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair()
    monkeypatch.setattr(module, "NOT_LAST", b"\7")
    sealed = one.seal(b"frame")
    monkeypatch.undo()
    with pytest.raises(PeerFault, match="unknown marker 7"):
        other.open(sealed)


@pytest.mark.parametrize(("name", "limit"), [("FRAMES_MAX", 7), ("BYTES_MAX", 50)])
def test_keys_move_on_by_volume_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(module, name, limit)
    one, other = pair()
    under_way = [(index, one.seal(b"frame %d" % index)) for index in range(100)]
    # The other direction stands still meanwhile, and is not disturbed.
    assert one.open(other.seal(b"back")) == b"back"
    for index, sealed in under_way:
        assert other.open(sealed) == b"frame %d" % index
    assert one.epochs[0] == other.epochs[1] > 10
    assert one.epochs[1] == other.epochs[0] == 0
    keys = one._out.key, one._out._secret
    assert keys == (other._in.key, other._in._secret)


def test_keys_move_on_by_time() -> None:
    clock = Clock()
    one, other = pair(clock)
    for hour in range(5):
        assert other.open(one.seal(b"frame")) == b"frame"
        assert one.epochs[0] == other.epochs[1] == hour
        clock.now += module.AGE_MAX_S
        assert other.open(one.seal(b"late")) == b"late"


def test_a_key_that_is_gone_cannot_be_had_from_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAMES_MAX", 2)
    one, _ = pair()
    kept = one.seal(b"first"), one.seal(b"last under this key")
    left = [getattr(direction, name) for direction in (one._out, one._in) for name in ("key", "_secret")]
    assert CONTROL not in left
    left += [derive(secret, CONTROL_LABEL, way, 0) for secret in left for way in (FROM_DIALLER, FROM_ACCEPTOR)]
    # Whoever takes the channel over as it is now, in either role, does not open what was sealed before.
    for index, sealed in enumerate(kept):
        for key in left:
            channel = SealedChannel(CONTROL, is_dialler=False)
            channel._in.key, channel._in._count = key, index
            with pytest.raises(PeerFault):
                channel.open(sealed)


def test_the_largest_frame_passes_the_reader_and_a_larger_one_does_not() -> None:
    one, other = pair()
    frames = FrameReader(other)
    assert list(frames.feed(packed(one.seal(encode(Heartbeat()))))) == [Heartbeat()]
    assert list(frames.feed((FRAME_SIZE_MAX + OVERHEAD).to_bytes(4, "big"))) == []
    with pytest.raises(PeerFault, match="are allowed"):
        list(FrameReader(other).feed((FRAME_SIZE_MAX + OVERHEAD + 1).to_bytes(4, "big")))
