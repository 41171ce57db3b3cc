"""The agent of one host: makes the parts, connects them, and takes them apart again. The only place that knows all.

Starting is all or nothing: whatever is in the way is said in one line before anything has changed on the host.
Stopping leaves the kernel forwarding, so a restart is invisible to containers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from adapters.asking import Asking
from adapters.clock import now
from adapters.control.http import ControlError, ControlServer
from adapters.dns.process import NameServer, NameServerError, check_address
from adapters.docker.process import ProxyFailed, ProxyProcess
from adapters.journal import HISTORY_FILE, Journal
from adapters.journal_file import JournalError
from adapters.loop import Heart, Loop
from adapters.mesh.keyring import Keyring
from adapters.mesh.transport import Transport, TransportError
from adapters.recorder import RecordedHeart, Recorder
from adapters.settings import LEVELS, MTU_OVERHEAD, Settings, mtu_min
from core.counters import Counters
from core.effects import Ok, Refusal
from core.events import ContainerGone, Event, KernelChanged, RequestCancelled, Started
from core.replica import Replica
from core.status import Status
from core.types import IPV6, RequestId
from datapath.dad import Prober
from datapath.driver import KernelDriver
from datapath.observe import Monitor
from datapath.probe import has_ipv6, missing_features, why_no_esp
from datapath.routes import overlapping_route, underlay_mtu
from datapath.sleeve.process import Sleeve

LOOK_S = 5.0
"""Between two looks whether the containers' namespaces still exist."""
COUNT_TIMEOUT_S = 2.0
"""For reading counters; usual are 10 ms, but who attaches hundreds of containers comes first."""
JOURNAL_FILE = "journal.db"
LEVEL_OF_NOTE = {"DEBU": "debug", "INFO": "info", "WARN": "warning", "ERRO": "error"}


class StartError(Exception):
    """The agent cannot start; the text says why and what to do."""


def run(settings: Settings, ready_fd: int | None = None, key: bytes | None = None) -> int:
    """Run an agent until it is told to stop; return the exit status.

    `ready_fd` gets `ok` once all is running, or the reason why it never will; `key` is the stretched password.
    """
    try:
        # Before there is an event loop: netlink sockets cannot be opened inside one.
        warning = _check_host(settings)
        settings = _suited_to_host(settings)
        asyncio.run(_Agent(settings, warning, key).run(lambda text: _tell(ready_fd, text)))
    except (StartError, JournalError, TransportError, ControlError, NameServerError, ProxyFailed) as error:
        print(f"FATA: {error}", file=sys.stderr, flush=True)
        _tell(ready_fd, str(error))
        return 1
    return 0


def reset(settings: Settings) -> None:
    """Remove everything of ours from this host: kernel objects and journal. No agent may run. Raises: JournalError."""
    # The lock of the journal proves that there is no agent.
    with _journal(settings, post=lambda *_: None):
        driver = KernelDriver(settings.config.bridge, settings.config.port + 1)
        driver.remove_all()
        driver.close()
        for suffix in ("", "-wal", "-shm"):
            for name in (JOURNAL_FILE, HISTORY_FILE):
                (settings.data / f"{name}{suffix}").unlink(missing_ok=True)


