"""Between the heart and the world: events in, one at a time; effects out, from left to right.

Nothing is decided here. Everything runs on the asyncio thread except two things that may take long, each on a thread of
its own: the journal, and the kernel. A bug anywhere ends the agent; the next one converges from what is on disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from adapters.clock import now
from adapters.journal import Journal
from adapters.mesh.transport import Transport
from core.effects import (
    Answer,
    Dial,
    DumpKernel,
    Effect,
    Execute,
    Hangup,
    Note,
    Ok,
    Persist,
    ProbeAddresses,
    Refusal,
    Send,
    ServeNames,
    SetTimer,
)
from core.events import AddressesProbed, Event, KernelDumped, OpsDone, Persisted, PersistFailed, Started, TimerFired
from core.reconcile.objects import KernelObject, Op, OpResult
from core.reconcile.plan import held_back
from core.types import Instant, RequestId, Ticket

T = TypeVar("T")


class Heart(Protocol):
    """Decides."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        """Return what follows from an event."""


class Driver(Protocol):
    """Observes and changes the kernel."""

    def observe(self) -> tuple[KernelObject, ...]:
        """Return everything of ours."""

    def execute(self, op: Op) -> OpResult:
        """Carry out one operation."""

    def close(self) -> None:
        """Let go of the kernel, which goes on as it is."""


class Names(Protocol):
    """Answers queries."""

    def serve(self, effect: ServeNames) -> None:
        """Have names answered, soon."""


class Loop:
    """Runs one heart."""

    def __init__(
        self,
        heart: Heart,
        journal: Journal,
        driver: Driver,
        *,
        answer: Callable[[RequestId, Ok | Refusal], None],
        note: Callable[[str, str], None],
    ) -> None:
        """Must be made on the asyncio thread; `transport` is to be set before the first event."""
        self.transport: Transport | None = None
        """Connections to peers."""
        self.names: Names | None = None
        """The name server; None when names are not served."""
        self.ask_network: Callable[[ProbeAddresses], None] | None = None
        """Finds out who uses addresses; without it nobody does."""
        self._asyncio = asyncio.get_running_loop()
        self._heart = heart
        self._journal = journal
        self._driver = driver
        self._answer = answer
        self._note = note
        self._events: deque[Event] = deque()
        self._is_started = False
        self._is_busy = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._kernel = ThreadPoolExecutor(1, "kernel")
        self._end: asyncio.Future[None] = self._asyncio.create_future()
        self._asyncio.set_exception_handler(self._unhandled)

    def report(self, event: Event) -> None:
        """Say that something has happened, on the asyncio thread. What comes before `Started` waits for it."""
        if isinstance(event, Started):
            self._is_started = True
            self._events.appendleft(event)
        else:
            self._events.append(event)
        if self._is_busy or not self._is_started or self._end.done():
            return
        self._is_busy = True
        try:
            while self._events:
                for effect in self._heart.apply(self._events.popleft(), now()):
                    self._carry_out(effect)
        except Exception as error:
            # A bug: there is no state to go on from.
            self._fail(error, "the replica failed")
        finally:
            self._is_busy = False

    async def run(self) -> None:
        """Wait for the end. Raises: whatever a bug has raised."""
        await self._end

    async def on_kernel(self, work: Callable[[], T]) -> T:
        """Run something on the kernel's thread, after what waits there already. Raises: what `work` raises."""
        return await self._asyncio.run_in_executor(self._kernel, work)

    def stop(self) -> None:
        """End well."""
        if not self._end.done():
            self._end.set_result(None)

    def close(self) -> None:
        """Stop working on the kernel, timers and journal."""
        for timer in self._timers.values():
            timer.cancel()
        self._kernel.submit(self._driver.close)
        self._kernel.shutdown()
        self._journal.close()

    def _carry_out(self, effect: Effect) -> None:
        assert self.transport is not None, "set before the first event"
        match effect:
            case Persist():
                self._journal.submit(effect, self._committed)
            case Send(link, message):
                self.transport.send(link, message)
            case Dial(target):
                self.transport.dial(target)
            case Hangup(link, reason):
                self._note("INFO", f"link {link}: hanging up: {reason}")
                self.transport.hangup(link)
            case SetTimer(name, due_ms):
                self._set_timer(name, due_ms)
            case Execute(ops):
                self._on_kernel(lambda: self._execute(ops))
            case DumpKernel():
                self._on_kernel(lambda: KernelDumped(self._driver.observe()))
            case ServeNames():
                assert self.names is not None, "a heart that serves no names has none to tell"
                self.names.serve(effect)
            case ProbeAddresses(probe):
                if self.ask_network is None:
                    self._asyncio.call_soon(self.report, AddressesProbed(probe, ()))
                else:
                    self.ask_network(effect)
            case Answer(request, reply):
                self._answer(request, reply)
            case Note(level, text):
                self._note(level, text)

    def _execute(self, ops: tuple[Op, ...]) -> OpsDone:
        results: list[tuple[Op, OpResult]] = []
        for op in ops:
            results.append((op, held_back(op, results) or self._driver.execute(op)))
        return OpsDone(tuple(results))

    def _committed(self, ticket: Ticket, why: str | None) -> None:
        self.report(Persisted(ticket) if why is None else PersistFailed(ticket, why))

    def _set_timer(self, name: str, due_ms: int | None) -> None:
        old = self._timers.pop(name, None)
        if old is not None:
            old.cancel()
        if due_ms is not None:
            # Less than nothing is right, too: what was due first then fires first.
            delay_s = (due_ms - now().mono_ms) / 1000
            self._timers[name] = self._asyncio.call_later(delay_s, self._fire, name)

    def _fire(self, name: str) -> None:
        del self._timers[name]
        self.report(TimerFired(name))

    def _on_kernel(self, work: Callable[[], Event]) -> None:
        def run() -> None:
            try:
                event = work()
            except Exception as error:
                failure = error
                self._call(lambda: self._fail(failure, "the kernel driver failed"))
            else:
                self._call(lambda: self.report(event))

        self._kernel.submit(run)

    def _call(self, action: Callable[[], None]) -> None:
        """Run something on the asyncio thread, if that still turns."""
        if not self._asyncio.is_closed():
            self._asyncio.call_soon_threadsafe(action)

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what nobody has caught: a bug, unless the operating system has said no (too many open files)."""
        error = context.get("exception")
        if error is None or isinstance(error, OSError):
            self._note("WARN", f"{context['message']}: {error}" if error else context["message"])
        else:
            self._fail(error, context["message"])

    def _fail(self, error: BaseException | None, what: str) -> None:
        if not self._end.done():
            self._end.set_exception(error or RuntimeError(what))
