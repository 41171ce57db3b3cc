"""Events go in one at a time, effects come out from left to right, and a bug anywhere is the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from greeting import greeted
from watching import PATIENCE_S, Watcher

from adapters.clock import now
from adapters.journal import Journal
from adapters.journal_file import JournalFile
from adapters.loop import Loop
from adapters.mesh.transport import Transport
from core.config import Config, SeedMode
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
    Refusal,
    Send,
    SetTimer,
)
from core.events import (
    Allocate,
    Commanded,
    DialFailed,
    Event,
    KernelChanged,
    KernelDumped,
    LinkDown,
    LinkUp,
    Lookup,
    OpsDone,
    Persisted,
    PersistFailed,
    Prime,
    Received,
    Started,
    TimerFired,
)
from core.ipam.universe import universe_of
from core.messages import Heartbeat
from core.reconcile.objects import Again, Bridge, Done, Identity, KernelObject, Op, OpResult, Verb
from core.replica import Replica
from core.types import Instant, PeerName, RequestId, ShortId, Ticket
from crdt.fact import Change, Origin
from crdt.store import Store

LOOPBACK = "127.0.0.1"
ME = PeerName("7e:00:00:00:00:01")
BRIDGE = Bridge("weave", ME, 1376)
OPS = (Op(Verb.CREATE, BRIDGE), Op(Verb.CREATE, Identity(ShortId(7))))

Script = dict[type[Event], list[Effect]]


class Scripted(Watcher):
    """A heart that answers events from a table, each kind once, and remembers what it was told and when."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = dict(script)
        self.at: list[Instant] = []

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        self.at.append(at)
        self.report(event)
        return self._script.pop(type(event), [])


class Driver:
    """A kernel that remembers who did what."""

    def __init__(self) -> None:
        self.done: list[Op] = []
        self.threads: dict[int, None] = {}
        self.is_broken = False
        self.is_closed = False

    def observe(self) -> tuple[KernelObject, ...]:
        self.threads[threading.get_ident()] = None
        return tuple(op.object for op in self.done)

    def execute(self, op: Op) -> OpResult:
        assert not self.is_broken, "a bug in the driver"
        self.threads[threading.get_ident()] = None
        self.done.append(op)
        return Done() if op.object == BRIDGE else Again(100, "busy")

    def close(self) -> None:
        self.is_closed = True


class Stage:
    """A loop with all that surrounds it."""

    def __init__(self, path: Path, heart: Scripted | Replica | None = None, *, peer: PeerName = ME) -> None:
        self.driver = Driver()
        self.said: list[object] = []
        self.answers: dict[RequestId, asyncio.Future[Ok | Refusal]] = {}
        self.journal, self.recovered = Journal.open(
            path / "journal.db", peer, post=asyncio.get_running_loop().call_soon_threadsafe
        )
        if heart is not None:
            self.begin(heart)

    def begin(self, heart: Scripted | Replica) -> None:
        """Make the loop; the heart may want to know first what was recovered."""
        self.loop = Loop(heart, self.journal, self.driver, answer=self._answer, note=self._note)
        self.transport = self.loop.transport = Transport(self.loop.report, port=0, host=LOOPBACK)

    async def ask(self, command: Allocate | Lookup | Prime) -> Ok | Refusal:
        """Ask the heart something and wait for the answer."""
        request = RequestId(len(self.answers) + 1)
        self.answers[request] = asyncio.get_running_loop().create_future()
        self.loop.report(Commanded(request, command))
        async with asyncio.timeout(PATIENCE_S):
            return await self.answers[request]

    async def close(self) -> None:
        """Stop everything."""
        self.loop.stop()
        await self.transport.close()
        self.loop.close()

    def _answer(self, request: RequestId, reply: Ok | Refusal) -> None:
        self.said.append(reply)
        if request in self.answers:
            self.answers[request].set_result(reply)

    def _note(self, level: str, text: str) -> None:
        self.said.append((level, text))


