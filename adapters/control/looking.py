"""`/at` and `/why`: looks into the past and into reasons, on a thread of their own so that nobody waits for them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from adapters.clock import now
from adapters.control import looking_back
from adapters.control.looking_back import LookError
from adapters.journal import HISTORY_FILE
from adapters.settings import Settings
from crdt.fact import Delta
from crdt.store import Store

WAITING_MAX = 16
"""Looks that may wait: each reads megabytes, one after another."""
SWITCH_S = 0.000_2
"""How long the loop waits for Python while somebody looks back, each time it has waited for the system. With the usual
5 ms a request, which does that some ten times, took a twentieth of a second."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Looking:
    """The handlers. Reading happens on one thread."""

    def __init__(self, settings: Settings, store: Callable[[], Store]) -> None:
        self._settings = settings
        self._store = store
        self._thread = ThreadPoolExecutor(1, "looking")
        self._waiting = 0

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return what is served."""
        return [("GET", "/at", self._at), ("GET", "/why", self._why)]

    def close(self) -> None:
        """Look no more; one that is under way is left to itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _at(self, request: web.Request) -> web.Response:
        when, what, argument = (request.query.get(name, "") for name in ("time", "what", "argument"))
        settings, now_ms = self._settings, now().wall_ms
        return await self._on_thread(
            lambda: looking_back.at(settings.config, settings.data / HISTORY_FILE, now_ms, when, what, argument)
        )

    async def _why(self, request: web.Request) -> web.Response:
        what, is_json = request.query.get("what", ""), request.query.get("format") == "json"
        # Streams never change, so the thread reads what was true at this moment.
        store, settings, now_ms = self._store().copy(), self._settings, now().wall_ms
        history = settings.data / HISTORY_FILE if settings.history_size_max else None

        def look() -> str:
            found = looking_back.why(settings.config, history, now_ms, _streams(store), what)
            return looking_back.why_json(found) if is_json else looking_back.why_text(found)

        return await self._on_thread(look)

    async def _on_thread(self, look: Callable[[], str]) -> web.Response:
        if self._waiting >= WAITING_MAX:
            return web.Response(status=400, text=f"{WAITING_MAX} looks into the past wait already; ask again later\n")
        self._waiting += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, _politely, look)
            return web.Response(text=found)
        except LookError as error:
            return web.Response(status=400, text=f"{error}\n")
        finally:
            self._waiting -= 1


def _politely(look: Callable[[], str]) -> str:
    """Look, and give way to the loop's thread at once when it has something to do."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        return look()
    finally:
        sys.setswitchinterval(usual_s)


def _streams(store: Store) -> list[Delta]:
    return [store.delta_for(origin, 0) for origin in store.origins()]
