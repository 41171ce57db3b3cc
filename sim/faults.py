"""What goes wrong, and when: each seed draws which kinds of trouble there are, and how often.

Most runs have two to four kinds, some none: faults that always come together hide what each alone would show. Trouble
stays within what the system promises to survive: a disk loses its tail but not what was synced; a host is wiped only
when somebody else holds all it has said.

Source: swarm testing (Groce et al., 2012); TigerBeetle's VOPR.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from core.events import KernelChanged
from core.replica import Replica
from sim.world import Host, World

PAUSE_US = (500_000, 6_000_000)
"""Between two troubles of one kind."""
REPAIR_US = ((1_000_000, 20_000_000), (30_000_000, 120_000_000))
"""How long a trouble that ends by itself lasts: a hiccup, or more than any time-out."""
DOWN_US = (50_000, 15_000_000)
"""How long a host stays down."""
LOSS_MAX = 0.2
KERNEL_TROUBLE_MAX = 0.3
CLOCK_STEP_MAX_US = 3_600_000_000


class Faults:
    """Makes trouble in a world until told to stop."""

    def __init__(self, world: World, seed: str) -> None:
        self._world = world
        self._entropy = random.Random(f"{seed}/faults")
        self._is_over = False
        kinds: tuple[tuple[str, Callable[[], None]], ...] = (
            ("cuts", self._cut),
            ("resets", self._reset),
            ("kills", self._kill),
            ("power", self._power),
            ("gaps", self._doom),
            ("disk", self._fill_disk),
            ("clocks", self._step_clock),
            ("kernel", self._meddle),
            ("wipes", self._wipe),
            ("rollbacks", self._roll_back),
        )
        count = self._entropy.choice((0, 1, 2, 2, 3, 3, 4, 5))
        drawn = self._entropy.sample([name for name, _ in kinds], count)
        if "wipes" in drawn or "rollbacks" in drawn:
            # A host without memory must find somebody who remembers for it.
            drawn = [name for name in drawn if name not in ("cuts", "kills", "power", "gaps", "disk")]
        self.kinds = tuple(sorted(drawn))
        """What goes wrong in this run."""
        self._actions = tuple(action for name, action in kinds if name in self.kinds)
        if self._entropy.random() < 0.3:
            world.network.lose(self._entropy.random() * LOSS_MAX)
        if "kernel" in self.kinds:
            world.kernel_trouble = self._entropy.random() * KERNEL_TROUBLE_MAX

    def begin(self) -> None:
        """Let each kind begin."""
        for action in self._actions:
            self._again(action)

    def end(self) -> None:
        """Repair everything, for good."""
        self._is_over = True
        world = self._world
        world.network.heal()
        world.network.lose(0)
        world.kernel_trouble = 0.0
        for host in world.hosts:
            host.disk.is_full = False
            host.is_doomed = False
            if host.heart is None and not host.is_retired:
                world.start(host)

    def _again(self, action: Callable[[], None]) -> None:
        def act() -> None:
            if not self._is_over:
                action()
                self._again(action)

        self._world.schedule(self._entropy.randint(*PAUSE_US), act)

    def _later(self, span: tuple[int, int], action: Callable[[], None]) -> None:
        self._world.schedule(self._entropy.randint(*span), lambda: None if self._is_over else action())

    def _host(self) -> Host | None:
        alive = [host for host in self._world.hosts if host.heart is not None]
        return self._entropy.choice(alive) if alive else None

    def _cut(self) -> None:
        """Split the hosts in two, or stop one direction between two of them; some time later all cuts heal."""
        world, count = self._world, len(self._world.hosts)
        if count < 2:
            return
        if self._entropy.random() < 0.3:
            source, target = self._entropy.sample(range(count), 2)
            world.network.cut(source, target)
            what = f"{source} hears nothing of {target}"
        else:
            side = dict.fromkeys(self._entropy.sample(range(count), self._entropy.randint(1, count - 1)))
            for one in range(count):
                for other in range(count):
                    if (one in side) != (other in side):
                        world.network.cut(one, other)
            what = f"{sorted(side)} against the rest"
        world.trace.add(world.now_us, "net", f"cut: {what}")
        self._later(self._entropy.choice(REPAIR_US), world.network.heal)

    def _reset(self) -> None:
        connections = [connection for connection in self._world.network.connections if not connection.is_dead]
        if connections:
            self._world.network.reset(self._entropy.choice(connections))

    def _kill(self) -> None:
        host = self._host()
        if host is not None:
            self._down(host, power=False)

    def _power(self) -> None:
        host = self._host()
        if host is not None:
            self._down(host, power=True)

    def _down(self, host: Host, *, power: bool) -> None:
        self._world.crash(host, power=power)
        self._later(DOWN_US, lambda: self._up(host))

    def _up(self, host: Host) -> None:
        if host.heart is None and not host.is_retired:
            self._world.start(host)

    def _doom(self) -> None:
        """Let a host crash between two effects of whatever it does next."""
        host = self._host()
        if host is not None:
            host.is_doomed = True
            self._later(DOWN_US, lambda: self._up(host))

    def _fill_disk(self) -> None:
        host = self._host()
        if host is not None:
            host.disk.is_full = True
            self._later(REPAIR_US[0], lambda: setattr(host.disk, "is_full", False))

    def _step_clock(self) -> None:
        host = self._host()
        if host is not None:
            host.clock.step(self._entropy.randint(-CLOCK_STEP_MAX_US, CLOCK_STEP_MAX_US))

    def _meddle(self) -> None:
        """Let somebody delete something of ours behind the agent's back."""
        host = self._host()
        if host is None:
            return
        objects = host.kernel.observe()
        if objects:
            host.kernel.lose(self._entropy.choice(objects))
            self._world.later(host, 2_000, KernelChanged())

    def _wipe(self) -> None:
        """Take a host's disk, if others remember what was on it."""
        host = self._replaceable()
        if host is not None:
            self._world.crash(host, power=False)
            host.disk.wipe()
            self._later(DOWN_US, lambda: self._up(host))

    def _roll_back(self) -> None:
        """Put an older copy of its disk into a host, if others remember what came after; then copy all disks."""
        host = self._replaceable()
        if host is not None:
            self._world.crash(host, power=False)
            host.disk.roll_back()
            self._later(DOWN_US, lambda: self._up(host))
            for other in self._world.hosts:
                if other is not host:
                    other.disk.back_up()

    def _replaceable(self) -> Host | None:
        """Return a host whose memory others share: there is a ring, all hold the same, and it will call them."""
        hosts = self._world.hosts
        host = self._entropy.choice(hosts)
        if len(hosts) < 2 or any(other.heart is None for other in hosts) or not host.config.targets:
            return None
        if len(dict.fromkeys(other.heart.store.digest.root for other in hosts if other.heart is not None)) > 1:
            return None
        if not isinstance(host.heart, Replica) or host.heart.allocator.ring is None:
            # A voter that forgets its vote would hold up the agreement for ever: consensus needs its acceptors' memory.
            return None
        return host
