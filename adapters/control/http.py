"""HTTP for people and scripts: reading on TCP at loopback, changing through a unix socket that only root can open.

Paths, parameters and answers are Weave Net's, as far as they exist here; ours are `/ps`, `/attach`, `/detach`,
`/at`, `/why`, `/ipam/idle` and `/stop`. Who closes the connection wants no answer any more, and the request is
cancelled.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from adapters.control import text
from adapters.control.looking import Looking
from adapters.control.looking_back import ps_text
from adapters.control.metrics import Metrics
from adapters.control.name_routes import NameRoutes
from adapters.control.report import idle_json, report
from adapters.control.template import TemplateError, render
from adapters.mesh.transport import parse_target
from adapters.settings import Settings
from core.counters import Counters
from core.effects import Ok, Refusal
from core.events import (
    Allocate,
    AttachAsked,
    Claim,
    Command,
    Commanded,
    Connect,
    ContainerGone,
    DetachAsked,
    Event,
    Forget,
    Free,
    FreeIdle,
    Leave,
    Lookup,
    Prime,
    RemovePeers,
)
from core.status import Status
from core.types import RequestId
from crdt.store import Store

BODY_SIZE_MAX = 256 * 1024
"""Bytes of a request: thousands of peers to connect to."""
WAITING_MAX = 2_048
"""Requests that may wait at once."""
RESOLVE_TIMEOUT_S = 5.0
SOCKET_MODE = 0o600

Cancel = Callable[[], None]
Ask = Callable[[Callable[[RequestId], Event]], tuple["asyncio.Future[Ok | Refusal]", Cancel]]
Count = Callable[[], Awaitable[Counters]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlError(Exception):
    """A listener cannot be opened; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Door:
    """One listener."""

    where: str
    """Address, for messages."""
    runner: web.AppRunner
    """What serves it."""


