"""What becomes of things on their way, with the chances that a path states."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from sim.paths import SHUFFLE_US, STALL_US, TAIL_MAX_US, Path, Road

PLAIN = Path(latency_us=1_000, jitter_us=500)
MANY = 2_000


def road(path: Path) -> Road:
    return Road(random.Random(1), PLAIN, path)


def test_a_plain_path_takes_its_latency_and_some_jitter() -> None:
    plain = road(PLAIN)
    delays = [plain.stream_us(0, 0) for _ in range(MANY)]
    assert min(delays) >= 1_000
    assert max(delays) <= 1_500
    assert max(delays) - min(delays) > 400


def test_a_loss_inside_a_connection_is_a_stall_and_never_more() -> None:
    lossy = road(replace(PLAIN, loss_percent=50))
    stalls = [lossy.stream_us(0, 0) // STALL_US for _ in range(MANY)]
    assert 0.45 < sum(stall == 0 for stall in stalls) / MANY < 0.55
    assert max(stalls) > 2, "a retransmission may be lost, too"


def test_what_all_paths_lose_is_lost_on_a_plain_one() -> None:
    plain = road(PLAIN)
    assert any(plain.stream_us(0, 30) > STALL_US for _ in range(100))


def test_a_tail_halves_with_every_doubling() -> None:
    heavy = road(replace(PLAIN, jitter_us=0, tail_percent=50))
    delays = [heavy.stream_us(0, 0) for _ in range(MANY)]
    for longer, shorter in pairwise((8_000, 4_000, 2_000)):
        ratio = sum(delay >= longer for delay in delays) / sum(delay >= shorter for delay in delays)
        assert 0.35 < ratio < 0.65
    assert max(road(replace(PLAIN, tail_percent=99)).stream_us(0, 0) for _ in range(9)) <= TAIL_MAX_US


def test_datagrams_are_lost_doubled_and_overtaken() -> None:
    rough = road(replace(PLAIN, loss_percent=25, repeat_percent=20, shuffle_percent=30))
    arrivals = [rough.datagrams_us(0, 0) for _ in range(MANY)]
    counts = [len(copies) for copies in arrivals]
    assert 0.2 < counts.count(0) / MANY < 0.3
    assert 0.1 < counts.count(2) / MANY < 0.2
    late = [delay for copies in arrivals for delay in copies if delay > 1_500]
    assert late
    assert max(late) < 1_500 + SHUFFLE_US


def test_nothing_arrives_before_a_clog_ends() -> None:
    clogged = road(PLAIN)
    clogged.clogged_until_us = 70_000
    assert clogged.stream_us(20_000, 0) == 50_000
    assert clogged.datagrams_us(20_000, 0) == (50_000,)
    assert clogged.stream_us(70_000, 0) < 2_000


def test_a_plain_path_draws_one_number_for_a_message() -> None:
    one, other = road(PLAIN), random.Random(1)
    one.stream_us(0, 0)
    assert not one.is_garbled()
    other.random()
    assert one.entropy.random() == other.random()


def test_garbage_is_as_frequent_as_stated() -> None:
    noisy = road(replace(PLAIN, corrupt_percent=10))
    assert 0.07 < sum(noisy.is_garbled() for _ in range(MANY)) / MANY < 0.13
