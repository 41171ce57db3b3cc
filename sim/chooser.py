"""What all choosers need: randomness, a look at the stage, and a place to note what they have in mind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from sim import actions
from sim.actions import Action, HostIndex
from sim.agenda import Agenda, Choice
from sim.host import Host
from sim.stage import Stage

PAUSE_MS = (500, 6_000)
"""Between two troubles of one kind."""
REPAIR_MS = ((1_000, 20_000), (30_000, 120_000))
"""How long a trouble that ends by itself lasts: a hiccup, or more than any time-out."""
DOWN_MS = (50, 15_000)
"""How long a host stays down."""


class Chooser:
    """Draws from one stream of randomness."""

    def __init__(self, stage: Stage, agenda: Agenda, entropy: random.Random) -> None:
        self.stage = stage
        self.agenda = agenda
        self.entropy = entropy

    def host(self) -> Host | None:
        """Draw a host whose agent runs; None when there is none."""
        up = self.stage.up()
        return self.entropy.choice(up) if up else None

    def later(self, span_ms: tuple[int, int], choice: Choice) -> None:
        """Let something be decided after a while."""
        now_ms = self.stage.world.now_us // 1000
        self.agenda.plan(now_ms + self.entropy.randint(*span_ms), choice)


Kind = Callable[[Chooser], Iterator[Action]]
"""A kind of trouble: decides what is done, whenever it is asked."""


def starting(host: Host) -> Choice:
    """Return the decision to start a host."""
    return lambda: iter((actions.Start(HostIndex(host.index)),))
