"""Virtual hosts under virtual time: runs the production Replica and carries out its effects.

One heap holds everything that is going to happen, ordered by time and then by the order of planning, so a seed fixes
a run completely. A host is a Replica, a disk, a kernel and clocks; a crash may come at any gap between the effects of
one `apply`. This file decides nothing about what goes wrong or what is right: `faults`, `workload` and `checks` do.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from core.config import Config
from core.effects import (
    Answer,
    Dial,
    DumpKernel,
    Effect,
    Execute,
    Hangup,
    Note,
    Persist,
    ProbeAddresses,
    Send,
    ServeNames,
    SetTimer,
)
from core.events import (
    AddressesProbed,
    ContainerGone,
    Event,
    KernelChanged,
    KernelDumped,
    LinkDown,
    Misbehaved,
    NamesAsked,
    OpsDone,
    Persisted,
    PersistFailed,
    Received,
    Started,
    TimerFired,
)
from core.kinds import AttachmentRecord
from core.messages import Message
from core.naming.answers import NameAnswers
from core.reconcile.objects import (
    Association,
    Done,
    Endpoint,
    EndpointAddress,
    EndpointUp,
    Guard,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Seal,
    Tap,
    Trust,
    Tunnel,
    Verb,
    VxlanPort,
)
from core.reconcile.plan import held_back
from core.types import LinkId
from sim.clocks import Clock
from sim.dials import Dials
from sim.disk import Disk
from sim.host import Codec, Host, MakeHeart, Watcher
from sim.kernel import FakeKernel
from sim.names import netns_of
from sim.netlink import Netlink, is_news
from sim.network import Connection, End, Network
from sim.strangers import PROBE_US, answers_to
from sim.trace import Trace, effects_text, event_text
from sim.traffic import Traffic
from sim.tunnels import Tunnels

SYNC_US = (1_000, 15_000)
"""An fsync on a good and on a poor disk."""
WRITE_US = (20, 200)
"""A transaction that is not synced."""
SERVER_US = 30_000
"""From the agent's start until its name server runs."""
COMPANY_US = 200_000
"""How long a commit that need not be synced waits for company. Source: `adapters/journal.py`."""
DUMP_US = (500, 5_000)
OP_US = (50, 1_000)
"""A netlink request, and one that enters a namespace."""
LOOK_US = 5_000_000
"""The shell looks whether containers still exist this often."""
NOTIFY_US = 2_000
"""The kernel tells of a change after this long."""
CODEC_EVERY = 8
"""One message in so many passes through the codec; the others travel by reference."""
DECIDE_TRANSPORTS = (VxlanPort, Tap, Tunnel, Guard, Trust, Seal, Association)
"""Kernel objects without which a transport does not get through."""
GARBAGE = "frame is no MessagePack within limits"
"""What a transport says of bytes that were a message once."""


