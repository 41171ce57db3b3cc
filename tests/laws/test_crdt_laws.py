"""Laws of the store (research L1-L8): whatever legal things writers do, and whatever the network does to them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.fact import Change, Delta, Origin
from crdt.intervals import IntervalMap
from crdt.store import Joined, Store

ORIGINS = (Origin("a", 1), Origin("b", 1), Origin("b", 2))
KEYS = ("k0", "k1", "k2", "k3")


@pytest.fixture(autouse=True, scope="module")
def small_floor() -> object:
    """Let floors move after two deletions, so that short histories reach them."""
    from crdt import stream

    kept = stream.DELETIONS_KEPT_MAX
    stream.DELETIONS_KEPT_MAX = 2
    yield
    stream.DELETIONS_KEPT_MAX = kept


@st.composite
def histories(draw: st.DrawFn) -> dict[Origin, list[Store]]:
    """Return, per origin, the store after each of its writes; deletions only of keys that exist."""
    versions: dict[Origin, list[Store]] = {}
    for origin in ORIGINS:
        store, versions[origin] = Store(), [Store()]
        for _ in range(draw(st.integers(0, 12))):
            stream = store.stream(origin)
            live = stream.live_keys() if stream else ()
            if live and draw(st.integers(0, 2)):
                change = Change(draw(st.sampled_from(live)), "k.1", None)
            else:
                change = Change(draw(st.sampled_from(KEYS)), "k.1", draw(st.binary(max_size=2)))
            store.write(origin, [change])
            versions[origin].append(store.copy())
    return versions


@st.composite
def stores(draw: st.DrawFn, versions: dict[Origin, list[Store]]) -> Store:
    """Return a store that has seen some version of each origin."""
    store = Store()
    for origin, kept in versions.items():
        source = draw(st.sampled_from(kept))
        if source.stream(origin):
            store.join(source.delta_for(origin, 0))
    return store


def merged(a: Store, b: Store) -> Store:
    """Return the join of two stores."""
    result = a.copy()
    for origin in b.origins():
        head = result.head(origin)
        result.join(b.delta_for(origin, head.seq if head else 0))
    return result


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_join_is_commutative_associative_and_idempotent(data: st.DataObject) -> None:
    versions = data.draw(histories())
    a, b, c = (data.draw(stores(versions)) for _ in range(3))
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, a) == a


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_delta_equals_the_whole_and_knowledge_never_shrinks(data: st.DataObject) -> None:
    versions = data.draw(histories())
    a, b = data.draw(stores(versions)), data.draw(stores(versions))
    after = merged(a, b)
    for origin in a.origins():
        assert after.have()[origin] >= a.have()[origin]
    whole = a.copy()
    for origin in b.origins():
        whole.join(b.delta_for(origin, 0))
    assert after == whole


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_order_loss_and_duplication_of_deltas_is_repaired(data: st.DataObject) -> None:
    versions = data.draw(histories())
    final, pool = Store(), []
    for origin, kept in versions.items():
        for step in range(1, len(kept)):
            known = data.draw(st.integers(0, step))
            pool.append(kept[step].delta_for(origin, known))
        if len(kept) > 1:
            final.join(kept[-1].delta_for(origin, 0))
    replica = Store()
    chosen: list[Delta] = data.draw(st.lists(st.sampled_from(pool), max_size=20)) if pool else []
    for delta in chosen:
        replica.join(delta)
    assert merged(replica, final) == final


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_digest_kept_step_by_step_equals_digest_from_scratch(data: st.DataObject) -> None:
    versions = data.draw(histories())
    a, b = data.draw(stores(versions)), data.draw(stores(versions))
    after = merged(a, b)
    fresh = Store()
    for origin in after.origins():
        fresh.join(after.delta_for(origin, 0))
    assert fresh.digest.root == after.digest.root
    assert (a.digest.root == b.digest.root) == (a == b)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_content_follows_from_origin_and_number(data: st.DataObject) -> None:
    versions = data.draw(histories())
    for origin, kept in versions.items():
        folded = Store()
        for step in range(1, len(kept)):
            known = folded.head(origin)
            outcome = folded.join(kept[step].delta_for(origin, known.seq if known else 0))
            assert isinstance(outcome, Joined)
            assert folded.stream(origin) == kept[step].stream(origin)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10), st.integers(0, 3)), max_size=15))
@settings(max_examples=300, deadline=None)
def test_interval_map_equals_a_model_of_points(assignments: list[tuple[int, int, int]]) -> None:
    ranges: IntervalMap[int] = IntervalMap()
    model: dict[int, int] = {}
    for lo, size, value in assignments:
        ranges.assign(lo, lo + size, value)
        for point in range(lo, lo + size):
            model[point] = max(model.get(point, value), value)
    assert {point: ranges.at(point) for point in range(45)} == {point: model.get(point) for point in range(45)}
    runs = list(ranges.items())
    assert all(left[1] < right[0] or left[2] != right[2] for left, right in itertools.pairwise(runs))
