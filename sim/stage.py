"""Carries out actions in a world, if they make sense at that moment, and enters in the books what users may rely on.

What goes beyond the promises does not take place unless the scenario allows it: a disk is lost or set back only while
everybody else holds what was on it; only a machine without power may be called dead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.effects import Answer, Ok
from core.events import (
    Allocate,
    AttachAsked,
    Claim,
    Command,
    Commanded,
    Connect,
    ContainerGone,
    DetachAsked,
    Forget,
    Free,
    KernelChanged,
    Leave,
)
from core.events import RemovePeers as RemoveCommand
from core.replica import Replica
from sim import actions
from sim.actions import Action
from sim.books import Books, Pending, User
from sim.names import address_of, netns_of
from sim.scenario import Scenario, action_name
from sim.world import Host, World

USERS_MAX = 80
"""Per host: more say nothing new."""
NOTICE_US = 2_000
"""The kernel tells of a change after this long."""


class Stage:
    """A world and what may be done to it."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self.world = world
        self.scenario = scenario
        self.books = Books.of(len(world.hosts))
        self.done: dict[str, int] = {}
        """How often each kind of action took place, by name."""
        self._is_over = False

    def perform(self, action: Action) -> bool:
        """Let something happen now; say whether it made sense and took place."""
        took_place = _PERFORM[type(action)](self, action)
        if took_place:
            name = action_name(action)
            self.done[name] = self.done.get(name, 0) + 1
            self.world.trace.add(self.world.now_us, "stage", repr(action))
        return took_place

    def calm(self) -> None:
        """End all trouble for those who must come right; the others lose power and stay away."""
        self._is_over = True
        world = self.world
        members = dict.fromkeys(self.scenario.members())
        world.network.heal()
        world.network.lose(0)
        for host in world.hosts:
            if host.index not in members:
                world.crash(host, power=True)
                continue
            host.disk.is_full = False
            host.kernel_trouble = 0.0
            host.doom = None
            if host.heart is None:
                world.start(host)
            # What somebody told it to forget would keep it away for ever.
            for target in self.scenario.hosts[host.index].targets:
                self._operate(host, Connect((address_of(target),), False))
        for host in world.hosts:
            free = [name for name, user in self.books.users[host.index].items() if not user.is_attached]
            if free:
                # So much space comes back that nobody waits for want of it.
                self._give_back(actions.GiveBack(actions.HostIndex(host.index), tuple(free)))

    # What the chooser asks.

    def up(self) -> list[Host]:
        """Return the hosts whose agents run."""
        return [host for host in self.world.hosts if host.heart is not None]

    def is_remembered(self, host: Host) -> bool:
        """Say whether everything this host has said is held by all others, and it will hear of it again."""
        hosts = self.world.hosts
        if len(hosts) < 2 or any(other.heart is None for other in hosts) or not host.config.targets:
            return False
        if len({other.heart.store.digest.root: None for other in hosts if other.heart is not None}) > 1:
            return False
        # A voter that forgets its vote would hold up the agreement for ever: consensus needs its acceptors' memory.
        return isinstance(host.heart, Replica) and host.heart.allocator.ring is not None

    def old_users(self, host: Host, *, is_attached: bool) -> list[User]:
        """Return the users of a host that have addresses and wait for nothing."""
        busy = {pending.user: None for pending in self.books.pending[host.index].values()}
        return [
            user
            for user in self.books.users[host.index].values()
            if user.is_attached == is_attached and user.addresses and user.name not in busy
        ]

    # What the watcher passes on.

    def answered(self, host: Host, answer: Answer) -> tuple[str, ...]:
        """Enter an answer; return the addresses newly given with it. Raises: Violation."""
        pending, addresses = self.books.answered(host.index, host.name, answer)
        if pending.kind == "reset" and isinstance(answer.reply, Ok):
            self.world.schedule(0, lambda: self._end_host(host))
        return addresses

    def crashed(self, host: Host) -> None:
        """Forget the requests of a host that went down; with its power, its containers have gone, too."""
        self.books.crashed(host.index)
        for user in tuple(self.books.users[host.index].values()):
            if user.is_attached and netns_of(user.name) not in host.netns:
                self.books.let_go(host.index, user.name)
                self.world.end_netns(host, user.name)

    # Network.

    def _cut(self, action: actions.Cut) -> bool:
        if action.source == action.target:
            return False
        self.world.network.cut(action.source, action.target)
        return True

    def _split(self, action: actions.Split) -> bool:
        side = dict.fromkeys(action.side)
        others = [index for index in range(len(self.world.hosts)) if index not in side]
        for one in side:
            for other in others:
                self.world.network.cut(one, other)
                self.world.network.cut(other, one)
        return bool(side) and bool(others)

    def _heal(self, _action: actions.Heal) -> bool:
        self.world.network.heal()
        return True

    def _reset(self, action: actions.Reset) -> bool:
        return self.world.network.reset_between(action.one, action.other)

    def _lose(self, action: actions.Lose) -> bool:
        self.world.network.lose(min(action.percent, 95) / 100)
        return True

    # Agents, machines, disks, clocks, kernels.

    def _kill(self, action: actions.Kill) -> bool:
        return self._down(action.host, power=False)

    def _cut_power(self, action: actions.CutPower) -> bool:
        return self._down(action.host, power=True)

    def _down(self, index: int, *, power: bool) -> bool:
        host = self.world.hosts[index]
        if host.is_dark or (host.heart is None and not power):
            return False
        self.world.crash(host, power=power)
        return True

    def _doom(self, action: actions.Doom) -> bool:
        host = self.world.hosts[action.host]
        if host.heart is None:
            return False
        host.doom = (action.gap, action.power)
        return True

    def _start(self, action: actions.Start) -> bool:
        host = self.world.hosts[action.host]
        is_lonely = any(other.heart is None for other in self.world.hosts if other is not host)
        if host.heart is not None or (host.disk.is_blank and is_lonely and "amnesia" not in self.scenario.allow):
            return False
        self.world.start(host)
        return True

    def _fill_disk(self, action: actions.FillDisk) -> bool:
        self.world.hosts[action.host].disk.is_full = True
        return True

    def _empty_disk(self, action: actions.EmptyDisk) -> bool:
        self.world.hosts[action.host].disk.is_full = False
        return True

    def _back_up(self, action: actions.BackUp) -> bool:
        self.world.hosts[action.host].disk.back_up()
        return True

    def _roll_back(self, action: actions.RollBack) -> bool:
        host = self.world.hosts[action.host]
        if not self._may_forget(host):
            return False
        self.world.crash(host, power=False)
        host.disk.roll_back()
        return True

    def _wipe(self, action: actions.Wipe) -> bool:
        host = self.world.hosts[action.host]
        if not self._may_forget(host):
            return False
        self.world.crash(host, power=False)
        host.disk.wipe()
        return True

    def _may_forget(self, host: Host) -> bool:
        return "amnesia" in self.scenario.allow or self.is_remembered(host)

    def _step_clock(self, action: actions.StepClock) -> bool:
        self.world.hosts[action.host].clock.step(action.by_ms * 1000)
        return True

    def _kernel_trouble(self, action: actions.KernelTrouble) -> bool:
        self.world.hosts[action.host].kernel_trouble = min(action.percent, 95) / 100
        return True

    def _lose_object(self, action: actions.LoseObject) -> bool:
        host = self.world.hosts[action.host]
        found = [item for item in host.kernel.observe() if " ".join(item.key) == action.key]
        for item in found:
            host.kernel.lose(item)
            self.world.later(host, NOTICE_US, KernelChanged())
        return bool(found)

    # Containers.

    def _attach(self, action: actions.Attach) -> bool:
        host, name = self.world.hosts[action.host], action.container
        if not self._new_user(host, name, is_attached=True):
            return False
        host.netns[netns_of(name)] = None
        request = self._asking(host, name, "attach")
        self.world.apply(host, AttachAsked(request, name, "ethwe", netns_of(name), (), True))
        return True

    def _detach(self, action: actions.Detach) -> bool:
        host, name = self.world.hosts[action.host], action.container
        if not self._is_idle(host, name, is_attached=True):
            return False
        request = self._asking(host, name, "detach")
        self.books.let_go(host.index, name)
        self.world.apply(host, DetachAsked(request, name, "ethwe", ()))
        return True

    def _end_container(self, action: actions.EndContainer) -> bool:
        host, name = self.world.hosts[action.host], action.container
        if not self._is_idle(host, name, is_attached=True):
            return False
        self.books.let_go(host.index, name)
        self.world.end_netns(host, name)
        self.world.apply(host, ContainerGone(name))
        return True

    def _take(self, action: actions.Take) -> bool:
        host = self.world.hosts[action.host]
        names = [name for name in action.idents if self._new_user(host, name, is_attached=False)]
        for name in names:
            self._command(host, name, "take", Allocate(name, ""))
        return bool(names)

    def _claim_again(self, action: actions.ClaimAgain) -> bool:
        host, name = self.world.hosts[action.host], action.ident
        if not self._is_idle(host, name, is_attached=False):
            return False
        address = self.books.users[host.index][name].addresses[0]
        self._command(host, name, "claim", Claim(name, f"{address}/12"))
        return True

    def _give_back(self, action: actions.GiveBack) -> bool:
        host = self.world.hosts[action.host]
        names = [name for name in action.idents if self._is_idle(host, name, is_attached=False)]
        for name in names:
            self.books.let_go(host.index, name)
            self._command(host, name, "give-back", Free(name, ""))
        return bool(names)

    # Operators.

    def _connect_to(self, action: actions.ConnectTo) -> bool:
        host = self.world.hosts[action.host]
        return action.target != action.host and self._operate(host, Connect((address_of(action.target),), False))

    def _forget_target(self, action: actions.ForgetTarget) -> bool:
        return self._operate(self.world.hosts[action.host], Forget((address_of(action.target),)))

    def _remove_peers(self, action: actions.RemovePeers) -> bool:
        host = self.world.hosts[action.host]
        victims = [self.world.hosts[index] for index in dict.fromkeys(action.peers)]
        if host.heart is None or not victims or host in victims:
            return False
        if "false-death" not in self.scenario.allow and not all(victim.is_dark for victim in victims):
            return False
        for victim in victims:
            if victim.is_dark:
                # The operator's word: nothing that was there is used any more.
                for name in tuple(self.books.users[victim.index]):
                    self.books.let_go(victim.index, name)
        names = tuple(victim.config.peer for victim in victims)
        self._command(host, "", "remove", RemoveCommand(names, action.force))
        return True

    def _reset_host(self, action: actions.ResetHost) -> bool:
        host = self.world.hosts[action.host]
        # Who calls nobody would believe to be the first of a new network.
        if host.heart is None or (not host.config.targets and "amnesia" not in self.scenario.allow):
            return False
        for name in tuple(self.books.users[host.index]):
            self.books.let_go(host.index, name)
            self.world.end_netns(host, name)
        self._command(host, "", "reset", Leave())
        return True

    def _end_host(self, host: Host) -> None:
        """Finish a reset: agent, kernel and memory are gone."""
        if host.heart is not None:
            self.world.crash(host, power=True)
            host.disk.wipe()
            if self._is_over:
                self.world.start(host)

    # Helpers.

    def _operate(self, host: Host, command: Command) -> bool:
        if host.heart is None:
            return False
        self._command(host, "", "operate", command)
        return True

    def _command(self, host: Host, user: str, kind: str, command: Command) -> None:
        if host.heart is not None:
            self.world.apply(host, Commanded(self._asking(host, user, kind), command))

    def _asking(self, host: Host, user: str, kind: str) -> Any:
        """Enter a request and return its number. Any: a RequestId, which only events need to know."""
        request = host.next_request()
        self.books.ask(host.index, request, Pending(user, kind, self.world.now_us))
        return request

    def _new_user(self, host: Host, name: str, *, is_attached: bool) -> bool:
        users = self.books.users[host.index]
        if host.heart is None or name in users or len(users) >= USERS_MAX:
            return False
        users[name] = User(name, is_attached)
        return True

    def _is_idle(self, host: Host, name: str, *, is_attached: bool) -> bool:
        """Say whether a user is there, has addresses and waits for nothing."""
        user = self.books.users[host.index].get(name)
        if host.heart is None or user is None or user.is_attached != is_attached or not user.addresses:
            return False
        return not self.books.is_busy(host.index, name)