class ControlServer:
    """All HTTP of one agent."""

    def __init__(
        self,
        settings: Settings,
        *,
        ask: Ask,
        describe: Callable[[], Status],
        store: Callable[[], Store],
        count: Count,
        stop: Callable[[], None],
        tell: Callable[[Event], None],
        proxy: Callable[[], tuple[str, ...]],
    ) -> None:
        self._settings = settings
        self._ask = ask
        self._describe = describe
        self._count = count
        self._stop = stop
        self._tell = tell
        self._proxy = proxy
        self._metrics = Metrics(describe)
        self._looking = Looking(settings, store)
        self._doors: list[Door] = []
        self._waiting = 0

    async def start(self) -> None:
        """Open all doors. Raises: ControlError."""
        if self._settings.http:
            await self._open_tcp(self._settings.http, self._reading(), "--http-addr")
        if self._settings.metrics:
            await self._open_tcp(
                self._settings.metrics, [*self._reading(), ("GET", "/metrics", self._show_metrics)], "--metrics-addr"
            )
        await self._open_socket()

    async def close(self) -> None:
        """Close all doors."""
        for door in self._doors:
            await door.runner.cleanup()
        self._looking.close()
        self._settings.socket.unlink(missing_ok=True)

    async def _open_tcp(self, address: str, routes: list[tuple[str, str, Handler]], option: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ControlError(f"{option}: {address} is not host:port")
        runner = await self._runner(routes)
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await runner.cleanup()
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            hint = f"see what uses it with 'ss -ltnp sport = :{port}', or choose another with {option}"
            raise ControlError(f"cannot listen on {address}: {reason}; {hint}") from error
        self._doors.append(Door(address, runner))

    async def _open_socket(self) -> None:
        path = self._settings.socket
        path.unlink(missing_ok=True)
        runner = await self._runner([*self._reading(), *self._changing()])
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Nobody else may get in between making the socket and changing its mode.
            before = os.umask(0o777 & ~SOCKET_MODE)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            await web.SockSite(runner, listener).start()
        except OSError as error:
            await runner.cleanup()
            raise ControlError(f"cannot make the socket {path}: {error.strerror}; see WEAVE_RUNTIME_DIR") from error
        self._doors.append(Door(str(path), runner))

    async def _runner(self, routes: list[tuple[str, str, Handler]]) -> web.AppRunner:
        app = web.Application(client_max_size=BODY_SIZE_MAX)
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        # Handlers end when their client goes away; that is how waiting is cancelled.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        return runner

    # Reading.

    def _reading(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/status", self._shower(text.status_text)),
            ("GET", "/status/targets", self._shower(text.targets_text)),
            ("GET", "/status/connections", self._shower(text.connections_text)),
            ("GET", "/status/peers", self._shower(text.peers_text)),
            ("GET", "/status/dns", self._shower(text.dns_text)),
            ("GET", "/status/ipam", self._shower(text.ipam_text)),
            ("GET", "/report", self._show_report),
            ("GET", "/proxyaddrs", self._show_proxy),
        ]

    def _shower(self, render_text: Callable[[Status], str]) -> Handler:
        async def show(_request: web.Request) -> web.Response:
            return web.Response(text=render_text(self._describe()))

        return show

    async def _show_report(self, request: web.Request) -> web.Response:
        found = report(self._describe(), await self._count())
        formats = request.query.getall("format", [])
        if not formats:
            return web.Response(text=json.dumps(found, indent=4), content_type="application/json")
        if len(formats) > 1:
            return web.Response(status=400, text="error: must supply one format parameter\n")
        try:
            return web.Response(text=render(formats[0], found))
        except TemplateError as error:
            return web.Response(status=400, text=f"{error}\n")

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        body = self._metrics.text(await self._count())
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    # Changing.

    def _changing(self) -> list[tuple[str, str, Handler]]:
        return [
            *self._looking.routes(),
            ("GET", "/metrics", self._show_metrics),
            ("POST", "/connect", self._connect),
            ("POST", "/forget", self._forget),
            ("GET", "/ring", self._commander(lambda _: Prime())),
            ("GET", "/ip/{id}", self._commander(lambda part: Lookup(part("id"), self._default_subnet()))),
            ("GET", "/ip/{id}/{ip}/{plen}", self._commander(lambda part: Lookup(part("id"), _cidr(part)))),
            ("POST", "/ip/{id}", self._commander(lambda part: Allocate(part("id"), ""))),
            ("POST", "/ip/{id}/{ip}/{plen}", self._commander(lambda part: Allocate(part("id"), _cidr(part)))),
            ("PUT", "/ip/{id}/{ip}/{plen}", self._commander(lambda part: Claim(part("id"), _cidr(part)), empty=True)),
            ("DELETE", "/ip/{id}", self._commander(lambda part: Free(part("id"), ""), empty=True)),
            ("DELETE", "/ip/{id}/{ip}", self._commander(lambda part: Free(part("id"), part("ip")), empty=True)),
            ("GET", "/ipam/idle", self._show_idle),
            ("DELETE", "/ipam/idle/{id}", self._commander(lambda part: FreeIdle(part("id")))),
            ("GET", "/ipinfo/defaultsubnet", self._show_default_subnet),
            ("DELETE", "/peer", self._commander(lambda _: Leave(), empty=True)),
            ("DELETE", "/peer/{id}", self._remove_peers),
            *NameRoutes(self._settings, self._describe, self._carry_out).routes(),
            ("GET", "/ps", self._show_attachments),
            ("POST", "/attach", self._attach),
            ("POST", "/detach", self._detach),
            ("POST", "/container-gone", self._container_gone),
            ("POST", "/stop", self._end),
        ]

    def _commander(self, make: Callable[[Callable[[str], str]], Command], *, empty: bool = False) -> Handler:
        """Return a handler that asks for a command made of the parts of the path."""

        async def handle(request: web.Request) -> web.Response:
            command = make(lambda name: request.match_info[name])
            if (
                isinstance(command, Allocate | Claim | Free | FreeIdle | Lookup)
                and self._settings.config.universe is None
            ):
                return web.Response(status=404, text="IP address allocation is off: no --ipalloc-range\n")
            return await self._carry_out(command, empty=empty)

        return handle

    async def _remove_peers(self, request: web.Request) -> web.Response:
        """Remove a peer, and those named with `also` in the same step; with `force=true` without waiting for all."""
        names = (request.match_info["id"], *request.query.getall("also", []))
        return await self._carry_out(RemovePeers(names, request.query.get("force") == "true"))

    async def _carry_out(self, command: Command, *, empty: bool = False) -> web.Response:
        reply = await self._reply(lambda number: Commanded(number, command))
        if isinstance(reply, Refusal):
            return web.Response(status=400, text=f"{reply.why}\n")
        return web.Response(status=204) if empty else web.Response(text=reply.text)

    async def _reply(self, make: Callable[[RequestId], Event]) -> Ok | Refusal:
        if self._waiting >= WAITING_MAX:
            return Refusal(f"{WAITING_MAX} requests wait already; see 'weave status ipam' for what they wait for")
        self._waiting += 1
        future, cancel = self._ask(make)
        try:
            return await future
        except asyncio.CancelledError:
            cancel()
            raise
        finally:
            self._waiting -= 1

    async def _connect(self, request: web.Request) -> web.Response:
        form = await request.post()
        peers = [str(peer) for peer in form.getall("peer", [])]
        problems = [problem for problem in [await _unresolvable(peer) for peer in peers] if problem]
        good = tuple(peer for peer in peers if not any(f'"{peer}"' in problem for problem in problems))
        replace = str(form.get("replace", "")) == "true"
        if good or replace:
            reply = await self._reply(lambda number: Commanded(number, Connect(good, replace)))
            if isinstance(reply, Refusal):
                problems.append(reply.why)
        return web.Response(status=400, text="\n".join(problems) + "\n") if problems else web.Response()

    async def _forget(self, request: web.Request) -> web.Response:
        form = await request.post()
        peers = tuple(str(peer) for peer in form.getall("peer", []))
        reply = await self._reply(lambda number: Commanded(number, Forget(peers)))
        return web.Response(status=400, text=f"{reply.why}\n") if isinstance(reply, Refusal) else web.Response()

    async def _attach(self, request: web.Request) -> web.Response:
        form = await request.post()
        addresses = tuple(str(address) for address in form.getall("address", []))
        container, ifname, netns = (str(form.get(name, "")) for name in ("container", "ifname", "netns"))
        multicast = str(form.get("multicast", "true")) == "true"
        names = tuple(str(name) for name in form.getall("name", []))
        reply = await self._reply(
            lambda number: AttachAsked(number, container, ifname, netns, addresses, multicast, names)
        )
        return _answer(reply)

    async def _detach(self, request: web.Request) -> web.Response:
        form = await request.post()
        addresses = tuple(str(address) for address in form.getall("address", []))
        container, ifname = (str(form.get(name, "")) for name in ("container", "ifname"))
        return _answer(await self._reply(lambda number: DetachAsked(number, container, ifname, addresses)))

    async def _container_gone(self, request: web.Request) -> web.Response:
        container = str((await request.post()).get("container", ""))
        self._tell(ContainerGone(container))
        return web.Response(status=204)

    async def _show_proxy(self, _request: web.Request) -> web.Response:
        """Show where Docker's clients come, one address a line; there is no such path without a proxy."""
        addresses = self._proxy()
        return web.Response(text="".join(f"{item}\n" for item in addresses), status=200 if addresses else 404)

    async def _show_attachments(self, _request: web.Request) -> web.Response:
        return web.Response(text=ps_text(self._describe()))

    async def _show_idle(self, _request: web.Request) -> web.Response:
        """Show what is held without an interface; whether it is still needed is for the asker to find out."""
        return web.Response(text=idle_json(self._describe()), content_type="application/json")

    async def _show_default_subnet(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._default_subnet())

    def _default_subnet(self) -> str:
        return ",".join(map(str, self._settings.config.subnets))

    async def _end(self, _request: web.Request) -> web.Response:
        asyncio.get_running_loop().call_soon(self._stop)
        return web.Response(status=204)


def _cidr(part: Callable[[str], str]) -> str:
    return f"{part('ip')}/{part('plen')}"


def _answer(reply: Ok | Refusal) -> web.Response:
    if isinstance(reply, Refusal):
        return web.Response(status=400, text=f"{reply.why}\n")
    return web.Response(text=reply.text)


async def _unresolvable(target: str) -> str:
    """Say why a target can never be dialled; empty when it can."""
    try:
        host, port = parse_target(target)
        lookup = asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        await asyncio.wait_for(lookup, RESOLVE_TIMEOUT_S)
    except ValueError as error:
        return str(error)
    except (OSError, UnicodeError, TimeoutError) as error:
        return f'cannot find peer "{target}": {getattr(error, "strerror", None) or "no answer from the resolver"}'
    return ""
