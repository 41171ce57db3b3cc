"""Eighty hosts gossip: all learn everything, once each, soon, and again soon after a cut. Times are virtual."""

from __future__ import annotations

import pytest

from sim.fleet import Fleet

SIZE = 80
WRITES = 40
SECOND_US = 1_000_000


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """Return hosts that have formed a mesh; what one test leaves behind, the next one finds."""
    fleet = Fleet(SIZE, weighs=True)
    assert fleet.form() <= SECOND_US
    return fleet


def test_a_change_costs_one_payload_and_a_few_announcements_per_host(fleet: Fleet) -> None:
    fleet.wait(5 * SECOND_US)
    fleet.gauge.reset()
    fleet.write(WRITES, over_us=WRITES * SECOND_US)
    fleet.settle(SECOND_US)
    assert fleet.gauge.missing == 0
    assert fleet.gauge.copies == WRITES * (SIZE - 1), "every host gets it once"
    assert fleet.gauge.delay_ms(99) <= 1_000
    assert fleet.gauge.size / WRITES / SIZE <= 320, "bytes, payload and rest together"


def test_nobody_hears_twice_in_a_burst_either(fleet: Fleet) -> None:
    fleet.gauge.reset()
    fleet.write(WRITES, over_us=SECOND_US)
    fleet.settle(SECOND_US)
    assert fleet.gauge.missing == 0
    assert fleet.gauge.copies == WRITES * (SIZE - 1)
    assert fleet.gauge.delay_ms(99) <= 1_000


def test_nearly_nothing_is_said_when_there_is_nothing_to_say(fleet: Fleet) -> None:
    fleet.wait(5 * SECOND_US)
    fleet.gauge.reset()
    fleet.wait(60 * SECOND_US)
    assert fleet.gauge.size / 60 / SIZE <= 10
    assert sorted(fleet.gauge.messages) == ["Digest", "Heartbeat"]


@pytest.mark.parametrize("cut_s", [10, 60, 600])
def test_two_halves_that_lived_apart_agree_soon_after_the_cut(fleet: Fleet, cut_s: int) -> None:
    fleet.gauge.reset()
    fleet.split()
    fleet.write(WRITES, over_us=5 * SECOND_US)
    fleet.wait((cut_s - 5) * SECOND_US)
    assert fleet.gauge.missing > 0, "what one half says, the other does not hear"
    fleet.heal()
    assert fleet.settle(10 * SECOND_US) <= 2 * SECOND_US
    assert fleet.gauge.missing == 0
    assert fleet.gauge.copies == WRITES * (SIZE - 1)
