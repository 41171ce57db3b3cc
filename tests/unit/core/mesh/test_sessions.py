"""Who may talk to us, which of two connections is kept, and when a neighbour counts as gone."""

from __future__ import annotations

import pytest
from playbook import HIGH, LOW, ME, Playbook, config, hello, of, sent

from core.effects import Dial, Effect, Hangup, Send, SetTimer
from core.events import DialFailed, LinkDown, Misbehaved
from core.kinds import LinkRecord, link_key
from core.mesh.namesakes import DISPUTE_MS, KEPT_MS
from core.mesh.sessions import CLOSED_SHOWN_MS, EARLY_MAX, HEARTBEAT
from core.messages import Buckets, Digest, Heartbeat, Hello, NameTaken
from core.types import LinkId, PeerName


def link_fact(book: Playbook, peer: PeerName) -> LinkRecord | None:
    return book.replica.board.get(ME, link_key(peer), LinkRecord)


def test_each_side_greets_at_once() -> None:
    book = Playbook()
    book.start()
    assert [message.peer for message in sent(book.link(1), Hello)] == [ME]


def test_a_greeted_peer_becomes_a_link_and_stores_are_compared() -> None:
    book = Playbook()
    book.start()
    effects = book.session(1, HIGH)
    assert sent(effects, Digest)
    fact = link_fact(book, HIGH)
    assert fact is not None
    assert fact.established


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Heartbeat(), "Heartbeat before Hello"),
        (Digest(1), "Digest before Hello"),
        (hello(HIGH, protocol_min=9, protocol_max=9), "it speaks protocols 9..9"),
        (hello(ME, uid=1), "another host has our name"),
    ],
)
def test_who_does_not_greet_properly_is_hung_up_on_with_a_reason(message: object, reason: str) -> None:
    book = Playbook()
    book.start()
    book.link(1)
    hangups = of(book.hears(1, message), Hangup)  # type: ignore[arg-type]  # all of them are messages
    assert len(hangups) == 1
    assert reason in hangups[0].reason
    lines = book.replica.mesh.describe().connections
    assert any(line.state == "failed" and reason in line.info for line in lines), "status shows it"
    (before,) = book.replica.mesh.describe().connections
    book.passes(CLOSED_SHOWN_MS - 1_000)
    book.fires(HEARTBEAT)
    (line,) = book.replica.mesh.describe().connections
    assert (before.info.endswith("(0 s ago)"), line.info.endswith("(599 s ago)")) == (True, True)
    assert line.attributes == before.attributes
    book.passes(1_000)
    book.fires(HEARTBEAT)
    assert book.replica.mesh.describe().connections == ()
    assert link_fact(book, HIGH) is None


def test_silence_instead_of_a_greeting_ends_the_connection() -> None:
    book = Playbook()
    book.start()
    book.link(1)
    assert "no Hello" in of(book.fires("mesh/handshake/1"), Hangup)[0].reason


def test_a_second_hello_is_a_violation() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    assert "a second Hello" in of(book.hears(1, hello(HIGH)), Hangup)[0].reason


def test_broken_bytes_close_the_session_and_nothing_else() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    book.session(2, LOW)
    effects = book.happens(Misbehaved(LinkId(1), "a frame of 9 GiB"))
    assert [hangup.link for hangup in of(effects, Hangup)] == [1]
    assert set(book.replica.mesh._sessions.links) == {LOW}


def test_a_target_that_is_ourselves_is_never_dialled_again() -> None:
    book = Playbook(config(targets=("10.0.0.5",)))
    assert of(book.start(), Dial) == [Dial("10.0.0.5")]
    (mine,) = sent(book.link(1, target="10.0.0.5"), Hello)
    assert "Cannot connect to ourself" in of(book.hears(1, mine), Hangup)[0].reason
    book.passes(1_000_000)
    assert of(book.fires("mesh/retry"), Dial) == []


