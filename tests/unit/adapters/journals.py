"""A journal with somebody who waits for its reports, and facts to put into it.

Run as a script, it writes until it is killed.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adapters.journal import Journal
from core.config import Recovered
from core.effects import Persist
from core.types import Instant, PeerName, Ticket
from crdt.fact import Change, Delta, Origin
from crdt.store import Store

ME = PeerName("7e:21:4a:70:2f:45")
BORN_S = 1_700_000_000
"""The wall clock's seconds in these tests."""
PATIENCE_S = 20.0
HISTORY_SIZE = 1 << 20


def clock() -> Instant:
    """Return a moment that does not depend on when the test runs."""
    return Instant(0, BORN_S * 1000 + 999)


class Desk:
    """An open journal, its reports, and a store that was told the same."""

    def __init__(
        self, path: Path, peer: PeerName = ME, at: Callable[[], Instant] = clock, history_size_max: int = 0
    ) -> None:
        self._posted: queue.Queue[Callable[[], None]] = queue.Queue()
        self.reports: list[tuple[Ticket, str | None]] = []
        self.journal: Journal
        self.recovered: Recovered
        self.at = at
        self.journal, self.recovered = Journal.open(
            path, peer, post=self._posted.put, clock=at, history_size_max=history_size_max
        )
        self.store = Store()
        for delta in self.recovered.streams:
            self.store.join(delta)
        self._last = 0

    @property
    def me(self) -> Origin:
        """Return our own stream's name."""
        return self.recovered.origin

    def submit(self, *deltas: Delta, dropped: Sequence[Origin] = (), sync: bool = True) -> Ticket:
        """Hand in a commit."""
        self._last += 1
        ticket = Ticket(self._last)
        self.journal.submit(Persist(ticket, deltas, tuple(dropped), sync), self._done)
        return ticket

    def say(self, key: str, body: bytes | None = b"body", origin: Origin | None = None) -> Delta:
        """Write a change of a stream, our own unless told; return its delta."""
        return self.store.write(origin or self.me, [Change(key, "kind.1", body)])

    def report(self) -> tuple[Ticket, str | None]:
        """Wait for the next report."""
        while not self.reports:
            self._posted.get(timeout=PATIENCE_S)()
        return self.reports.pop(0)

    def commit(self, *deltas: Delta, dropped: Sequence[Origin] = (), sync: bool = True) -> str | None:
        """Hand in a commit and wait for what became of it."""
        ticket = self.submit(*deltas, dropped=dropped, sync=sync)
        reported, why = self.report()
        assert reported == ticket
        return why

    def close(self) -> None:
        """Close the journal and take the reports that are left."""
        self.journal.close()
        while not self._posted.empty():
            self._posted.get()()

    def _done(self, ticket: Ticket, why: str | None) -> None:
        self.reports.append((ticket, why))


def held(recovered: Recovered) -> Store:
    """Return what was recovered as a store."""
    store = Store()
    for delta in recovered.streams:
        store.join(delta)
    return store


def write_until_killed(path: Path) -> None:
    """Commit as fast as it goes, and print the number of our newest fact once it is confirmed."""
    desk = Desk(path, history_size_max=HISTORY_SIZE)
    print("ready", desk.me.incarnation, flush=True)
    other = Origin("other", 1)
    number = 0
    while True:
        number += 1
        own = [desk.say(f"key-{number % 7}", bytes(number % 5_000)) for _ in range(3)]
        heard = desk.say(f"key-{number % 50}", b"x" if number % 3 else None, other)
        tickets = [desk.submit(delta, sync=index != 1) for index, delta in enumerate(own)]
        tickets.append(desk.submit(heard, sync=False))
        for ticket in tickets:
            assert desk.report() == (ticket, None)
        print(own[-1].head.seq, flush=True)


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]))
