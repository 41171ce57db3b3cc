"""Laws of names: what is brought up to date piece by piece is what would be made anew."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from core.board import Board
from core.config import Config
from core.context import Context
from core.effects import ServeNames
from core.kinds import NameRecord, gone, name_key, put
from core.naming.answers import NameAnswers
from core.naming.presence import TIMER
from core.naming.zone import Zone
from core.types import Address, Instant, PeerName, address_of
from crdt.fact import Fact, Origin
from crdt.store import Store

PEERS = tuple(PeerName(f"02:00:00:00:00:0{number}") for number in range(1, 5))
ME = PEERS[0]
NAMES = ("web.weave.local.", "Web.weave.local.", "api.weave.local.", "x.example.com.")
BASE = address_of("10.32.0.0")

said = st.tuples(
    st.just("say"), st.sampled_from(PEERS), st.integers(1, 2), st.sampled_from(NAMES), st.integers(0, 2), st.booleans()
)
some = st.frozensets(st.sampled_from(PEERS[1:]))
reached = st.tuples(st.just("reach"), some.map(sorted), some)
expired = st.tuples(st.just("expire"), st.sampled_from(PEERS[1:]))
asked = st.tuples(st.just("ask"))


def zone_on(board: Board) -> tuple[Zone, Context]:
    context = Context(Config(ME, "me"), Store(), board, random.Random(1), Instant(1_000, 0))
    return Zone(context), context


@given(st.lists(st.one_of(said, said, reached, expired, asked), max_size=40))
def test_a_server_that_was_told_all_along_knows_what_a_new_one_is_told(steps: list[tuple[object, ...]]) -> None:
    board = Board(Origin(ME, 1))
    zone, context = zone_on(board)
    served: dict[str, NameAnswers] = {}
    seqs: dict[Origin, int] = {}
    for step in steps:
        match step:
            case ("say", str() as peer, int() as life, str() as name, int() as last, bool() as is_gone):
                origin = Origin(peer, life if peer != ME else 1)
                seqs[origin] = seqs.get(origin, 0) + 1
                address = Address(BASE + last)
                key = name_key("c", name, address)
                change = gone(key, NameRecord) if is_gone else put(key, NameRecord("c", name, address, -1, "", 0))
                board.absorb(origin, (Fact(seqs[origin], change.key, change.kind, change.body),))
                zone.facts_changed(zone.reached, zone.connected)
            case ("reach", list() as peers, frozenset() as connected):
                zone.facts_changed(peers, connected)
            case ("expire", str() as peer):
                zone.timer(TIMER + peer)
            case _:
                zone.asked()
        for effect in context.effects:
            if isinstance(effect, ServeNames):
                served = {} if effect.is_whole else served
                served.update((name.key, name) for name in effect.names)
        context.effects.clear()
    zone.asked()
    (whole,) = context.effects
    assert isinstance(whole, ServeNames)
    told = {key: name for key, name in served.items() if name != NameAnswers(key)}
    assert told == {name.key: name for name in whole.names}
    anew, other = zone_on(board)
    anew.facts_changed(zone.reached, frozenset())
    anew.asked()
    fresh = {name.key: name for effect in other.effects if isinstance(effect, ServeNames) for name in effect.names}
    present = {entry.peer for entry in zone.describe() if entry.is_present}
    if present <= {ME, *zone.reached}:
        assert fresh == told, "nobody is held on to, so it is a matter of the facts alone"