class _Agent:
    def __init__(self, settings: Settings, warning: str, key: bytes | None) -> None:
        assert (key is not None) == settings.config.has_password, "what is promised is done"
        self._settings = settings
        self._key = key
        self._keyring = Keyring()
        self._warning = warning
        self._waiting: dict[RequestId, asyncio.Future[Ok | Refusal]] = {}
        self._names: NameServer | None = None
        self._last_request = 0
        self._level = LEVELS.index(settings.level)

    async def run(self, ready: Callable[[str], None]) -> None:
        """Start, serve, stop. Raises: StartError, JournalError, TransportError, ControlError, ProxyFailed."""
        settings, config = self._settings, self._settings.config
        settings.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
        asyncio_loop = asyncio.get_running_loop()
        journal, recovered = Journal.open(
            settings.data / JOURNAL_FILE,
            config.peer,
            post=asyncio_loop.call_soon_threadsafe,
            history_size_max=settings.history_size_max,
        )
        for text in filter(None, (self._warning, *journal.recovered_notes)):
            self._note("WARN", text)
        entropy = secrets.randbits(128)
        heart: Heart
        heart = self._replica = Replica(config, recovered, random.Random(entropy))
        recorder = None
        if settings.record is not None:
            recorder = Recorder(settings.record, size_max=settings.record_size_max, note=self._note)
            heart = RecordedHeart(heart, recorder)
        sleeve = Sleeve()
        driver = KernelDriver(
            config.bridge, config.port + 1, host=settings.host, secret_of=self._keyring.secret_of, sleeve=sleeve
        )
        self._loop = loop = Loop(heart, journal, driver, answer=self._answer, note=self._note)
        if config.dns:
            loop.names = self._names = NameServer(settings.name_server, report=loop.report, note=self._note)
        transport = loop.transport = Transport(
            loop.report, port=config.port, host=settings.host, key=self._key, keyring=self._keyring
        )
        control = ControlServer(
            settings,
            ask=self._ask,
            describe=lambda: self._describe(journal),
            store=lambda: self._replica.store,
            count=lambda: self._count(driver),
            stop=loop.stop,
            tell=loop.report,
            proxy=lambda: () if proxy is None else proxy.addresses,
        )
        proxy = None if settings.proxy is None else ProxyProcess(settings.proxy, self._note)
        asking = Asking(Prober(config.bridge), loop.report, self._note)
        loop.ask_network = asking.ask
        monitor = Monitor(config.bridge, config.port + 1)
        watching = None
        try:
            await transport.start()
            await control.start()
            asyncio_loop.add_reader(monitor.fileno(), self._kernel_told, monitor)
            asyncio_loop.add_reader(sleeve.fileno(), self._sleeve_told, sleeve)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio_loop.add_signal_handler(number, loop.stop)
            self._note("INFO", f"weave {config.version}; our name is {config.peer}({config.nickname})")
            if config.has_password and not config.esp:
                self._note("INFO", f"VXLAN cannot be encrypted here, the sleeve carries all: {why_no_esp()}")
            how = "via untrusted networks is encrypted" if config.has_password else "is unencrypted"
            self._note("INFO", f"Communication between peers {how}.")
            if recorder is not None:
                # Not earlier: a start that fails must not put aside the recording of one that went well.
                recorder.begin(config, recovered, entropy)
            loop.report(Started())
            if self._names is not None:
                self._names.start()
            watching = asyncio.create_task(self._watch_namespaces())
            if proxy is not None:
                await proxy.start()
            ready("ok")
            await loop.run()
            self._note("INFO", "stopping; the kernel goes on forwarding")
            if recorder is not None:
                recorder.end("the agent was stopped")
        finally:
            if watching is not None:
                watching.cancel()
            asyncio_loop.remove_reader(monitor.fileno())
            asyncio_loop.remove_reader(sleeve.fileno())
            monitor.close()
            asking.close()
            if proxy is not None:
                await proxy.close()
            await control.close()
            await transport.close()
            loop.close()
            if self._names is not None:
                self._names.close()
            if recorder is not None:
                recorder.close()

    def _describe(self, journal: Journal) -> Status:
        """Return the status, with what is wrong outside the heart."""
        status, trouble = self._replica.describe(now()), journal.history_trouble
        if self._names is not None:
            status = replace(status, server=self._names.status)
        return replace(status, alarms=(*status.alarms, trouble)) if trouble else status

    def _ask(self, make: Callable[[RequestId], Event]) -> tuple[asyncio.Future[Ok | Refusal], Callable[[], None]]:
        """Ask the replica something; return its answer to come, and how to want it no more."""
        self._last_request += 1
        request = RequestId(self._last_request)
        future: asyncio.Future[Ok | Refusal] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future

        def cancel() -> None:
            if self._waiting.pop(request, None) is not None:
                self._loop.report(RequestCancelled(request))

        self._loop.report(make(request))
        return future, cancel

    def _answer(self, request: RequestId, reply: Ok | Refusal) -> None:
        future = self._waiting.pop(request, None)
        if future is not None and not future.done():
            future.set_result(reply)

    async def _count(self, driver: KernelDriver) -> Counters:
        """Ask what the data path has dropped; a kernel that is busy keeps nobody waiting."""
        try:
            return await asyncio.wait_for(self._loop.on_kernel(driver.counters), COUNT_TIMEOUT_S)
        except TimeoutError:
            return Counters(trouble=f"the kernel had other things to do for {COUNT_TIMEOUT_S:g} s; ask again")

    def _note(self, level: str, text: str) -> None:
        if LEVELS.index(LEVEL_OF_NOTE[level]) >= self._level:
            moment = datetime.now(UTC)
            print(f"{level}: {moment:%Y/%m/%d %H:%M:%S.%f} {text}", file=sys.stderr, flush=True)

    def _kernel_told(self, monitor: Monitor) -> None:
        if monitor.read():
            self._loop.report(KernelChanged())

    def _sleeve_told(self, sleeve: Sleeve) -> None:
        deaths = sleeve.deaths
        for event in sleeve.read():
            self._loop.report(event)
        if sleeve.deaths > deaths:
            self._note("WARN", f"the sleeve's process died, another one starts: {sleeve.trouble or 'no reason given'}")
            self._loop.report(KernelChanged())

    async def _watch_namespaces(self) -> None:
        """Report containers whose namespaces are gone, at start and every now and then."""
        while True:
            for container in tuple(self._gone()):
                self._loop.report(ContainerGone(container))
            await asyncio.sleep(LOOK_S)

    def _gone(self) -> Iterator[str]:
        for item in self._replica.attachments.describe():
            if not os.path.exists(item.netns):
                yield item.container


