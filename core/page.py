"""The facts of one stream, parsed: what the Board shows of one life of one peer.

A page is a function of the stream's content, so all who hold one Stream may share one page of it (`Stream.reading`).
Then it must not change any more: `after` makes the next one, `take` changes one that nobody else has. Of a key there
is one fact, whatever its kind; what cannot be parsed is not there.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

from core.kinds import KINDS, Body, parse
from crdt.fact import Fact
from crdt.stream import Stream

B = TypeVar("B")
Kind = type[object]
"""A type of bodies: one of the values of `KINDS`."""


class Step(NamedTuple):
    """How one page became the next."""

    start: object
    """Token of the page before."""
    changed: tuple[Fact, ...]
    """New facts."""
    touched: tuple[Kind, ...]
    """Kinds of which facts were put, replaced or removed."""
    gained: tuple[Kind, ...]
    """Kinds of which there was none."""
    lost: tuple[Kind, ...]
    """Kinds of which there is none any more."""


class Page:
    """Parsed facts by kind and key."""

    __slots__ = ("_facts", "_sorted", "_step", "_token")

    def __init__(self) -> None:
        self._token = object()
        self._step: Step | None = None
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

    def keys(self, kind: Kind) -> tuple[str, ...]:
        """Return the keys of all facts of a kind, in no order that means anything."""
        return tuple(self._facts.get(kind, ()))

    def kinds(self) -> tuple[Kind, ...]:
        """Return the kinds that there are facts of."""
        return tuple(self._facts)

    def touched(self, changed: tuple[Fact, ...], removed: tuple[str, ...]) -> tuple[Kind, ...]:
        """Return the kinds that a change puts, replaces or removes facts of."""
        kinds: dict[Kind, None] = {}
        for fact in changed:
            if fact.body is not None and fact.kind in KINDS:
                kinds[KINDS[fact.kind]] = None
            for kind, facts in self._facts.items():
                if fact.key in facts:
                    kinds[kind] = None
        for key in removed:
            kinds.update((kind, None) for kind, facts in self._facts.items() if key in facts)
        return tuple(kinds)

    def after(self, changed: tuple[Fact, ...], removed: tuple[str, ...]) -> Page:
        """Return the page after a change; this one stays as it is. O(facts of the kinds touched)."""
        page = Page()
        touched = self.touched(changed, removed)
        for kind, facts in self._facts.items():
            page._facts[kind] = dict(facts) if kind in touched else facts
        page._apply(changed, removed)
        return page

    def turn(self, changed: tuple[Fact, ...], removed: tuple[str, ...], stream: Stream | None) -> tuple[Page, Step]:
        """Return the page after a change that has led to `stream`, and what it was.

        Both come from whoever has turned from here to there before, if anybody has.
        """
        following = None if stream is None else stream.reading
        if not isinstance(following, Page):
            following = self.after(changed, removed)
            if stream is not None:
                stream.reading = following
        step = following._step
        if step is None or step.start is not self._token or step.changed is not changed:
            step = following._step = self.step_to(following, changed, removed)
        return following, step

    def step_to(self, following: Page, changed: tuple[Fact, ...], removed: tuple[str, ...]) -> Step:
        """Describe a change."""
        touched = self.touched(changed, removed)
        gained = tuple(kind for kind in touched if kind in following._facts and kind not in self._facts)
        lost = tuple(kind for kind in touched if kind in self._facts and kind not in following._facts)
        return Step(self._token, changed, touched, gained, lost)

    def take(self, changed: tuple[Fact, ...], removed: tuple[str, ...]) -> Step:
        """Change this page, which nobody shares; return what that was."""
        touched = self.touched(changed, removed)
        before = [kind for kind in touched if kind in self._facts]
        self._apply(changed, removed)
        after = [kind for kind in touched if kind in self._facts]
        gained = tuple(kind for kind in after if kind not in before)
        return Step(self._token, changed, touched, gained, tuple(kind for kind in before if kind not in after))

    def _apply(self, changed: tuple[Fact, ...], removed: tuple[str, ...]) -> None:
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
