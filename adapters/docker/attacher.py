"""Puts running containers on the network, and takes those that have ended off it: depends on what is, not on events.

Whoever learns that a container may have started (an event, an answer to `docker start`, the proxy's own start) says
`ensure`; who learns that it may have ended says `ended`. Both look at the container first, and both wait for what is
under way for the same container, so it does not matter how often they are said, nor in which order.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.docker.create import MOUNT, SHIM, wanted_addresses
from adapters.docker.engine import Agent, Engine, EngineError
from adapters.docker.hosts import HostsError, hosts_text, write_hosts
from adapters.docker.options import ProxyOptions

SIOCGIFADDR = 0x8915
NOT_FOUND = 404

Note = Callable[[str, str], None]


class AttachError(Exception):
    """A container cannot be on the network; the text says why."""


@dataclass(slots=True)
class Entry:
    """One container that runs."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while something is done for it."""
    pid: int = 0
    """Its first process when it was attached; 0 if it is not."""
    addresses: tuple[str, ...] = ()
    """CIDRs."""
    waiting: int = 0
    """Callers that hold the entry."""


class Attacher:
    """All containers of one daemon."""

    def __init__(self, engine: Engine, agent: Agent, options: ProxyOptions, note: Note) -> None:
        """Take whom to ask."""
        self._engine = engine
        self._agent = agent
        self._options = options
        self._note = note
        self._entries: dict[str, Entry] = {}

    async def ensure(self, name: str) -> tuple[str, ...]:
        """See that a container, by name or id, is on the network if it runs and wants it; return its addresses.

        Raises: AttachError, with the container as it was; EngineError when the daemon does not answer.
        """
        found = await self._engine.container(name)
        container = str(found["Id"])
        if self.wants(found) is None:
            return ()
        async with self._entry(container) as entry:
            # It may have changed while another caller was at it.
            found = await self._engine.container(container)
            pid = int(found["State"]["Pid"])
            addresses = self.wants(found)
            if not pid or addresses is None:
                return ()
            if entry.pid == pid:
                return entry.addresses
            if entry.pid:
                await self._agent.gone(container)
                entry.pid = 0
            entry.addresses = await self._attach(found, pid, addresses)
            entry.pid = pid
            return entry.addresses

    async def ended(self, container: str) -> None:
        """See that a container that does not run any more is off the network. Raises: EngineError."""
        pid = await self._pid(container)
        if not pid:
            # Not behind the lock: this also ends whatever waits for an address.
            await self._agent.gone(container)
        is_taken_off = False
        async with self._entry(container) as entry:
            now = await self._pid(container)
            is_taken_off = not pid and bool(now) and entry.pid == now
            if is_taken_off or not now:
                entry.pid = 0
        if is_taken_off:
            await self.ensure(container)

    async def describe(self, name: str) -> tuple[str, str, int] | None:
        """Return MAC, address and prefix length of a container, once what is under way is done; None if it has none.

        Raises: AttachError, EngineError.
        """
        if not await self.ensure(name):
            return None
        container = str((await self._engine.container(name))["Id"])
        mac, *addresses = (await self._agent.attached()).get(container, ("",))
        if not addresses:
            return None
        address, _, prefix = addresses[0].partition("/")
        return mac, address, int(prefix)

    async def kill(self, container: str) -> None:
        """Kill the first process of a container: its restart policy may try again. Raises: EngineError."""
        pid = await self._pid(container)
        if not pid:
            return
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            try:
                # Still the same process: else the pid may have passed to a stranger before it was opened.
                if await self._pid(container) == pid:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            finally:
                os.close(fd)

    async def name_server(self) -> str:
        """Return the address that containers ask for names; empty when there is none."""
        try:
            return await self._agent.name_server()
        except EngineError as error:
            self._note("WARN", f"containers get no name server: {error}")
            return ""

    def _name(self, config: Mapping[str, Any]) -> str:
        """Return the name that a container is registered under; empty for none."""
        domain = str(config.get("Domainname") or "")
        host = str(config.get("Hostname") or "")
        name = f"{host}.{domain}" if domain else host
        return "" if self._options.without_dns or "." not in name else name

    def wants(self, found: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the addresses that a container wants; None if it is left alone."""
        config = found["Config"]
        if (config.get("Entrypoint") or [""])[0] != SHIM:
            return None
        network = str(found["HostConfig"].get("NetworkMode") or "")
        return wanted_addresses(network, config.get("Env") or (), self._options)

    def has_shim(self, found: Mapping[str, Any]) -> bool:
        """Say whether a container can run the shim."""
        return any(item.get("Destination") == MOUNT for item in found.get("Mounts") or ())

    async def _pid(self, container: str) -> int:
        """Return the first process of a container; 0 if it does not run. Raises: EngineError."""
        try:
            return int((await self._engine.container(container))["State"]["Pid"])
        except EngineError as error:
            if error.status == NOT_FOUND:
                return 0
            raise

    async def _attach(self, found: Mapping[str, Any], pid: int, addresses: tuple[str, ...]) -> tuple[str, ...]:
        container = str(found["Id"])
        try:
            if self._options.rewrite_hosts:
                await self._write_hosts(found, addresses)
            text = await self._agent.attach(
                container,
                f"/proc/{pid}/ns/net",
                addresses,
                multicast=self._options.multicast_route,
                name=self._name(found["Config"]),
            )
        except EngineError as error:
            with contextlib.suppress(EngineError):
                await self._agent.free(container)
            if await self._pid(container) != pid:
                # It has come to its end in the meantime, which nobody minds.
                return ()
            raise AttachError(str(error)) from error
        return tuple(text.split())

    async def _write_hosts(self, found: Mapping[str, Any], addresses: tuple[str, ...]) -> None:
        """Write the file before the interface comes: the container's program may read it at once."""
        container, config = str(found["Id"]), found["Config"]
        bare = [address for text in addresses for address in await self._bare(container, text)]
        extra = found["HostConfig"].get("ExtraHosts") or ()
        gateway = bridge_address(self._options.bridge)
        static = [
            f"{item[: -len('host-gateway')]}{gateway}" if item.endswith(":host-gateway") else item for item in extra
        ]
        text = hosts_text(str(config["Hostname"]), str(config.get("Domainname") or ""), bare, static)
        try:
            write_hosts(str(found["HostsPath"]), container, text)
        except HostsError as error:
            self._note("WARN", f"container {container[:12]} does not find its own name: {error}")

    async def _bare(self, container: str, text: str) -> tuple[str, ...]:
        """Return the bare addresses that a container will get for one of those it wants."""
        kind, _, rest = text.rpartition(":") if text.startswith(("net:", "ip:")) else ("", "", text)
        found = await self._agent.allocate(container, "" if rest == "default" else rest) if kind == "net" else (rest,)
        return tuple(cidr.partition("/")[0] for cidr in found)

    @contextlib.asynccontextmanager
    async def _entry(self, container: str) -> AsyncIterator[Entry]:
        entry = self._entries.setdefault(container, Entry())
        entry.waiting += 1
        try:
            async with entry.lock:
                yield entry
        finally:
            entry.waiting -= 1
            if not entry.pid and not entry.waiting:
                self._entries.pop(container, None)


def bridge_address(bridge: str) -> str:
    """Return the IPv4 address of an interface; empty if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking.fileno(), SIOCGIFADDR, struct.pack("256s", bridge.encode()[:15]))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])