def _suited_to_host(settings: Settings) -> Settings:
    """Fill in what depends on the host."""
    config = replace(settings.config, esp=settings.config.has_password and not why_no_esp())
    if settings.mtu_is_default:
        config = replace(config, mtu=max(mtu_min(config.universe), underlay_mtu(config.targets) - MTU_OVERHEAD))
    return replace(settings, config=config)


def _check_host(settings: Settings) -> str:
    """Refuse to start where it cannot work; return a warning, or nothing. Raises: StartError, NameServerError."""
    missing = missing_features()
    if missing:
        raise StartError("; ".join(missing))
    config = settings.config
    if config.dns:
        check_address(settings.name_server)
    if config.universe is None:
        return ""
    if any(part.family == IPV6 for part in config.universe.parts) and not has_ipv6():
        raise StartError(
            f"--ipalloc-range {config.universe} has IPv6, and this kernel has not: boot it without 'ipv6.disable=1', "
            "or load the module ipv6 (CONFIG_IPV6)"
        )
    overlaps = [overlapping_route(str(part), ignore_device=config.bridge) for part in config.universe.parts]
    found = ", ".join(filter(None, overlaps))
    if not found:
        return ""
    if settings.range_is_default:
        raise StartError(
            f"Default --ipalloc-range {config.universe} overlaps with existing route on host ({found}). "
            "You must pick another range and set it on all hosts."
        )
    return f"--ipalloc-range {config.universe} overlaps with existing route on host: {found}"


@contextlib.contextmanager
def _journal(settings: Settings, post: Callable[..., object]) -> Iterator[Journal]:
    journal, _ = Journal.open(settings.data / JOURNAL_FILE, settings.config.peer, post=post)
    try:
        yield journal
    finally:
        journal.close()


def _tell(ready_fd: int | None, text: str) -> None:
    if ready_fd is not None:
        with contextlib.suppress(OSError):
            os.write(ready_fd, f"{text}\n".encode())
            os.close(ready_fd)
