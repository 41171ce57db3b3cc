"""A world, what its users rely on, and what both choosers and performers ask of them.

Nothing here makes anything happen but requests: `perform` does, a topic a file, and `stage` opens the door to it.
"""

from __future__ import annotations

from typing import Any

from core.effects import Answer, Ok
from core.events import Command, Commanded
from core.replica import Replica
from sim.books import Books, Pending, User
from sim.host import Host
from sim.names import netns_of
from sim.scenario import Scenario
from sim.world import World

USERS_MAX = 80
"""Per host: more say nothing new."""


class Scene:
    """A world and its books."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self.world = world
        self.scenario = scenario
        self.books = Books.of(len(world.hosts))
        self.leftovers: dict[tuple[int, str], None] = {}
        """Containers of agents of long ago, by host, which nobody knows any more."""
        self.is_over = False
        """Trouble has ended: whoever goes down comes back."""

    # What choosers ask.

    def up(self) -> list[Host]:
        """Return the hosts whose agents run."""
        return [host for host in self.world.hosts if host.heart is not None]

    def is_known(self, host: Host) -> bool:
        """Say whether a host without memory finds others who have theirs: none has just lost it, or is still asking."""
        others = (other for other in self.world.hosts if other is not host)
        return self.can_call(host) and all(self.has_memory(other) for other in others)

    def has_memory(self, host: Host) -> bool:
        """Say whether a host knows what others know, or has it on its disk, and is not about to forget it."""
        is_leaving = any(pending.kind == "reset" for pending in self.books.pending[host.index].values())
        knows = not host.disk.has_forgotten if host.heart is None else self.has_agreed(host)
        return knows and not is_leaving

    def may_forget(self, host: Host) -> bool:
        """Say whether a host may lose its memory: others have it, or nobody needs it yet."""
        return self.is_remembered(host) or self.is_dispensable(host)

    def is_dispensable(self, host: Host) -> bool:
        """Say whether a host may forget how it voted: all have heard all it said, and most who vote keep their memory.

        What is still under way to somebody would come after its next life has found that nobody knows of it.
        """
        hearts = {other.index: other.heart for other in self.world.hosts if isinstance(other.heart, Replica)}
        if len(hearts) < len(self.world.hosts) or not self.can_call(host):
            return False
        me = hearts[host.index].board.me
        for heart in hearts.values():
            if heart.allocator.ring is not None or not heart.mesh.in_sync or me not in heart.store.lives(me.peer):
                return False
            if heart.store.seq(me) != hearts[host.index].store.seq(me):
                return False
        members = [hearts[index] for index in self.scenario.members() if index != host.index]
        return sum(heart.board.me.incarnation == 1 for heart in members) > len(hearts) // 2

    def is_remembered(self, host: Host) -> bool:
        """Say whether everything this host has said is held by all others, and it will hear of it again."""
        hosts = self.world.hosts
        if len(hosts) < 2 or any(other.heart is None for other in hosts) or not self.is_known(host):
            return False
        if len({other.heart.store.digest.root: None for other in hosts if other.heart is not None}) > 1:
            return False
        return self.has_agreed(host)

    def has_agreed(self, host: Host) -> bool:
        """Say whether a host knows what others know, and who shares the range.

        A voter that forgets its vote would hold up the agreement for ever: consensus needs its acceptors' memory.
        """
        heart = host.heart
        return isinstance(heart, Replica) and heart.mesh.in_sync and heart.allocator.ring is not None

    def can_call(self, host: Host) -> bool:
        """Say whether a host finds others by itself: somebody it dials is there to be called."""
        network, index = self.world.network, host.index
        return any(
            network.nat(target) is None and not network.has_wall(index, target) and not network.has_wall(target, index)
            for target in self.scenario.hosts[index].targets
        )

    def old_users(self, host: Host, *, is_attached: bool) -> list[User]:
        """Return the users of a host that have addresses and wait for nothing."""
        busy = {pending.user: None for pending in self.books.pending[host.index].values()}
        return [
            user
            for user in self.books.users[host.index].values()
            if user.is_attached == is_attached and user.addresses and user.name not in busy
        ]

    # What performers ask.

    def may_start(self, host: Host) -> bool:
        """Say whether an agent may start.

        One without memory does only where somebody is there who remembers for it; none does on a disk that it cannot
        write.
        """
        if host.disk.is_read_only:
            return False
        is_lonely = any(other.heart is None for other in self.world.hosts if other is not host)
        return not (host.disk.has_forgotten and is_lonely) or "amnesia" in self.scenario.allow

    def operate(self, host: Host, command: Command) -> bool:
        """Let an operator command something; say whether anybody hears it."""
        if host.heart is None:
            return False
        self.command(host, "", "operate", command)
        return True

    def command(self, host: Host, user: str, kind: str, command: Command, address: str = "") -> None:
        """Command something on behalf of a user, and enter the request."""
        if host.heart is not None:
            self.world.apply(host, Commanded(self.asking(host, user, kind, address), command))

    def asking(self, host: Host, user: str, kind: str, address: str = "") -> Any:
        """Enter a request and return its number. Any: a RequestId, which only events need to know."""
        request = host.next_request()
        self.books.ask(host.index, request, Pending(user, kind, self.world.now_us, address))
        return request

    def new_user(self, host: Host, name: str, *, is_attached: bool) -> bool:
        """Enter a user, if there is room and the name is free."""
        users = self.books.users[host.index]
        if host.heart is None or name in users or len(users) >= USERS_MAX:
            return False
        users[name] = User(name, is_attached)
        return True

    def is_idle(self, host: Host, name: str, *, is_attached: bool) -> bool:
        """Say whether a user is there, has addresses and waits for nothing, and an agent is there to be asked."""
        return host.heart is not None and self.is_settled(host, name, is_attached=is_attached)

    def is_settled(self, host: Host, name: str, *, is_attached: bool) -> bool:
        """Say whether a user is there, has addresses and waits for nothing."""
        user = self.books.users[host.index].get(name)
        if user is None or user.is_attached != is_attached or not user.addresses:
            return False
        return not self.books.is_busy(host.index, name)

    # What the watcher passes on.

    def answered(self, host: Host, answer: Answer, *, is_unaware: bool) -> tuple[str, ...]:
        """Enter an answer; return the addresses newly given with it. Raises: Violation."""
        ring = host.heart.allocator.ring if isinstance(host.heart, Replica) else None
        ring_id = "" if ring is None else ring.ring_id
        books = self.books
        pending, addresses = books.answered(host.index, host.name, answer, ring=ring_id, is_unaware=is_unaware)
        if pending.kind == "reset" and isinstance(answer.reply, Ok):
            self.world.schedule(0, lambda: self._end_host(host))
        return addresses

    def crashed(self, host: Host) -> None:
        """Forget the requests of a host that went down; with its power, its containers have gone, too."""
        self.books.crashed(host.index)
        if host.disk.has_forgotten:
            # The disk had lied: who sees a machine lose its memory relies on nothing that it had given.
            self.books.names.forget(host.index)
            for name in tuple(self.books.users[host.index]):
                self.books.let_go(host.index, name)
                self.world.end_netns(host, name)
        for user in tuple(self.books.users[host.index].values()):
            if user.is_attached and netns_of(user.name) not in host.netns:
                self.books.let_go(host.index, user.name)
                self.world.end_netns(host, user.name)

    def _end_host(self, host: Host) -> None:
        """Finish a reset: agent, kernel and memory are gone; containers live on."""
        if host.heart is not None:
            containers = dict(host.netns)
            self.world.crash(host, power=True)
            host.netns.update(containers)
            host.disk.wipe()
            if self.is_over:
                self.world.start(host)
