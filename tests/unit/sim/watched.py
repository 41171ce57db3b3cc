"""A run that is looked at on the way: what each host was told, and what it decided."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from core.effects import Effect
from core.events import Event
from sim.actions import Action, HostIndex
from sim.agenda import Agenda
from sim.chooser import Chooser, Kind
from sim.host import Host
from sim.run import Run
from sim.scenario import HostSpec, Scenario

A, B, C = HostIndex(0), HostIndex(1), HostIndex(2)
ONE = (HostSpec("a"),)
TWO = (HostSpec("a"), HostSpec("b", (A,)))
THREE = (HostSpec("a"), HostSpec("b", (A,)), HostSpec("c", (A, B)))
FOREVER_MS = 3_600_000
E = TypeVar("E")


class Watched:
    """Two hosts that know each other, or whatever is asked for, left alone until something is done to them."""

    def __init__(self, hosts: tuple[HostSpec, ...] = TWO, **fields: object) -> None:
        settings = {"seed": "1", "universe": "10.32.0.0/24", "ring": "seed", "until_ms": FOREVER_MS, **fields}
        self.run = Run(Scenario(hosts=hosts, **settings))  # type: ignore[arg-type]  # tests name what they mean
        self.world, self.stage = self.run.world, self.run.stage
        self.told: list[tuple[int, int, Event, tuple[Effect, ...]]] = []
        """Virtual milliseconds, host, event, and what it decided."""
        checks_applied = self.run.checks.applied

        def applied(host: Host, event: Event, effects: Sequence[Effect]) -> None:
            self.told.append((self.now_ms, host.index, event, tuple(effects)))
            checks_applied(host, event, effects)

        self.run.checks.applied = applied  # type: ignore[method-assign]
        self.wait(1_000)

    @property
    def now_ms(self) -> int:
        return self.world.now_us // 1000

    def wait(self, for_ms: int) -> None:
        self.run.until(self.now_ms + for_ms)

    def perform(self, *actions: Action) -> list[bool]:
        return [self.stage.perform(action) for action in actions]

    def events(self, host: int, kind: type[E]) -> list[E]:
        """Return what of a kind a host was told."""
        return [event for _, index, event, _ in self.told if index == host and isinstance(event, kind)]

    def forget(self) -> None:
        self.told.clear()

    def links(self, host: int) -> int:
        """Return how many neighbours a host has a session with."""
        heart = self.world.hosts[host].heart
        return 0 if heart is None else len(heart.mesh._sessions.links)  # type: ignore[attr-defined]

    def are_equal(self) -> bool:
        """Say whether all hosts that run hold the same facts."""
        roots = {host.heart.store.digest.root for host in self.world.hosts if host.heart is not None}
        return len(roots) == 1

    def settle(self) -> None:
        """End all trouble; everything must come right. Raises: Violation."""
        self.run._settle()


def chosen(kind: Kind, hosts: tuple[HostSpec, ...] = THREE, **fields: object) -> list[Action]:
    """Choose a kind of trouble often, let what follows follow, and return what took place."""
    watched = Watched(hosts, **fields)
    agenda, entropy = Agenda(), random.Random(5)
    chooser = Chooser(watched.stage, agenda, entropy)
    agenda.every(watched.now_ms, (500, 2_000), entropy, lambda: kind(chooser))
    done: list[Action] = []
    while watched.now_ms < 60_000:
        watched.wait((agenda.next_ms() or 0) - watched.now_ms)
        done += [action for action in agenda.take() if watched.stage.perform(action)]
    return done
