"""The facts of one stream, parsed: what the Board shows of one life of one peer.

A page is a function of the stream's content, so all who hold one Stream may share one page of it (`Stream.reading`).
Then it must not change any more: `after` makes the next one, `take` changes one that nobody else has. Of a key there
is one fact, whatever its kind; what cannot be parsed is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from core.kinds import KINDS, Body, parse
from crdt.fact import Fact

B = TypeVar("B")
Kind = type[object]
"""A type of bodies: one of the values of `KINDS`."""


class Page:
    """Parsed facts by kind and key."""

    __slots__ = ("_facts", "_sorted")

    def __init__(self) -> None:
        self._facts: dict[Kind, dict[str, Body]] = {}
        self._sorted: dict[Kind, tuple[tuple[str, Body], ...]] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Page):
            return NotImplemented
        return self._facts == other._facts

    __hash__ = None  # type: ignore[assignment]  # compared, never a key

    def get(self, key: str, kind: type[B]) -> B | None:
        """Return one fact."""
        facts = self._facts.get(kind)
        body = None if facts is None else facts.get(key)
        return body if isinstance(body, kind) else None

    def items(self, kind: type[B]) -> tuple[tuple[str, B], ...]:
        """Return key and body of all facts of a kind, by key."""
        found = self._sorted.get(kind)
        if found is None:
            found = self._sorted[kind] = tuple(sorted(self._facts.get(kind, {}).items(), key=_key))
        # Facts are filed under the type of their body.
        return cast("tuple[tuple[str, B], ...]", found)

    def kinds(self) -> tuple[Kind, ...]:
        """Return the kinds that there are facts of."""
        return tuple(self._facts)

    def touched(self, changed: Iterable[Fact], removed: Iterable[str]) -> dict[Kind, None]:
        """Return the kinds that a change puts, replaces or removes facts of."""
        kinds: dict[Kind, None] = {}
        for fact in changed:
            kind = KINDS.get(fact.kind)
            if kind is not None and fact.body is not None:
                kinds[kind] = None
        keys = [*(fact.key for fact in changed), *removed]
        kinds.update((kind, None) for kind, facts in self._facts.items() if any(key in facts for key in keys))
        return kinds

    def after(self, changed: Iterable[Fact], removed: Iterable[str]) -> Page:
        """Return the page after a change; this one stays as it is. O(facts of the kinds touched)."""
        page = Page()
        touched = self.touched(changed, removed)
        for kind, facts in self._facts.items():
            page._facts[kind] = dict(facts) if kind in touched else facts
        page.take(changed, removed)
        return page

    def take(self, changed: Iterable[Fact], removed: Iterable[str]) -> None:
        """Change this page, which nobody shares."""
        self._sorted = {}
        for key in removed:
            self._drop(key)
        for fact in changed:
            self._drop(fact.key)
            body = None if fact.body is None else parse(fact.kind, fact.body)
            if body is not None:
                self._facts.setdefault(type(body), {})[fact.key] = body

    def _drop(self, key: str) -> None:
        for kind, facts in self._facts.items():
            if facts.pop(key, None) is not None:
                if not facts:
                    del self._facts[kind]
                return


def _key(item: tuple[str, Body]) -> str:
    return item[0]
