"""`/name`, `/domain`, `/dns-address`: names for scripts, as Weave Net has them, and `/lookup` for people."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from adapters.control.report import name_entry
from adapters.settings import Settings
from core.events import Command, NameAdd, NameLookup, NameRemove
from core.naming.fqdn import BadName, absolute
from core.status import Status

IS_OFF = "the name server is off: --no-dns\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CarryOut = Callable[..., Awaitable[web.Response]]
"""Has a command carried out; with `empty`, a good answer has no text."""


class NameRoutes:
    """The handlers."""

    def __init__(self, settings: Settings, describe: Callable[[], Status], carry_out: CarryOut) -> None:
        self._settings = settings
        self._describe = describe
        self._carry_out = carry_out

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return what is served through the socket."""
        found: list[tuple[str, str, Handler]] = [
            ("GET", "/domain", self._show_domain),
            ("GET", "/dns-address", self._show_address),
            ("GET", "/dns-address-port", self._show_address),
            ("GET", "/name", self._show),
            ("GET", "/lookup/{name}", self._lookup),
            ("PUT", "/name/{container}/{ip}", self._put),
            ("POST", "/name/{container}", self._add),
        ]
        for path in ("/name", "/name/{container}", "/name/{container}/{ip}"):
            found.append(("DELETE", path, self._remove))
        return found

    async def _show_domain(self, _request: web.Request) -> web.Response:
        if not self._settings.config.dns:
            return web.Response(status=404, text=IS_OFF)
        return web.Response(text=self._settings.config.domain)

    async def _show_address(self, request: web.Request) -> web.Response:
        server = self._describe().server
        if not self._settings.config.dns:
            return web.Response(status=404, text=IS_OFF)
        if server is None or not server.addresses:
            return web.Response(status=404, text="the name server has no address yet\n")
        host, _, port = server.addresses[0].rpartition(":")
        return web.Response(text=f"{host}:{port}" if request.path.endswith("-port") else host.strip("[]"))

    async def _show(self, _request: web.Request) -> web.Response:
        entries = [name_entry(entry) for entry in self._describe().names if entry.is_present]
        return web.Response(text=json.dumps(entries), content_type="application/json")

    async def _lookup(self, request: web.Request) -> web.Response:
        return await self._carry_out(NameLookup(request.match_info["name"]))

    async def _put(self, request: web.Request) -> web.Response:
        """Register one address of a name; one of another domain is ignored, as scripts expect it."""
        name = request.query.get("fqdn", "")
        try:
            absolute(name, self._settings.config.domain)
        except BadName:
            return web.Response(status=204)
        command = NameAdd(request.match_info["container"], name, (request.match_info["ip"],))
        return await self._carry_out(command, empty=True)

    async def _add(self, request: web.Request) -> web.Response:
        form = await request.post()
        addresses, ports, texts = (
            tuple(str(one) for one in form.getall(field, [])) for field in ("address", "port", "txt")
        )
        ttl = str(form.get("ttl", "-1"))
        if not ttl.removeprefix("-").isdigit():
            return web.Response(status=400, text=f"{ttl[:64]!r} is no number of seconds\n")
        container, name = request.match_info["container"], str(form.get("fqdn", ""))
        command: Command = NameAdd(container, name, addresses, int(ttl), ports, texts)
        return await self._carry_out(command, empty=True)

    async def _remove(self, request: web.Request) -> web.Response:
        part = request.match_info.get
        address = part("ip", "")
        command = NameRemove(part("container", ""), request.query.get("fqdn", ""), (address,) if address else ())
        return await self._carry_out(command, empty=True)
