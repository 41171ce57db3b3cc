"""The order of things: what is said only when it is safe, and what a host does when its disk fails it."""

from __future__ import annotations

from playbook import HIGH, ME, Playbook, config, of, sent

from core.effects import Answer, Dial, Ok, Persist, Refusal
from core.events import Allocate, Claim, Commanded, Connect, Leave, Lookup, Persisted, PersistFailed, RemovePeers
from core.kinds import PeerRecord, peer_key
from core.messages import Buckets, Deltas, Have, Need
from core.types import Instant, RequestId
from crdt.fact import Delta, Origin


def ask(book: Playbook, number: int, command: object) -> list[Answer]:
    return of(book.happens(Commanded(RequestId(number), command)), Answer)  # type: ignore[arg-type]  # commands


def test_a_request_is_answered_only_when_its_fact_is_durable() -> None:
    book = Playbook()
    book.start()
    book.is_disk_well = False
    effects = book.happens(Commanded(RequestId(1), Allocate("c1", "")))
    assert not of(effects, Answer)
    (persist,) = of(effects, Persist)
    assert persist.sync
    answers = of(book.happens(Persisted(persist.ticket)), Answer)
    assert [answer.reply for answer in answers] == [Ok("10.32.0.1/24")]


def test_neighbours_hear_of_a_fact_only_when_it_is_durable() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    book.fires("mesh/announce")
    book.is_disk_well = False
    persist = of(book.happens(Commanded(RequestId(1), Allocate("c1", ""))), Persist)[-1]
    assert not sent(book.fires("mesh/digest"), Have)
    book.happens(Persisted(persist.ticket))
    (have,) = sent(book.fires("mesh/announce"), Have)
    me = Origin(ME, 1)
    assert dict(have.heads) == {me: book.replica.store.have()[me]}


def test_nothing_of_our_own_is_numbered_before_we_know_what_others_know_of_us() -> None:
    book = Playbook(config(targets=("10.0.0.9",)))
    effects = book.start()
    assert of(effects, Dial)
    assert not of(effects, Persist), "a neighbour may know more of us than our journal does"
    assert not ask(book, 1, Allocate("c1", ""))
    book.passes(15_000)
    effects = book.fires("mesh/alone")
    assert of(effects, Persist)
    assert of(effects, Answer)


def test_a_rolled_back_journal_is_found_out_and_a_new_life_begins() -> None:
    # The life before said more than the journal remembers; the neighbour has heard it.
    before = Playbook(config(targets=("10.0.0.9",)))
    before.start()
    before.passes(15_000)
    before.fires("mesh/alone")
    old = before.replica.store.delta_for(Origin(ME, 1), 0)
    ask(before, 1, Allocate("c1", ""))
    lost = before.replica.store.delta_for(Origin(ME, 1), 0)

    book = Playbook(config(targets=("10.0.0.9",)), streams=(old,))
    book.start()
    book.session(1, HIGH)
    book.hears(1, Have(((Origin(ME, 1), lost.head.seq),)))
    assert book.replica.board.me == Origin(ME, 2)
    book.hears(1, Buckets((0,) * 64, False))
    (need,) = sent(book.hears(1, Have(((Origin(ME, 1), lost.head.seq),))), Need)
    assert [origin for origin, _ in need.known] == [Origin(ME, 1)]
    book.hears(1, Deltas((lost,)))
    assert [str(cidr) for cidr in book.replica.allocator.held("c1")] == ["10.32.0.1/24"], "nothing is forgotten"
    record = book.replica.board.get(ME, peer_key(), PeerRecord)
    assert record is not None
    assert record.adopts == 1
    assert book.replica.store.head(Origin(ME, 1)) is None


