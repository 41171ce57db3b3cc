"""What people and scripts do: legal requests, at random times, on random hosts.

Legal means what a sane user would do: a container is detached only when attached, and nobody frees what another holds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from core.types import Address, address_text
from sim import actions
from sim.actions import Action, HostIndex
from sim.agenda import Agenda
from sim.host import Host
from sim.stage import Stage

PAUSE_MS = (20, 5_000)
TAKEOVER_PAUSE_MS = (200, 15_000)
BURST = 40
"""Addresses taken and given back in one go, so that streams forget deletions."""
BURST_MS = 2_000
"""How long they are kept."""
WANTS_TAKEN = 0.5
"""Chance that somebody who wants a certain address wants one that is in use."""
RESTARTED = 0.4
"""Chance that a container comes back."""
RESTART_MS = (100, 40_000)
"""How long it is gone: less or more than its addresses are kept for it."""
RUSH_MS = (100, 6_000)
ADDED_MAX = 20
"""Names that were added by hand, per host: more say nothing new."""
ADORNED = 0.3
"""Share of them with a port, and with a text."""
CONTAINERS_MAX = 40
"""Per host: more say nothing new."""


class Workload:
    """Chooses what the users of all hosts do."""

    def __init__(self, stage: Stage, agenda: Agenda, seed: str, profile: str = "all") -> None:
        self._stage = stage
        self._agenda = agenda
        self._entropy = random.Random(f"{seed}/workload")
        self._names = 0
        self._added = 0
        kinds: tuple[tuple[int, Callable[[Host], Iterator[Action]]], ...] = (
            (4, self._take),
            (4 if stage.scenario.kernels else 0, self._attach),
            (2, self._detach),
            (2, self._give_back),
            (2, self._end_container),
            (2 if stage.scenario.kernels else 0, self._add_name),
            (1 if stage.scenario.kernels else 0, self._remove_name),
            (1, self._claim_again),
            (1, self._claim_address),
            (0 if profile == "takeover" else 1, self._burst),
        )
        self._kinds = [kind for weight, kind in kinds for _ in range(weight * self._entropy.randint(0, 3))]
        if profile == "agreement":
            agenda.every(0, RUSH_MS, self._entropy, self._rush)
        agenda.every(0, TAKEOVER_PAUSE_MS if profile == "takeover" else PAUSE_MS, self._entropy, self._choose)

    def _choose(self) -> Iterator[Action]:
        up = self._stage.up()
        if up and self._kinds:
            yield from self._entropy.choice(self._kinds)(self._entropy.choice(up))

    def _rush(self) -> Iterator[Action]:
        """Let all hosts be asked at once, as when a cluster comes up: several propose how to divide the range."""
        for host in self._stage.up():
            yield from self._take(host)

    def _take(self, host: Host) -> Iterator[Action]:
        if self._has_room(host):
            yield actions.Take(HostIndex(host.index), (self._new_name(),))

    def _attach(self, host: Host) -> Iterator[Action]:
        if self._has_room(host):
            yield actions.Attach(HostIndex(host.index), self._new_name())

    def _detach(self, host: Host) -> Iterator[Action]:
        name = self._old_name(host, is_attached=True)
        if name:
            yield actions.Detach(HostIndex(host.index), name)

    def _end_container(self, host: Host) -> Iterator[Action]:
        """Let a container end, and sometimes one of the same name start soon, as orchestrators do."""
        name = self._old_name(host, is_attached=True)
        if name:
            index = HostIndex(host.index)
            yield actions.EndContainer(index, name)
            if self._entropy.random() < RESTARTED:
                at_ms = self._stage.world.now_us // 1000 + self._entropy.randint(*RESTART_MS)
                self._agenda.plan(at_ms, lambda: iter((actions.Attach(index, name),)))

    def _give_back(self, host: Host) -> Iterator[Action]:
        name = self._old_name(host, is_attached=False)
        if name:
            yield actions.GiveBack(HostIndex(host.index), (name,))

    def _add_name(self, host: Host) -> Iterator[Action]:
        container = self._old_name(host, is_attached=True)
        if container and len(self._stage.books.names.there(host.index)) < ADDED_MAX:
            self._added += 1
            has_port, has_text = self._entropy.random() < ADORNED, self._entropy.random() < ADORNED
            yield actions.AddName(HostIndex(host.index), container, f"N{self._added}", has_port, has_text)

    def _remove_name(self, host: Host) -> Iterator[Action]:
        names = self._stage.books.names.there(host.index)
        if names:
            yield actions.RemoveName(HostIndex(host.index), self._entropy.choice(names))

    def _claim_again(self, host: Host) -> Iterator[Action]:
        name = self._old_name(host, is_attached=False)
        if name:
            yield actions.ClaimAgain(HostIndex(host.index), name)

    def _claim_address(self, host: Host) -> Iterator[Action]:
        """Want an address that somebody has, here or elsewhere, or any one."""
        universe = host.config.universe
        if universe is None or not self._has_room(host):
            return
        taken = [user.addresses[0] for users in self._stage.books.users for user in users.values() if user.addresses]
        if taken and self._entropy.random() < WANTS_TAKEN:
            address = self._entropy.choice(taken)
        else:
            part = universe.parts[self._entropy.randrange(len(universe.parts)) if len(universe.parts) > 1 else 0]
            address = address_text(Address(self._entropy.randrange(part.lo, part.hi)))
        yield actions.ClaimAddress(HostIndex(host.index), self._new_name(), address)

    def _burst(self, host: Host) -> Iterator[Action]:
        """Take many addresses, and give them back after a while."""
        index = HostIndex(host.index)
        names = tuple(self._new_name() for _ in range(BURST))
        until_ms = self._stage.world.now_us // 1000 + BURST_MS
        self._agenda.plan(until_ms, lambda: iter((actions.GiveBack(index, names),)))
        yield actions.Take(index, names)

    def _has_room(self, host: Host) -> bool:
        return len(self._stage.books.users[host.index]) < CONTAINERS_MAX

    def _new_name(self) -> str:
        self._names += 1
        return f"c{self._names}"

    def _old_name(self, host: Host, *, is_attached: bool) -> str:
        users = self._stage.old_users(host, is_attached=is_attached)
        return self._entropy.choice(users).name if users else ""
