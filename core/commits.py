"""Our own stream, and what is on its way to the journal.

What we write goes to the journal first. Until we may speak (we know what others know of us), nothing of our own is even
given a number: a journal that was rolled back is found out before a number could be used twice. Effects that rest on
what was written in the same `apply` wait here until it is durable. While the disk takes nothing, all of it is kept and
offered again; who waits for it is told at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from core.context import Context
from core.effects import Answer, Effect, Persist, Refusal
from core.events import Persisted, PersistFailed
from core.types import Ticket
from crdt.fact import STREAM_FACTS_MAX, STREAM_SIZE_MAX, Change, Delta, Origin
from crdt.stream import Stream

DISK = "disk"
DISK_RETRY_MS = 5_000
COMMITS_MAX = 16
"""Under way at once; what is decided beyond that goes into the next one, so a slow disk gets fewer and larger ones."""
RESERVE = 10
"""A tenth of our stream is kept for what nobody asks for: links, ring, numbers."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One Persist under way."""

    own: Delta | None
    """What becomes speakable with it."""
    foreign: tuple[Delta, ...]
    """What others said."""
    dropped: tuple[Origin, ...]
    """Streams forgotten."""


class Commits:
    """Everything of one host that is to be saved."""

    def __init__(self, context: Context, may_speak: Callable[[], bool]) -> None:
        self._context = context
        self._may_speak = may_speak
        self.own = context.store.stream(context.board.me) or Stream.empty(context.board.me)
        """Our stream with all that has a number, durable or not."""
        self.trouble = ""
        """Why the journal takes nothing at present; empty when it does."""
        self._under_way: dict[Ticket, Commit] = {}
        self._last_ticket = 0
        self._unsaved: dict[Origin, None] = {}
        self._undropped: dict[Origin, None] = {}
        self._retry: Ticket | None = None
        self._waiting: deque[tuple[int, Effect]] = deque()

    @property
    def durable_seq(self) -> int:
        """Return how much of our own stream is durable."""
        head = self._context.store.head(self.own.origin)
        return 0 if head is None else head.seq

    def queues(self) -> dict[str, int]:
        """Return how many commits are under way, and how many effects wait for one."""
        return {"commits": len(self._under_way), "effects": len(self._waiting)}

    def excess(self) -> str:
        """Say that our stream may not grow on anybody's request; empty while it may."""
        count, size = self.own.count, self.own.size
        if count < STREAM_FACTS_MAX * (RESERVE - 1) // RESERVE and size < STREAM_SIZE_MAX * (RESERVE - 1) // RESERVE:
            return ""
        return f"this host has {count} facts in {size} bytes to its name, which is the limit; detach containers first"

    def confirmed(self, event: Persisted) -> Commit:
        """Take note of a commit that is durable now, and return it."""
        commit = self._under_way.pop(event.ticket)
        if event.ticket == self._retry:
            self._retry, self.trouble = None, ""
            self._context.mark("commits.disk-recovered")
            self._context.note("INFO", "the journal takes commits again")
        return commit

    def failed(self, event: PersistFailed) -> None:
        """Keep what could not be saved, and try again later."""
        commit = self._under_way.pop(event.ticket)
        self._unsaved.update((delta.origin, None) for delta in commit.foreign)
        self._undropped.update((origin, None) for origin in commit.dropped)
        if not self.trouble:
            self._context.mark("commits.disk-refused")
            text = f"cannot save: {event.reason}; peers hear nothing new from us until it works again"
            self._context.note("ERRO", text)
        self._retry, self.trouble = None, event.reason
        self._context.timer(DISK, DISK_RETRY_MS)

    def timer(self) -> None:
        """Offer the journal all that it has refused."""
        if self._under_way:
            self._context.mark("commits.retry-too-early")
            # Commits from before the trouble are still to be reported.
            self._context.timer(DISK, DISK_RETRY_MS)
            return
        store = self._context.store
        self._number()
        durable = self.durable_seq
        own = self.own.delta(durable) if self.own.head.seq > durable else None
        held = (origin for origin in self._unsaved if store.head(origin) is not None)
        foreign = tuple(store.delta_for(origin, 0) for origin in held)
        # Even an empty one: it finds out whether the disk works again.
        self._persist(Commit(own, foreign, tuple(self._undropped)))
        self._retry = Ticket(self._last_ticket)
        self._unsaved.clear()
        self._undropped.clear()

    def flush(self) -> None:
        """Turn what was written and learnt into a commit, and let go what waits for none."""
        context = self._context
        if self.trouble:
            # What was learnt is in the store, and is saved from there.
            self._unsaved.update((delta.origin, None) for delta in context.learnt)
            self._undropped.update((origin, None) for origin in context.dropped)
            context.learnt, context.dropped = [], []
        elif len(self._under_way) >= COMMITS_MAX:
            context.mark("commits.gathered")
        elif self._may_speak() or context.learnt or context.dropped:
            self._commit(tuple(context.learnt), tuple(context.dropped))
            context.learnt, context.dropped = [], []
        if context.after_commit:
            last = self.own.head.seq + len(context.changes)
            self._waiting.extend((last, effect) for effect in context.after_commit)
            context.after_commit = []
        if self._waiting:
            self._release()

    def start_over(self, me: Origin, changes: list[Change]) -> None:
        """Go on under a new name with these changes; what waited for the old one waits for them."""
        self.own = Stream.empty(me)
        for change in changes:
            self._context.write(change)
        self._waiting = deque((len(changes), effect) for _, effect in self._waiting)

    def _commit(self, foreign: tuple[Delta, ...], dropped: tuple[Origin, ...]) -> None:
        known = self.own.head.seq
        own = self.own.delta(known) if self._number() else None
        if own is not None or foreign or dropped:
            self._persist(Commit(own, foreign, dropped))

    def _number(self) -> bool:
        """Give numbers to what was written, if we may speak; say whether there was anything."""
        context = self._context
        if not context.changes or not self._may_speak():
            return False
        self.own = self.own.append(context.changes)
        context.changes = []
        return True

    def _persist(self, commit: Commit) -> None:
        self._last_ticket += 1
        ticket = Ticket(self._last_ticket)
        self._under_way[ticket] = commit
        deltas = commit.foreign if commit.own is None else (*commit.foreign, commit.own)
        self._context.emit(Persist(ticket, deltas, commit.dropped, sync=commit.own is not None))

    def _release(self) -> None:
        """Let go what waited for our own facts to be durable; while nothing can be saved, refuse the rest."""
        context, durable = self._context, self.durable_seq
        while self._waiting and self._waiting[0][0] <= durable:
            context.emit(self._waiting.popleft()[1])
        while self.trouble and self._waiting:
            _, effect = self._waiting.popleft()
            if isinstance(effect, Answer):
                context.mark("commits.answer-unsaved")
                context.emit(Answer(effect.request, Refusal(self.unsaved())))

    def refusal(self) -> str:
        """Return what people are told for whom nothing was done."""
        return f"cannot save: {self.trouble}; then ask again"

    def unsaved(self) -> str:
        """Return what people are told whose wish was under way when the journal refused: it cannot be taken back.

        It has a number in our stream, and what comes after it rests on it.
        """
        return f"not saved yet: {self.trouble}; it is done as soon as the journal works again, see 'weave status'"
