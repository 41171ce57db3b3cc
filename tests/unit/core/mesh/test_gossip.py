"""What neighbours tell each other: each piece once, each announcement about once, and whatever was missed later."""

from __future__ import annotations

from dataclasses import replace

from playbook import HIGH, LOW, ME, Playbook, of, sent

from core.effects import Effect, Send, SetTimer
from core.events import Allocate, Commanded
from core.mesh.asked import ASK_AGAIN_MS
from core.mesh.gossip import ANNOUNCE, ANNOUNCE_MS, ASK, FIRST_MS, ROUND
from core.messages import Deltas, Digest, Have, Need
from core.types import RequestId
from crdt.fact import Change, Delta, Origin
from crdt.store import Store

FAR = Origin("02:00:00:00:00:0f", 1)


class Writer:
    """A peer somewhere in the mesh."""

    def __init__(self) -> None:
        self.store = Store()

    def says(self, key: str) -> Delta:
        return self.store.write(FAR, [Change(key, "future.1", b"x")])


def quiet_book() -> Playbook:
    """Return a host with two neighbours who has told them all it has to say."""
    book = Playbook()
    book.start()
    book.session(1, LOW)
    book.session(2, HIGH)
    # Equal stores: nothing remains to be learnt, and the host begins to write.
    book.hears(1, Digest(book.replica.store.digest.root))
    book.passes(1_000)
    book.fires(ANNOUNCE)
    book.passes(1_000)
    return book


def to(effects: list[Effect], link: int) -> list[object]:
    return [send.message for send in of(effects, Send) if send.link == link]


def test_news_is_asked_for_once_and_told_to_those_who_have_not_told_us() -> None:
    book, writer = quiet_book(), Writer()
    delta = writer.says("one")
    assert sent(book.hears(1, Have(((FAR, 1),))), Need) == [Need(((FAR, 0),))]
    assert sent(book.hears(2, Have(((FAR, 1),))), Need) == []
    book.hears(1, Deltas((delta,)))
    assert to(book.fires(ANNOUNCE), 2) == [], "it has it, and has said so"


def test_who_tells_us_while_we_wait_is_not_told() -> None:
    book, writer = quiet_book(), Writer()
    delta = writer.says("one")
    book.hears(1, Have(((FAR, 1),)))
    book.hears(1, Deltas((delta,)))
    book.hears(2, Have(((FAR, 1),)))
    assert sent(book.fires(ANNOUNCE), Have) == []


def test_who_holds_less_is_told() -> None:
    book, writer = quiet_book(), Writer()
    first, _ = writer.says("one"), writer.says("two")
    book.hears(1, Have(((FAR, 2),)))
    book.hears(1, Deltas((writer.store.delta_for(FAR, 0),)))
    book.hears(2, Have(((FAR, first.head.seq),)))
    assert to(book.fires(ANNOUNCE), 2) == [Have(((FAR, 2),))]


def test_who_has_fetched_it_is_not_told() -> None:
    book, writer = quiet_book(), Writer()
    delta = writer.says("one")
    book.hears(1, Have(((FAR, 1),)))
    book.hears(1, Deltas((delta,)))
    assert to(book.hears(2, Need(((FAR, 0),))), 2) == [Deltas((delta,))]
    assert sent(book.fires(ANNOUNCE), Have) == []


def test_what_is_newer_than_the_answer_is_asked_for_after_it_so_that_nothing_comes_twice() -> None:
    book, writer = quiet_book(), Writer()
    first = writer.says("one")
    book.hears(1, Have(((FAR, 1),)))
    writer.says("two")
    assert sent(book.hears(2, Have(((FAR, 2),))), Need) == []
    effects = book.hears(1, Deltas((first,)))
    assert to(effects, 2) == [Need(((FAR, 1),))]