@pytest.mark.parametrize(("peer", "kept"), [(LOW, "inbound"), (HIGH, "outbound")])
def test_of_two_connections_the_one_dialled_by_the_lower_name_is_kept(peer: PeerName, kept: str) -> None:
    for first in ("inbound", "outbound"):
        book = Playbook(config(targets=("10.0.0.9",)))
        book.start()
        order = ("inbound", "outbound") if first == "inbound" else ("outbound", "inbound")
        for number, direction in enumerate(order, start=1):
            book.link(number, target="10.0.0.9" if direction == "outbound" else None)
            book.hears(number, hello(peer, dial=0 if direction == "outbound" else 1))
        session = book.replica.mesh._sessions.session(peer)
        assert session is not None
        assert session.outbound == (kept == "outbound"), f"{first} first"


def asked(effects: list[Effect]) -> list[tuple[LinkId, int]]:
    """Say on which connections it is asked whether somebody is still there, and with which numbers."""
    sends = [(send.link, send.message) for send in of(effects, Send)]
    return [(link, message.asks) for link, message in sends if isinstance(message, Heartbeat) and message.asks]


def test_a_restarted_peer_replaces_its_old_connection_as_soon_as_that_turns_out_to_be_dead() -> None:
    for is_told in (True, False):
        book = Playbook()
        book.start()
        book.session(1, HIGH, uid=1, dial=5)
        assert asked(book.session(2, HIGH, uid=2, dial=1)) == [(1, 1)]
        assert book.hears(2, Digest(0)) == [], "it has to wait"
        effects = book.loses(1) if is_told else book.fires("mesh/answer/2")
        assert book.replica.mesh._sessions.links[HIGH] == 2
        assert [(send.link, type(send.message)) for send in of(effects, Send)][-1] == (2, Buckets), "and is heard now"
        assert link_fact(book, HIGH) is not None
        assert book.replica.mesh.alarms() == ()


def test_who_is_asked_whether_it_is_still_there_says_so() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    assert sent(book.hears(1, Heartbeat(asks=7)), Heartbeat) == [Heartbeat(answers=7)]


def copied() -> Playbook:
    """Bring up a neighbour, and let a copy of it call and be refused."""
    book = Playbook()
    book.start()
    book.session(1, HIGH, uid=1)
    book.link(2, host="10.0.0.77")
    book.hears(2, hello(HIGH, uid=2))
    effects = book.hears(1, Heartbeat(answers=1))
    assert [hangup.link for hangup in of(effects, Hangup)] == [2]
    (told,) = sent(effects, NameTaken)
    assert told.why == (
        f"another host with the name {HIGH} is connected from 10.0.0.9: "
        "give one of them another name with 'weave launch --name', or 'weave reset --force' it"
    )
    return book


def test_a_copy_of_a_neighbour_that_is_still_there_is_refused_and_told_why() -> None:
    book = copied()
    assert book.replica.mesh._sessions.links[HIGH] == 1
    assert book.replica.mesh.alarms() == (
        f"two hosts have the name {HIGH}: the one at 10.0.0.9 keeps it here, n9 at 10.0.0.77 was refused; "
        "give one of them another name with 'weave launch --name', or 'weave reset --force' it",
    )


def test_an_answer_to_another_question_refuses_nobody() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH, uid=1)
    book.session(2, HIGH, uid=2)
    assert of(book.hears(1, Heartbeat(answers=9)), Hangup) == []
    assert of(book.hears(1, Heartbeat()), Hangup) == []


def test_a_name_in_dispute_is_kept_for_a_while_for_whom_we_knew_first() -> None:
    book = copied()
    book.loses(1)
    book.passes(KEPT_MS - 1)
    assert sent(book.session(3, HIGH, uid=2, host="10.0.0.77"), NameTaken)
    book.session(4, HIGH, uid=1, host="10.0.0.10")
    assert book.replica.mesh._sessions.links[HIGH] == 4, "it has moved"
    book.loses(4)
    book.session(5, HIGH, uid=3, host="10.0.0.10")
    assert book.replica.mesh._sessions.links[HIGH] == 5, "it was restarted"
    book.loses(5)
    book.passes(KEPT_MS - 1)
    assert sent(book.session(6, HIGH, uid=2, host="10.0.0.77"), NameTaken)
    book.passes(1)
    book.session(7, HIGH, uid=2, host="10.0.0.77")
    assert book.replica.mesh._sessions.links[HIGH] == 7, "it has been away for long"


