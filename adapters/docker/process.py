"""The proxy, as the agent sees it: a process of its own, so that gigabytes that pass disturb nothing else.

It is started anew when it dies, and ends with the agent, however that ends: it reads the agent's end of a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from adapters.docker.options import ProxyOptions

ROOT = Path(__file__).parents[2]
"""Where the packages lie."""
READY_S = 20.0
RESTART_S = 1.0
"""Between two starts: a proxy that cannot run does not keep the host busy."""
STOP_S = 5.0


class ProxyFailed(Exception):
    """The proxy did not start; the text says why."""


class ProxyProcess:
    """One process after another."""

    def __init__(self, options: ProxyOptions, note: Callable[[str, str], None]) -> None:
        """Take what the process is told, and where to note (level, text) what becomes of it."""
        self._options = options
        self._note = note
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients come."""
        return self._options.listen

    async def start(self) -> None:
        """Start it and wait until it works; from then on it is watched. Raises: ProxyFailed."""
        await self._start()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End it."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._end()

    async def _start(self) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "adapters.docker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert process.stdin is not None, "a pipe was asked for"
        assert process.stdout is not None, "a pipe was asked for"
        process.stdin.write(self._options.to_text().encode() + b"\n")
        try:
            said = (await asyncio.wait_for(process.stdout.readline(), READY_S)).decode().strip()
        except TimeoutError:
            said = f"the proxy was not ready within {READY_S:g} s"
        if said != "ok":
            await self._end()
            raise ProxyFailed(said or "the proxy's process died at once; see the log")

    async def _watch(self) -> None:
        while True:
            assert self._process is not None, "it was started"
            status = await self._process.wait()
            self._note("WARN", f"the proxy's process died (status {status}), another one starts")
            await asyncio.sleep(RESTART_S)
            try:
                await self._start()
            except (ProxyFailed, OSError) as error:
                self._note("ERRO", f"the proxy does not start: {error}")

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None, "a pipe was asked for"
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
