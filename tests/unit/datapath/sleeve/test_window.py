"""The replay window beside an honest, slow model."""

from __future__ import annotations

import random

from datapath.sleeve.replay import WINDOW, Replay


class Model:
    def __init__(self) -> None:
        self.seen: dict[int, bool] = {}
        self.top = 0

    def fresh(self, first: int, count: int) -> int:
        mask = 0
        for index in range(count):
            counter = first + index
            if counter >= self.top - WINDOW and counter not in self.seen:
                mask |= 1 << index
        return mask

    def accept(self, first: int, count: int, mask: int) -> None:
        for index in range(count):
            if mask >> index & 1:
                self.seen[first + index] = True
                self.top = max(self.top, first + index + 1)


def test_it_answers_as_a_list_of_all_counters_would() -> None:
    rng = random.Random(1)
    for _ in range(30):
        window, model, at = Replay(), Model(), rng.choice([0, 5, 1 << 44])
        for _ in range(300):
            at += rng.choice([0, 1, 3, 44, 64, WINDOW - 5, WINDOW, WINDOW + 5]) if rng.random() < 0.2 else 44
            first = max(0, at - rng.choice([0, 0, 10, 500, WINDOW - 1, WINDOW, WINDOW + 1]))
            count = rng.randint(1, 64)
            fresh = window.fresh(first, count)
            assert fresh == model.fresh(first, count)
            accepted = fresh & rng.getrandbits(count) if rng.random() < 0.4 else fresh
            window.accept(first, count, accepted)
            model.accept(first, count, accepted)
            assert window.top == model.top


def test_a_far_jump_costs_nothing_and_forgets_the_old() -> None:
    window = Replay()
    window.accept(5, 1, 1)
    window.accept(1 << 63, 1, 1)
    assert window.fresh(6, 1) == 0
    assert window.fresh((1 << 63) - 1, 1) == 1
    assert window.fresh(1 << 63, 1) == 0


def test_at_least_8192_may_come_late() -> None:
    window = Replay()
    window.accept(10_000, 1, 1)
    assert window.fresh(10_000 - 8192, 1) == 1


def test_a_window_that_begins_late_accepts_nothing_from_before() -> None:
    window = Replay(1_000)
    assert window.fresh(900, 200) == ((1 << 100) - 1) << 100
    window.accept(1_005, 1, 1)
    assert window.fresh(990, 20) == 0b1111_0111_11 << 10
