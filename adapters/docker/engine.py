"""The Docker daemon, and the agent, as the proxy asks them: few words, no versions.

Paths have no version, so the daemon answers in its newest one; only members are read that all versions have.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp

NOT_FOUND = 404
TIMEOUT_S = 60.0
"""For an answer; a daemon under load takes seconds."""
ANSWER_SIZE_MAX = 8 * 1024 * 1024
EVENT_SIZE_MAX = 1024 * 1024
"""Bytes of one event; it carries all labels of its container."""


class EngineError(Exception):
    """An answer that is an error, or none."""

    def __init__(self, status: int, message: str) -> None:
        """Take the status, 0 for no answer, and the message."""
        super().__init__(message)
        self.status = status


class Service:
    """HTTP at a unix socket or a TCP address."""

    def __init__(self, address: str) -> None:
        """Take `unix://PATH` or `tcp://HOST:PORT`."""
        self._address = address
        connector: aiohttp.BaseConnector = aiohttp.TCPConnector(limit=0)
        self._base = address.replace("tcp://", "http://")
        if address.startswith("unix://"):
            connector = aiohttp.UnixConnector(address.removeprefix("unix://"), limit=0)
            self._base = "http://localhost"
        timeout = aiohttp.ClientTimeout(total=None, connect=TIMEOUT_S)
        # No proxies of the environment: it is always this host that is meant.
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, read_bufsize=EVENT_SIZE_MAX
        )

    async def __aenter__(self) -> Service:
        """Be ready."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._session.close()

    async def ask(self, method: str, path: str, form: Sequence[tuple[str, str]] = (), *, limit_s: float | None) -> str:
        """Return the body of a good answer. Raises: EngineError."""
        timeout = aiohttp.ClientTimeout(total=limit_s)
        try:
            async with self._session.request(
                method, self._base + path, data=list(form) or None, timeout=timeout
            ) as answer:
                raw = await answer.content.read(ANSWER_SIZE_MAX)
                while not answer.content.at_eof() and len(raw) < ANSWER_SIZE_MAX:
                    raw += await answer.content.read(ANSWER_SIZE_MAX - len(raw))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(0, f"{self._address} does not answer: {error or 'timeout'}") from error
        text = raw.decode("utf-8", "replace")
        if answer.status >= 300:
            raise EngineError(answer.status, _message(text))
        return text

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        """Yield lines of an answer without an end. Raises: EngineError."""
        try:
            async with self._session.get(self._base + path) as answer:
                if answer.status >= 300:
                    raise EngineError(answer.status, _message(await answer.text()))
                async for line in answer.content:
                    yield line
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EngineError(0, f"{self._address} does not answer: {error}") from error


class Engine:
    """The daemon."""

    def __init__(self, service: Service) -> None:
        """Take where it is."""
        self._service = service

    async def container(self, name: str) -> Mapping[str, Any]:
        """Return what the daemon knows of a container, by name or id. Raises: EngineError."""
        return await self._json(f"/containers/{quote(name, safe='')}/json")

    async def image(self, name: str) -> Mapping[str, Any]:
        """Return what the daemon knows of an image. Raises: EngineError."""
        return await self._json(f"/images/{quote(name, safe='/:@')}/json")

    async def running(self) -> tuple[str, ...]:
        """Return the ids of all containers that run. Raises: EngineError."""
        found = json.loads(await self._service.ask("GET", "/containers/json", limit_s=TIMEOUT_S))
        return tuple(str(item["Id"]) for item in found)

    async def kill(self, container: str) -> None:
        """Kill a container. Raises: EngineError."""
        await self._service.ask("POST", f"/containers/{quote(container, safe='')}/kill", limit_s=TIMEOUT_S)

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        """Yield what happens to containers: id, and the daemon's word for it. Raises: EngineError."""
        query = quote(json.dumps({"type": ["container"], "event": ["start", "die", "destroy"]}))
        async for line in self._service.lines(f"/events?filters={query}"):
            event = json.loads(line)
            yield str(event["Actor"]["ID"]), str(event["Action"])

    async def _json(self, path: str) -> Mapping[str, Any]:
        found = json.loads(await self._service.ask("GET", path, limit_s=TIMEOUT_S))
        if not isinstance(found, dict):
            # A name with dots and slashes may lead elsewhere.
            raise EngineError(404, f"there is no {path}")
        return found


class Agent:
    """The agent of this host."""

    def __init__(self, service: Service) -> None:
        """Take where it is."""
        self._service = service

    async def allocate(self, container: str, subnet: str) -> tuple[str, ...]:
        """Return the container's addresses in a subnet, or in the default ones when that is empty, as CIDRs.

        It waits as long as it takes. Raises: EngineError.
        """
        path = f"/ip/{container}/{subnet}" if subnet else f"/ip/{container}"
        return tuple((await self._service.ask("POST", path, limit_s=None)).split())

    async def name_server(self) -> str:
        """Return the address of the name server; empty when there is none. Raises: EngineError."""
        try:
            return (await self._service.ask("GET", "/dns-address", limit_s=TIMEOUT_S)).strip()
        except EngineError as error:
            if error.status == NOT_FOUND:
                return ""
            raise

    async def free(self, container: str) -> None:
        """Give back all addresses of a container. Raises: EngineError."""
        await self._service.ask("DELETE", f"/ip/{container}", limit_s=TIMEOUT_S)

    async def attach(
        self, container: str, netns: str, addresses: Sequence[str], *, multicast: bool, name: str = ""
    ) -> str:
        """Put a container on the network, under a name if it has one; return its addresses. Raises: EngineError."""
        form = [("container", container), ("ifname", "ethwe"), ("netns", netns), ("multicast", str(multicast).lower())]
        form += [*(("address", address) for address in addresses), *([("name", name)] if name else [])]
        return await self._service.ask("POST", "/attach", form, limit_s=None)

    async def gone(self, container: str) -> None:
        """Tell that a container has ended. Raises: EngineError."""
        await self._service.ask("POST", "/container-gone", [("container", container)], limit_s=TIMEOUT_S)

    async def attached(self) -> dict[str, tuple[str, ...]]:
        """Return the containers on the network, each with its MAC and its CIDRs. Raises: EngineError."""
        text = await self._service.ask("GET", "/ps", limit_s=TIMEOUT_S)
        lines = (line.split() for line in text.splitlines())
        return {name: tuple(rest) for name, *rest in lines}


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
