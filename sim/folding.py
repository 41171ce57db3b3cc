"""Folds what repeats, so that a story can be taken in: bursts of messages become one flight, operations one batch.

A flight is one message, or more than `FEW` of one kind between the same two hosts in one burst. Chatter (messages
that carry no facts and ask for nothing) is left out unless it ran into a cut, or is the last
thing that happened: what is said too early breaks promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.messages import Deltas, Message, Routed
from core.reconcile.objects import AlreadySo, Done, Verb
from sim.story import Fate, Operated, Sent

FEW = 5
"""So many messages between two hosts are shown one by one."""
BURST_US = 60_000
"""Messages between two hosts at most this far apart belong to one burst."""
WAITING_US = 2_000_000
"""Messages that run into a cut are told together over a longer time: one after the other waits there."""
BATCH_US = 15_000
"""Operations on one kernel at most this far apart belong to one batch: a plan takes a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Flight:
    """Messages from one host to another that are shown as one: a single one, or a burst."""

    source: int
    """Who sent them."""
    target: int
    """To whom."""
    messages: tuple[Sent, ...]
    """In the order in which they were sent; they share their fate, and whether they waited at a cut."""

    @property
    def first(self) -> Sent:
        """Return the message sent first."""
        return self.messages[0]

    @property
    def last(self) -> Sent:
        """Return the message sent last."""
        return self.messages[-1]

    @property
    def is_lost(self) -> bool:
        """Say whether they never arrived."""
        return self.first.fate is Fate.LOST

    @property
    def has_waited(self) -> bool:
        """Say whether they ran into a cut, arrived or not."""
        return self.first.was_cut


@dataclass(frozen=True, slots=True)
class Batch:
    """Kernel operations of one host, one soon after the other."""

    host: int
    """Where."""
    operations: tuple[Operated, ...]
    """In order."""

    @property
    def begin_us(self) -> int:
        """Return when the first was carried out."""
        return self.operations[0].at_us

    @property
    def end_us(self) -> int:
        """Return when the last was carried out."""
        return self.operations[-1].at_us

    @property
    def failed(self) -> tuple[Operated, ...]:
        """Return those that did not work."""
        return tuple(item for item in self.operations if not isinstance(item.result, Done | AlreadySo))

    @property
    def tally(self) -> str:
        """Return how much was created, changed and removed: `+4 ~1`."""
        worked = [item.op.verb for item in self.operations if isinstance(item.result, Done | AlreadySo)]
        counts = ((sign, worked.count(verb)) for verb, sign in TALLY.items())
        return " ".join(f"{sign}{count}" for sign, count in counts if count)


TALLY = {Verb.CREATE: "+", Verb.CHANGE: "~", Verb.REMOVE: "−"}


def has_news(message: Message) -> bool:
    """Say whether a message tells facts or asks for something that changes them."""
    return isinstance(message, Routed) or (isinstance(message, Deltas) and any(delta.facts for delta in message.deltas))


def flights(sent: Iterable[Sent], *, burst_us: int = BURST_US, chatter: bool = False) -> list[Flight]:
    """Fold messages; what says nothing new and found its path is left out unless `chatter` is wanted."""
    groups: dict[tuple[int, int, Fate, bool], list[Sent]] = {}
    for item in sent:
        is_last = item.fate is Fate.UNDER_WAY and item.at_us == item.done_us
        if chatter or is_last or has_news(item.message) or item.was_cut:
            groups.setdefault((item.source, item.target, item.fate, item.was_cut), []).append(item)
    found = [flight for group in groups.values() for burst in _bursts(group, burst_us) for flight in _fold(burst)]
    return sorted(found, key=lambda flight: (flight.first.at_us, flight.source, flight.target))


def batches(operated: Iterable[Operated]) -> list[Batch]:
    """Fold kernel operations, in order of time and host."""
    by_host: dict[int, list[list[Operated]]] = {}
    for item in operated:
        groups = by_host.setdefault(item.host, [])
        if groups and item.at_us - groups[-1][-1].at_us <= BATCH_US:
            groups[-1].append(item)
        else:
            groups.append([item])
    found = [Batch(host, tuple(group)) for host, groups in by_host.items() for group in groups]
    return sorted(found, key=lambda batch: (batch.begin_us, batch.host))


def _bursts(group: list[Sent], burst_us: int) -> Iterator[list[Sent]]:
    burst: list[Sent] = []
    for item in group:
        if burst and item.at_us - burst[-1].at_us > (WAITING_US if item.was_cut else burst_us):
            yield burst
            burst = []
        burst.append(item)
    if burst:
        yield burst


def _fold(burst: list[Sent]) -> list[Flight]:
    if len(burst) > FEW:
        return [Flight(burst[0].source, burst[0].target, tuple(burst))]
    return [Flight(item.source, item.target, (item,)) for item in burst]