def test_a_full_disk_refuses_with_what_to_do_and_later_only_what_was_announced_is_saved() -> None:
    book = Playbook()
    book.start()
    book.is_disk_well = False
    (persist,) = of(book.happens(Commanded(RequestId(1), Allocate("c1", ""))), Persist)
    (answer,) = of(book.happens(PersistFailed(persist.ticket, "no space left on device; free some")), Answer)
    assert isinstance(answer.reply, Refusal)
    assert answer.reply.why == (
        "not saved yet: no space left on device; free some; it is done as soon as the journal works again, see "
        "'weave status'"
    )
    effects = book.happens(Commanded(RequestId(2), Allocate("c2", "")))
    assert not of(effects, Persist), "it is not hammered"
    assert [answer.reply for answer in of(effects, Answer)] == [
        Refusal("cannot save: no space left on device; free some; then ask again")
    ]
    book.passes(5_000)
    (again,) = of(book.fires("disk"), Persist)
    book.happens(Persisted(again.ticket))
    book.is_disk_well = True
    assert [answer.reply for answer in ask(book, 3, Allocate("c1", ""))] == [Ok("10.32.0.1/24")]
    idents = [fact.key.split("/")[1] for fact in again.deltas[-1].facts if fact.key.startswith("ip/")]
    assert idents == ["c1"], "what was refused never takes effect"


def test_a_removal_or_reset_refused_for_want_of_disk_never_takes_effect() -> None:
    book = Playbook()
    book.start()
    book.is_disk_well = False
    (persist,) = of(book.happens(Commanded(RequestId(1), Allocate("c1", ""))), Persist)
    book.happens(PersistFailed(persist.ticket, "no space left on device"))
    for number, command in ((2, RemovePeers((HIGH,), True)), (3, Leave())):
        (answer,) = of(book.happens(Commanded(RequestId(number), command)), Answer)
        assert answer.reply == Refusal("cannot save: no space left on device; then ask again")
    book.passes(5_000)
    (again,) = of(book.fires("disk"), Persist)
    book.is_disk_well = True
    book.happens(Persisted(again.ticket))
    assert [answer.reply for answer in ask(book, 4, Allocate("c2", ""))] == [Ok("10.32.0.2/24")]


def test_a_lookup_never_waits() -> None:
    book = Playbook(config(targets=("10.0.0.9",)))
    book.start()
    assert [answer.reply for answer in ask(book, 1, Lookup("c1", ""))] == [Ok("")]


def test_a_claim_outside_the_range_is_nobody_s_business() -> None:
    book = Playbook()
    book.start()
    assert [answer.reply for answer in ask(book, 1, Claim("c1", "192.168.1.1/24"))] == [Ok("")]
    (bad,) = ask(book, 2, Claim("c1", "10.32.0.300/24"))
    assert isinstance(bad.reply, Refusal)


def test_targets_outlive_the_agent_for_those_who_resume() -> None:
    book = Playbook()
    book.start()
    ask(book, 1, Connect(("10.0.0.7",), replace=False))
    stream: Delta = book.replica.store.delta_for(Origin(ME, 1), 0)
    again = Playbook(config(resume=True), streams=(stream,))
    assert of(again.start(), Dial) == [Dial("10.0.0.7")]
    fresh = Playbook(config(), streams=(stream,))
    assert of(fresh.start(), Dial) == []


def test_who_is_overtaken_under_its_own_name_again_and_again_says_that_the_name_is_used_twice() -> None:
    book = Playbook(config(targets=("10.0.0.9",)))
    book.start()
    book.session(1, HIGH)

    def alarms() -> str:
        return " ".join(book.replica.describe(Instant(book.now_ms, 0)).alarms)

    book.hears(1, Have(((Origin(ME, 1), 1000),)))
    assert "copy of this disk" not in alarms(), "its journal may have been rolled back"
    book.hears(1, Have(((Origin(ME, 3), 1),)))
    assert f"others have heard under our name {ME} what we never said, 2 times since we started" in alarms()
    assert "'weave reset --force' and 'weave launch' with another --name" in alarms()
