"""Virtual hosts under virtual time: runs the production Replica and carries out its effects.

One heap holds everything that is going to happen, ordered by time and then by the order of planning, so a seed fixes
a run completely. A host is a Replica, a disk, a kernel and clocks; a crash may come at any gap between the effects of
one `apply`. This file decides nothing about what goes wrong or what is right: `faults`, `workload` and `checks` do.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.board import Board
from core.config import Config, Recovered
from core.effects import Answer, Dial, DumpKernel, Effect, Execute, Hangup, Note, Persist, Send, SetTimer
from core.events import (
    ContainerGone,
    DialFailed,
    Event,
    KernelChanged,
    KernelDumped,
    LinkDown,
    LinkUp,
    OpsDone,
    Persisted,
    PersistFailed,
    Received,
    Started,
    TimerFired,
)
from core.kinds import AttachmentRecord
from core.messages import Message
from core.reconcile.objects import Again, Endpoint, EndpointAddress, Op, OpResult, Refused, Verb
from core.reconcile.plan import held_back
from core.types import HostPort, Instant, LinkId, RequestId
from crdt.store import Store
from sim.clocks import Clock
from sim.disk import Disk
from sim.kernel import FakeKernel
from sim.names import address_of, netns_of
from sim.network import DIAL_TIMEOUT_US, FIRST_EPHEMERAL_PORT, Connection, End, Network
from sim.trace import Trace, effects_text, event_text

SYNC_US = (1_000, 15_000)
"""An fsync on a good and on a poor disk."""
WRITE_US = (20, 200)
"""A commit that is not synced."""
DUMP_US = (500, 5_000)
OP_US = (50, 1_000)
"""A netlink request, and one that enters a namespace."""
LOOK_US = 5_000_000
"""The shell looks whether containers still exist this often."""
NOTIFY_US = 2_000
"""The kernel tells of a change after this long."""
CODEC_EVERY = 8
"""One message in so many passes through the codec; the others travel by reference."""
CONTROL_PORT = 6783


class Heart(Protocol):
    """What the simulator needs of a Replica."""

    @property
    def store(self) -> Store:
        """Replicated state, of our own only what is durable."""

    @property
    def board(self) -> Board:
        """Parsed facts."""

    @property
    def marks(self) -> dict[str, int]:
        """Marked places passed."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        """Decide."""


class Watcher(Protocol):
    """Who looks on, and says when something is wrong by raising."""

    def sent(self, host: Host, message: Message) -> None:
        """A host handed a message to the network."""

    def answered(self, host: Host, answer: Answer) -> None:
        """A host answered a question."""

    def operated(self, host: Host, op: Op, result: OpResult) -> None:
        """A kernel operation was carried out."""

    def crashed(self, host: Host) -> None:
        """A host has lost its memory."""

    def started(self, host: Host, recovered: Recovered) -> None:
        """A host is about to live again, with what its disk held."""

    def persisted(self, host: Host, effect: Persist) -> None:
        """A commit has taken place; synced ones survive everything but the loss of the disk."""

    def applied(self, host: Host, event: Event, effects: Sequence[Effect]) -> None:
        """A host has decided on an event; these effects are carried out next, all unless it crashes among them."""

    def stepped(self, host: Host) -> None:
        """A host has applied an event, and its effects are carried out."""


MakeHeart = Callable[[Config, Recovered, random.Random], Heart]
Codec = Callable[[Message], Message]


@dataclass(slots=True)
class Host:
    """One machine."""

    index: int
    """Number in the world, from 0."""
    config: Config
    """Settings."""
    entropy: random.Random
    """Randomness of its disk, kernel and crashes."""
    disk: Disk
    """Its journal."""
    clock: Clock
    """Its clocks."""
    kernel: FakeKernel = field(default_factory=FakeKernel)
    """Outlives the agent, not the machine."""
    heart: Heart | None = None
    """The agent; None while it is down."""
    life: int = 0
    """Raised at each start and crash; what an earlier life had planned does not happen."""
    doom: tuple[int, bool] | None = None
    """It crashes in the next event that has effects: after how many of them, and whether without power."""
    is_dark: bool = False
    """The machine is without power."""
    kernel_trouble: float = 0.0
    """Chance that a kernel operation has to be tried again."""
    links: dict[LinkId, tuple[Connection, End]] = field(default_factory=dict)
    """Open connections of this life."""
    timers: dict[str, int] = field(default_factory=dict)
    """Armed timers, each with a number that tells it from its predecessors."""
    netns: dict[str, None] = field(default_factory=dict)
    """Network namespaces that exist."""
    disk_free_us: int = 0
    """When the commits under way are done."""
    last_link: int = 0
    """Newest link number."""
    last_request: int = 0
    """Newest request number."""
    last_timer: int = 0
    """Newest timer number."""

    @property
    def name(self) -> str:
        """Return what traces call it."""
        return self.config.nickname

    def next_request(self) -> RequestId:
        """Number a question."""
        self.last_request += 1
        return RequestId(self.last_request)


class World:
    """Hosts, the network between them, and what is going to happen."""

    def __init__(
        self, seed: str, configs: tuple[Config, ...], make_heart: MakeHeart, *, codec: Codec | None = None
    ) -> None:
        self.seed = seed
        self.now_us = 0
        self.trace = Trace()
        self.hosts = tuple(_host(seed, index, config) for index, config in enumerate(configs))
        self._by_address = {address_of(host.index): host for host in self.hosts}
        self.network = Network(
            seed,
            schedule=self.schedule,
            receive=self._receive,
            down=self._down,
            clock=lambda: self.now_us,
        )
        self.watcher: Watcher | None = None
        self._past_marks: dict[str, int] = {}
        self._make_heart = make_heart
        self._codec = codec
        self._codec_entropy = random.Random(f"{seed}/codec")
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0
        self._is_applying = False
        for host in self.hosts:
            host.kernel.fail = self._trouble(host)

    @property
    def marks(self) -> dict[str, int]:
        """How often each marked place was passed, in all lives."""
        total = dict(self._past_marks)
        for host in self.hosts:
            if host.heart is not None:
                _add(total, host.heart.marks)
        return total

    def schedule(self, delay_us: int, action: Callable[[], None]) -> None:
        """Plan an action; those of one moment happen in the order of planning."""
        assert delay_us >= 0
        self._planned += 1
        heapq.heappush(self._heap, (self.now_us + delay_us, self._planned, action))

    def run(self, until_us: int) -> None:
        """Let everything happen that is due by then."""
        while self._heap and self._heap[0][0] <= until_us:
            self.now_us, _, action = heapq.heappop(self._heap)
            action()
        self.now_us = until_us

    def start(self, host: Host) -> None:
        """Start an agent on what its disk holds."""
        assert host.heart is None
        if host.is_dark:
            host.is_dark = False
            host.clock.reboot(self.now_us)
        recovered = host.disk.recover()
        host.life += 1
        self.trace.add(self.now_us, host.name, f"start of life {host.life}")
        if self.watcher is not None:
            self.watcher.started(host, recovered)
        host.heart = self._make_heart(
            host.config, recovered, random.Random(f"{self.seed}/life/{host.name}/{host.life}")
        )
        self.apply(host, Started())
        self._look_for_containers(host, host.life)

    def crash(self, host: Host, *, power: bool) -> None:
        """End an agent at once; without power the machine's memory and containers go with it."""
        if host.heart is None and (host.is_dark or not power):
            return
        self.trace.add(self.now_us, host.name, "loses power" if power else "is killed")
        if host.heart is not None:
            _add(self._past_marks, host.heart.marks)
        host.heart = None
        host.life += 1
        host.doom = None
        host.timers.clear()
        host.disk.crash(host.entropy, power=power)
        host.disk_free_us = self.now_us
        links, host.links = host.links, {}
        for connection, end in links.values():
            self.network.close(connection, end, silent=power)
        if power:
            host.is_dark = True
            host.kernel = FakeKernel(fail=self._trouble(host))
            host.netns.clear()
        if self.watcher is not None:
            self.watcher.crashed(host)

    def apply(self, host: Host, event: Event) -> None:
        """Tell an agent what happened and carry out what it decides, from left to right."""
        if host.heart is None:
            return
        assert not self._is_applying, "an effect must not cause an event at once"
        self._is_applying = True
        effects = host.heart.apply(event, host.clock.at(self.now_us))
        if self.trace.is_kept:
            self.trace.add(self.now_us, host.name, f"{event_text(event)} -> {effects_text(effects)}")
        doom = host.doom if effects else None
        if doom is not None:
            effects = effects[: doom[0]]
        if self.watcher is not None:
            self.watcher.applied(host, event, effects)
        for effect in effects:
            self._carry_out(host, effect)
        self._is_applying = False
        if doom is not None:
            self.crash(host, power=doom[1])
        elif self.watcher is not None:
            self.watcher.stepped(host)

    def later(self, host: Host, delay_us: int, event: Event) -> None:
        """Tell an agent of something after a while, if it is still the same life."""
        life = host.life
        self.schedule(delay_us, lambda: self.apply(host, event) if host.life == life else None)

    def end_netns(self, host: Host, container: str) -> None:
        """Let a container and its namespace vanish, and with them the kernel's objects in it."""
        host.netns.pop(netns_of(container), None)
        for item in host.kernel.observe():
            if isinstance(item, Endpoint) and item.container == container:
                host.kernel.lose(item)
        self.later(host, NOTIFY_US, KernelChanged())

    def _look_for_containers(self, host: Host, life: int) -> None:
        """Report containers whose namespaces are gone, as the shell does at start and every now and then."""
        if host.life != life or host.heart is None:
            return
        records = host.heart.board.of(host.config.peer, AttachmentRecord)
        for key, record in tuple(records):
            if record.netns not in host.netns and host.life == life:
                self.apply(host, ContainerGone(key.split("/")[1]))
        self.schedule(LOOK_US, lambda: self._look_for_containers(host, life))

    def _carry_out(self, host: Host, effect: Effect) -> None:
        match effect:
            case Persist():
                self._persist(host, effect)
            case Send(link, message):
                self._send(host, link, message)
            case Dial(target):
                self._dial(host, target)
            case Hangup(link, _):
                found = host.links.pop(link, None)
                if found is not None:
                    self.network.close(*found)
            case SetTimer(name, due_ms):
                self._set_timer(host, name, due_ms)
            case Execute(ops):
                self._operate(host, ops, ())
            case DumpKernel():
                life = host.life
                self.schedule(host.entropy.randint(*DUMP_US), lambda: self._dump(host, life))
            case Answer():
                if self.watcher is not None:
                    self.watcher.answered(host, effect)
            case Note(level, text):
                self.trace.add(self.now_us, host.name, f"{level} {text}")

    def _persist(self, host: Host, effect: Persist) -> None:
        host.disk.begin(effect)
        cost_us = host.entropy.randint(*(SYNC_US if effect.sync else WRITE_US))
        host.disk_free_us = max(host.disk_free_us, self.now_us) + cost_us
        life = host.life

        def finish() -> None:
            if host.life != life:
                return
            if host.disk.finish(sync=effect.sync):
                if self.watcher is not None:
                    self.watcher.persisted(host, effect)
                self.apply(host, Persisted(effect.ticket))
            else:
                self.apply(host, PersistFailed(effect.ticket, "no space left on device"))

        self.schedule(host.disk_free_us - self.now_us, finish)

    def _send(self, host: Host, link: LinkId, message: Message) -> None:
        if self.watcher is not None:
            self.watcher.sent(host, message)
        found = host.links.get(link)
        if found is None:
            return
        if self._codec is not None and self._codec_entropy.randrange(CODEC_EVERY) == 0:
            message = self._codec(message)
        self.network.send(*found, message)

    def _dial(self, host: Host, target: str) -> None:
        name, _, port = target.partition(":")
        other = self._host_at(name, int(port) if port else CONTROL_PORT)
        if other is None:
            self.later(host, 100_000, DialFailed(target, "no route to host"))
            return
        if not self.network.passes(host.index, other.index) or not self.network.passes(other.index, host.index):
            self.later(host, DIAL_TIMEOUT_US, DialFailed(target, "connection timed out"))
            return
        life = host.life
        there_us = self.network.delay_us(host.index, other.index)
        self.schedule(there_us, lambda: self._accept(host, life, other, target))

    def _accept(self, host: Host, life: int, other: Host, target: str) -> None:
        back_us = self.network.delay_us(other.index, host.index)
        if other.heart is None:
            if host.life == life:
                self.later(host, back_us, DialFailed(target, "connection refused"))
            return
        if host.life != life:
            return
        near, far = self._end(host), self._end(other)
        connection = self.network.connect(near, far)
        # The dialler speaks only once it has heard back; the acceptor may speak at once, behind the same delay.
        far.last_us = self.now_us + back_us
        remote = HostPort(address_of(other.index), other.config.port)
        self._stand(other, connection, far, LinkUp(far.link, False, self._ephemeral(host, near), None))

        def reached() -> None:
            if host.life != life:
                self.network.close(connection, near)
            elif near.is_open and not connection.is_dead:
                self._stand(host, connection, near, LinkUp(near.link, True, remote, target))
            else:
                self.apply(host, DialFailed(target, "connection reset by peer"))

        self.schedule(back_us, reached)

    def _stand(self, host: Host, connection: Connection, end: End, event: LinkUp) -> None:
        host.links[end.link] = (connection, end)
        self.apply(host, event)

    def _end(self, host: Host) -> End:
        host.last_link += 1
        return End(host.index, LinkId(host.last_link))

    def _ephemeral(self, host: Host, end: End) -> HostPort:
        return HostPort(address_of(host.index), FIRST_EPHEMERAL_PORT + end.link % FIRST_EPHEMERAL_PORT)

    def _receive(self, end: End, message: Message) -> None:
        host = self.hosts[end.host]
        if end.link in host.links:
            self.apply(host, Received(end.link, message))

    def _down(self, end: End, reason: str) -> None:
        host = self.hosts[end.host]
        if host.links.pop(end.link, None) is not None:
            self.apply(host, LinkDown(end.link, reason))

    def _set_timer(self, host: Host, name: str, due_ms: int | None) -> None:
        host.timers.pop(name, None)
        if due_ms is None:
            return
        host.last_timer += 1
        number = host.timers[name] = host.last_timer
        life = host.life

        def fire() -> None:
            if host.life == life and host.timers.get(name) == number:
                del host.timers[name]
                self.apply(host, TimerFired(name))

        self.schedule(max(1, host.clock.when(due_ms, self.now_us) - self.now_us), fire)

    def _dump(self, host: Host, life: int) -> None:
        if host.life == life:
            self.apply(host, KernelDumped(host.kernel.observe()))

    def _operate(self, host: Host, ops: tuple[Op, ...], done: tuple[tuple[Op, OpResult], ...]) -> None:
        """Carry out operations one after another, so that a crash finds some of them done."""
        life = host.life

        def step() -> None:
            if host.life != life:
                return
            if not ops:
                self.later(host, NOTIFY_US, KernelChanged())
                self.apply(host, OpsDone(done))
                return
            result: OpResult | None = held_back(ops[0], done)
            if result is None:
                result = host.kernel.execute(ops[0])
                if self.watcher is not None:
                    self.watcher.operated(host, ops[0], result)
            self._operate(host, ops[1:], (*done, (ops[0], result)))

        self.schedule(host.entropy.randint(*OP_US), step)

    def _trouble(self, host: Host) -> Callable[[Op], OpResult | None]:
        def fail(op: Op) -> OpResult | None:
            item = op.object
            if isinstance(item, Endpoint | EndpointAddress) and item.netns not in host.netns:
                if op.verb is not Verb.REMOVE:
                    return Refused(f"no namespace {item.netns}", "start the container first")
            elif host.kernel_trouble and host.entropy.random() < host.kernel_trouble:
                return Again(100, "device or resource busy")
            return None

        return fail

    def _host_at(self, name: str, port: int) -> Host | None:
        host = self._by_address.get(name)
        return None if host is None or host.config.port != port else host


def _add(total: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count


def _host(seed: str, index: int, config: Config) -> Host:
    entropy = random.Random(f"{seed}/host/{index}")
    return Host(index, config, entropy, Disk(config.peer), Clock.drawn(entropy))
