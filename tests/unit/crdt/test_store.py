"""Every outcome of a join, one example each."""

from __future__ import annotations

from dataclasses import replace

from crdt.fact import Change, Origin
from crdt.store import Corrupt, Equivocation, Gap, Joined, Pool, Stale, Store
from crdt.stream import DELETIONS_KEPT_MAX

A = Origin("a", 1)


def put(key: str, body: bytes = b"x") -> Change:
    return Change(key, "k.1", body)


def delete(key: str) -> Change:
    return Change(key, "k.1", None)


def test_new_facts_are_joined_and_old_ones_are_stale() -> None:
    writer, reader = Store(), Store()
    delta = writer.write(A, [put("one"), put("two")])
    outcome = reader.join(delta)
    assert isinstance(outcome, Joined)
    assert [fact.key for fact in outcome.changed] == ["one", "two"]
    assert reader == writer
    assert reader.join(delta) == Stale(A)


def test_a_delta_that_begins_too_late_is_a_gap() -> None:
    writer, reader = Store(), Store()
    reader.join(writer.write(A, [put("one")]))
    writer.write(A, [put("two")])
    late = writer.write(A, [put("three")])
    assert reader.join(late) == Gap(A, 1)
    assert reader.join(writer.delta_for(A, 1)).__class__ is Joined
    assert reader == writer


def test_one_number_with_two_contents_is_equivocation() -> None:
    writer, liar, reader = Store(), Store(), Store()
    reader.join(writer.write(A, [put("one", b"x")]))
    assert reader.join(liar.write(A, [put("one", b"y")])) == Equivocation(A, 1)


def test_a_changed_body_is_corrupt_and_changes_nothing() -> None:
    writer, reader = Store(), Store()
    delta = writer.write(A, [put("one")])
    forged = replace(delta, facts=(replace(delta.facts[0], body=b"forged"),))
    assert isinstance(reader.join(forged), Corrupt)
    assert reader == Store()


def test_a_laggard_behind_the_floor_receives_a_replacement() -> None:
    writer, reader = Store(), Store()
    reader.join(writer.write(A, [put(f"k{i}") for i in range(200)]))
    for i in range(DELETIONS_KEPT_MAX + 2):
        writer.write(A, [delete(f"k{i}")])
    delta = writer.delta_for(A, 200)
    assert delta.since == 0
    outcome = reader.join(delta)
    assert isinstance(outcome, Joined)
    assert "k0" in outcome.removed
    assert reader == writer


def test_a_fact_counts_under_the_name_of_one_origin_only() -> None:
    writer, reader = Store(), Store()
    delta = writer.write(A, [put("one")])
    assert isinstance(reader.join(delta), Joined)
    assert isinstance(reader.join(replace(delta, origin=Origin("b", 1))), Corrupt), "its hash depends on whose it is"


def test_origins_and_lives_follow_what_comes_and_goes() -> None:
    store = Store()
    for origin in (Origin("b", 2), Origin("a", 1), Origin("b", 1)):
        store.write(origin, [put("one")])
    assert store.origins() == (Origin("a", 1), Origin("b", 1), Origin("b", 2))
    assert store.lives("b") == (Origin("b", 1), Origin("b", 2))
    other = store.copy()
    assert store.drop(Origin("b", 1))
    assert store.origins() == (Origin("a", 1), Origin("b", 2))
    assert store.lives("b") == (Origin("b", 2),)
    assert store.drop(Origin("b", 2))
    assert store.lives("b") == ()
    assert other.lives("b") == (Origin("b", 1), Origin("b", 2)), "a copy is on its own"


def test_a_delta_lists_facts_by_number_whatever_was_overwritten() -> None:
    store = Store()
    store.write(A, [put("one"), put("two"), put("three")])
    store.write(A, [put("one", b"again"), delete("two")])
    assert [fact.seq for fact in store.delta_for(A, 0).facts] == [3, 4, 5]
    assert [fact.seq for fact in store.delta_for(A, 3).facts] == [4, 5]


def test_stores_with_a_pool_share_streams_and_others_work_them_out() -> None:
    writer, pool = Store(), Pool()
    one, two, alone = Store(pool), Store(pool), Store()
    for change in (put("one"), put("two"), delete("one")):
        delta = writer.write(A, [change])
        for reader in (one, two, alone):
            assert isinstance(reader.join(delta), Joined)
    assert one == two == alone == writer
    assert one.stream(A) is two.stream(A)
    assert one.stream(A) is not alone.stream(A)


def test_a_pool_does_not_hide_that_one_number_has_two_contents() -> None:
    writer, liar, pool = Store(), Store(), Pool()
    one, two = Store(pool), Store(pool)
    one.join(writer.write(A, [put("one", b"x")]))
    lie = liar.write(A, [put("one", b"y")])
    assert isinstance(two.join(lie), Joined), "nobody has told it otherwise"
    assert one.join(lie) == Equivocation(A, 1)
    assert one.stream(A) == writer.stream(A)
