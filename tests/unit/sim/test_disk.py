"""A disk loses what a real one may lose: not more, and in the end all of it."""

from __future__ import annotations

import random

import pytest

from core.effects import Persist
from core.types import Ticket
from crdt.fact import Change, Origin
from crdt.stream import Stream
from sim.disk import FULL, READ_ONLY, SECOND_LIFE, Disk

ME, OTHER = Origin("me", 1), Origin("other", 1)


class Writer:
    """Writes a stream, a fact at a time."""

    def __init__(self, disk: Disk, origin: Origin = ME) -> None:
        self.disk = disk
        self.stream = Stream.empty(origin)
        self.tickets = 0

    def begin(self, *, sync: bool = True) -> None:
        self.tickets += 1
        known = self.stream.head.seq
        self.stream = self.stream.append([Change(f"key/{known}", "kind.1", b"x")])
        self.disk.begin(Persist(Ticket(self.tickets), (self.stream.delta(known),), (), sync))

    def write(self, count: int = 1, *, sync: bool = True) -> list[str]:
        for _ in range(count):
            self.begin(sync=sync)
        self.disk.write()
        return [why for _, why in self.disk.finish()]


def kept(disk: Disk, origin: Origin = ME) -> int:
    """Return how many facts of a stream the next life finds."""
    return max((delta.head.seq for delta in disk.recover(0).streams if delta.origin == origin), default=0)


def outcomes(*, power: bool, sync: bool, under_way: int = 0, lying: bool = False) -> dict[int, int]:
    """Return how often how much is left of four commits that are done and some that are under way."""
    found: dict[int, int] = {}
    for seed in range(400):
        disk = Disk("me")
        disk.lie(lying)
        writer = Writer(disk)
        for _ in range(4):
            assert writer.write(sync=sync) == [""]
        for _ in range(under_way):
            writer.begin(sync=sync)
        if under_way:
            disk.write()
        disk.crash(random.Random(seed), power=power)
        left = kept(disk)
        found[left] = found.get(left, 0) + 1
    return found


def test_what_is_synced_survives_everything() -> None:
    assert outcomes(power=True, sync=True) == {4: 400}
    assert outcomes(power=False, sync=True) == {4: 400}


def test_what_is_not_synced_survives_the_process_and_not_the_machine() -> None:
    assert outcomes(power=False, sync=False) == {4: 400}
    assert sorted(outcomes(power=True, sync=False)) == [0, 1, 2, 3, 4]


def test_a_transaction_under_way_is_there_whole_or_not_at_all() -> None:
    assert sorted(outcomes(power=False, sync=True, under_way=3)) == [4, 7]


def test_a_power_cut_may_keep_some_of_the_tail_and_never_a_gap() -> None:
    assert sorted(outcomes(power=True, sync=True, under_way=2)) == [4, 5, 6]


def test_what_waits_is_gone() -> None:
    disk = Disk("me")
    writer = Writer(disk)
    writer.begin()
    disk.crash(random.Random(1), power=False)
    assert kept(disk) == 0


def test_a_torn_record_is_dropped_and_what_was_before_it_is_not() -> None:
    torn = 0
    for seed in range(200):
        disk = Disk("me")
        writer = Writer(disk)
        writer.write(2)
        writer.begin()
        disk.write()
        disk.crash(random.Random(seed), power=True)
        left = kept(disk)
        torn += disk.torn_count
        assert left == 2 if disk.torn_count else left in (2, 3)
        again = Writer(disk)
        again.stream = Stream.empty(ME).append([Change(f"key/{seq}", "kind.1", b"x") for seq in range(left)])
        assert again.write() == [""], "the journal goes on where it ends"
        assert kept(disk) == left + 1
    assert torn > 20


def test_a_lying_disk_loses_what_it_said_was_safe() -> None:
    assert sorted(outcomes(power=True, sync=True, lying=True)) == [0, 1, 2, 3, 4]
    assert outcomes(power=False, sync=True, lying=True) == {4: 400}, "the machine's memory is still there"


def test_a_disk_that_is_honest_again_has_written_everything() -> None:
    disk = Disk("me")
    disk.lie(True)
    Writer(disk).write(3)
    disk.lie(False)
    disk.crash(random.Random(1), power=True)
    assert kept(disk) == 3
    assert not disk.has_forgotten


def test_a_lie_shows_as_lost_memory() -> None:
    disk = Disk("me")
    disk.lie(True)
    Writer(disk).write(3)
    disk.crash(random.Random(1), power=True)
    assert kept(disk) < 3


def test_commits_that_wait_share_a_transaction_and_come_back_in_order() -> None:
    disk = Disk("me")
    writer = Writer(disk)
    writer.begin(sync=False)
    assert disk.has_waiting
    assert not disk.is_urgent
    writer.begin(sync=True)
    assert disk.is_urgent
    assert disk.write(), "one of them is synced"
    assert disk.is_busy
    writer.begin(sync=False)
    assert [persist.ticket for persist, why in disk.finish() if not why] == [1, 2]
    assert not disk.is_busy
    assert disk.has_waiting


@pytest.mark.parametrize(("trouble", "why"), [("is_full", FULL), ("is_read_only", READ_ONLY)])
def test_a_disk_that_takes_nothing_says_why_and_later_commits_do_not_fit(trouble: str, why: str) -> None:
    disk = Disk("me")
    writer = Writer(disk)
    writer.write()
    setattr(disk, trouble, True)
    assert writer.write(2) == [why, why]
    setattr(disk, trouble, False)
    assert writer.write() == ["an earlier commit failed"]
    assert kept(disk) == 1


def test_streams_do_not_hold_each_other_up() -> None:
    disk = Disk("me")
    mine, theirs = Writer(disk), Writer(disk, OTHER)
    disk.is_full = True
    theirs.write(sync=False)
    disk.is_full = False
    assert mine.write() == [""]
    assert (kept(disk), kept(disk, OTHER)) == (1, 0)


def test_a_copy_brings_back_what_was_synced_then() -> None:
    disk = Disk("me")
    writer = Writer(disk)
    writer.write(2)
    disk.back_up()
    writer.write(3)
    disk.roll_back()
    assert disk.has_forgotten
    assert kept(disk) == 2
    assert not disk.has_forgotten, "the next life has begun"


def test_an_empty_disk_names_the_next_life_after_the_clock_even_when_that_is_behind() -> None:
    disk = Disk("me")
    assert disk.recover(99).origin == ME, "the first life is the first"
    Writer(disk).write()
    disk.wipe()
    assert disk.recover(99).origin == Origin("me", 99)
    disk.wipe()
    assert disk.recover(-500).origin == Origin("me", SECOND_LIFE)
    assert disk.recover(99).origin == Origin("me", SECOND_LIFE), "a name is kept"