# Each performs the action that its key names; the table is the proof.
_PERFORM: dict[type[Action], Callable[[Stage, Any], bool]] = {
    actions.Cut: Stage._cut,
    actions.Split: Stage._split,
    actions.Heal: Stage._heal,
    actions.Reset: Stage._reset,
    actions.Lose: Stage._lose,
    actions.Kill: Stage._kill,
    actions.CutPower: Stage._cut_power,
    actions.Doom: Stage._doom,
    actions.Start: Stage._start,
    actions.FillDisk: Stage._fill_disk,
    actions.EmptyDisk: Stage._empty_disk,
    actions.BackUp: Stage._back_up,
    actions.RollBack: Stage._roll_back,
    actions.Wipe: Stage._wipe,
    actions.StepClock: Stage._step_clock,
    actions.KernelTrouble: Stage._kernel_trouble,
    actions.LoseObject: Stage._lose_object,
    actions.Attach: Stage._attach,
    actions.Detach: Stage._detach,
    actions.EndContainer: Stage._end_container,
    actions.Take: Stage._take,
    actions.ClaimAgain: Stage._claim_again,
    actions.GiveBack: Stage._give_back,
    actions.ConnectTo: Stage._connect_to,
    actions.ForgetTarget: Stage._forget_target,
    actions.RemovePeers: Stage._remove_peers,
    actions.ResetHost: Stage._reset_host,
}
