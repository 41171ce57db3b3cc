"""Peers' numbers in the datapath: each draws its own, and of two with one number the lower name keeps it."""

from __future__ import annotations

import random

from playbook import HIGH, LOW, ME, config

from core.board import Board
from core.context import Context
from core.kinds import ShortIdRecord, put
from core.mesh.shortids import KEY, ShortIds
from core.types import PeerName
from crdt.fact import Fact, Origin
from crdt.store import Store


class Stage:
    """Short ids, and somebody who tells them of others."""

    def __init__(self) -> None:
        self.context = Context(config(), Store(), Board(Origin(ME, 1)), random.Random(1))
        self.short_ids = ShortIds(self.context)

    def hears(self, peer: PeerName, number: int) -> None:
        change = put(KEY, ShortIdRecord(number))
        self.context.board.absorb(Origin(peer, 1), (Fact(1, change.key, change.kind, change.body),))


def test_a_number_is_drawn_once_and_kept() -> None:
    stage = Stage()
    assert stage.short_ids.mine() is None
    stage.short_ids.settle()
    mine = stage.short_ids.mine()
    assert mine is not None
    stage.short_ids.settle()
    assert stage.short_ids.mine() == mine
    assert not stage.context.marks


def test_the_lower_name_keeps_a_number_and_the_other_draws_again() -> None:
    stage = Stage()
    stage.short_ids.settle()
    mine = stage.short_ids.mine()
    assert mine is not None
    stage.hears(HIGH, mine)
    stage.short_ids.settle()
    assert stage.short_ids.mine() == mine, "ours is the lower name"
    stage.hears(LOW, mine)
    assert stage.short_ids.mine() is None
    stage.short_ids.settle()
    assert stage.short_ids.mine() not in (None, mine)
    assert stage.context.marks["shortids.clash-lost"] == 1
