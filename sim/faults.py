"""What goes wrong, and when: each seed draws which kinds of trouble there are, and how often.

Most runs have two to four kinds, some none: faults that always come together hide what each alone would show. Trouble
stays within what the system promises to survive: a disk loses its tail but not what was synced; a host is wiped only
when somebody else holds all it has said.

Source: swarm testing (Groce et al., 2012); TigerBeetle's VOPR.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from sim import actions
from sim.actions import Action, HostIndex
from sim.agenda import Agenda, Choice
from sim.stage import Stage
from sim.world import Host

PAUSE_MS = (500, 6_000)
"""Between two troubles of one kind."""
REPAIR_MS = ((1_000, 20_000), (30_000, 120_000))
"""How long a trouble that ends by itself lasts: a hiccup, or more than any time-out."""
DOWN_MS = (50, 15_000)
"""How long a host stays down."""
LOSS_MAX_PERCENT = 20
KERNEL_TROUBLE_MAX_PERCENT = 30
CLOCK_STEP_MAX_MS = 3_600_000
GAP_MAX = 12
"""Effects of one event: nearly all have fewer."""

FORGETTING = ("wipes", "rollbacks", "leavers")
ISOLATING = ("cuts", "kills", "power", "gaps", "disk", "operators")
"""A host without memory must find somebody who remembers for it."""


class Faults:
    """Chooses trouble."""

    def __init__(self, stage: Stage, agenda: Agenda, seed: str) -> None:
        self._stage = stage
        self._agenda = agenda
        self._entropy = random.Random(f"{seed}/faults")
        table: dict[str, Choice] = {
            "cuts": self._cut,
            "resets": self._reset,
            "kills": lambda: self._take_down(actions.Kill),
            "power": lambda: self._take_down(actions.CutPower),
            "gaps": self._doom,
            "disk": self._fill_disk,
            "clocks": self._step_clock,
            "kernel": self._meddle,
            "wipes": lambda: self._forget(actions.Wipe),
            "rollbacks": self._roll_back,
            "operators": self._operate,
            "leavers": self._leave,
        }
        count = self._entropy.choice((0, 1, 2, 2, 3, 3, 4, 5))
        drawn = self._entropy.sample(list(table), count)
        if any(name in FORGETTING for name in drawn):
            drawn = [name for name in drawn if name not in ISOLATING]
        self.kinds = tuple(sorted(drawn))
        """What goes wrong in this run."""
        if self._entropy.random() < 0.3:
            percent = self._entropy.randint(1, LOSS_MAX_PERCENT)
            agenda.plan(0, lambda: iter((actions.Lose(percent),)))
        if "kernel" in self.kinds:
            agenda.plan(0, self._disturb_kernels)
        if "rollbacks" in self.kinds:
            agenda.every(0, PAUSE_MS, self._entropy, self._back_up)
        for kind in self.kinds:
            agenda.every(0, PAUSE_MS, self._entropy, table[kind])

    # Network.

    def _cut(self) -> Iterator[Action]:
        """Split the hosts in two, or stop one direction between two of them; some time later all cuts heal."""
        count = len(self._stage.world.hosts)
        if count < 2:
            return
        if self._entropy.random() < 0.3:
            source, target = self._entropy.sample(range(count), 2)
            yield actions.Cut(HostIndex(source), HostIndex(target))
        else:
            side = sorted(self._entropy.sample(range(count), self._entropy.randint(1, count - 1)))
            yield actions.Split(tuple(HostIndex(index) for index in side))
        self._later(self._entropy.choice(REPAIR_MS), lambda: iter((actions.Heal(),)))

    def _reset(self) -> Iterator[Action]:
        count = len(self._stage.world.hosts)
        if count > 1:
            one, other = self._entropy.sample(range(count), 2)
            yield actions.Reset(HostIndex(one), HostIndex(other))

    # Agents and machines.

    def _take_down(self, kind: Callable[[HostIndex], Action]) -> Iterator[Action]:
        host = self._host()
        if host is not None:
            yield kind(HostIndex(host.index))
            self._later(DOWN_MS, self._starting(host))

    def _doom(self) -> Iterator[Action]:
        """Let a host crash between two effects of whatever it does next."""
        host = self._host()
        if host is not None:
            gap, power = self._entropy.randint(0, GAP_MAX), self._entropy.random() < 0.5
            yield actions.Doom(HostIndex(host.index), gap, power)
            self._later(DOWN_MS, self._starting(host))

    def _starting(self, host: Host) -> Choice:
        return lambda: iter((actions.Start(HostIndex(host.index)),))

    # Disks, clocks, kernels.

    def _fill_disk(self) -> Iterator[Action]:
        host = self._host()
        if host is not None:
            index = HostIndex(host.index)
            yield actions.FillDisk(index)
            self._later(REPAIR_MS[0], lambda: iter((actions.EmptyDisk(index),)))

    def _step_clock(self) -> Iterator[Action]:
        host = self._host()
        if host is not None:
            by_ms = self._entropy.randint(-CLOCK_STEP_MAX_MS, CLOCK_STEP_MAX_MS)
            yield actions.StepClock(HostIndex(host.index), by_ms)

    def _disturb_kernels(self) -> Iterator[Action]:
        for host in self._stage.world.hosts:
            yield actions.KernelTrouble(HostIndex(host.index), self._entropy.randint(0, KERNEL_TROUBLE_MAX_PERCENT))

    def _meddle(self) -> Iterator[Action]:
        """Let somebody delete something of ours behind the agent's back."""
        host = self._host()
        objects = () if host is None else host.kernel.observe()
        if host is not None and objects:
            yield actions.LoseObject(HostIndex(host.index), " ".join(self._entropy.choice(objects).key))

    def _forget(self, kind: Callable[[HostIndex], Action]) -> Iterator[Action]:
        """Take what is on a disk, if others remember it."""
        host = self._entropy.choice(self._stage.world.hosts)
        if self._stage.is_remembered(host):
            yield kind(HostIndex(host.index))
            self._later(DOWN_MS, self._starting(host))

    def _roll_back(self) -> Iterator[Action]:
        return self._forget(actions.RollBack)

    def _back_up(self) -> Iterator[Action]:
        host = self._host()
        if host is not None:
            yield actions.BackUp(HostIndex(host.index))

    # Operators.

    def _operate(self) -> Iterator[Action]:
        """Let people do what they do when something has gone wrong, or right."""
        count = len(self._stage.world.hosts)
        if count < 2:
            return
        one, other = (HostIndex(index) for index in self._entropy.sample(range(count), 2))
        draw = self._entropy.random()
        if draw < 0.5:
            yield actions.ConnectTo(one, other)
        else:
            yield actions.ForgetTarget(one, other)
            self._later(REPAIR_MS[0], lambda: iter((actions.ConnectTo(one, other),)))

    def _leave(self) -> Iterator[Action]:
        """Let a host be reset, and come back as a new one of the same name."""
        host = self._host()
        if host is not None:
            yield actions.ResetHost(HostIndex(host.index))
            self._later(DOWN_MS, self._starting(host))

    # Helpers.

    def _host(self) -> Host | None:
        up = self._stage.up()
        return self._entropy.choice(up) if up else None

    def _later(self, span_ms: tuple[int, int], choice: Choice) -> None:
        now_ms = self._stage.world.now_us // 1000
        self._agenda.plan(now_ms + self._entropy.randint(*span_ms), choice)
