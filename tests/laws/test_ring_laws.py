"""What is worked out step by step of claims that come, change and go is what all of them say together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.ipam.layers import Layer, Layers
from core.ipam.ring import RingView, rank_of
from core.ipam.space import _gaps
from core.kinds import NOBODY, RingClaim
from core.types import Address, PeerName

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
    assert view.claims == anew.claims
    assert dict.fromkeys(view.conflicts) == dict.fromkeys(anew.conflicts)
    assert view.shares() == anew.shares()
    every = [(writer, claim) for writer in said for claim in said[writer]]
    for at in range(SIZE):
        address = Address(at)
        ranks = [rank_of(claim) for _, claim in every if claim.lo <= at < claim.hi]
        ranks += [(0, 0, owner) for lo, hi, owner in DIVISION if lo <= at < hi]
        assert view.owner_at(address) == max(ranks)[2]
        assert dict.fromkeys(view.claims_at(address)) == {entry: None for entry in every if _covers(entry[1], at)}


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
    layers = Layers()
    laid = [Layer(rank_of(claim), "w", claim) for claim in claims]
    for layer in laid:
        layers.add(*layer.bounds, layer)
    entropy.shuffle(laid)
    for layer in laid:
        layers.remove(*layer.bounds, layer)
    assert list(layers.between(0, SIZE)) == []
    assert (list(layers.owners()), layers.shares()) == ([], {})


@given(BOUNDS, st.sets(st.integers(0, SIZE)))
def test_gaps_are_what_is_not_used(bounds: list[int], used: set[int]) -> None:
    lo, hi = bounds
    gaps = list(_gaps(Address(lo), Address(hi), [Address(at) for at in sorted(used) if lo <= at < hi]))
    assert [at for start, stop in gaps for at in range(start, stop)] == [at for at in range(lo, hi) if at not in used]
    assert all(one[1] < two[0] for one, two in pairwise(gaps)), "as few as there can be"


def _covers(claim: RingClaim, at: int) -> bool:
    return claim.lo <= at < claim.hi
