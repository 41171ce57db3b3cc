"""All names: what a change of facts does to them, and what it costs."""

from __future__ import annotations

import random

from core.board import Board
from core.config import Config
from core.context import Context
from core.kinds import NameRecord, PeerRecord, gone, peer_key, put
from core.naming.records import KINDS
from core.naming.zone import Zone
from core.types import Instant, PeerName, address_of
from crdt.fact import Fact, Origin
from crdt.store import Store

ME, ONE, TWO = (PeerName(f"02:00:00:00:00:0{digit}") for digit in (5, 7, 9))
A = address_of("10.32.0.1")
WEB = "Web.weave.local."


def context_of(board: Board) -> Context:
    return Context(Config(ME, "me"), Store(), board, random.Random(1), Instant(1_000, 0))


def test_what_a_newer_life_does_not_say_is_gone_at_once() -> None:
    board = Board(Origin(ME, 1))
    zone = Zone(context_of(board))
    record = put("dns/1", NameRecord("c1", WEB, A, -1, "attach", 0))
    board.absorb(Origin(ONE, 1), (Fact(1, record.key, record.kind, record.body),))
    zone.facts_changed((ONE,), frozenset())
    assert zone.answers(WEB.lower()) is not None
    hello = put(peer_key(), PeerRecord("n", "0", 6783, 0))
    board.absorb(Origin(ONE, 2), (Fact(1, hello.key, hello.kind, hello.body),))
    zone.facts_changed(zone.reached, zone.connected)
    assert zone.answers(WEB.lower()) is None


def test_a_change_costs_what_it_touches() -> None:
    board = Board(Origin(ME, 1))
    for number in range(300):
        change = put(f"dns/{number}", NameRecord("c", f"n{number}.weave.local.", A, -1, "attach", 0))
        board.absorb(Origin(ONE, 1), (Fact(number + 1, change.key, change.kind, change.body),))
    news = board.watch_keys(KINDS)
    assert len(news[ONE]) == 300
    news.clear()
    change = gone("dns/7", NameRecord)
    board.absorb(Origin(ONE, 1), (Fact(301, change.key, change.kind, change.body),))
    assert {peer: tuple(keys) for peer, keys in news.items()} == {ONE: ("dns/7",)}
    change = put(peer_key(), PeerRecord("n", "0", 6783, 0))
    board.absorb(Origin(TWO, 1), (Fact(1, change.key, change.kind, change.body),))
    assert TWO not in news
