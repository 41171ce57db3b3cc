"""The proxy's process: `python -m adapters.docker`, its options as one text on standard input.

It says `ok`, or why it cannot work, in one line on standard output, and ends when standard input does: with its agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path

from adapters.docker.attacher import Attacher
from adapters.docker.create import MOUNT
from adapters.docker.engine import Agent, Engine, Service
from adapters.docker.intercept import Interceptor
from adapters.docker.options import ProxyOptions, from_text
from adapters.docker.relay import Relay
from adapters.docker.stream import Stream, connect
from adapters.docker.watch import Watch

CLIENTS_MAX = 4096
"""Connections at once; each has two sockets and no buffer of its own."""
BACKLOG = 128
HANDSHAKE_S = 10.0
FILES_PER_CLIENT = 2
FILES_BESIDE = 256
SHIMS = Path(__file__).parent / "shim"
KINDS = ("wait", "wait-no-multicast")


class ProxyError(Exception):
    """The proxy cannot work; the text says why."""


class Proxy:
    """All listeners of one host."""

    def __init__(self, options: ProxyOptions) -> None:
        """Take everything there is to know."""
        self._options = options
        self._clients: dict[asyncio.Task[None], None] = {}
        self._context = _tls_context(options)

    async def run(self, until: asyncio.Event) -> None:
        """Serve until told to stop. Raises: ProxyError."""
        options = self._options
        place_shims(options)
        async with Service(options.docker) as docker, Service(f"unix://{options.control}") as control:
            engine, agent = Engine(docker), Agent(control)
            attacher = Attacher(engine, agent, options, _note)
            watch = Watch(engine, agent, attacher, _note)
            intercept = Interceptor(engine, attacher, options)
            listeners = [_listen(address, options) for address in options.listen]
            tasks = [asyncio.ensure_future(self._accept(listener, intercept)) for listener in listeners]
            tasks.append(asyncio.ensure_future(watch.run()))
            print("ok", flush=True)
            stopping = asyncio.ensure_future(until.wait())
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, *self._clients, stopping):
                task.cancel()
            await asyncio.wait([*tasks, *self._clients, stopping])
            await watch.close()
            for listener, address in zip(listeners, options.listen, strict=True):
                listener.close()
                if address.startswith("unix://"):
                    Path(address.removeprefix("unix://")).unlink(missing_ok=True)
            for task in done - {stopping}:
                task.result()

    async def _accept(self, listener: socket.socket, intercept: Interceptor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                # No descriptors left, or the client is gone already.
                _note("WARN", f"a client cannot be served: {error}")
                await asyncio.sleep(0.1)
                continue
            if len(self._clients) >= CLIENTS_MAX:
                connection.close()
                continue
            task = asyncio.ensure_future(self._serve(connection, intercept))
            self._clients[task] = None
            task.add_done_callback(lambda done: self._clients.pop(done, None))

    async def _serve(self, connection: socket.socket, intercept: Interceptor) -> None:
        connection.setblocking(False)
        is_tcp = connection.family != socket.AF_UNIX
        if is_tcp:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_tcp and self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        client = Stream(connection)
        if isinstance(connection, ssl.SSLSocket):
            try:
                await asyncio.wait_for(client.shake_hands(), HANDSHAKE_S)
            except (OSError, TimeoutError):
                client.close()
                return
        await Relay(client, lambda: connect(self._options.docker), intercept).run()


def place_shims(options: ProxyOptions) -> None:
    """Copy the shim to where containers mount it from. Raises: ProxyError."""
    machine = os.uname().machine
    for kind in KINDS:
        source = SHIMS / f"{kind}-{machine}"
        target = Path(options.shim) / kind / MOUNT.lstrip("/")
        if not source.is_file():
            raise ProxyError(f"there is no shim for {machine}: build one with adapters/docker/shim/build.sh")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Containers have it mounted and may be running it: replaced only as a whole, and only by another one.
            if not target.exists() or target.read_bytes() != source.read_bytes():
                shutil.copyfile(source, target.with_suffix(".new"))
                target.with_suffix(".new").chmod(0o755)
                target.with_suffix(".new").replace(target)
        except OSError as error:
            raise ProxyError(f"{target}: {error.strerror}") from error


def _listen(address: str, options: ProxyOptions) -> socket.socket:
    docker = options.docker
    kind, _, rest = address.partition("://")
    try:
        if kind == "unix":
            return _listen_unix(Path(rest), docker, Path(options.control).parent)
        host, _, port = rest.rpartition(":")
        host = host.strip("[]")
        listener = socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        raise ProxyError(f"the proxy cannot listen on {address}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _listen_unix(path: Path, docker: str, runtime: Path) -> socket.socket:
    """Listen where whoever may use the daemon's socket may come, and nobody else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent == runtime:
        # The agent keeps its directory to itself; those who may use Docker must get through, and see nothing more.
        path.parent.chmod(0o711)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    if docker.startswith("unix://"):
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(docker.removeprefix("unix://"))
            os.chown(path, found.st_uid, found.st_gid)
            os.chmod(path, found.st_mode & 0o777)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _tls_context(options: ProxyOptions) -> ssl.SSLContext | None:
    if options.tls is None:
        return None
    authorities, certificate, key = options.tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if options.tls_verify:
            context.load_verify_locations(authorities)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ProxyError(f"TLS of the proxy: {error}") from error
    return context


def _note(level: str, text: str) -> None:
    moment = datetime.now(UTC)
    print(f"{level}: {moment:%Y/%m/%d %H:%M:%S.%f} proxy: {text}", file=sys.stderr, flush=True)


async def _main(options: ProxyOptions) -> None:
    loop = asyncio.get_running_loop()
    until = asyncio.Event()
    # The agent keeps the other end; it ends with the agent, however that ends.
    loop.add_reader(sys.stdin.fileno(), until.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, until.set)
    await Proxy(options).run(until)


def main() -> int:
    """Read the options and serve; return the exit status."""
    options = from_text(sys.stdin.buffer.readline().decode())
    _raise_file_limit()
    try:
        asyncio.run(_main(options))
    except ProxyError as error:
        print(error, flush=True)
        return 1
    return 0


def _raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CLIENTS_MAX * FILES_PER_CLIENT + FILES_BESIDE
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, most), most))


if __name__ == "__main__":
    sys.exit(main())
