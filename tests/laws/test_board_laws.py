"""Laws of the board (research L9): however facts arrive, it shows what the streams say, shared pages or not."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from core.board import Board
from core.config import Config
from core.context import Context
from core.kinds import KINDS, LinkRecord, ShortIdRecord, gone, put
from core.mesh.shortids import KEY, ShortIds
from core.types import PeerName
from crdt.fact import Change, Origin
from crdt.store import Pool, Store

PEERS = ("a", "b", "c")
ME = Origin("b", 1)
KEYS = ("k0", "k1", "k2", "k3")

changes = st.one_of(
    st.builds(lambda key, flag: put(key, LinkRecord("x:1", flag, True, "t")), st.sampled_from(KEYS), st.booleans()),
    st.builds(lambda key, number: put(key, ShortIdRecord(number)), st.sampled_from(KEYS), st.integers(1, 3)),
    st.builds(lambda key: gone(key, LinkRecord), st.sampled_from(KEYS)),
    st.builds(lambda key: Change(key, "link.1", b"no body of that kind"), st.sampled_from(KEYS)),
    st.builds(lambda key: Change(key, "future.7", b"x"), st.sampled_from(KEYS)),
)
writes = st.lists(st.tuples(st.sampled_from((*PEERS[::2],)), st.lists(changes, min_size=1, max_size=4)), max_size=15)


def shown(board: Board) -> dict[str, tuple[object, ...]]:
    return {name: tuple(board.all(kind)) for name, kind in KINDS.items()}


def tell(store: Store, board: Board, source: Store, origin: Origin) -> None:
    """Bring one reader up to date with one stream."""
    head = store.head(origin)
    outcome = store.join(source.delta_for(origin, head.seq if head else 0))
    changed = getattr(outcome, "changed", None)
    if changed is not None:
        board.absorb(origin, changed, outcome.removed, store.stream(origin))  # type: ignore[union-attr]  # Joined


@given(writes, st.data())
@settings(max_examples=200, deadline=None)
def test_a_board_shows_what_the_streams_say_whatever_it_was_told_when(
    history: list[tuple[str, list[Change]]], data: st.DataObject
) -> None:
    writer, pool = Store(), Pool()
    readers = [(Store(), Board(ME)), (Store(pool), Board(ME)), (Store(pool), Board(ME))]
    for peer, said in history:
        writer.write(Origin(peer, 1), said)
        for store, board in readers:
            if data.draw(st.booleans()):
                before = board.version(*KINDS.values()), shown(board)
                tell(store, board, writer, Origin(peer, 1))
                after = board.version(*KINDS.values()), shown(board)
                assert before[0] != after[0] or before[1] == after[1], "what is shown changes with its version"
    scratch = Board(ME)
    for origin in writer.origins():
        scratch.absorb(origin, writer.delta_for(origin, 0).facts)
        for store, board in readers:
            tell(store, board, writer, origin)
    for _, board in readers:
        assert shown(board) == shown(scratch)
        assert board.peers() == scratch.peers()


@given(st.lists(st.tuples(st.sampled_from(PEERS), st.integers(0, 3)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_our_number_is_ours_unless_a_lower_name_has_it(claims: list[tuple[str, int]]) -> None:
    board = Board(ME)
    context = Context(Config(PeerName(ME.peer), "b", datapath=False), Store(), board, random.Random(1))
    ids, source = ShortIds(context), Store()
    for peer, number in claims:
        change = put(KEY, ShortIdRecord(number)) if number else gone(KEY, ShortIdRecord)
        if peer == ME.peer:
            context.write(change)
        else:
            board.absorb(Origin(peer, 1), source.write(Origin(peer, 1), [change]).facts)
        assert ids.mine() == ids.of_peers().get(context.me)
        assert ids.mine() == ShortIds(context).mine()
