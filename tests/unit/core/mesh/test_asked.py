"""Who is asked for what, and who next."""

from __future__ import annotations

from core.mesh.asked import ASK_AGAIN_MS, Asked
from core.types import LinkId
from crdt.fact import Origin

A, B = Origin("a", 1), Origin("b", 1)
ONE, TWO, THREE = LinkId(1), LinkId(2), LinkId(3)


def test_only_the_first_who_announces_is_asked() -> None:
    asked = Asked()
    assert asked.offered(A, 5, ONE, 0)
    assert not asked.offered(A, 5, TWO, 1)
    assert asked.answered(A, 5, ONE, 2) == ({ONE: 5, TWO: 5}, None)
    assert not asked


def test_what_is_newer_still_is_asked_for_when_the_answer_is_here() -> None:
    asked = Asked()
    asked.offered(A, 5, ONE, 0)
    assert not asked.offered(A, 6, TWO, 1), "or the same facts would come twice"
    assert asked.answered(A, 5, ONE, 2) == ({ONE: 5, TWO: 6}, TWO)
    assert asked.answered(A, 6, TWO, 3)[1] is None
    assert not asked


def test_an_answer_with_all_there_is_ends_the_ask_whoever_sends_it() -> None:
    asked = Asked()
    asked.offered(A, 5, ONE, 0)
    assert asked.answered(A, 7, THREE, 1) == ({ONE: 5}, None)
    assert not asked


def test_an_answer_of_somebody_else_does_not_end_the_wait_for_more() -> None:
    asked = Asked()
    asked.offered(A, 5, ONE, 0)
    assert asked.answered(A, 4, THREE, 1)[1] is None
    assert asked
    assert asked.answered(A, 5, ONE, 2)[1] is None
    assert not asked


def test_who_sends_less_than_announced_is_not_asked_for_the_rest_for_ever() -> None:
    asked = Asked()
    asked.offered(A, 9, ONE, 0)
    assert asked.answered(A, 5, ONE, 1)[1] is None
    assert not asked


def test_who_does_not_answer_in_time_is_passed_over() -> None:
    asked = Asked()
    asked.offered(A, 5, ONE, 0)
    asked.offered(A, 5, TWO, 1)
    assert asked.overdue(ASK_AGAIN_MS - 1) == ()
    assert asked.overdue(ASK_AGAIN_MS) == ((A, TWO),)
    assert asked.overdue(2 * ASK_AGAIN_MS) == ((A, None),)
    assert not asked


def test_a_new_announcement_is_followed_when_the_asked_one_is_late() -> None:
    asked = Asked()
    asked.offered(A, 5, ONE, 0)
    assert asked.offered(A, 5, TWO, ASK_AGAIN_MS)
    assert not asked.offered(A, 5, THREE, ASK_AGAIN_MS + 1)


def test_a_lost_neighbour_is_asked_no_more_and_another_takes_its_place() -> None:
    asked = Asked()
    asked.offered(A, 5, ONE, 0)
    asked.offered(A, 6, TWO, 1)
    asked.offered(B, 1, ONE, 1)
    assert asked.lost(ONE, 2) == ((A, TWO), (B, None))
    assert asked.lost(THREE, 3) == ()
    assert asked.answered(A, 6, TWO, 4) == ({TWO: 6}, None)
