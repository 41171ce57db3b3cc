"""The requests that the proxy reads: what creates, starts and shows containers, and programs run in them.

All others pass untouched (`relay.py`). Where a request makes no sense, it is passed on as it is: the daemon's own error
is the right one.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote

from adapters.docker.attacher import Attacher, AttachError
from adapters.docker.create import SHIM, Image, rewrite, rewrite_start
from adapters.docker.document import Document, DocumentError, bytes_of, document_of
from adapters.docker.engine import Engine, EngineError
from adapters.docker.head import Request
from adapters.docker.options import ProxyOptions
from adapters.docker.relay import Exchange, Rejected

VERSION = r"^(?:/v[0-9.]+)?"
CREATE = re.compile(VERSION + r"/containers/create$")
START = re.compile(VERSION + r"/containers/([^/]+)/(?:re)?start$")
INSPECT = re.compile(VERSION + r"/containers/([^/]+)/json$")
EXEC = re.compile(VERSION + r"/containers/([^/]+)/exec$")
INSPECT_EXEC = re.compile(VERSION + r"/exec/([^/]+)/json$")
OK_STATUSES = (200, 204, 304)
NOT_FOUND = 404
IGNORED_SIZE_MAX = 7
"""Bytes of a start's body that the daemon does not look at: `{}`, or `null`."""


class Interceptor:
    """Decides which requests are held, and by whom."""

    def __init__(self, engine: Engine, attacher: Attacher, options: ProxyOptions) -> None:
        """Take whom to ask."""
        self._engine = engine
        self._attacher = attacher
        self._options = options

    def __call__(self, request: Request) -> Exchange | None:
        """Return who deals with a request; None to pass it."""
        method, path = request.method, request.path
        if method == "POST":
            if CREATE.match(path):
                return _Create(request, self._engine, self._attacher, self._options)
            if found := START.match(path):
                return _Start(unquote(found[1]), self._engine, self._attacher, self._options)
            if found := EXEC.match(path):
                return _Exec(unquote(found[1]), self._engine, self._attacher)
        if method == "GET" and self._options.rewrite_inspect:
            if found := INSPECT.match(path):
                return _Inspect(unquote(found[1]), self._attacher, is_exec=False)
            if INSPECT_EXEC.match(path):
                return _Inspect("", self._attacher, is_exec=True)
        return None


class _Create:
    holds_response = False

    def __init__(self, request: Request, engine: Engine, attacher: Attacher, options: ProxyOptions) -> None:
        self._request = request
        self._engine = engine
        self._attacher = attacher
        self._options = options

    async def request(self, body: bytes) -> bytes:
        try:
            document = document_of(body)
            image = await self._image(str(document.get("Image") or ""))
            query = parse_qs(self._request.query)
            dns = await self._attacher.name_server()
            if image is None or rewrite(document, query, image, self._options, dns) is None:
                return body
        except DocumentError:
            return body
        return bytes_of(document)

    async def response(self, status: int, body: bytes) -> bytes:
        raise AssertionError("not held")

    async def _image(self, name: str) -> Image | None:
        if not name:
            return None
        try:
            config = (await self._engine.image(name)).get("Config") or {}
        except EngineError as error:
            # Never passed on: the image may be there a moment later, and the container without the shim.
            status = error.status or 502
            raise Rejected(status, f"No such image: {name}" if status == NOT_FOUND else str(error)) from error
        texts = (tuple(config.get(key) or ()) for key in ("Entrypoint", "Cmd", "Env"))
        return Image(*texts)


class _Start:
    holds_response = True

    def __init__(self, name: str, engine: Engine, attacher: Attacher, options: ProxyOptions) -> None:
        self._name = name
        self._engine = engine
        self._attacher = attacher
        self._options = options

    async def request(self, body: bytes) -> bytes:
        if len(body) <= IGNORED_SIZE_MAX:
            return body
        try:
            document = document_of(body)
            if self._attacher.wants(await self._engine.container(self._name)) is None:
                return body
            rewrite_start(document, self._options, await self._attacher.name_server())
        except (DocumentError, EngineError):
            return body
        return bytes_of(document)

    async def response(self, status: int, body: bytes) -> bytes:
        if status in OK_STATUSES:
            await _ensured(self._name, self._attacher, self._engine)
        return body


async def _ensured(name: str, attacher: Attacher, engine: Engine) -> None:
    """See that a container is on the network, or does not run. Raises: Rejected."""
    try:
        await attacher.ensure(name)
    except AttachError as error:
        try:
            await engine.kill(name)
        except EngineError as failure:
            raise Rejected(500, f"{error}; and it cannot be killed: {failure}") from failure
        raise Rejected(500, str(error)) from error
    except EngineError as error:
        if error.status == NOT_FOUND:
            # It ran, and was removed at its end.
            return
        raise Rejected(error.status or 502, str(error)) from error


class _Exec:
    holds_response = False

    def __init__(self, name: str, engine: Engine, attacher: Attacher) -> None:
        self._name = name
        self._engine = engine
        self._attacher = attacher

    async def request(self, body: bytes) -> bytes:
        try:
            document = document_of(body)
            command = document.get("Cmd")
            found = await self._engine.container(self._name)
        except (DocumentError, EngineError):
            return body
        words = [command] if isinstance(command, str) else command
        if not words or not isinstance(words, list):
            return body
        if not self._attacher.has_shim(found) or self._attacher.wants(found) is None:
            return body
        document.set("Cmd", [SHIM, *words])
        return bytes_of(document)

    async def response(self, status: int, body: bytes) -> bytes:
        raise AssertionError("not held")


class _Inspect:
    holds_response = True

    def __init__(self, name: str, attacher: Attacher, *, is_exec: bool) -> None:
        self._name = name
        self._attacher = attacher
        self._is_exec = is_exec

    async def request(self, body: bytes) -> bytes:
        return body

    async def response(self, status: int, body: bytes) -> bytes:
        if status != 200:
            return body
        try:
            document = document_of(body)
            if not self._is_exec:
                await self._show(document, self._name)
                return bytes_of(document)
            container = document.part("Container")
            if container.get("Id"):
                await self._show(container, str(container.get("Id")))
                document.set("Container", container)
            return bytes_of(document)
        except (DocumentError, AttachError, EngineError):
            # What the daemon says is true, too.
            return body

    async def _show(self, document: Document, name: str) -> None:
        shown = await self._attacher.describe(name)
        if shown is None:
            return
        mac, address, prefix = shown
        network = document.part("NetworkSettings")
        network.set("MacAddress", mac)
        network.set("IPAddress", address)
        network.set("IPPrefixLen", prefix)
        document.set("NetworkSettings", network)
