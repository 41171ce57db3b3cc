"""Laws of ranges of one family or two: every part is divided by itself, and all of it always has one owner."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.ipam.ring import RingView, is_sound
from core.ipam.seed import _division
from core.ipam.universe import Universe, universe_of
from core.kinds import RingClaim
from core.types import Address, PeerName, Subnet, address_of

NAMES = tuple(f"{index:02x}:00:00:00:00:00" for index in range(1, 10))


@st.composite
def universes(draw: st.DrawFn) -> Universe:
    """Ranges of either family or both, from the smallest to the largest."""
    parts = []
    four, six = draw(st.sampled_from([(True, False), (False, True), (True, True), (True, True)]))
    if four:
        parts.append(_subnet(address_of("10.0.0.0"), draw(st.integers(8, 30)), draw(st.integers(0, 1 << 20))))
    if six:
        parts.append(_subnet(address_of("fd00::"), draw(st.integers(8, 126)), draw(st.integers(0, 1 << 100))))
    return Universe(tuple(parts))


def _subnet(base: Address, prefix: int, place: int) -> Subnet:
    first = Subnet(base, prefix)
    count = Subnet(base, 8).size // first.size
    return Subnet(Address(base + place % count * first.size), prefix)


@st.composite
def claims(draw: st.DrawFn, universe: Universe) -> list[tuple[PeerName, RingClaim]]:
    """Sound claims and others: within a part, across parts, beyond all."""
    edges = sorted({edge for part in universe.parts for edge in (part.lo, part.hi, part.lo + part.size // 3)})
    edges = [0, *edges, 1 << 128]
    found = []
    for _ in range(draw(st.integers(0, 6))):
        lo = draw(st.sampled_from(edges)) + draw(st.integers(0, 9))
        hi = draw(st.sampled_from(edges)) - draw(st.integers(0, 9))
        rank = (draw(st.integers(0, 2)), draw(st.integers(0, 3)))
        writer, owner = (draw(st.sampled_from(NAMES[:3])) for _ in range(2))
        found.append((PeerName(writer), RingClaim(lo, hi, *rank, owner, draw(st.integers(-1, 128)), "", 0)))
    return found


@given(universes(), st.sets(st.sampled_from(NAMES), min_size=1))
def test_each_part_is_divided_as_if_it_were_alone(universe: Universe, chosen: set[str]) -> None:
    names = tuple(sorted(chosen))
    division = _division(universe, names)
    alone = [share for part in universe.parts for share in _division(Universe((part,)), names)]
    assert list(division) == alone


@given(st.data(), universes(), st.sets(st.sampled_from(NAMES), min_size=1))
def test_a_ring_covers_every_part_and_nothing_else(data: st.DataObject, universe: Universe, chosen: set[str]) -> None:
    said = [pair for pair in data.draw(claims(universe)) if is_sound(pair[1], universe)]
    view = RingView(_division(universe, tuple(sorted(chosen))), said)
    for part in universe.parts:
        runs = view.between(part.lo, part.hi)
        assert (runs[0].lo, runs[-1].hi) == (part.lo, part.hi)
        assert all(one.hi == other.lo for one, other in pairwise(runs))
        assert sum(view.shares(part.lo, part.hi).values()) == part.size
    assert sum(run.hi - run.lo for run in view.runs) == universe.size


@given(universes())
def test_a_range_reads_as_it_is_written(universe: Universe) -> None:
    assert universe_of(str(universe)) == universe