@contextlib.asynccontextmanager
async def staged(path: Path, script: Script) -> AsyncIterator[tuple[Stage, Scripted]]:
    heart = Scripted(script)
    stage = Stage(path, heart)
    try:
        yield stage, heart
    finally:
        await stage.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 3 * PATIENCE_S))


def test_effects_are_carried_out_from_left_to_right(tmp_path: Path) -> None:
    async def test() -> None:
        effects: list[Effect] = [
            Note("INFO", "one"),
            Answer(RequestId(1), Ok("two")),
            Note("WARN", "three"),
            Answer(RequestId(2), Refusal("four")),
        ]
        async with staged(tmp_path, {Started: effects}) as (stage, _):
            stage.loop.report(Started())
            assert stage.said == [("INFO", "one"), Ok("two"), ("WARN", "three"), Refusal("four")]

    run(test)


def test_what_happens_before_the_start_waits_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with staged(tmp_path, {}) as (stage, heart):
            stage.loop.report(KernelChanged())
            stage.loop.report(TimerFired("x"))
            assert heart.events == []
            stage.loop.report(Started())
            assert heart.events == [Started(), KernelChanged(), TimerFired("x")]

    run(test)


def test_an_event_caused_by_an_effect_comes_after_all_effects(tmp_path: Path) -> None:
    async def test() -> None:
        heart = Scripted({Started: [Note("INFO", "first"), Note("INFO", "second")], KernelChanged: [Note("INFO", "x")]})
        stage = Stage(tmp_path, heart)
        note = stage._note

        def echo(level: str, text: str) -> None:
            note(level, text)
            if text == "first":
                stage.loop.report(KernelChanged())

        stage.loop._note = echo
        stage.loop.report(Started())
        assert [text for _, text in stage.said] == ["first", "second", "x"]  # type: ignore[misc]
        await stage.close()

    run(test)


def test_events_come_with_both_clocks(tmp_path: Path) -> None:
    async def test() -> None:
        async with staged(tmp_path, {}) as (stage, heart):
            before = now()
            stage.loop.report(Started())
            after = now()
            assert before.mono_ms <= heart.at[0].mono_ms <= after.mono_ms
            assert before.wall_ms <= heart.at[0].wall_ms <= after.wall_ms

    run(test)


def test_commits_are_reported_in_order_and_are_on_disk(tmp_path: Path) -> None:
    async def test() -> None:
        store, me = Store(), Origin(ME, 7)
        first = store.write(me, [Change("a", "k", b"1")])
        store.write(me, [Change("b", "k", b"2")])
        late = store.write(me, [Change("c", "k", b"3")])
        effects: list[Effect] = [
            Persist(Ticket(1), (first,), (), sync=True),
            Persist(Ticket(2), (late,), (), sync=True),
            Persist(Ticket(3), (), (), sync=False),
        ]
        async with staged(tmp_path, {Started: effects}) as (stage, heart):
            stage.loop.report(Started())
            assert heart.events == [Started()], "nothing is confirmed before it is on disk"
            await heart.until(lambda: len(heart.events) == 4)
            assert heart.events[1] == Persisted(Ticket(1))
            assert isinstance(heart.events[2], PersistFailed)
            assert "are missing" in heart.events[2].reason
            assert heart.events[3] == Persisted(Ticket(3))
        journal, recovered = Journal.open(tmp_path / "journal.db", ME, post=print)
        assert recovered.streams == (first,)
        journal.close()

    run(test)


