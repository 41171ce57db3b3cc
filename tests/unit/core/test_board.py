"""The board: what it shows follows from the streams alone, however they arrived."""

from __future__ import annotations

from core.board import Board
from core.kinds import NOBODY, PeerRecord, RingClaim, peer_key, put
from core.types import PeerName
from crdt.fact import Change, Fact, Origin

ME, PEER = Origin("02:00:00:00:00:01", 1), PeerName("02:00:00:00:00:02")
FIRST, SECOND = Origin(PEER, 1), Origin(PEER, 2)
KEY = "ring/r/10"


def claim(owner: str = PEER, epoch: int = 1) -> Change:
    return put(KEY, RingClaim(16, 32, 0, epoch, owner, 4, "seed", 0))


def fact(seq: int, change: Change) -> Fact:
    return Fact(seq, change.key, change.kind, change.body)


def peer_record(adopts: int) -> Change:
    return put(peer_key(), PeerRecord("p", "0", 6783, adopts))


def owners(board: Board) -> list[str]:
    return [body.owner for _, _, body in board.all(RingClaim)]


def test_claims_of_an_earlier_life_count_until_a_later_one_has_adopted_them() -> None:
    board = Board(ME)
    board.absorb(FIRST, (fact(1, claim()),))
    board.absorb(SECOND, (fact(1, peer_record(0)),))
    assert owners(board) == [PEER]
    board.absorb(SECOND, (fact(2, peer_record(1)),))
    assert owners(board) == []


def test_a_life_that_comes_with_its_adoption_leaves_nothing_of_the_one_before() -> None:
    board = Board(ME)
    board.absorb(FIRST, (fact(1, claim()),))
    board.absorb(SECOND, (fact(1, peer_record(1)),))
    assert owners(board) == []


def test_what_a_fenced_peer_claims_too_late_gives_us_nothing() -> None:
    board = Board(ME)
    board.absorb(FIRST, (fact(5, claim(owner=ME.peer)),))
    before = board.version(RingClaim)
    board.fence({PEER: {1: 4}})
    assert board.version(RingClaim) != before, "views are made anew"
    assert owners(board) == [NOBODY]
    board.fence({PEER: {1: 5}})
    assert owners(board) == [ME.peer]
    board.fence({PEER: {}})
    assert owners(board) == [NOBODY], "a life that was not known then"
    board.fence({})
    assert owners(board) == [ME.peer]


def test_what_a_fenced_peer_takes_from_us_counts_as_ever() -> None:
    board = Board(ME)
    board.absorb(FIRST, (fact(5, claim()),))
    board.fence({PEER: {1: 4}})
    assert owners(board) == [PEER]
