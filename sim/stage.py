"""Carries out actions in a world, if they make sense at that moment, and enters in the books what users may rely on.

What goes beyond the promises does not take place unless the scenario allows it: a disk is lost or set back only while
everybody else holds what was on it; only a machine without power may be called dead. How each action is performed, and
how its trouble ends, is said in `perform`, a topic a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.actions import Action
from sim.perform import kernels, machines, network, people
from sim.scenario import Scenario, action_name
from sim.scene import Scene
from sim.world import World

TOPICS = (network, kernels, machines, people)
"""In the order in which trouble ends: paths first, then machines, then what people had asked for."""


class Stage(Scene):
    """A world and what may be done to it."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        super().__init__(world, scenario)
        self.done: dict[str, int] = {}
        """How often each kind of action took place, by name."""
        self.performed: Callable[[Action], None] | None = None
        """Who wants to know what takes place, when it has."""

    def perform(self, action: Action) -> bool:
        """Let something happen now; say whether it made sense and took place."""
        took_place = _PERFORM[type(action)](self, action)
        self.world.tunnels.look()
        if took_place:
            name = action_name(action)
            self.done[name] = self.done.get(name, 0) + 1
            self.world.trace.add(self.world.now_us, "stage", repr(action))
            if self.performed is not None:
                self.performed(action)
        return took_place

    def calm(self) -> None:
        """End all trouble for those who must come right; the others lose power and stay away."""
        self.is_over = True
        for topic in TOPICS:
            topic.calm(self)
        self.world.tunnels.look()

    def relieve(self) -> None:
        """Let those who hold addresses for nothing give them back: others may still wait for them."""
        people.relieve(self)


_PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    kind: performer for topic in TOPICS for kind, performer in topic.PERFORM.items()
}
