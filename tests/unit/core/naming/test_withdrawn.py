"""What is taken away before a new life knows what the earlier one has said stays away."""

from __future__ import annotations

from playbook import HIGH, ME, Playbook, config, hello, of

from core.effects import Answer, Effect, Ok
from core.events import Commanded, ContainerGone, NameAdd, NameRemove, Received, RequestCancelled
from core.kinds import NameRecord, PeerRecord, TextRecord, name_key, peer_key, put, text_key
from core.messages import Buckets, Deltas, Have
from core.naming.records import Selection
from core.naming.withdrawn import SELECTIONS_MAX, Withdrawn
from core.types import Instant, LinkId, RequestId, address_of
from crdt.fact import Origin
from crdt.stream import Stream

A = address_of("10.32.0.1")
NAMES = (("c1", "web.weave.local."), ("c2", "web.weave.local."), ("c1", "api.weave.local."))


class Reborn(Playbook):
    """A second life that does not yet know of the first, but has a neighbour who does."""

    def __init__(self) -> None:
        super().__init__(config(targets=("10.0.0.9",)), incarnation=2)
        self.first = Stream.empty(Origin(ME, 1)).append(
            [
                put(peer_key(), PeerRecord("me", "0", 6783, 0)),
                *[put(name_key(who, name, A), NameRecord(who, name, A, -1, "dns-add", 0)) for who, name in NAMES],
                put(text_key("c1", NAMES[0][1]), TextRecord("c1", NAMES[0][1], ("t",), -1, 0)),
            ]
        )
        self.start()
        self.link(1, target="10.0.0.9")
        self.happens(Received(LinkId(1), hello(HIGH)))

    def asks(self, number: int, command: NameRemove | NameAdd) -> list[Answer]:
        return of(self.happens(Commanded(RequestId(number), command)), Answer)

    def learns(self) -> list[Effect]:
        """Hear everything of the first life, and that this was all."""
        origin, head = self.first.origin, self.first.head
        self.happens(Received(LinkId(1), Buckets((0,) * 64, False)))
        self.happens(Received(LinkId(1), Have(((origin, head.seq),))))
        return self.happens(Received(LinkId(1), Deltas((self.first.delta(0),))))

    def names(self) -> list[tuple[str, str]]:
        return [(entry.container, entry.name) for entry in self.replica.describe(Instant(self.now_ms, 0)).names]


def test_without_a_removal_everything_is_said_again() -> None:
    book = Reborn()
    book.learns()
    assert sorted(book.names()) == sorted(NAMES)


def test_a_removed_name_stays_away_and_that_is_answered_when_it_is_certain() -> None:
    book = Reborn()
    assert book.asks(1, NameRemove("c1", "WEB", ())) == []
    assert of(book.learns(), Answer) == [Answer(RequestId(1), Ok(""))]
    assert sorted(book.names()) == [("c1", "api.weave.local."), ("c2", "web.weave.local.")]
    assert book.replica.board.of(ME, TextRecord) == ()
    assert book.asks(2, NameRemove("c2", "", ())) == [Answer(RequestId(2), Ok(""))], "now it is certain at once"


def test_a_container_that_has_ended_gets_no_name_back() -> None:
    book = Reborn()
    book.happens(ContainerGone("c1"))
    book.learns()
    assert book.names() == [("c2", "web.weave.local.")]


def test_what_is_added_after_a_removal_stays() -> None:
    book = Reborn()
    book.asks(1, NameRemove("", "", ()))
    book.asks(2, NameAdd("c1", "web", ("10.32.0.1",)))
    assert sorted(answer.request for answer in of(book.learns(), Answer)) == [1, 2]
    assert book.names() == [("c1", "web.weave.local.")]


def test_nobody_is_answered_whose_caller_has_gone_away() -> None:
    book = Reborn()
    book.asks(1, NameRemove("c1", "web", ()))
    book.happens(RequestCancelled(RequestId(1)))
    assert of(book.learns(), Answer) == []
    assert ("c1", "web.weave.local.") not in book.names()


def test_only_the_latest_are_remembered() -> None:
    withdrawn = Withdrawn()
    for number in range(SELECTIONS_MAX + 1):
        withdrawn.add(Selection(f"c{number}"))
    records = [NameRecord(f"c{number}", "a.weave.local.", A, -1, "", 0) for number in (0, 1, SELECTIONS_MAX)]
    assert [withdrawn.has(record) for record in records] == [False, True, True]
