"""Records what the heart is told into a file that the simulator replays.

Recording never hurts: whatever goes wrong with the file ends the recording, is said once, and the agent goes on. A
thread of its own writes, so that a disk that hangs holds nobody up; what waits for it is bounded, and so is the file. A
recording that was there before is put aside as `FILE.1`: an agent that is started again keeps that of its last life.

Nothing is synced: a recording outlives the agent, but perhaps not the machine.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from adapters.loop import Heart
from core.config import Config, Recovered
from core.effects import Effect
from core.events import Event
from core.records import (
    HEADER_SIZE,
    MAGIC,
    PREFIX,
    RECORD_SIZE_MAX,
    Begun,
    Ended,
    Failed,
    Found,
    Record,
    Told,
    decisions_of,
    encode,
)
from core.types import Instant

QUEUE_SIZE_MAX = 16 * 1024 * 1024
"""Bytes of memory that may wait for the disk."""
END_SIZE = 1024
"""Bytes kept free for the last record."""
REASON_SIZE_MAX = 200
"""Characters of why a recording ends; four bytes each and some more fit into `END_SIZE`."""
CLOSE_WAIT_S = 5.0
"""A disk that hangs must not keep the agent from ending."""

Say = Callable[[str, str], None]
"""Takes level and text of a line for the log."""


class Recorder:
    """One recording; used on the loop's thread."""

    def __init__(self, path: Path, *, size_max: int, note: Say, create: Callable[[Path], int] | None = None) -> None:
        """Record to `path` at most `size_max` bytes, once it is begun; touches nothing before.

        `create` returns the file to write to, or raises OSError; unless given, a new one, mode 0600.
        """
        self._path = path
        self._create = create or _create
        self._size = 0
        self._size_max = size_max
        self._note = note
        self._writer: _Writer | None = None
        self._is_on = False
        self._has_said_why = False

    def begin(self, config: Config, recovered: Recovered, entropy: int) -> None:
        """Begin with what a replica is made from. Blocks for as long as the disk takes."""
        begun = Begun(config, recovered.origin, len(recovered.streams), entropy, platform.python_version())
        try:
            fd = self._create(self._path)
            try:
                self._write_head(fd, begun, recovered)
            except OSError:
                os.close(fd)
                self._path.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._note("WARN", f"nothing is recorded to {self._path}: {error.strerror}")
            return
        self._note("INFO", f"recording to {self._path}, at most {self._size_max} bytes")
        self._writer, self._is_on = _Writer(fd), True

    def told(self, at: Instant, event: Event) -> None:
        """Record an event; to be called before anything is decided."""
        if self._is_on:
            self._add(Told(at, event))

    def decided(self, effects: list[Effect]) -> None:
        """Record what was decided."""
        if self._is_on:
            self._add(decisions_of(effects))

    def failed(self, error: Exception) -> None:
        """Record that nothing was decided because of a bug, which is the end."""
        self._end(Failed(repr(error)[:REASON_SIZE_MAX]))

    def end(self, why: str) -> None:
        """Record that nothing follows."""
        self._end(Ended(why[:REASON_SIZE_MAX]))

    def close(self) -> None:
        """Wait until all is written, but not for a disk that hangs."""
        if self._writer is None:
            return
        self._is_on = False
        trouble = self._writer.close()
        if trouble and not self._has_said_why:
            self._say_why(trouble)

    def _end(self, last: Ended | Failed) -> None:
        if self._writer is not None and self._is_on:
            self._is_on = False
            self._writer.put(encode(last))
            # The file is let go at once: whoever needs the space can delete it.
            self._writer.put(None)

    def _write_head(self, fd: int, begun: Begun, recovered: Recovered) -> None:
        """Write what comes before the first event. Raises: OSError."""
        _write(fd, MAGIC)
        self._size = len(MAGIC)
        for record in itertools.chain[Record]((begun,), map(Found, recovered.streams)):
            data = encode(record)
            self._size += len(data)
            if self._size + END_SIZE > self._size_max:
                raise OSError(0, f"what the journal holds does not fit into {self._size_max} bytes")
            _write(fd, data)

    def _add(self, record: Record) -> None:
        assert self._writer is not None, "nothing is on before the beginning"
        data = encode(record)
        obstacle = self._obstacle(self._writer, len(data))
        if obstacle:
            self.end(obstacle)
            self._say_why(obstacle)
        else:
            self._size += len(data)
            self._writer.put(data)

    def _obstacle(self, writer: _Writer, size: int) -> str:
        """Return why a record of so many bytes cannot be written; nothing if it can."""
        waiting_size, trouble = writer.state()
        if trouble:
            return trouble
        if self._size + size + END_SIZE > self._size_max:
            return f"the limit of {self._size_max} bytes is reached"
        if size > HEADER_SIZE + RECORD_SIZE_MAX:
            return f"a record of {size} bytes is too large"
        if waiting_size + size > QUEUE_SIZE_MAX:
            return f"{waiting_size} bytes wait for the disk, which is too slow or hangs"
        return ""

    def _say_why(self, why: str) -> None:
        self._has_said_why = True
        self._note("WARN", f"recording to {self._path} has stopped: {why}; what is there can be replayed")


class RecordedHeart:
    """Decides as another heart does, and has it recorded."""

    def __init__(self, heart: Heart, recorder: Recorder) -> None:
        self._heart = heart
        self._recorder = recorder

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        """Return what follows from an event."""
        self._recorder.told(at, event)
        try:
            effects = self._heart.apply(event, at)
        except Exception as error:
            # Not handled, only written down: what a bug leads to is for the loop.
            self._recorder.failed(error)
            raise
        self._recorder.decided(effects)
        return effects


class _Writer:
    """Writes on a thread of its own, until the disk refuses."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._waiting_size = 0
        self._trouble = ""
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def state(self) -> tuple[int, str]:
        """Return how many bytes wait, and why nothing is written any more."""
        with self._lock:
            return self._waiting_size, self._trouble

    def put(self, data: bytes | None) -> None:
        """Have something written; None closes the file."""
        with self._lock:
            self._waiting_size += len(data or b"")
        self._queue.put(data)

    def close(self) -> str:
        """Write what waits, close the file, and return what went wrong."""
        self.put(None)
        self._thread.join(CLOSE_WAIT_S)
        return self.state()[1]

    def _run(self) -> None:
        trouble = ""
        while (data := self._queue.get()) is not None:
            if not trouble:
                try:
                    _write(self._fd, data)
                except OSError as error:
                    trouble = error.strerror or str(error)
            with self._lock:
                self._waiting_size -= len(data)
                self._trouble = trouble
        with contextlib.suppress(OSError):
            # What could not be written is known already.
            os.close(self._fd)


def _create(path: Path) -> int:
    """Return a new file, the recording before it put aside. Raises: OSError, also for anything that is no recording."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(0, "it is no regular file")
        with path.open("rb") as old:
            head = old.read(len(PREFIX))
        if head and head != PREFIX:
            raise OSError(0, "it is there, and no recording")
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _write(fd: int, data: bytes) -> None:
    """Write all of it. Raises: OSError."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
