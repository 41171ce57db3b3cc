"""Ownership as a view of claims."""

from __future__ import annotations

from dataclasses import replace

from core.ipam.ring import NOBODY, Conflict, RingView, is_sound
from core.ipam.universe import universe_of
from core.kinds import RingClaim
from core.types import Address, PeerName

A, B, C = PeerName("a"), PeerName("b"), PeerName("c")
DIVISION = ((Address(0), Address(50), A), (Address(50), Address(100), B))


def claim(lo: int, hi: int, rank: tuple[int, int, str], free: int = -1) -> RingClaim:
    return RingClaim(lo, hi, rank[0], rank[1], rank[2], free, "", 0)


def view(*claims: tuple[PeerName, RingClaim]) -> RingView:
    return RingView(DIVISION, claims)


def test_without_claims_the_division_counts() -> None:
    ring = view()
    assert ring.shares() == {A: 50, B: 50}
    assert ring.owner_at(Address(49)) == A
    assert ring.owner_at(Address(50)) == B
    assert ring.owner_at(Address(100)) is None


def test_the_greatest_epoch_wins_and_generation_beats_epoch() -> None:
    ring = view((A, claim(40, 50, (0, 1, B))), (B, claim(45, 50, (0, 9, C))), (C, claim(48, 60, (1, 1, A))))
    assert [(run.lo, run.hi, run.owner) for run in ring.runs] == [
        (0, 40, A),
        (40, 45, B),
        (45, 48, C),
        (48, 60, A),
        (60, 100, B),
    ]
    assert ring.owned_by(B) == ((40, 45), (60, 100))
    assert ring.owners(Address(41), Address(49)) == (A, B, C)


def test_two_takeovers_of_one_range_are_a_conflict_until_a_later_claim() -> None:
    double = ((A, claim(50, 100, (1, 1, A))), (C, claim(70, 100, (1, 1, C))))
    assert view(*double).conflicts == (Conflict(Address(70), Address(100), 1, 1, (A, C)),)
    assert view(*double).owner_at(Address(80)) == C
    assert view(*double, (C, claim(80, 100, (1, 2, C)))).conflicts == (
        Conflict(Address(70), Address(80), 1, 1, (A, C)),
    )


def test_a_joined_note_is_no_owner_and_no_conflict() -> None:
    ring = view((A, claim(0, 50, (0, 2, NOBODY))), (B, claim(0, 20, (0, 2, B))))
    assert ring.conflicts == ()
    assert ring.owner_at(Address(10)) == B
    assert ring.owners(Address(0), Address(100)) == (B,)


def test_hints_count_where_given_and_silence_counts_as_free() -> None:
    ring = view((A, claim(0, 20, (0, 1, A), free=2)), (A, claim(20, 30, (0, 1, A), free=-1)))
    assert ring.free_hint(A, Address(0), Address(100)) == 4 + 0 + 20
    assert ring.free_hint(A, Address(20), Address(30)) == 0
    assert ring.free_hint(B, Address(0), Address(100)) == 50
    assert ring.free_hint(C, Address(0), Address(100)) == 0


def test_a_hint_about_space_that_was_lost_does_not_count() -> None:
    ring = view((A, claim(0, 50, (0, 1, A), free=5)), (B, claim(0, 50, (1, 2, B), free=5)))
    assert ring.free_hint(A, Address(0), Address(100)) == 0


def test_claims_outside_the_universe_or_without_sense_are_left_alone() -> None:
    universe = universe_of("10.32.0.0/24,fd00::/118")
    part, other = universe.parts
    good = RingClaim(part.lo, part.hi, 0, 1, "a", 0, "", 0)
    assert is_sound(good, universe)
    assert is_sound(replace(good, lo=other.lo, hi=other.hi), universe)
    for lo, hi, generation, epoch, owner in (
        (part.lo - 1, part.hi, 0, 1, "a"),
        (part.lo, part.hi + 1, 0, 1, "a"),
        (part.lo, part.lo, 0, 1, "a"),
        (part.lo, other.lo + 1, 0, 1, "a"),
        (part.hi - 1, other.hi, 0, 1, "a"),
        (other.lo - 1, other.hi, 0, 1, "a"),
        (part.lo, part.hi, -1, 1, "a"),
        (part.lo, part.hi, 0, 1 << 62, "a"),
        (part.lo, part.hi, 0, 1, ""),
    ):
        assert not is_sound(RingClaim(lo, hi, generation, epoch, owner, 0, "", 0), universe)
