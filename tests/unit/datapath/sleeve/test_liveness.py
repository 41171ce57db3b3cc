"""Two ends of a transport on a lossy path, by simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from datapath.sleeve.liveness import Liveness

STEP_MS = 25
Losses = Callable[[int, int], bool]


class Two:
    """Both ends; what each sends arrives 25 ms later."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.ends = (Liveness(0), Liveness(0))
        self.changes: list[tuple[int, int, bool]] = []
        self.sent = [0, 0]
        self._flying: list[tuple[int, bool, bool]] = []

    def run(self, duration_ms: int, is_lost: Losses) -> None:
        for _ in range(duration_ms // STEP_MS):
            self.now_ms += STEP_MS
            before = [end.is_up for end in self.ends]
            for to, hears, asks in self._flying:
                self.ends[to].heard(self.now_ms, hears_us=hears, asks=asks)
            self._flying.clear()
            for number, end in enumerate(self.ends):
                end.tick(self.now_ms)
                if self.now_ms >= end.due_ms:
                    if not is_lost(number, self.now_ms):
                        self._flying.append((1 - number, end.hears, end.asks))
                    end.sent(self.now_ms)
                    self.sent[number] += 1
                if end.is_up != before[number]:
                    self.changes.append((self.now_ms, number, end.is_up))


def nothing(_: int, __: int) -> bool:
    return False


def everything(_: int, __: int) -> bool:
    return True


def test_it_is_up_at_once_the_first_time() -> None:
    two = Two()
    two.run(1_000, nothing)
    assert [end.is_up for end in two.ends] == [True, True]
    assert len(two.changes) == 2


@pytest.mark.parametrize("deaf", [0, 1, None])
def test_it_is_down_at_both_within_three_seconds_and_up_within_five(deaf: int | None) -> None:
    two = Two()
    two.run(10_000, nothing)
    two.run(3_000, everything if deaf is None else lambda sender, _: sender == 1 - deaf)
    assert [end.is_up for end in two.ends] == [False, False]
    two.run(27_000, everything if deaf is None else lambda sender, _: sender == 1 - deaf)
    two.run(60_000 if deaf is None else 0, everything)
    two.run(5_000, nothing)
    assert [end.is_up for end in two.ends] == [True, True]


@pytest.mark.parametrize("seed", range(3))
def test_thirty_percent_loss_never_flaps(seed: int) -> None:
    rng = random.Random(seed)
    two = Two()
    two.run(20_000, nothing)
    two.changes.clear()
    two.run(100_000 * STEP_MS, lambda _, __: rng.random() < 0.3)
    assert two.changes == []


@pytest.mark.parametrize("seed", range(5))
def test_it_comes_back_within_five_seconds_at_thirty_percent_loss(seed: int) -> None:
    rng = random.Random(seed)
    two = Two()
    two.run(10_000, nothing)
    two.run(20_000, everything)
    two.changes.clear()
    two.run(5_000, lambda _, __: rng.random() < 0.3)
    assert [end.is_up for end in two.ends] == [True, True]
    assert len(two.changes) == 2


def test_a_path_that_works_for_a_second_now_and_then_stays_down() -> None:
    two = Two()
    two.run(10_000, nothing)
    two.run(10_000, everything)
    two.changes.clear()
    for _ in range(50):
        two.run(1_000, nothing)
        two.run(4_000, everything)
    assert two.changes == []


def test_who_stands_by_sends_a_quarter_and_is_down_after_ten_seconds() -> None:
    two = Two()
    two.run(10_000, nothing)
    for end in two.ends:
        end.be_calm(two.now_ms, is_calm=True)
    two.sent = [0, 0]
    two.run(20_000, nothing)
    assert max(two.sent) <= 25
    two.run(8_000, everything)
    assert [end.is_up for end in two.ends] == [True, True]
    two.run(3_000, everything)
    assert [end.is_up for end in two.ends] == [False, False]


def test_who_is_needed_again_is_watched_closely() -> None:
    two = Two()
    two.run(10_000, nothing)
    for end in two.ends:
        end.be_calm(two.now_ms, is_calm=True)
    two.run(10_000, nothing)
    for end in two.ends:
        end.be_calm(two.now_ms, is_calm=False)
    two.run(3_000, everything)
    assert [end.is_up for end in two.ends] == [False, False]


def test_nobody_makes_us_send_more_than_ten_answers_a_second() -> None:
    end, sent = Liveness(0), 0
    for now_ms in range(0, 10_000, 5):
        end.heard(now_ms, hears_us=True, asks=True)
        end.tick(now_ms)
        if now_ms >= end.due_ms:
            end.sent(now_ms)
            sent += 1
    assert sent <= 101


def test_traffic_keeps_up_what_is_up_and_raises_nothing() -> None:
    end = Liveness(0)
    for now_ms in range(0, 5_000, 100):
        end.saw_traffic(now_ms)
        end.tick(now_ms)
    assert not end.hears
    for now_ms in (5_000, 5_100):
        end.heard(now_ms, hears_us=True, asks=False)
    for now_ms in range(5_100, 15_000, 100):
        end.saw_traffic(now_ms)
        end.tick(now_ms)
    assert end.is_up


def test_who_misses_probes_asks_for_answers_at_twice_the_pace() -> None:
    two = Two()
    two.run(10_000, nothing)
    two.sent = [0, 0]
    two.run(2_000, lambda sender, _: sender == 1)
    assert two.ends[0].asks
    assert not two.ends[1].asks
    assert min(two.sent) >= 3 + 9, "who asks, and who answers"
    two.run(500, nothing)
    assert not two.ends[0].asks
