"""What is worked out step by step of claims that come, change and go is what all of them say together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.ipam.ring import RingView, rank_of
from core.ipam.space import _gaps
from core.kinds import NOBODY, RingClaim
from core.types import Address, PeerName
from crdt.layers import Layer, Layers

SIZE = 24
"""Addresses: so few that claims overlap and touch all the time."""
NAMES = tuple(PeerName(name) for name in "abc")
DIVISION = ((Address(0), Address(8), NAMES[0]), (Address(8), Address(SIZE), NAMES[1]))
BOUNDS = st.lists(st.integers(0, SIZE), min_size=2, max_size=2, unique=True).map(sorted)
CLAIMS = st.builds(
    lambda bounds, generation, epoch, owner, free: RingClaim(*bounds, generation, epoch, owner, free, "why", 0),
    BOUNDS,
    st.integers(0, 1),
    st.integers(0, 3),
    st.sampled_from((*NAMES, NOBODY)),
    st.integers(-1, 3),
)
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.lists(CLAIMS, max_size=4)), max_size=12)


@given(STEPS)
def test_a_view_that_goes_on_is_one_made_anew(steps: list[tuple[PeerName, list[RingClaim]]]) -> None:
    view, said = RingView(DIVISION), {}
    for writer, claims in steps:
        before = (view.version, view.claims)
        view.replace(writer, claims)
        said[writer] = claims
        assert view.version > before[0] or view.claims == before[1]
    # In another order, and every claim twice.
    anew = RingView(DIVISION, [(writer, claim) for writer in sorted(said) for claim in said[writer] * 2])
    assert view.runs == anew.runs
    assert dict.fromkeys(view.claims) == dict.fromkeys(anew.claims)
    assert dict.fromkeys(view.conflicts) == dict.fromkeys(anew.conflicts)
    assert view.shares() == anew.shares()
    every = [(writer, claim) for writer in said for claim in said[writer]]
    for at in range(SIZE):
        address = Address(at)
        ranks = [rank_of(claim) for _, claim in every if claim.lo <= at < claim.hi]
        ranks += [(0, 0, owner) for lo, hi, owner in DIVISION if lo <= at < hi]
        assert view.owner_at(address) == max(ranks)[2]
        for writer, claims in said.items():
            greatest = max((rank_of(claim) for claim in claims if claim.lo <= at < claim.hi), default=None)
            assert [rank_of(claim) for one, claim in view.claims_at(address) if one == writer] == [
                rank for rank in (greatest,) if rank is not None
            ]


@given(STEPS, BOUNDS)
def test_what_somebody_owns_is_what_runs_say(steps: list[tuple[PeerName, list[RingClaim]]], bounds: list[int]) -> None:
    view = RingView(DIVISION)
    for writer, claims in steps:
        view.replace(writer, claims)
    lo, hi = (Address(bound) for bound in bounds)
    runs = view.between(lo, hi)
    for peer in (*NAMES, NOBODY):
        assert view.runs_of(peer, lo, hi) == tuple(run for run in runs if run.owner == peer)
    assert view.owners(lo, hi) == tuple(sorted({run.owner for run in runs} - {NOBODY}))
    whole = {peer: sum(run.hi - run.lo for run in view.runs if run.owner == peer) for peer in (*NAMES, NOBODY)}
    assert view.shares() == {peer: whole[peer] for peer in sorted(whole) if whole[peer]}
    assert all(one.hi < two.lo or one.rank != two.rank for one, two in zip(view.runs, view.runs[1:], strict=False))


@given(st.lists(CLAIMS, max_size=8), st.randoms())
def test_layers_that_are_taken_away_again_leave_nothing(claims: list[RingClaim], entropy) -> None:
    layers: Layers[RingClaim] = Layers()
    laid = [(claim.lo, claim.hi, Layer(rank_of(claim), (claim.free,), claim)) for claim in claims]
    for part in laid:
        layers.add(*part)
    entropy.shuffle(laid)
    for part in laid:
        layers.remove(*part)
    assert list(layers.between(0, SIZE)) == []
    assert (list(layers.groups()), layers.shares()) == ([], {})


@given(BOUNDS, st.sets(st.integers(0, SIZE)))
def test_gaps_are_what_is_not_used(bounds: list[int], used: set[int]) -> None:
    lo, hi = bounds
    gaps = list(_gaps(Address(lo), Address(hi), [Address(at) for at in sorted(used) if lo <= at < hi]))
    assert [at for start, stop in gaps for at in range(start, stop)] == [at for at in range(lo, hi) if at not in used]
    assert all(one[1] < two[0] for one, two in pairwise(gaps)), "as few as there can be"


def test_claims_of_one_writer_that_lie_over_each_other_are_no_deeper_than_one() -> None:
    view = RingView(DIVISION)
    view.replace(NAMES[2], [RingClaim(at, SIZE, 0, at, NAMES[2], -1, "", 0) for at in range(SIZE)])
    assert [len(view.claims_at(Address(at))) for at in range(SIZE)] == [1] * SIZE
    assert len(view.runs) == SIZE
