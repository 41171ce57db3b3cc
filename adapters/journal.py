"""The journal: what this host said and heard, on disk, so that the next life knows it.

Commits are confirmed in the order in which they came. One thread writes; what waits while it does goes into one
transaction with one sync. Commits that need not survive a power cut wait a little for company and never make a
sync of their own. When the disk refuses, nothing of that transaction is there, and later ones are tried all the same.

A killed process loses nothing that was confirmed; a power cut nothing that was confirmed and asked for a sync.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from adapters.clock import now
from adapters.history import History
from adapters.journal_file import JournalError, JournalFile, Opened
from core.config import Recovered
from core.effects import Persist
from core.types import Instant, PeerName, Ticket
from crdt.fact import size_of

HISTORY_FILE = "history.db"
"""Beside the journal."""
QUEUE_SIZE_MAX = 64 * 1024 * 1024
"""Bytes that may wait for the disk: a disk that hangs must not take the machine's memory."""
COMMIT_OVERHEAD = 512
"""Bytes that a commit counts for besides its facts."""
FACT_OVERHEAD = 128
"""Bytes that a fact counts for besides its content."""
UNSYNCED_WAIT_S = 0.2
"""How long a commit without sync waits for others to share its transaction."""

QUIET_S = 0.05
"""Without commits for so long, the history is written: who waits for a commit comes first."""
UNTOLD_MAX = 256
"""Commits that the history may be behind; a kill at that moment costs it so many."""

Done = Callable[[Ticket, str | None], None]
"""Called with the ticket and, if the commit failed, why."""


class JournalBusy(JournalError):
    """Another agent has this journal."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One commit in the queue."""

    persist: Persist
    """What to commit; its contents are gone when it was refused."""
    done: Done
    """Whom to tell."""
    size: int
    """Bytes it counts for."""
    refusal: str | None
    """Why it will not be tried; it keeps its place so that reports stay in order."""


class Journal:
    """Takes commits on the loop's thread and writes them on its own."""

    def __init__(
        self,
        opened: Opened,
        lock: int,
        post: Callable[..., object],
        *,
        clock: Callable[[], Instant],
        history: History | None = None,
    ) -> None:
        self.recovered_notes = opened.notes
        """What was wrong with the file at start, for the log."""
        self._file = opened.file
        self._history = history
        self._clock = clock
        self._untold: list[tuple[int, Persist]] = []
        self._lock = lock
        self._post = post
        self._changed = threading.Condition()
        self._queue: list[_Entry] = []
        self._queue_size = 0
        self._is_urgent = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @staticmethod
    def open(
        path: Path,
        peer: PeerName,
        *,
        post: Callable[..., object],
        clock: Callable[[], Instant] = now,
        history_size_max: int = 0,
    ) -> tuple[Journal, Recovered]:
        """Open or begin the journal of `peer` and return it with what it held.

        Beside it goes a history of at most `history_size_max` bytes; 0 for none.

        `post` runs a function on the loop's thread: `loop.call_soon_threadsafe`. A new directory gets mode 0700, files
        0600.

        Raises: JournalBusy, JournalError.
        """
        lock = _take_lock(path)
        try:
            opened = JournalFile.open(path, peer, wall_ms=clock().wall_ms)
        except BaseException:
            os.close(lock)
            raise
        history = None
        if history_size_max:
            history = History(path.with_name(HISTORY_FILE), opened.file.streams, size_max=history_size_max)
            found = opened.recovered.streams
            heads = {delta.origin: (delta.head.seq, delta.head.fingerprint) for delta in found}
            history.begin(heads, clock().wall_ms)
        return Journal(opened, lock, post, clock=clock, history=history), opened.recovered

    def submit(self, persist: Persist, done: Done) -> None:
        """Take a commit; `done` is called on the loop's thread, in order of submission, never from within."""
        size = _size_of(persist)
        with self._changed:
            assert not self._is_closed
            refusal = None
            # One commit may have any size: after trouble with the disk, the whole store is saved in one.
            if self._queue and self._queue_size + size > QUEUE_SIZE_MAX:
                refusal = f"{self._queue_size} bytes already wait for the disk, which is too slow or hangs"
                persist, size = Persist(persist.ticket, (), (), persist.sync), 0
            self._queue.append(_Entry(persist, done, size, refusal))
            self._queue_size += size
            self._is_urgent = self._is_urgent or persist.sync
            self._changed.notify()

    @property
    def history_trouble(self) -> str:
        """Return why the history grows no more, for people; empty while it does, or when none is wanted."""
        trouble = "" if self._history is None else self._history.trouble
        return f"nothing is added to the history: {trouble}" if trouble else ""

    def close(self) -> None:
        """Write what waits, then let the file go. Blocks for as long as the disk takes."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._file.close()
        if self._history is not None:
            self._history.close()
        os.close(self._lock)

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._write(batch)
        except Exception as bug:
            # A bug must end the agent, and this thread cannot; the loop can.
            self._tell(partial(_raise, bug))

    def _take(self) -> list[_Entry]:
        """Wait for commits; return all there are, none when closed."""
        if self._untold:
            self._tell_history()
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            self._changed.wait_for(lambda: self._is_urgent or self._is_closed, UNSYNCED_WAIT_S)
            batch, self._queue = self._queue, []
            self._queue_size = 0
            self._is_urgent = False
            return batch

    def _write(self, batch: list[_Entry]) -> None:
        wanted = [entry.persist for entry in batch if entry.refusal is None]
        results = iter(self._file.commit(wanted) if wanted else ())
        reports = [(entry, next(results) if entry.refusal is None else entry.refusal) for entry in batch]
        self._tell(partial(_report, reports))
        if self._history is not None:
            at_ms = self._clock().wall_ms
            self._untold.extend((at_ms, entry.persist) for entry, why in reports if why is None)

    def _tell_history(self) -> None:
        """Write down what was committed, once nobody waits for the disk or there is much of it."""
        assert self._history is not None, "nothing is kept for nobody"
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed, QUIET_S)
            is_busy = bool(self._queue) and len(self._untold) < UNTOLD_MAX
        if not is_busy:
            self._history.learn(self._untold)
            self._untold = []

    def _tell(self, report: Callable[[], None]) -> None:
        # When the loop has ended nobody waits for an answer; what is in the queue is still worth writing.
        with contextlib.suppress(RuntimeError):
            self._post(report)


def _report(reports: list[tuple[_Entry, str | None]]) -> None:
    for entry, why in reports:
        entry.done(entry.persist.ticket, why)


def _raise(bug: Exception) -> None:
    raise bug


def _size_of(persist: Persist) -> int:
    facts = (fact for delta in persist.deltas for fact in delta.facts)
    return COMMIT_OVERHEAD + sum(FACT_OVERHEAD + size_of(fact) for fact in facts)


def _take_lock(path: Path) -> int:
    """Return the descriptor that keeps other agents out for as long as it is open."""
    name = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise JournalError(f"journal {path}: cannot open {name}: {reason}; it must be a place we may write") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise JournalBusy(
            f"journal {path} is in use by the agent with process id {holder}; "
            "stop that one first, or give this one a directory of its own"
        ) from None
    # The number is a courtesy; a full disk is reported by the first commit.
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