def test_timers_fire_once_not_early_and_the_last_word_counts(tmp_path: Path) -> None:
    async def test() -> None:
        start = now().mono_ms
        effects: list[Effect] = [
            SetTimer("cancelled", start + 1),
            SetTimer("replaced", start + 1),
            SetTimer("cancelled", None),
            SetTimer("never set", None),
            SetTimer("replaced", start + 30),
            SetTimer("past", start - 1_000),
            SetTimer("last", start + 40),
        ]
        async with staged(tmp_path, {Started: effects}) as (stage, heart):
            stage.loop.report(Started())
            assert heart.events == [Started()], "also what is due already comes as an event of its own"
            await heart.until(lambda: TimerFired("last") in heart.events)
            assert heart.events[1:] == [TimerFired("past"), TimerFired("replaced"), TimerFired("last")]
            assert heart.at[2].mono_ms >= start + 30
            assert heart.at[3].mono_ms >= start + 40

    run(test)


def test_a_timer_may_be_set_again_by_what_follows_from_it(tmp_path: Path) -> None:
    async def test() -> None:
        script: Script = {Started: [SetTimer("x", 0)], TimerFired: [SetTimer("x", 0)]}
        async with staged(tmp_path, script) as (stage, heart):
            stage.loop.report(Started())
            await heart.next(TimerFired, 2)

    run(test)


def test_the_kernel_is_worked_on_in_order_by_one_other_thread(tmp_path: Path) -> None:
    async def test() -> None:
        async with staged(tmp_path, {Started: [DumpKernel(), Execute(OPS), DumpKernel()]}) as (stage, heart):
            stage.loop.report(Started())
            await heart.until(lambda: len(heart.events) == 4)
            assert heart.events[1:] == [
                KernelDumped(()),
                OpsDone(((OPS[0], Done()), (OPS[1], Again(100, "busy")))),
                KernelDumped((BRIDGE, Identity(ShortId(7)))),
            ]
            assert len(stage.driver.threads) == 1
            assert threading.get_ident() not in stage.driver.threads
        assert stage.driver.is_closed

    run(test)


def test_questions_to_the_kernel_wait_their_turn_on_its_thread(tmp_path: Path) -> None:
    async def test() -> None:
        async with staged(tmp_path, {Started: [Execute(OPS)]}) as (stage, _):
            stage.loop.report(Started())
            count = await stage.loop.on_kernel(lambda: (threading.get_ident(), len(stage.driver.done)))
            assert count == (next(iter(stage.driver.threads)), len(OPS))

    run(test)


def test_links_are_dialled_spoken_on_and_hung_up(tmp_path: Path) -> None:
    async def test() -> None:
        heart = Scripted({})
        stage = Stage(tmp_path, heart)
        await stage.transport.start()
        target = f"{LOOPBACK}:{stage.transport.port}"
        heart._script[Started] = [Dial(target), Dial("host:x")]
        stage.loop.report(Started())
        await heart.next(LinkUp, 2)
        assert (await heart.next(DialFailed)).target == "host:x"
        (out,) = [event.link for event in heart.all(LinkUp) if event.outbound]
        (into,) = [event.link for event in heart.all(LinkUp) if not event.outbound]
        heart._script[KernelChanged] = [Send(out, Heartbeat()), Hangup(out, "done")]
        stage.loop.report(KernelChanged())
        assert await heart.next(Received) == Received(into, Heartbeat())
        assert await heart.next(LinkDown) == LinkDown(into, "EOF")
        assert ("INFO", f"link {out}: hanging up: done") in stage.said
        await stage.close()
        assert len(heart.all(LinkDown)) == 1

    run(test)


