"""What there is to explain from: facts as they stand with who said them, and what the history adds.

A step of an explanation cites its fact as `7e:00:00:00:00:02@3 #41`: peer, life, number. Times are those that the
writers' clocks showed, for people; of a fact that carries none it is when this host learnt it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from core.ipam.labels import Labels
from core.ipam.retired import departed
from core.kinds import NAMES, Body, parse
from core.past import Past
from core.types import Address, PeerName, address_text, utc_text
from core.why.history import Learnt
from crdt.fact import Fact, Origin

B = TypeVar("B", bound=Body)
HEARD_LATE_MS = 2_000
"""News that takes longer, or clocks that differ by more, are worth a word."""
PEER_NAME = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain, nearest first."""

    text: str
    """In plain words."""
    at_ms: int = 0
    """When, on a wall clock; 0 when nobody has said."""
    fact: str = ""
    """By which fact; empty when by none."""
    depth: int = 0
    """How far it is from what was asked for."""

    def deeper(self) -> Step:
        """Return the step as part of a longer chain."""
        return replace(self, depth=self.depth + 1)


@dataclass(frozen=True, slots=True)
class Said(Generic[B]):
    """A fact with its body read."""

    origin: Origin
    """Whose."""
    seq: int
    """Its number."""
    key: str
    """What it is about."""
    body: B
    """What it says."""
    is_live: bool
    """Nothing has replaced it."""
    heard_ms: int
    """When this host learnt it; 0 when the history does not say."""

    @property
    def peer(self) -> PeerName:
        """Return who said it."""
        return PeerName(self.origin.peer)

    @property
    def cited(self) -> str:
        """Return how people refer to the fact."""
        return cited(self.origin, self.seq)


class Scene:
    """Everything about one host at one time, read for explanations."""

    def __init__(self, past: Past, told: Iterable[Learnt], trouble: str) -> None:
        self.past = past
        """Views."""
        self.me = past.context.me
        """This host."""
        self.trouble = trouble
        """Why the history adds nothing; empty when it does."""
        self._told = tuple(told)
        self._labels = Labels(past.context)
        self._read: dict[str, list[Said[Any]]] = {}

    @cached_property
    def dead(self) -> dict[PeerName, None]:
        """Peers that were removed and have said nothing since."""
        return departed(self.past.context)

    def live(self, kind: type[B]) -> Iterator[Said[B]]:
        """Yield what counts of a kind: of every peer's newest life."""
        for said in self.standing(kind):
            if said.origin.incarnation == self.past.context.board.incarnation(said.peer):
                yield said

    def standing(self, kind: type[B]) -> Iterator[Said[B]]:
        """Yield all facts of a kind that nothing has replaced, of earlier lives, too."""
        name = _name(kind)
        if name not in self._read:
            self._read[name] = [
                Said(origin, fact.seq, fact.key, body, is_live=True, heard_ms=self._heard.get((origin, fact.seq), 0))
                for origin, fact in self._facts.get(name, ())
                if (body := _body(fact)) is not None
            ]
        # Filed under the type of their body.
        yield from cast("list[Said[B]]", self._read[name])

    def replaced(self, kind: type[B]) -> Iterator[Said[B]]:
        """Yield facts of a kind that were replaced since, oldest first, as far as the history goes."""
        for one in self._told:
            body = _body(one.fact) if one.fact.kind == _name(kind) else None
            if isinstance(body, kind) and not self._stands(one.origin, one.fact):
                yield Said(one.origin, one.fact.seq, one.fact.key, body, False, 0 if one.is_older else one.at_ms)

    def deletions(self, is_meant: Callable[[str], bool]) -> Iterator[Learnt]:
        """Yield deletions of keys, oldest first, as far as the history goes."""
        for one in self._told:
            if one.fact.body is None and is_meant(one.fact.key):
                yield one

    def told(self) -> tuple[Learnt, ...]:
        """Return what the history brought."""
        return self._told

    def of(self, peer: str) -> str:
        """Return what people call a peer."""
        return self._labels.of(peer)

    def listed(self, peers: Iterable[str]) -> str:
        """Return what people call some peers; of many the first."""
        return self._labels.listed(peers)

    def plain(self, text: str) -> str:
        """Return a text with what people call peers in place of their names."""
        return PEER_NAME.sub(lambda found: self.of(found[0]), text)

    def heard(self, said: Said[B], at_ms: int) -> str:
        """Say when this host learnt a fact of another that was written at `at_ms`, where that is known and matters."""
        if said.peer == self.me or not said.heard_ms or abs(said.heard_ms - at_ms) < HEARD_LATE_MS:
            return ""
        return f"; heard here {utc_text(said.heard_ms)}"

    @cached_property
    def _heard(self) -> dict[tuple[Origin, int], int]:
        return {(one.origin, one.fact.seq): 0 if one.is_older else one.at_ms for one in self._told}

    @cached_property
    def _facts(self) -> dict[str, list[tuple[Origin, Fact]]]:
        """Return all facts that stand, by kind: most kinds are not asked for, and need not be read."""
        store = self.past.context.store
        found: dict[str, list[tuple[Origin, Fact]]] = {}
        for origin in store.origins():
            stream = store.stream(origin)
            assert stream is not None, "origins come from the store"
            for fact in stream.live():
                found.setdefault(fact.kind, []).append((origin, fact))
        return found

    def _stands(self, origin: Origin, fact: Fact) -> bool:
        stream = self.past.context.store.stream(origin)
        standing = None if stream is None else stream.get(fact.key)
        return standing is not None and standing.seq == fact.seq


def cited(origin: Origin, seq: int) -> str:
    """Return how people refer to a fact."""
    return f"{origin.peer}@{origin.incarnation} #{seq}"


def place_of(key: str) -> tuple[str, str]:
    """Return container and interface of an attachment's key; any key has some, for anybody may write any."""
    container, _, ifname = key.removeprefix("att/").partition("/")
    return container, ifname


def span_text(lo: int, hi: int) -> str:
    """Write a range with its last address."""
    first = address_text(Address(lo))
    return first if hi - lo == 1 else f"{first}-{address_text(Address(hi - 1))}"


def _name(kind: type[B]) -> str:
    return NAMES[cast("type[Body]", kind)]


def _body(fact: Fact) -> Body | None:
    return None if fact.body is None else parse(fact.kind, fact.body)
