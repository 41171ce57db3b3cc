"""What people rely on of names that they have added and removed."""

from __future__ import annotations

from sim.namebook import NameBook

SAID = (("n1.weave.local.", "10.32.0.1"),)


def added() -> NameBook:
    book = NameBook(2)
    assert book.add(0, "n1", "c1", SAID)
    return book


def test_a_name_is_relied_on_from_the_answer_to_the_removal_and_then_on_its_absence() -> None:
    book = added()
    assert book.promised(0) == ()
    assert not book.remove(0, "n1"), "nobody knows yet whether it is there"
    book.answered(0, "n1", is_done=True)
    assert (book.promised(0), book.there(0)) == (SAID, ("n1",))
    assert book.remove(0, "n1")
    assert (book.promised(0), book.removed(0)) == ((), ())
    book.answered(0, "n1", is_done=True)
    assert (book.promised(0), book.removed(0)) == ((), SAID)
    assert not book.add(1, "n1", "c2", SAID), "a name is added once"


def test_what_was_refused_or_not_answered_is_not_relied_on() -> None:
    refused, cut_off = added(), added()
    refused.answered(0, "n1", is_done=False)
    cut_off.crashed(0)
    for book in (refused, cut_off):
        book.answered(0, "n1", is_done=True)
        assert (book.promised(0), book.removed(0)) == ((), ())


def test_a_crash_after_the_answer_takes_nothing_back() -> None:
    book = added()
    book.answered(0, "n1", is_done=True)
    book.crashed(0)
    assert book.promised(0) == SAID


def test_names_go_with_their_container_and_with_their_host_s_memory() -> None:
    ended, forgotten = added(), added()
    for book in (ended, forgotten):
        book.answered(0, "n1", is_done=True)
    ended.let_go(0, "other")
    assert ended.promised(0) == SAID
    ended.let_go(0, "c1")
    forgotten.forget(0)
    assert ended.promised(0) == forgotten.promised(0) == ()