class Fragile(Scripted):
    """A heart with a bug."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        assert not isinstance(event, KernelChanged), "a bug in the replica"
        return super().apply(event, at)


def test_a_bug_in_the_replica_is_the_end(tmp_path: Path) -> None:
    async def test() -> None:
        heart = Fragile({Started: [SetTimer("x", 0)]})
        stage = Stage(tmp_path, heart)
        stage.loop.report(Started())
        stage.loop.report(KernelChanged())
        stage.loop.report(TimerFired("y"))
        with pytest.raises(AssertionError, match="a bug in the replica"):
            await stage.loop.run()
        assert heart.events == [Started()], "it decides nothing any more"
        await stage.close()

    run(test)


def test_a_bug_in_a_driver_is_the_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with staged(tmp_path, {Started: [Execute(OPS)]}) as (stage, heart):
            stage.driver.is_broken = True
            stage.loop.report(Started())
            with pytest.raises(AssertionError, match="a bug in the driver"):
                await stage.loop.run()
            assert not heart.all(OpsDone)

    run(test)


def test_a_bug_in_the_journal_is_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        def broken(*_: object) -> None:
            raise AssertionError("a bug in the journal")

        monkeypatch.setattr(JournalFile, "commit", broken)
        async with staged(tmp_path, {Started: [Persist(Ticket(1), (), (), sync=True)]}) as (stage, _):
            stage.loop.report(Started())
            with pytest.raises(AssertionError, match="a bug in the journal"):
                await stage.loop.run()

    run(test)


def test_a_bug_while_a_link_is_read_is_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        def broken(_: object) -> None:
            raise AssertionError("a bug in the codec")

        monkeypatch.setattr("adapters.mesh.framing.decode", broken)
        async with staged(tmp_path, {}) as (stage, _):
            await stage.transport.start()
            stage.loop.report(Started())
            _, writer = await greeted(stage.transport.port)
            writer.write(b"\0\0\0\1x")
            with pytest.raises(AssertionError, match="a bug in the codec"):
                await stage.loop.run()
            writer.close()

    run(test)


def test_what_the_operating_system_refuses_is_no_bug(tmp_path: Path) -> None:
    async def test() -> None:
        async with staged(tmp_path, {}) as (stage, heart):
            context = {
                "message": "socket.accept() out of system resource",
                "exception": OSError(24, "Too many open files"),
            }
            asyncio.get_running_loop().call_exception_handler(context)
            assert stage.said == [("WARN", "socket.accept() out of system resource: [Errno 24] Too many open files")]
            stage.loop.report(Started())
            assert heart.events == [Started()]
            stage.loop.stop()
            await stage.loop.run()

    run(test)


def host(number: int, **more: object) -> Config:
    names = tuple(PeerName(f"7e:00:00:00:00:0{index}") for index in (1, 2))
    return Config(
        peer=names[number - 1],
        nickname=f"h{number}",
        universe=universe_of("10.32.0.0/24"),
        seed=SeedMode("seed", names),
        discovery=False,
        datapath=False,
        **more,  # type: ignore[arg-type]
    )


async def living(path: Path, config: Config, *, seed: int) -> Stage:
    """Start a host with a real heart on what its journal holds."""
    stage = Stage(path, peer=config.peer)
    stage.begin(Replica(config, stage.recovered, random.Random(seed)))
    await stage.transport.start()
    stage.loop.report(Started())
    return stage


def test_two_hosts_meet_give_addresses_and_remember_them(tmp_path: Path) -> None:
    async def test() -> None:
        one = await living(tmp_path / "1", host(1), seed=1)
        two = await living(tmp_path / "2", host(2, targets=(f"{LOOPBACK}:{one.transport.port}",)), seed=2)
        first, second = await asyncio.gather(one.ask(Allocate("c1", "")), two.ask(Allocate("c2", "")))
        assert isinstance(first, Ok)
        assert isinstance(second, Ok)
        assert first != second
        await two.close()
        # A new process finds what was answered, and nothing else has it.
        again = await living(tmp_path / "2", host(2, targets=(f"{LOOPBACK}:{one.transport.port}",)), seed=3)
        assert again.recovered.origin == two.recovered.origin
        assert await again.ask(Allocate("c2", "")) == second
        third = await again.ask(Allocate("c3", ""))
        assert third not in (first, second)
        assert not [said for said in (*one.said, *again.said) if isinstance(said, tuple) and said[0] == "ERRO"]
        await again.close()
        await one.close()

    run(test)
