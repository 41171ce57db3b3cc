"""What repeats is folded, what says nothing new is left out, and nothing else is lost."""

from __future__ import annotations

import pytest
from stories import parted

from core.messages import Deltas, Have, Message
from core.reconcile.objects import Again, Bridge, Done, Op, OpResult, Verb
from crdt.fact import Delta, Fact, Origin, StreamHead
from sim.folding import BATCH_US, BURST_US, FEW, WAITING_US, Flight, batches, flights, has_news
from sim.story import Fate, Operated, Sent

NEWS = Deltas((Delta(Origin("a", 1), 0, StreamHead(1, 0, 0), (Fact(1, "k", "id.1", None),)),))
CHATTER = Have(())
MS = 1_000


def sent(at_us: int, message: Message = NEWS, *, fate: Fate = Fate.ARRIVED, cut: bool = False, target: int = 1) -> Sent:
    return Sent(at_us, 0, target, message, at_us + MS, fate, cut)


def sizes(found: list[Flight]) -> list[int]:
    return [len(flight.messages) for flight in found]


def test_a_few_messages_are_shown_one_by_one_and_a_burst_as_one() -> None:
    assert sizes(flights(sent(at * MS) for at in range(FEW))) == [1] * FEW
    assert sizes(flights(sent(at * MS) for at in range(FEW + 1))) == [FEW + 1]


def test_a_burst_ends_with_a_silence() -> None:
    times = [*range(0, 6 * MS, MS), *range(5 * MS + BURST_US + 1, 11 * MS + BURST_US + 1, MS)]
    assert sizes(flights(map(sent, times))) == [6, 6]


@pytest.mark.parametrize("other", [{"target": 2}, {"fate": Fate.LOST}, {"cut": True}])
def test_only_what_shares_way_and_fate_is_folded(other: dict[str, object]) -> None:
    mixed = [sent(at * MS, **(other if at % 2 else {})) for at in range(10)]  # type: ignore[arg-type]
    assert sizes(flights(mixed)) == [1] * 10


def test_chatter_is_left_out_but_where_it_tells_something() -> None:
    assert not has_news(CHATTER)
    assert not has_news(Deltas((Delta(Origin("a", 1), 0, StreamHead(0, 0, 0), ()),)))
    assert flights([sent(0, CHATTER), sent(MS, CHATTER, fate=Fate.LOST)]) == []
    assert sizes(flights([sent(0, CHATTER, cut=True)])) == [1]
    assert sizes(flights([sent(0, CHATTER)], chatter=True)) == [1]
    last = Sent(5, 0, 1, CHATTER, 5, Fate.UNDER_WAY, False)
    assert sizes(flights([last])) == [1], "what was said in the last moment may be what went wrong"


def test_messages_that_wait_at_a_cut_are_folded_over_a_longer_time() -> None:
    waiting = [sent(at * WAITING_US, cut=True) for at in range(6)]
    assert sizes(flights(waiting)) == [6]
    assert flights(waiting)[0].has_waited


def test_flights_are_in_order_and_hold_all_news_of_a_run() -> None:
    story = parted()
    found = flights(story.all(Sent))
    assert [flight.first.at_us for flight in found] == sorted(flight.first.at_us for flight in found)
    shown = [item for flight in found for item in flight.messages]
    assert [item for item in story.all(Sent) if has_news(item.message) and item not in shown] == []


def operated(at_us: int, host: int = 0, verb: Verb = Verb.CREATE, result: OpResult | None = None) -> Operated:
    return Operated(at_us, host, Op(verb, Bridge("weave", "aa", 1)), result or Done())


def test_operations_of_one_plan_are_a_batch() -> None:
    found = batches([operated(0), operated(1, 1), operated(BATCH_US), operated(2 * BATCH_US + 1)])
    assert [(batch.host, batch.begin_us, batch.end_us) for batch in found] == [
        (0, 0, BATCH_US),
        (1, 1, 1),
        (0, 2 * BATCH_US + 1, 2 * BATCH_US + 1),
    ]


def test_a_batch_counts_what_worked_and_tells_what_did_not() -> None:
    failed = operated(3, result=Again(1, "busy"))
    [batch] = batches([operated(0), operated(1), operated(2, verb=Verb.REMOVE), failed])
    assert batch.tally == "+2 −1"
    assert batch.failed == (failed,)
