"""Laws of the zone and of our own names: with any facts under any keys they are what they would be if read anew."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from core.board import Board
from core.config import Config
from core.context import Context
from core.kinds import Body, NameRecord, PeerRecord, PortRecord, TextRecord, gone, put
from core.naming.own import OwnNames
from core.naming.records import KINDS, Selection
from core.naming.zone import Zone
from core.types import Instant, PeerName, address_of
from crdt.fact import Fact, Origin
from crdt.store import Store

ME, ONE, TWO = (PeerName(f"02:00:00:00:00:0{digit}") for digit in (5, 7, 9))
A, B = address_of("10.32.0.1"), address_of("10.32.0.2")
WEB, ALL = "Web.weave.local.", "all.weave.local."
KEYS = ("dns/1", "dns/2", "srv/1", "txt/1")
BODIES: tuple[Body | None, ...] = (
    None,
    NameRecord("c1", WEB, A, -1, "attach", 0),
    NameRecord("c1", WEB, B, 30, "attach", 0),
    NameRecord("c2", ALL, A, -1, "dns-add", 0),
    NameRecord("c2", "web.example.com.", A, -1, "dns-add", 0),
    PortRecord("c1", WEB, "_http._tcp", 80, 0, 0, -1, 0),
    TextRecord("c1", WEB, ("x",), -1, 0),
    PeerRecord("n", "0", 6783, 0),
)
"""Any may stand under any key: peers may write what they like."""
STEP = st.tuples(
    st.sampled_from((ME, ONE, TWO)), st.integers(1, 2), st.sampled_from(KEYS), st.sampled_from(BODIES), st.booleans()
)


def context_of(board: Board) -> Context:
    return Context(Config(ME, "me"), Store(), board, random.Random(1), Instant(1_000, 0))


@given(st.lists(STEP, max_size=12), st.lists(st.sampled_from((ONE, TWO)), max_size=4))
def test_piece_by_piece_is_the_same_as_anew(
    steps: list[tuple[PeerName, int, str, Body | None, bool]], reach: list[PeerName]
) -> None:
    board = Board(Origin(ME, 2))
    zone, own = Zone(context_of(board)), OwnNames(context_of(board))
    reached: tuple[PeerName, ...] = ()
    for seq, (peer, life, key, body, looks) in enumerate(steps, start=1):
        life = 2 if peer == ME else life
        change = gone(key, NameRecord) if body is None else put(key, body)
        board.absorb(Origin(peer, life), (Fact(seq, change.key, change.kind, change.body),))
        if looks:
            reached = tuple(dict.fromkeys((*reached, *reach[seq % 4 : seq % 4 + 1])))
            zone.facts_changed(reached, frozenset(reached))
            own.refresh()
    zone.facts_changed(reached, frozenset(reached))
    anew = Zone(context_of(board))
    anew.facts_changed(reached, frozenset(reached))
    assert zone.describe() == anew.describe()
    names = (WEB.lower(), ALL, "_http._tcp.web.weave.local.")
    assert [zone.answers(name) for name in names] == [anew.answers(name) for name in names]
    ours = sorted((key, body) for kind in KINDS for key, body in board.of(ME, kind))
    assert list(own.find(Selection())) == ours
    assert own.count == len(ours)
    some = (Selection("c1"), Selection(name=ALL), Selection("c1", kinds=(TextRecord,)), Selection(addresses=(A,)))
    for selection in some:
        assert list(own.find(selection)) == [(key, body) for key, body in ours if selection.has(body)]