def test_a_dispute_is_over_when_nobody_has_been_refused_for_long() -> None:
    book = copied()
    book.passes(DISPUTE_MS)
    book.loses(1)
    assert book.replica.mesh.alarms() == ()
    book.session(2, HIGH, uid=3)
    assert book.replica.mesh._sessions.links[HIGH] == 2


def test_who_talks_on_and_on_while_it_has_to_wait_is_hung_up_on() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH, uid=1)
    book.session(2, HIGH, uid=2)
    for _ in range(EARLY_MAX - 1):
        assert book.hears(2, Digest(0)) == []
    assert [hangup.link for hangup in of(book.hears(2, Digest(0)), Hangup)] == [2]


def test_a_copy_that_nobody_lets_in_is_not_in_sync_and_says_why() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    book.hears(1, Digest(book.replica.store.digest.root))
    assert book.replica.mesh.in_sync
    book.loses(1)
    book.session(2, HIGH)
    book.hears(2, NameTaken("another host"))
    assert not book.replica.mesh.in_sync
    assert book.replica.mesh.alarms() == (f"{HIGH} does not let us in: another host",)
    assert link_fact(book, HIGH) is None, "no frames come this way"
    book.session(3, LOW)
    assert not book.replica.mesh.in_sync, "a greeting is no conversation"
    book.hears(3, Digest(0))
    assert book.replica.mesh.in_sync, "somebody talks to us"
    book.session(4, HIGH)
    book.hears(4, Digest(0))
    assert book.replica.mesh.alarms() == ()


def test_a_link_outlives_an_agent_that_was_just_heard() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    effects = book.happens(LinkDown(LinkId(1), "EOF"))
    assert link_fact(book, HIGH) is not None, "its kernel still forwards"
    holds = [timer for timer in of(effects, SetTimer) if timer.name == f"mesh/hold/{HIGH}" and timer.due_ms]
    assert holds
    book.passes(60_000)
    book.fires(f"mesh/hold/{HIGH}")
    assert link_fact(book, HIGH) is None


def test_a_silent_line_is_given_up_and_its_link_with_it() -> None:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    book.passes(30_000)
    assert "nothing heard" in of(book.fires("mesh/heartbeat"), Hangup)[0].reason
    assert link_fact(book, HIGH) is None


def test_the_connection_limit_holds_in_both_directions() -> None:
    book = Playbook(config(connection_limit=1, targets=("10.0.0.7", "10.0.0.8")))
    assert len(of(book.start(), Dial)) == 1
    book.link(1, target="10.0.0.7")
    assert of(book.link(2), Hangup)[0].reason == "Connection limit reached (1)"


def test_waits_between_calls_grow_and_begin_anew_when_a_session_comes_up() -> None:
    book = Playbook(config(targets=("10.0.0.7",)))
    book.start()
    waits = []
    for _ in range(8):
        (timer,) = [t for t in of(book.happens(DialFailed("10.0.0.7", "no")), SetTimer) if t.name == "mesh/retry"]
        assert timer.due_ms is not None
        waits.append(timer.due_ms - book.now_ms)
        book.now_ms = timer.due_ms
        assert of(book.fires("mesh/retry"), Dial) == [Dial("10.0.0.7")]
    assert 1_000 <= waits[0] <= 3_000
    assert max(waits) <= 15_000 * 3 // 2
    assert waits[-1] > waits[0]
    book.happens(DialFailed("10.0.0.7", "no"))
    timers = [t for t in of(book.session(3, LOW), SetTimer) if t.name == "mesh/retry"]
    assert timers
    assert timers[0].due_ms is not None
    assert timers[0].due_ms - book.now_ms <= 3_000
