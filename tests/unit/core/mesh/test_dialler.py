"""When lost peers are called: later and later, and at once when they turn out to live."""

from __future__ import annotations

from playbook import HIGH, LOW, Playbook, config, hello, of, sent

from core.effects import Dial
from core.events import DialFailed, LinkUp
from core.mesh.dialler import (
    CALL_EVERY_MS,
    HURRY_MS,
    LOST_MS,
    LOST_WAIT_MS,
    REDIAL_MS,
    RETRY,
    STALE_MS,
    WAIT_MAX_MS,
    WAIT_MIN_MS,
)
from core.messages import Deltas, Have, Need
from core.types import HostPort, LinkId
from crdt.fact import Change, Origin
from crdt.store import Store

PLACE = "10.0.0.9"


class Far:
    """What the peer at `PLACE` has said, as its neighbours pass it on."""

    def __init__(self) -> None:
        self._store = Store()

    def is_heard_of(self, book: Playbook) -> None:
        """Let news of it arrive over another neighbour."""
        origin = Origin(HIGH, 1)
        delta = self._store.write(origin, [Change("future", "future.1", b"x")])
        needs = sent(book.hears(2, Have(((origin, delta.head.seq),))), Need)
        book.hears(2, Deltas((self._store.delta_for(origin, needs[0].known[0][1]),)))


def book_with_a_lost_peer(*, ago_ms: int = LOST_MS) -> Playbook:
    """Return a host that had a session with a peer, has lost it some time ago, and has another neighbour."""
    book = Playbook(config(targets=(PLACE,)))
    book.start()
    book.happens(LinkUp(LinkId(1), True, HostPort(PLACE, 6783), PLACE))
    book.hears(1, hello(HIGH))
    book.link(2, host="10.0.0.1")
    book.hears(2, hello(LOW))
    book.passes(60_000)
    book.loses(1)
    book.passes(ago_ms)
    if ago_ms:
        book.fires(RETRY)
        book.happens(DialFailed(PLACE, "connection timed out"))
    return book


def next_call_in_ms(book: Playbook) -> int:
    """Let time pass until a call is made; return how long it took."""
    began_ms = book.now_ms
    for _ in range(1_000):
        book.passes(50)
        if of(book.fires(RETRY), Dial):
            return book.now_ms - began_ms
    raise AssertionError("it is never called again")


def test_a_lost_peer_is_called_later_and_later() -> None:
    book = book_with_a_lost_peer()
    waits = []
    for _ in range(6):
        waits.append(next_call_in_ms(book))
        book.happens(DialFailed(PLACE, "connection timed out"))
    assert waits[0] >= WAIT_MIN_MS // 2
    assert sum(waits[3:]) > 2 * sum(waits[:3])


def test_a_peer_that_was_lost_lately_is_called_without_pause() -> None:
    book = book_with_a_lost_peer(ago_ms=0)
    for _ in range(20):
        assert next_call_in_ms(book) <= LOST_WAIT_MS * 3 // 2 + 50
        book.happens(DialFailed(PLACE, "no route to host"))


def test_a_call_to_it_without_an_answer_is_begun_anew() -> None:
    book = book_with_a_lost_peer(ago_ms=0)
    next_call_in_ms(book)
    for _ in range(5):
        assert REDIAL_MS <= next_call_in_ms(book) <= REDIAL_MS + 50
    assert book.replica.marks["dialler.called-anew"] == 5


def test_news_of_a_lost_peer_has_it_called_at_once() -> None:
    book, far = book_with_a_lost_peer(), Far()
    for _ in range(6):
        next_call_in_ms(book)
        book.happens(DialFailed(PLACE, "connection timed out"))
    far.is_heard_of(book)
    assert next_call_in_ms(book) <= HURRY_MS + 50


def test_news_does_not_have_it_called_in_vain_over_and_over() -> None:
    book, far = book_with_a_lost_peer(), Far()
    for _ in range(6):
        next_call_in_ms(book)
        book.happens(DialFailed(PLACE, "connection timed out"))
    far.is_heard_of(book)
    next_call_in_ms(book)
    book.happens(DialFailed(PLACE, "connection timed out"))
    far.is_heard_of(book)
    assert next_call_in_ms(book) > WAIT_MIN_MS, "it lives, but there is no way to it from here"
    book.happens(DialFailed(PLACE, "connection timed out"))
    far.is_heard_of(book)
    assert next_call_in_ms(book) <= HURRY_MS + 50, "after a call at the proper time, news counts again"


def longest_wait_ms(places: int) -> int:
    """Return the longest wait for a place that never answers, with so many like it."""
    targets = tuple(f"10.1.0.{number}" for number in range(places))
    book = Playbook(config(targets=targets))
    for dial in of(book.start(), Dial):
        book.happens(DialFailed(dial.target, "connection timed out"))
    called_ms, longest_ms = {}, 0
    until_ms = book.now_ms + 3_600_000
    while book.now_ms < until_ms:
        book.passes(500)
        for dial in of(book.fires(RETRY), Dial):
            longest_ms = max(longest_ms, book.now_ms - called_ms.get(dial.target, book.now_ms))
            called_ms[dial.target] = book.now_ms
            book.happens(DialFailed(dial.target, "connection timed out"))
    return longest_ms


def test_the_longest_wait_grows_with_the_number_of_lost_places_so_that_some_is_called_often() -> None:
    assert longest_wait_ms(1) <= CALL_EVERY_MS * 3 // 2 + 500
    assert CALL_EVERY_MS * 2 <= longest_wait_ms(4) <= CALL_EVERY_MS * 6 + 500
    assert longest_wait_ms(30) <= WAIT_MAX_MS * 3 // 2 + 500


def test_a_call_that_was_begun_before_the_news_is_not_waited_for() -> None:
    book, far = book_with_a_lost_peer(), Far()
    next_call_in_ms(book)
    book.passes(STALE_MS)
    far.is_heard_of(book)
    assert next_call_in_ms(book) <= HURRY_MS + 50


def test_a_call_that_has_just_begun_is_waited_for() -> None:
    book, far = book_with_a_lost_peer(), Far()
    next_call_in_ms(book)
    book.passes(STALE_MS - 100)
    far.is_heard_of(book)
    for _ in range(20):
        book.passes(50)
        assert not of(book.fires(RETRY), Dial)
