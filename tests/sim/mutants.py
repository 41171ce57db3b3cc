"""Planted bugs: classical mistakes of systems like this one. Each breaks one rule while its `with` block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from core.commits import Commit, Commits
from core.ipam.allocator import Allocator
from crdt.fact import Delta
from crdt.stream import Stream


@contextmanager
def publish_before_durable() -> Iterator[None]:
    """Neighbours hear of a fact when it is written, not when it is on disk."""
    persist = Commits._persist

    def hasty(self: Commits, commit: Commit) -> None:
        persist(self, commit)
        if commit.own is not None:
            self._context.store.join(commit.own)

    with patch.object(Commits, "_persist", hasty):
        yield


@contextmanager
def take_over_on_own_view() -> Iterator[None]:
    """Who cannot be reached from here counts as dead, and its addresses as ours."""
    facts_changed = Allocator.facts_changed

    def greedy(self: Allocator) -> None:
        facts_changed(self)
        steward = self._ready()
        if steward is None:
            return
        for peer in self._context.board.peers():
            if peer != self._context.me and not self._reachable(peer):
                steward.space.take_over(peer)

    with patch.object(Allocator, "facts_changed", greedy):
        yield


@contextmanager
def resurrect_what_was_deleted() -> Iterator[None]:
    """A replica that is far behind adds what it is told to what it has, instead of replacing it."""
    patched = Stream.patched

    def additive(self: Stream, delta: Delta) -> Stream | None:
        new = patched(self, delta)
        if new is None or delta.since or not self.head.seq:
            return new
        kept = {key: fact for key, fact in self._facts.items() if new.get(key) is None and fact.body is not None}
        return Stream(new.origin, replace(new.head), {**kept, **new._facts}, new.size)

    with patch.object(Stream, "patched", additive):
        yield
