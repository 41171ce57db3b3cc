"""Many seeds in many processes of this machine.

A worker has one seed at a time, so that the seed is known of one that dies; another worker takes its place. Workers
are processes of their own rather than forks: a campaign can be started from a notebook or a script, and nothing that
happens in one reaches another. They live in sessions of their own, so that Ctrl-C is for the campaign alone to hear.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from sim.campaign.result import Finding, Lost
from sim.campaign.wire import finding_of
from sim.campaign.worker import READY

SEED_MAX_S = 900
"""A seed takes a second; one that takes a quarter of an hour does not end."""
WHY_SIZE_MAX = 300
"""Bytes of a worker's last words that are told."""
READ_SIZE = 1 << 16


class EngineError(Exception):
    """Nothing can be run at all; says why and what to do."""


@dataclass
class _Worker:
    """One process."""

    process: subprocess.Popen[bytes]
    """It."""
    errors: IO[bytes]
    """What it says on standard error."""
    received: bytes = b""
    """The beginning of its next line."""
    is_ready: bool = False
    """It has said so."""
    seed: int | None = None
    """What it works at."""
    begun_s: float = 0.0
    """Since when."""


class Workers:
    """An engine: `run` yields what comes of seeds, in the order in which it comes."""

    def __init__(self, jobs: int, profile: str, command: tuple[str, ...] = ()) -> None:
        """`command` starts a worker; only tests need another one than ours."""
        self.jobs = jobs
        self._command = command or (sys.executable, "-m", "sim.campaign.worker", profile)
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the processes at work."""
        return tuple(worker.process.pid for worker in self._workers)

    def run(self, seeds: Iterable[int]) -> Generator[Finding | Lost, None, None]:
        """Run seeds. Raises: EngineError."""
        todo = iter(seeds)
        try:
            for _ in range(self.jobs):
                self._begin(todo)
            while self._workers:
                for key, _ in self._selector.select(timeout=1):
                    worker: _Worker = key.data
                    data = os.read(key.fd, READ_SIZE)
                    if data:
                        yield from self._hear(worker, data, todo)
                    else:
                        yield from self._bury(worker, todo)
                self._end_the_endless()
        finally:
            for worker in tuple(self._workers):
                self._end(worker)

    def _begin(self, todo: Iterator[int]) -> None:
        """Start a worker on the next seed, if there is one."""
        seed = next(todo, None)
        if seed is not None:
            self._give(self._start(), seed)

    def _start(self) -> _Worker:
        # Its code must be ours, wherever it is started.
        paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        errors = TemporaryFile()  # noqa: SIM115  # closed with the worker
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        worker = _Worker(process, errors)
        self._workers.append(worker)
        assert process.stdout is not None, "it is a pipe"
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _give(self, worker: _Worker, seed: int) -> None:
        worker.seed, worker.begun_s = seed, time.monotonic()
        assert worker.process.stdin is not None, "it is a pipe"
        try:
            worker.process.stdin.write(f"{seed}\n".encode())
            worker.process.stdin.flush()
        except BrokenPipeError:
            # It has died; its end is read next.
            return

    def _hear(self, worker: _Worker, data: bytes, todo: Iterator[int]) -> Iterator[Finding]:
        *lines, worker.received = (worker.received + data).split(b"\n")
        for line in lines:
            if not worker.is_ready:
                assert line == READY.encode(), f"a worker began with {line!r}"
                worker.is_ready = True
                continue
            finding = finding_of(line.decode())
            assert finding.result.seed == worker.seed, "one seed at a time"
            seed = next(todo, None)
            if seed is None:
                self._end(worker)
            else:
                self._give(worker, seed)
            yield finding

    def _bury(self, worker: _Worker, todo: Iterator[int]) -> Iterator[Lost]:
        """Tell which seed a worker had that died, and put another in its place. Raises: EngineError."""
        status = worker.process.wait()
        worker.errors.seek(0)
        words = worker.errors.read().decode(errors="replace").strip()[-WHY_SIZE_MAX:]
        if not worker.is_ready:
            text = f"workers cannot be started: {' '.join(self._command)} ended with {_ending(status)}"
            raise EngineError(f"{text}: {words}" if words else text)
        seed, is_endless = worker.seed, time.monotonic() - worker.begun_s > SEED_MAX_S
        self._end(worker)
        assert seed is not None, "a worker without a seed has been ended"
        self._begin(todo)
        ending = f"no end after {SEED_MAX_S} s" if is_endless else _ending(status)
        yield Lost(seed, f"{ending}: {words}" if words else ending)

    def _end_the_endless(self) -> None:
        for worker in self._workers:
            if time.monotonic() - worker.begun_s > SEED_MAX_S:
                worker.process.kill()

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        process = worker.process
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        self._selector.unregister(process.stdout)
        process.kill()
        process.wait()
        for file in (process.stdin, process.stdout, worker.errors):
            try:
                file.close()
            except BrokenPipeError:
                # What it was to be told is of no use to the dead.
                continue


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    return f"{name}: killed, or out of memory" if -status == signal.SIGKILL else name
