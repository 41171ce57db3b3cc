"""The search for the largest datagram, on paths that change, lose and lie."""

from __future__ import annotations

import random

import pytest

from datapath.sleeve.pmtu import PathMtu
from datapath.sleeve.sealer import CAPACITY_MIN


class Path:
    def __init__(self, mtu: int, first: int = 1500, loss: float = 0.0, delay_ms: int = 20) -> None:
        self.mtu, self.loss, self.delay_ms = mtu, loss, delay_ms
        self.now_ms = 0
        self.rng = random.Random(1)
        self.search = PathMtu(0)
        self.search.limit(first, 0)
        self.sent: list[int] = []
        self._acks: list[tuple[int, int]] = []

    def run(self, duration_ms: int) -> int:
        end = self.now_ms + duration_ms
        while self.now_ms < end:
            self.now_ms += 10
            size = self.search.tick(self.now_ms)
            if size is not None:
                self.sent.append(size)
                if size + 28 <= self.mtu and self.rng.random() >= self.loss and self.rng.random() >= self.loss:
                    self._acks.append((self.now_ms + self.delay_ms, size))
            for due_ms, acked in [ack for ack in self._acks if ack[0] <= self.now_ms]:
                self._acks.remove((due_ms, acked))
                self.search.acked(acked, self.now_ms)
        return self.search.size


@pytest.mark.parametrize("mtu", [576, 700, 1000, 1280, 1400, 1452, 1492, 1500, 8980, 9000, 65_535])
def test_it_finds_the_size_of_the_path(mtu: int) -> None:
    path = Path(mtu, first=max(1500, mtu + 100))
    assert path.run(10_000) == max(CAPACITY_MIN, min(65_504, (mtu - 28) & ~7))


def test_the_size_of_the_first_link_is_tried_first() -> None:
    path = Path(1500)
    assert path.run(100) == 1472
    assert path.sent == [1472]


def test_a_path_that_shrinks_is_followed_within_six_seconds_and_one_that_grows_within_a_minute() -> None:
    path = Path(1500)
    path.run(20_000)
    path.mtu = 700
    assert path.run(6_000) <= 672
    assert path.run(6_000) == 672
    path.mtu = 1500
    assert path.run(60_000) == 1472


def test_a_slow_path_is_measured_all_the_same() -> None:
    path = Path(1000, delay_ms=600)
    assert path.run(90_000) == 968


def test_loss_is_not_mistaken_for_size_for_long() -> None:
    path = Path(1500, loss=0.3)
    sizes = [path.run(1_000) for _ in range(1_800)]
    assert sizes.count(1472) > 1_700


def test_a_smaller_first_link_counts_at_once() -> None:
    path = Path(1500)
    path.run(5_000)
    path.search.limit(1400, path.now_ms)
    assert path.search.size == 1368


def test_after_a_break_the_largest_size_is_tried_first() -> None:
    path = Path(1500)
    path.run(5_000)
    path.mtu = 0
    assert path.run(10_000) == CAPACITY_MIN
    path.mtu = 1500
    path.search.resume(path.now_ms)
    path.sent.clear()
    assert path.run(100) == 1472
    assert path.sent == [1472]


def test_acknowledgements_nobody_earned_change_nothing() -> None:
    search = PathMtu(0)
    search.limit(1500, 0)
    for size in (0, 7, 543, 1001, 1480, 65_535):
        search.acked(size, 0)
    assert search.size == CAPACITY_MIN
