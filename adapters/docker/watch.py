"""Watches the daemon: containers that start by themselves are attached, and those that end are forgotten.

Events say that something may have changed, and the attacher looks what is; events missed while either side was away are
made up for by looking at all containers whenever the stream begins anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine

from adapters.docker.attacher import Attacher, AttachError, Note
from adapters.docker.engine import Agent, Engine, EngineError

RETRY_FIRST_S, RETRY_FACTOR, RETRY_MAX_S = 2.0, 1.5, 60.0
"""Weave Net's: containers found at the start are tried again for as long as it takes."""
RECONNECT_S = 1.0
DOCKER_ID = re.compile("[0-9a-f]{64}")


class Watch:
    """One daemon."""

    def __init__(self, engine: Engine, agent: Agent, attacher: Attacher, note: Note) -> None:
        """Take whom to ask."""
        self._engine = engine
        self._agent = agent
        self._attacher = attacher
        self._note = note
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def run(self) -> None:
        """Watch until cancelled; a daemon that is away is waited for."""
        was_there = True
        while True:
            try:
                events = self._engine.events()
                # The stream is open before the first look: nothing happens unseen in between.
                reading = asyncio.ensure_future(anext(events))
                try:
                    await self.look()
                    was_there = True
                    while True:
                        self._take(*await reading)
                        reading = asyncio.ensure_future(anext(events))
                finally:
                    reading.cancel()
                    await asyncio.wait([reading])
                    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
            except (EngineError, StopAsyncIteration) as error:
                if was_there:
                    self._note("WARN", f"events of Docker have ended, they are asked for again: {error or 'closed'}")
                was_there = False
            await asyncio.sleep(RECONNECT_S)

    async def look(self) -> None:
        """Begin to make up for whatever was missed. Raises: EngineError."""
        running = await self._engine.running()
        for container in running:
            self._begin(self._attach_patiently(container))
        for container in await self._agent.attached():
            if DOCKER_ID.fullmatch(container) and container not in running:
                self._begin(self._ended(container))

    async def settle(self) -> None:
        """Wait until what was begun is done."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """End what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _take(self, container: str, action: str) -> None:
        self._begin(self._started(container) if action == "start" else self._ended(container))

    async def _started(self, container: str) -> None:
        try:
            await self._attacher.ensure(container)
        except AttachError as error:
            self._note("WARN", f"container {container[:12]} is killed, it cannot be on the network: {error}")
            await self._attacher.kill(container)

    async def _ended(self, container: str) -> None:
        await self._attacher.ended(container)

    async def _attach_patiently(self, container: str) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await self._attacher.ensure(container)
                return
            except AttachError as error:
                self._note("WARN", f"container {container[:12]} cannot be on the network yet: {error}")
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * RETRY_FACTOR, RETRY_MAX_S)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except EngineError as error:
                # The container is gone again, or the daemon is, and the next look at all makes up for it.
                self._note("DEBU", f"Docker: {error}")

        task = asyncio.ensure_future(guarded())
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