class World:
    """Hosts, the network between them, and what is going to happen."""

    def __init__(
        self, seed: str, configs: tuple[Config, ...], make_heart: MakeHeart, *, codec: Codec | None = None
    ) -> None:
        self.seed = seed
        self.now_us = 0
        self.trace = Trace()
        self.hosts = tuple(_host(seed, index, config) for index, config in enumerate(configs))
        self.network = Network(seed, schedule=self.schedule, clock=lambda: self.now_us, machines=self)
        self.tunnels = Tunnels(seed, self.hosts, self.network, schedule=self.schedule, tell=self.apply)
        self.traffic = Traffic(self.hosts, self.network, self.tunnels)
        self._dials = Dials(self.network, self.hosts, schedule=self.schedule, apply=self.apply)
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
        recovered = host.disk.recover(host.clock.at(self.now_us).wall_ms // 1000)
        host.life += 1
        self.trace.add(self.now_us, host.name, f"start of life {host.life}")
        if self.watcher is not None:
            self.watcher.started(host, recovered)
        entropy = random.Random(f"{self.seed}/life/{host.name}/{host.life}")
        host.heart = (host.make or self._make_heart)(host.config, recovered, entropy)
        self.apply(host, Started())
        self.later(host, SERVER_US, NamesAsked())
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
        host.is_write_due = False
        host.is_paused, host.paused_until_us = False, 0
        host.backlog.clear()
        host.kernel.end_sleeve()
        host.served.clear()
        host.is_serving = False
        links, host.links = host.links, {}
        for connection, end in links.values():
            self.network.close(connection, end, silent=power)
        if power:
            host.is_dark = True
            host.kernel = FakeKernel(fail=self._trouble(host))
            host.netns.clear()
        self.tunnels.look()
        if self.watcher is not None:
            self.watcher.crashed(host)

    def apply(self, host: Host, event: Event) -> None:
        """Tell an agent what happened and carry out what it decides, from left to right."""
        if host.heart is None:
            return
        if host.is_paused:
            host.backlog.append(lambda: self.apply(host, event))
            return
        assert not self._is_applying, "an effect must not cause an event at once"
        self._is_applying = True
        effects = host.heart.apply(event, host.clock.at(self.now_us))
        if self.trace.is_kept:
            self.trace.add(self.now_us, host.name, f"{event_text(event)} -> {effects_text(effects)}")
        doom = host.doom if effects else None
        if doom is not None and doom.spared:
            doom.spared -= 1
            doom = None
        if doom is not None:
            effects = effects[: doom.gap]
        if self.watcher is not None:
            self.watcher.applied(host, event, effects)
        for effect in effects:
            self._carry_out(host, effect)
        self._is_applying = False
        if doom is not None:
            self.crash(host, power=doom.power)
        elif self.watcher is not None:
            self.watcher.stepped(host)

    def pause(self, host: Host, for_us: int) -> None:
        """Let an agent do nothing for a while: its process is stopped, or its machine stands still."""
        if host.heart is None:
            return
        host.is_paused = True
        host.paused_until_us = max(host.paused_until_us, self.now_us + for_us)
        life = host.life
        self.schedule(for_us, lambda: self.resume(host) if host.life == life else None)

    def resume(self, host: Host, *, at_once: bool = False) -> None:
        """Let an agent go on when it is time, and learn of everything that has happened meanwhile."""
        if not host.is_paused or (host.paused_until_us > self.now_us and not at_once):
            return
        host.is_paused, host.paused_until_us = False, 0
        life = host.life
        while host.backlog and host.life == life:
            host.backlog.popleft()()

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
                self.tell(host, item)

    def tell(self, host: Host, *items: KernelObject) -> None:
        """Let an agent hear of changes in its kernel, if that is news and arrives."""
        if not host.netlink.is_mute and any(is_news(item) for item in items):
            self.later(host, NOTIFY_US, KernelChanged())

    # What the network tells.

    def opened(self, connection: Connection, end: End) -> bool:
        """Let an agent know that it has been called; say whether it is there."""
        return self._dials.opened(connection, end)

    def received(self, end: End, message: Message) -> None:
        """Let an agent know what has arrived."""
        host = self.hosts[end.host]
        if host.is_paused:
            host.backlog.append(lambda: self.received(end, message))
        elif end.link in host.links:
            self.apply(host, Received(end.link, message))

    def garbled(self, end: End) -> None:
        """Let an agent know that garbage has arrived."""
        host = self.hosts[end.host]
        if host.is_paused:
            host.backlog.append(lambda: self.garbled(end))
        elif end.link in host.links:
            self.apply(host, Misbehaved(end.link, GARBAGE))

    def went_down(self, end: End, reason: str) -> None:
        """Let an agent know that a connection has ended."""
        host = self.hosts[end.host]
        if host.is_paused:
            host.backlog.append(lambda: self.went_down(end, reason))
        elif host.links.pop(end.link, None) is not None:
            self.apply(host, LinkDown(end.link, reason))

    def is_dark(self, host: int) -> bool:
        """Say whether a machine is without power."""
        return self.hosts[host].is_dark

    # Helpers.

    def _look_for_containers(self, host: Host, life: int) -> None:
        """Report containers whose namespaces are gone, as the shell does at start and every now and then."""
        if host.life != life or host.heart is None:
            return
        records = host.heart.board.of(host.config.peer, AttachmentRecord)
        for key, record in tuple(records):
            if record.netns not in host.netns and host.life == life and not host.is_paused:
                self.apply(host, ContainerGone(key.split("/")[1]))
        self.schedule(LOOK_US, lambda: self._look_for_containers(host, life))

    def _carry_out(self, host: Host, effect: Effect) -> None:
        match effect:
            case Persist():
                self._persist(host, effect)
            case Send(link, message):
                self._send(host, link, message)
            case Dial(target):
                self._dials.dial(host, target)
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
            case ProbeAddresses(probe, addresses):
                self.later(host, PROBE_US, AddressesProbed(probe, answers_to(host, addresses)))
            case ServeNames(names, is_whole):
                if is_whole:
                    host.served.clear()
                    host.is_serving = True
                for answers in names if host.is_serving else ():
                    _serve(host, answers)
            case Answer():
                if self.watcher is not None:
                    self.watcher.answered(host, effect)
            case Note(level, text):
                self.trace.add(self.now_us, host.name, f"{level} {text}")

    def _persist(self, host: Host, effect: Persist) -> None:
        """Hand a commit to the disk: it is written at once if it must be synced, and with others if it need not."""
        host.disk.begin(effect)
        if not host.disk.is_busy:
            self._write_soon(host)

    def _write_soon(self, host: Host) -> None:
        if host.disk.is_urgent:
            self._write(host)
        elif host.disk.has_waiting and not host.is_write_due:
            host.is_write_due = True
            life = host.life

            def wake() -> None:
                if host.life == life and host.is_write_due:
                    self._write(host)

            self.schedule(COMPANY_US, wake)

    def _write(self, host: Host) -> None:
        """Write all commits that wait, in one transaction."""
        host.is_write_due = False
        is_synced = host.disk.write()
        cost_us = host.entropy.randint(*(SYNC_US if is_synced else WRITE_US))
        if host.disk.slow_us:
            cost_us += host.entropy.randint(0, host.disk.slow_us)
        life = host.life

        def finish() -> None:
            if host.life != life:
                return
            results = host.disk.finish()
            self._write_soon(host)
            for effect, why in results:
                if host.life != life:
                    return
                if not why and self.watcher is not None:
                    self.watcher.persisted(host, effect)
                self.apply(host, PersistFailed(effect.ticket, why) if why else Persisted(effect.ticket))

        self.schedule(cost_us, finish)

    def _send(self, host: Host, link: LinkId, message: Message) -> None:
        if self.watcher is not None:
            self.watcher.sent(host, message)
        found = host.links.get(link)
        if found is None:
            return
        codec = host.codec or self._codec
        if codec is not None and self._codec_entropy.randrange(CODEC_EVERY) == 0:
            message = codec(message)
        self.network.send(*found, message)

    def _set_timer(self, host: Host, name: str, due_ms: int | None) -> None:
        host.timers.pop(name, None)
        if due_ms is None:
            return
        host.last_timer += 1
        number = host.timers[name] = host.last_timer
        life = host.life

        def fire() -> None:
            if host.life != life or host.timers.get(name) != number:
                return
            if host.is_paused:
                host.backlog.append(fire)
                return
            early_us = host.clock.when(due_ms, self.now_us) - self.now_us
            if early_us:
                # The clock has begun to run more slowly since.
                self.schedule(early_us, fire)
                return
            del host.timers[name]
            self.apply(host, TimerFired(name))

        self.schedule(max(1, host.clock.when(due_ms, self.now_us) - self.now_us), fire)

    def _dump(self, host: Host, life: int) -> None:
        if host.life != life:
            return
        if host.is_paused:
            host.backlog.append(lambda: self._dump(host, life))
        else:
            self.apply(host, KernelDumped(host.kernel.dump()))

    def _operate(self, host: Host, ops: tuple[Op, ...], done: tuple[tuple[Op, OpResult], ...]) -> None:
        """Carry out operations one after another, so that a crash finds some of them done."""
        life = host.life

        def step() -> None:
            if host.life != life:
                return
            if host.is_paused:
                host.backlog.append(step)
                return
            if not ops:
                self.tell(host, *(op.object for op, result in done if isinstance(result, Done)))
                self.apply(host, OpsDone(done))
                return
            result: OpResult | None = held_back(ops[0], done)
            if result is None:
                result = host.netlink.execute(host.kernel, ops[0])
                if isinstance(ops[0].object, DECIDE_TRANSPORTS):
                    self.tunnels.look()
                if isinstance(ops[0].object, EndpointUp) and ops[0].verb is not Verb.REMOVE:
                    self.traffic.announce(host, ops[0].object.container, ops[0].object.ifname)
                if self.watcher is not None:
                    self.watcher.operated(host, ops[0], result)
            self._operate(host, ops[1:], (*done, (ops[0], result)))

        self.schedule(host.netlink.delay_us(OP_US), step)

    def _trouble(self, host: Host) -> Callable[[Op], OpResult | None]:
        def fail(op: Op) -> OpResult | None:
            item = op.object
            if (
                isinstance(item, Endpoint | EndpointAddress)
                and item.netns not in host.netns
                and op.verb is not Verb.REMOVE
            ):
                return Refused(f"no namespace {item.netns}", "start the container first")
            return None

        return fail


def _serve(host: Host, answers: NameAnswers) -> None:
    if answers == NameAnswers(answers.key):
        host.served.pop(answers.key, None)
    else:
        host.served[answers.key] = answers


def _add(total: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count


def _host(seed: str, index: int, config: Config) -> Host:
    entropy = random.Random(f"{seed}/host/{index}")
    return Host(index, config, entropy, Disk(config.peer), Clock.drawn(entropy), Netlink(entropy))
