"""Many seeds on many machines: shards of them are tasks of a Dask cluster that is already there.

What the cluster does is its own affair: which machine, what to do when one goes away. Here is what makes its answers
those of one campaign: its workers must run the same code as this process, of a shard whose workers die it is
found out which seed did it, and only so many tasks are handed over as keep everybody busy.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from sim.campaign.code import code_id
from sim.campaign.result import Finding, Lost, find
from sim.campaign.wire import finding_of, text_of
from sim.campaign.workers import EngineError

SHARD_SEEDS = 16
"""Seeds in a task: some seconds, so that handing it over costs nothing, and little is lost with a machine."""
TASKS_PER_THREAD = 2
"""One at work, one waiting."""
CONNECT_S = 10
WORKERS_S = 60
"""How long a cluster may take to get its first worker."""

Task = Callable[[tuple[int, ...], str, str], list[str]]
"""Seeds, profile and code in; what was found out as text, in order, out."""
_ONE_AT_A_TIME = threading.Lock()
"""A worker may have several threads, which would only slow each other down."""


class OtherCode(Exception):
    """This machine runs another version."""


def run_shard(seeds: tuple[int, ...], profile: str, code: str) -> list[str]:
    """Run seeds, on a machine of the cluster. Raises: OtherCode."""
    if code != code_id():
        raise OtherCode(f"it runs other code ({code_id()}) than the machine that asks ({code})")
    with _ONE_AT_A_TIME:
        return [text_of(find(seed, profile)) for seed in seeds]


class Cluster:
    """An engine: `run` yields what comes of seeds, in the order in which it comes."""

    def __init__(self, address: str, profile: str, task: Task = run_shard) -> None:
        """`address` is that of the scheduler, `tcp://host:8786`; only tests need another task."""
        self._address = address
        self._profile = profile
        self._task = task

    def run(self, seeds: Iterable[int]) -> Generator[Finding | Lost, None, None]:
        """Run seeds. Raises: EngineError."""
        client = self._connect()
        try:
            yield from self._run(client, _shards(seeds))
        finally:
            # Tasks that nobody waits for any more are cancelled with it.
            client.close()

    def _connect(self) -> Any:
        """Return a client whose cluster is ready. Any: the package is optional. Raises: EngineError."""
        try:
            from distributed import Client
        except ImportError as error:
            text = "the engine 'dask' needs the package 'distributed': pip install 'weavenet[dask]'"
            raise EngineError(text) from error
        # What it would say of connections that end is said here.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        try:
            client = Client(self._address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            text = f"no scheduler answers at {self._address}: start one with 'dask scheduler', or correct the address"
            raise EngineError(f"{text} ({error})") from error
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as error:
            client.close()
            text = f"the scheduler at {self._address} has no workers: start some with 'dask worker {self._address}'"
            raise EngineError(text) from error
        return client

    def _run(self, client: Any, shards: Iterator[tuple[int, ...]]) -> Iterator[Finding | Lost]:
        from distributed import as_completed

        threads = sum(client.nthreads().values())
        running = {self._submit(client, shard): shard for shard in islice(shards, threads * TASKS_PER_THREAD)}
        done = as_completed(list(running), loop=client.loop)
        suspects: list[int] = []
        for future in done:
            shard = running.pop(future)
            found = self._result(future)
            if isinstance(found, str):
                suspects.extend(shard)
            else:
                yield from found
            for more in islice(shards, 1):
                new = self._submit(client, more)
                running[new] = more
                done.add(new)
        # With a worker dies all that it had to do. Each by itself, with nothing beside it, shows whose fault it was.
        for seed in suspects:
            found = self._result(self._submit(client, (seed,)))
            if isinstance(found, str):
                yield Lost(seed, found)
            else:
                yield from found

    def _result(self, future: Any) -> list[Finding] | str:
        """Wait for a task; return how it ended if its workers died. Raises: EngineError."""
        from distributed import KilledWorker

        try:
            return [finding_of(text) for text in future.result()]
        except KilledWorker as error:
            return f"workers of the cluster: {error}"
        except Exception as error:
            raise EngineError(_why(self._address, future.status, error)) from error

    def _submit(self, client: Any, shard: tuple[int, ...]) -> Any:
        # The same seeds may be asked for twice in the life of a cluster, by other code.
        return client.submit(self._task, shard, self._profile, code_id(), pure=False)


def _shards(seeds: Iterable[int]) -> Iterator[tuple[int, ...]]:
    left = iter(seeds)
    while shard := tuple(islice(left, SHARD_SEEDS)):
        yield shard


def _why(address: str, status: str, error: Exception) -> str:
    if status != "error":
        return f"the scheduler at {address} has gone away; start it again, and go on with --resume"
    return f"a worker of the cluster at {address} cannot run seeds: {error}: install the same weavenet there"
