"""How often an address may be wrong about the password."""

from __future__ import annotations

from adapters.mesh.admission import ADDRESSES_MAX, BURST, INTERVAL_S, Admission


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_some_failures_in_a_row_and_then_one_every_now_and_then() -> None:
    clock = Clock()
    admission = Admission(clock)
    assert [admission.charge("a") for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    allowed = 0
    for _ in range(1000):
        clock.now += 1.0
        allowed += admission.charge("a")
    assert allowed == 1000 / INTERVAL_S


def test_other_addresses_are_not_affected() -> None:
    admission = Admission(Clock())
    while admission.charge("a"):
        pass
    assert admission.charge("b")


def test_what_went_well_costs_nothing_however_often() -> None:
    admission = Admission(Clock())
    for _ in range(100):
        assert admission.charge("a")
        admission.pay_back("a")
    assert len(admission) == 0


def test_attempts_at_once_count_as_those_in_turn() -> None:
    admission = Admission(Clock())
    assert sum(admission.charge("a") for _ in range(100)) == BURST
    admission.pay_back("a")
    assert admission.charge("a")
    assert not admission.charge("a")


def test_an_address_is_forgiven_in_the_end() -> None:
    clock = Clock()
    admission = Admission(clock)
    while admission.charge("a"):
        pass
    clock.now += BURST * INTERVAL_S
    assert sum(admission.charge("a") for _ in range(100)) == BURST


def test_many_addresses_do_not_fill_the_memory_nor_free_the_worst() -> None:
    admission = Admission(Clock())
    while admission.charge("worst"):
        pass
    for index in range(3 * ADDRESSES_MAX):
        admission.charge(f"address-{index}")
        assert len(admission) <= ADDRESSES_MAX
    assert not admission.charge("worst")
    admission.pay_back("address-0")
