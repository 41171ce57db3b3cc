"""Names of other hosts: answered while frames reach them, and for a moment after."""

from __future__ import annotations

import random

import pytest

from core.board import Board
from core.config import Config
from core.context import Context
from core.effects import ServeNames, SetTimer
from core.kinds import NameRecord, gone, name_key, put
from core.naming.presence import HOLD_DOWN_MS, TIMER
from core.naming.zone import Zone
from core.types import Address, Instant, PeerName, address_of
from crdt.fact import Fact, Origin
from crdt.store import Store

ME, OTHER = PeerName("02:00:00:00:00:05"), PeerName("02:00:00:00:00:09")
A, B = address_of("10.32.0.1"), address_of("10.32.0.2")
WEB = "web.weave.local."
LOST = TIMER + OTHER


class Server:
    """A zone, and what its name server has been told."""

    def __init__(self) -> None:
        board = Board(Origin(ME, 1))
        self.context = Context(Config(ME, "me"), Store(), board, random.Random(1), Instant(1_000, 0))
        self.zone = Zone(self.context)
        self.served: dict[str, list[tuple[Address, int]]] = {}
        self.timers: dict[str, int | None] = {}
        self._seqs: dict[tuple[PeerName, int], int] = {}
        self.reaches()

    def says(self, peer: PeerName, name: str, address: Address, *, life: int = 1, taken_back: bool = False) -> None:
        key = name_key("c1", name, address)
        record = NameRecord("c1", name, address, -1, "dns-add", 0)
        change = gone(key, NameRecord) if taken_back else put(key, record)
        seq = self._seqs[peer, life] = self._seqs.get((peer, life), 0) + 1
        self.context.board.absorb(Origin(peer, life), (Fact(seq, change.key, change.kind, change.body),))
        self._settle(lambda: self.zone.facts_changed(self.zone.reached, self.zone.connected))

    def reaches(self, *peers: PeerName) -> None:
        self._settle(lambda: self.zone.facts_changed(peers, frozenset((ME, *peers))))

    def is_connected_to(self, *peers: PeerName) -> None:
        self._settle(lambda: self.zone.facts_changed((), frozenset((ME, *peers))))

    def fires(self, name: str) -> None:
        self._settle(lambda: self.zone.timer(name))

    def answers(self, name: str = WEB) -> list[tuple[Address, int]]:
        return self.served.get(name, [])

    def _settle(self, action: object) -> None:
        action()  # type: ignore[operator]  # a function without arguments
        effects, self.context.effects = self.context.effects, []
        for effect in effects:
            if isinstance(effect, ServeNames):
                for name in effect.names:
                    self.served[name.key] = [(host.address, host.rank) for host in name.hosts]
            elif isinstance(effect, SetTimer):
                self.timers[effect.name] = effect.due_ms


@pytest.fixture
def server() -> Server:
    return Server()


def test_our_own_come_first_and_others_only_within_reach(server: Server) -> None:
    server.says(OTHER, WEB, A)
    server.says(ME, WEB, B)
    assert server.answers() == [(B, 0)]
    server.reaches(OTHER)
    assert server.answers() == [(B, 0), (A, 1)]


def test_a_cut_is_borne_for_a_while_then_names_are_withheld_and_come_back_at_once(server: Server) -> None:
    server.says(OTHER, WEB, A)
    server.reaches(OTHER)
    server.reaches()
    assert server.answers() == [(A, 1)]
    assert server.timers[LOST] == server.context.at.mono_ms + HOLD_DOWN_MS
    server.fires(LOST)
    assert server.answers() == []
    assert [entry.is_present for entry in server.zone.describe()] == [False]
    server.reaches(OTHER)
    assert server.answers() == [(A, 1)]


def test_a_short_cut_goes_unnoticed(server: Server) -> None:
    server.says(OTHER, WEB, A)
    server.reaches(OTHER)
    server.reaches()
    server.reaches(OTHER)
    assert server.timers[LOST] is None
    assert server.context.marks["names.back-in-time"] == 1
    server.fires(LOST)
    assert server.answers() == [(A, 1)]


def test_who_is_connected_again_is_trusted_until_frames_should_have_followed(server: Server) -> None:
    server.says(OTHER, WEB, A)
    server.is_connected_to(OTHER)
    assert server.answers() == [(A, 1)]
    server.fires(LOST)
    assert server.answers() == []
    server.reaches(OTHER)
    assert server.answers() == [(A, 1)]


def test_a_connection_that_outlives_the_frames_is_no_reason_to_go_on_answering(server: Server) -> None:
    server.says(OTHER, WEB, A)
    server.reaches(OTHER)
    server.is_connected_to(OTHER)
    server.fires(LOST)
    assert server.answers() == []
    server.is_connected_to(OTHER)
    assert server.answers() == []


def test_what_changes_behind_a_cut_is_seen_after_it(server: Server) -> None:
    server.says(OTHER, WEB, A)
    server.reaches(OTHER)
    server.reaches()
    server.fires(LOST)
    server.says(OTHER, WEB, A, taken_back=True)
    server.says(OTHER, WEB, B)
    server.reaches(OTHER)
    assert server.answers() == [(B, 1)]


def test_what_an_earlier_life_said_never_returns(server: Server) -> None:
    server.reaches(OTHER)
    server.says(OTHER, WEB, A)
    server.says(OTHER, "api.weave.local.", B, life=2)
    assert server.answers() == []
    server.says(OTHER, WEB, B, life=1)
    assert server.answers() == []


@pytest.mark.parametrize("name", ["web.example.com.", "web", "a b.weave.local.", "weave.local.", "."])
def test_what_others_say_of_names_that_are_none_of_ours_is_left_alone(server: Server, name: str) -> None:
    server.reaches(OTHER)
    server.says(OTHER, name, A)
    assert server.served == {}
