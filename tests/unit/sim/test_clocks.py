"""Clocks drift, are wrong and step; the monotonic one never goes back."""

from __future__ import annotations

import random

from sim.clocks import DRIFT_MAX_PPM, SKEW_MAX_US, Clock

HOUR_US = 3_600_000_000


def test_a_clock_is_wrong_in_its_own_way() -> None:
    clocks = [Clock.drawn(random.Random(seed)) for seed in range(50)]
    assert len({(clock.drift_ppm, clock.skew_us) for clock in clocks}) == 50
    assert all(abs(clock.drift_ppm) <= DRIFT_MAX_PPM and abs(clock.skew_us) <= SKEW_MAX_US for clock in clocks)


def test_a_fast_clock_gains() -> None:
    assert Clock(50_000, 0).at(HOUR_US).mono_ms == 3_600_000 * 105 // 100
    assert Clock(-50_000, 0).at(HOUR_US).mono_ms == 3_600_000 * 95 // 100


def test_a_step_moves_the_wall_clock_alone() -> None:
    clock = Clock(0, 0)
    before = clock.at(HOUR_US)
    clock.step(-10 * 365 * 24 * HOUR_US)
    after = clock.at(HOUR_US)
    assert after.mono_ms == before.mono_ms
    assert after.wall_ms == before.wall_ms - 10 * 365 * 24 * 3_600_000


def test_another_speed_does_not_make_the_clock_jump() -> None:
    clock = Clock(200, 0)
    readings = []
    for hour, ppm in enumerate((50_000, -50_000, 0, 1), 1):
        readings.append(clock.at(hour * HOUR_US).mono_ms)
        clock.drift(hour * HOUR_US, ppm)
        readings.append(clock.at(hour * HOUR_US).mono_ms)
    assert readings[0::2] == readings[1::2]
    assert [after - before for before, after in zip(readings[1::2], readings[2::2], strict=False)] == [
        3_600_000 * 105 // 100,
        3_600_000 * 95 // 100,
        3_600_000,
    ]


def test_a_timer_is_due_when_the_clock_shows_its_time_and_not_a_moment_before() -> None:
    entropy = random.Random(3)
    for _ in range(500):
        clock = Clock(entropy.randint(-50_000, 50_000), 0)
        now_us = entropy.randint(0, HOUR_US)
        clock.drift(now_us, entropy.randint(-50_000, 50_000))
        due_ms = clock.at(now_us).mono_ms + entropy.randint(-1_000, 100_000)
        at_us = clock.when(due_ms, now_us)
        assert at_us >= now_us
        assert clock.at(at_us).mono_ms >= due_ms
        assert at_us == now_us or clock.at(at_us - 1).mono_ms < due_ms


def test_a_machine_that_starts_begins_at_zero() -> None:
    clock = Clock(100, 0)
    clock.drift(HOUR_US, 5_000)
    clock.reboot(2 * HOUR_US)
    assert clock.at(2 * HOUR_US).mono_ms == 0