def test_another_is_asked_when_no_answer_comes() -> None:
    book, writer = quiet_book(), Writer()
    writer.says("one")
    effects = book.hears(1, Have(((FAR, 1),)))
    assert SetTimer(ASK, book.now_ms + ASK_AGAIN_MS) in effects
    book.hears(2, Have(((FAR, 1),)))
    book.passes(ASK_AGAIN_MS)
    assert to(book.fires(ASK), 2) == [Need(((FAR, 0),))]
    book.passes(ASK_AGAIN_MS)
    effects = book.fires(ASK)
    assert sent(effects, Need) == [], "nobody is left; the next digest finds it"
    assert not [timer for timer in of(effects, SetTimer) if timer.name == ASK]


def test_another_is_asked_at_once_when_the_asked_one_is_lost() -> None:
    book, writer = quiet_book(), Writer()
    writer.says("one")
    book.hears(1, Have(((FAR, 1),)))
    book.hears(2, Have(((FAR, 1),)))
    effects = book.loses(1)
    assert to(effects, 2) == [Need(((FAR, 0),))]


def test_news_after_a_silence_is_told_soon_and_a_burst_is_gathered() -> None:
    book, writer = quiet_book(), Writer()
    delays = []
    for number in range(20):
        delta = writer.says(f"key {number}")
        book.hears(1, Have(((FAR, delta.head.seq),)))
        timers = [timer for timer in of(book.hears(1, Deltas((delta,))), SetTimer) if timer.name == ANNOUNCE]
        assert timers[0].due_ms is not None
        delays.append(timers[0].due_ms - book.now_ms)
        book.now_ms = timers[0].due_ms
        book.fires(ANNOUNCE)
    assert FIRST_MS[0] <= delays[0] <= FIRST_MS[1]
    assert all(ANNOUNCE_MS // 2 <= delay <= ANNOUNCE_MS * 3 // 2 for delay in delays[1:])
    assert len(dict.fromkeys(delays)) > 5, "neighbours must not speak in chorus"


def test_a_digest_goes_to_one_neighbour_now_and_then() -> None:
    book = quiet_book()
    assert sent(book.fires(ROUND), Digest) == [Digest(book.replica.store.digest.root)]


def test_our_own_news_is_told_to_all() -> None:
    book = quiet_book()
    book.happens(Commanded(RequestId(1), Allocate("c1", "")))
    effects = book.fires(ANNOUNCE)
    seq = book.replica.store.seq(Origin(ME, 1))
    assert to(effects, 1) == to(effects, 2) == [Have(((Origin(ME, 1), seq),))]


def test_a_piece_that_does_not_follow_is_asked_for_again_from_where_we_are() -> None:
    book, writer = quiet_book(), Writer()
    first, _ = writer.says("one"), writer.says("two")
    book.hears(1, Deltas((first,)))
    third = writer.says("three")
    assert sent(book.hears(1, Deltas((third,))), Need) == [Need(((FAR, 1),))]
    assert book.replica.marks["gossip.gap"] == 1


def test_two_things_under_one_number_are_told_to_people() -> None:
    book, one, other = quiet_book(), Writer(), Writer()
    book.hears(1, Deltas((one.says("one"),)))
    book.hears(2, Deltas((other.says("another"),)))
    assert book.replica.marks["gossip.equivocation"] == 1
    assert any("has said two different things under number 1" in text for text in book.replica.mesh.alarms())


def test_a_piece_that_does_not_fit_has_the_whole_sent_once_more() -> None:
    book, writer = quiet_book(), Writer()
    book.hears(1, Deltas((writer.says("one"),)))
    second = writer.says("two")
    broken = replace(second, head=replace(second.head, fingerprint=second.head.fingerprint ^ 1))
    assert sent(book.hears(1, Deltas((broken,))), Need) == [Need(((FAR, 0),))]
    assert book.replica.marks["gossip.corrupt-replaced"] == 1
    book.hears(1, Deltas((writer.store.delta_for(FAR, 0),)))
    assert book.replica.store.head(FAR) == writer.store.head(FAR)
