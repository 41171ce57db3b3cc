"""What people and scripts do: legal requests, at random times, on random hosts.

Keeps the books of what the cluster has promised: who was told that it may use which address. Legal means what a sane
user would do; so a container is detached only when attached, and nobody frees what another holds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from core.effects import Answer, Ok
from core.events import Allocate, AttachAsked, Claim, Command, Commanded, ContainerGone, DetachAsked, Event, Free
from core.types import RequestId, cidr_of
from sim.world import Host, World, netns_of

PAUSE_US = (20_000, 1_500_000)
BURST = 40
"""Addresses taken and given back in one go, so that streams forget deletions."""
CONTAINERS_MAX = 40
"""Per host: more say nothing new."""


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class User:
    """A container, as its host's user sees it."""

    name: str
    """Identity."""
    is_attached: bool
    """On the network, not just given an address."""
    addresses: tuple[str, ...]
    """What it was told it may use."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request without an answer yet."""

    user: str
    """For whom."""
    kind: str
    """`allocate`, `claim`, `attach`, `detach` or `free`."""
    asked_us: int
    """When."""


class Workload:
    """Acts for the users of all hosts."""

    def __init__(self, world: World, seed: str) -> None:
        self._world = world
        self._entropy = random.Random(f"{seed}/workload")
        self._is_over = False
        self._names = 0
        self.users: tuple[dict[str, User], ...] = tuple({} for _ in world.hosts)
        """Of each host."""
        self.pending: tuple[dict[RequestId, Pending], ...] = tuple({} for _ in world.hosts)
        """Of each host."""
        self._holders: dict[str, tuple[int, str]] = {}
        self.answers = 0
        """Requests answered well."""
        actions: tuple[tuple[int, Callable[[Host], None]], ...] = (
            (4, self._allocate),
            (4, self._attach),
            (2, self._detach),
            (2, self._free),
            (2, self._end_container),
            (1, self._claim),
            (1, self._burst),
        )
        self._actions = [action for weight, action in actions for _ in range(weight * self._entropy.randint(0, 3))]

    def begin(self) -> None:
        """Start acting."""
        self._again()

    def end(self) -> None:
        """Ask for nothing more, and give back so much that nobody has to wait for want of space."""
        self._is_over = True
        for host in self._world.hosts:
            for user in tuple(self.users[host.index].values()):
                is_busy = any(pending.user == user.name for pending in self.pending[host.index].values())
                if not user.is_attached and user.addresses and not is_busy:
                    self._let_go(host, user.name)
                    self._ask(host, user, "free", Free(user.name, ""))

    def answered(self, host: Host, answer: Answer) -> None:
        """Enter an answer into the books. Raises: Violation."""
        pending = self.pending[host.index].pop(answer.request, None)
        if pending is None:
            raise Violation(f"{host.name} answered request {answer.request} twice, or it was never asked")
        if not isinstance(answer.reply, Ok):
            return
        self.answers += 1
        if pending.kind not in ("allocate", "attach"):
            return
        user = self.users[host.index].get(pending.user)
        if user is None:
            return
        addresses = tuple(str(cidr_of(text)).split("/")[0] for text in answer.reply.text.split())
        for address in addresses:
            holder = self._holders.setdefault(address, (host.index, user.name))
            if holder != (host.index, user.name):
                other = self._world.hosts[holder[0]].name
                raise Violation(f"I2: {address} was given to {user.name} on {host.name}; {holder[1]} on {other} has it")
        user.addresses = tuple(dict.fromkeys((*user.addresses, *addresses)))

    def crashed(self, host: Host) -> None:
        """Forget the requests of a host that went down; with its power, its containers have gone, too."""
        for pending in self.pending[host.index].values():
            # Nobody knows what came of it, so nobody relies on it.
            if pending.kind in ("detach", "free"):
                self._let_go(host, pending.user)
        self.pending[host.index].clear()
        for user in tuple(self.users[host.index].values()):
            if user.is_attached and netns_of(user.name) not in host.netns:
                self._let_go(host, user.name)
                self._world.end_netns(host, user.name)

    # Actions.

    def _again(self) -> None:
        self._world.schedule(self._entropy.randint(*PAUSE_US), self._act)

    def _act(self) -> None:
        if self._is_over:
            return
        alive = [host for host in self._world.hosts if host.heart is not None]
        if alive and self._actions:
            self._entropy.choice(self._actions)(self._entropy.choice(alive))
        self._again()

    def _allocate(self, host: Host) -> None:
        user = self._new_user(host, is_attached=False)
        if user is not None:
            self._ask(host, user, "allocate", Allocate(user.name, ""))

    def _attach(self, host: Host) -> None:
        user = self._new_user(host, is_attached=True)
        if user is not None:
            host.netns[netns_of(user.name)] = None
            self._ask(host, user, "attach", None)

    def _claim(self, host: Host) -> None:
        """Claim again what one has, as a restarted container does."""
        user = self._old_user(host, is_attached=False)
        if user is not None and user.addresses:
            self._ask(host, user, "claim", Claim(user.name, f"{user.addresses[0]}/12"))

    def _detach(self, host: Host) -> None:
        user = self._old_user(host, is_attached=True)
        if user is not None:
            request = host.next_request()
            self.pending[host.index][request] = Pending(user.name, "detach", self._world.now_us)
            self._let_go(host, user.name)
            self._world.apply(host, DetachAsked(request, user.name, "ethwe", ()))

    def _free(self, host: Host) -> None:
        user = self._old_user(host, is_attached=False)
        if user is not None:
            self._let_go(host, user.name)
            self._ask(host, user, "free", Free(user.name, ""))

    def _end_container(self, host: Host) -> None:
        user = self._old_user(host, is_attached=True)
        if user is not None:
            self._let_go(host, user.name)
            self._world.end_netns(host, user.name)
            self._world.apply(host, ContainerGone(user.name))

    def _burst(self, host: Host) -> None:
        """Take many addresses and give them back."""
        users = [user for user in (self._new_user(host, is_attached=False) for _ in range(BURST)) if user is not None]
        for user in users:
            self._ask(host, user, "allocate", Allocate(user.name, ""))

        def give_back() -> None:
            for user in users:
                is_busy = any(pending.user == user.name for pending in self.pending[host.index].values())
                if user.name in self.users[host.index] and not is_busy and host.heart is not None:
                    self._let_go(host, user.name)
                    self._ask(host, user, "free", Free(user.name, ""))

        self._world.schedule(2_000_000, give_back)

    # Books.

    def _ask(self, host: Host, user: User, kind: str, command: Command | None) -> None:
        if host.heart is None:
            return
        request = host.next_request()
        self.pending[host.index][request] = Pending(user.name, kind, self._world.now_us)
        event: Event
        if command is None:
            event = AttachAsked(request, user.name, "ethwe", netns_of(user.name), (), True)
        else:
            event = Commanded(request, command)
        self._world.apply(host, event)

    def _new_user(self, host: Host, *, is_attached: bool) -> User | None:
        users = self.users[host.index]
        if len(users) >= CONTAINERS_MAX + BURST:
            return None
        self._names += 1
        user = User(f"c{self._names}", is_attached, ())
        users[user.name] = user
        return user

    def _old_user(self, host: Host, *, is_attached: bool) -> User | None:
        """Pick a user that waits for nothing."""
        busy = {pending.user: None for pending in self.pending[host.index].values()}
        users = [
            user
            for user in self.users[host.index].values()
            if user.is_attached == is_attached and user.addresses and user.name not in busy
        ]
        return self._entropy.choice(users) if users else None

    def _let_go(self, host: Host, name: str) -> None:
        """From now on nobody relies on what a user had."""
        user = self.users[host.index].pop(name, None)
        if user is not None:
            for address in user.addresses:
                if self._holders.get(address) == (host.index, name):
                    del self._holders[address]
