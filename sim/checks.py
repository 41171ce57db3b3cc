"""What must hold: always (I1 to I7), and once faults have stopped (I8, I9). Numbers as in the list of the design.

I1  a number of an origin names one fact for ever, also to those who do not understand it; nothing is said before it is
    durable
I2  no address is given to two containers, and none is on two interfaces; where nobody could have known, because a
    host was called dead and lives, or gives from another ring, the double use is shown on every host
I3  the ranges of any joined store cover the universe; each host gives only from its own; there is one ring, or all
    show that hosts were told to have several
I4  stores with equal digests hold equal facts, show equal views and want equal kernels
I5  kernels let nothing pass that they should not: see `reach`
I6  names answer what present hosts say of them: see `naming`
I7  no queue grows beyond its limit
I8  stores become equal, kernels as desired, requests answered, and nothing promised is lost
I9  containers reach each other: see `reach`
"""

from __future__ import annotations

from collections.abc import Sequence

from core.board import Board
from core.config import Recovered
from core.effects import Answer, Effect, Persist
from core.events import Event
from core.ipam.retired import PREFIX as RETIRED
from core.messages import Deltas, Have, Message
from core.reconcile.objects import Endpoint, EndpointAddress, KernelObject, Op, OpResult, Verb
from core.replica import Replica
from core.types import address_of
from crdt.fact import Delta, Fact, Origin
from crdt.store import Joined, Store
from sim.agreement import contradiction, disagreement
from sim.books import Violation
from sim.bounds import excess
from sim.doubt import Doubt
from sim.host import Host
from sim.leaks import leaks
from sim.naming import Naming
from sim.reach import Reach
from sim.relayed import Relayed
from sim.rings import Rings
from sim.stage import Stage
from sim.strangers import Strangers

REPAIR_US = 80_000_000
"""A sweep finds what nobody has told, and one retry may have to be waited for."""


EXCUSES = ("unreachable", "launched with other settings", "have not yet agreed who shares")
"""What an agent may say of the others that its users wait for, when not all come back or all share one range."""


class Checks:
    """Looks on, and raises `Violation`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._world = stage.world
        self._books = stage.books
        self._said: dict[tuple[Origin, int], Fact] = {}
        # An observer who knows all: every fact from the moment at which its writer had it on disk.
        self._store, self._board = Store(), Board(Origin("", 0))
        self._rings = Rings(stage, self._board)
        self._reach = Reach(stage, self._store, self._board)
        self._differs: dict[int, tuple[dict[tuple[str, ...], KernelObject], int]] = {}
        self._relayed = Relayed()
        self._strangers = Strangers()
        self._naming = Naming(stage)
        self._doubt = Doubt(stage.world, stage.books, self._board)

    # While things happen.

    def sent(self, host: Host, message: Message) -> None:
        """Check I1 on everything that leaves a host."""
        if isinstance(message, Have):
            for origin, seq in message.heads:
                self._check_durable(host, origin, seq)
        elif isinstance(message, Deltas):
            for delta in message.deltas:
                self._check_durable(host, delta.origin, delta.head.seq)
                for fact in delta.facts:
                    before = self._said.setdefault((delta.origin, fact.seq), fact)
                    if before is not fact and before != fact:
                        raise Violation(f"I1: {delta.origin} number {fact.seq} is both {before} and {fact}")

    def persisted(self, host: Host, effect: Persist) -> None:
        """Let the observer know what is durable now, and who was called dead."""
        self._observe(host, effect.deltas)

    def answered(self, host: Host, answer: Answer) -> None:
        """Check I2 on what was promised, and I3 on who promised it."""
        is_unaware = self._doubt.is_unaware(host)
        addresses = self._stage.answered(host, answer, is_unaware=is_unaware)
        view = self._rings.of(host)
        for text in addresses:
            owner = None if view is None else view.owner_at(address_of(text))
            if owner != host.config.peer and text not in self._books.doubtful:
                raise Violation(f"I3: {host.name} gave {text}, which belongs to {owner}")

    def operated(self, host: Host, op: Op, result: OpResult) -> None:
        """Check I2 on the interfaces themselves, and I5."""
        self._reach.operated(host, op, result)
        item = op.object
        if not isinstance(item, EndpointAddress) or op.verb is Verb.REMOVE:
            return
        ip = _ip(item)
        if self._doubt.is_unaware(host):
            self._books.doubtful[ip] = None
        if ip in self._books.doubtful:
            return
        for other in self._world.hosts:
            for found in other.kernel.using(ip):
                if (other.index, found.container) == (host.index, item.container):
                    continue
                if self._rings.are_apart(host, other, found.container, ip):
                    continue
                places = f"{item.container} at {host.name} and {found.container} at {other.name}"
                raise Violation(f"I2: {item.cidr} is on {places}")

    def crashed(self, host: Host) -> None:
        """Keep the books."""
        self._stage.crashed(host)
        self._naming.crashed(host)

    def started(self, host: Host, recovered: Recovered) -> None:
        """Let the observer know what is durable though nobody was told: a commit may survive the crash it ran into."""
        self._observe(host, recovered.streams)
        self._reach.started(host, recovered)

    def applied(self, host: Host, event: Event, effects: Sequence[Effect]) -> None:
        """Remember where it gives from, and what in ignorance; all else is looked at when it is carried out."""
        self._strangers.applied(host, self._board, effects, self._world.now_us)
        self._rings.applied(host)
        self._doubt.decided(host, effects)

    def stepped(self, host: Host) -> None:
        """Remember whom it reaches; `snapshot` looks at whole stores."""
        self._naming.stepped(host)

    # Now and then.

    def snapshot(self) -> None:
        """Check I3 to I7 on everything there is."""
        self._rings.check()
        self._reach.snapshot()
        self._naming.snapshot()
        by_root: dict[int, tuple[Host, Replica]] = {}
        for host in self._world.hosts:
            heart = host.heart
            if not isinstance(heart, Replica):
                continue
            grown = excess(host, heart, len(self._books.users[host.index]), len(self._world.hosts))
            # What waits while an agent stands still waits in its kernel.
            if grown and not host.is_paused:
                raise Violation(f"I7: at {host.name} {grown}")
            lie = contradiction(heart)
            if lie and "lying-fsync" not in self._stage.scenario.allow:
                raise Violation(f"I4: {host.name} {lie}")
            first_host, first = by_root.setdefault(heart.store.digest.root, (host, heart))
            if heart is not first and heart.store != first.store:
                raise Violation(f"I4: {host.name} and {first_host.name} have equal digests and different facts")

    # At the end.

    def unfinished(self) -> list[str]:
        """Say what keeps the cluster from having converged: host, key, reason; empty when I8 and I9 hold."""
        members = [self._world.hosts[index] for index in self._stage.scenario.members()]
        hearts = [(host, host.heart) for host in members if isinstance(host.heart, Replica)]
        problems = [f"{host.name} is down" for host in members if host.heart is None]
        if len({heart.store.digest.root: None for _, heart in hearts}) > 1:
            problems.append(_difference(hearts))
        disagrees = disagreement(hearts)
        if disagrees:
            problems.append(disagrees)
        for host, heart in hearts:
            want = {item.key: item for item in heart.desired()}
            have = {item.key: item for item in host.kernel.observe()}
            if want != have:
                missing = [" ".join(key) for key in want if have.get(key) != want[key]]
                extra = [" ".join(key) for key in have if key not in want]
                problems.append(f"kernel of {host.name}: missing {missing[:3]}, too much {extra[:3]}")
                self._check_repaired(host, want, problems[-1])
            else:
                self._differs.pop(host.index, None)
            excused = self._excused(host, heart)
            for request, pending in self._books.pending[host.index].items():
                if pending.user not in excused:
                    problems.append(f"{host.name} has not answered request {request}: {pending}")
            lost = [other.name for other, _ in hearts if other is not host and not _reaches(heart, other)]
            if lost:
                problems.append(f"{host.name} does not reach {', '.join(lost)}")
            ghosts = [
                other.name
                for other in self._world.hosts
                if other.is_dark and not other.is_copy and _reaches(heart, other)
            ]
            if ghosts:
                problems.append(f"{host.name} has routes to {', '.join(ghosts)}, long without power")
            problems.extend(self._rings.unsaid(host))
            problems.extend(leaks(self._stage, host, heart))
        problems.extend(self._naming.unfinished(hearts))
        return problems or self._reach.unreachable()

    def promises(self) -> None:
        """Check that what was promised to those who are still there is still theirs, and that double use is shown.

        Raises: Violation.
        """
        self._check_relayed()
        for index in self._stage.scenario.members():
            host = self._world.hosts[index]
            heart = host.heart
            assert isinstance(heart, Replica), "all members are up at the end"
            for user in self._books.users[host.index].values():
                held = {str(cidr).split("/")[0]: None for cidr in heart.allocator.held(user.name)}
                lost = [text for text in user.addresses if text not in held]
                if lost:
                    raise Violation(f"I8: {user.name} on {host.name} was given {lost}, and the allocator has forgotten")
                is_up = any(
                    isinstance(item, Endpoint) and item.container == user.name for item in host.kernel.observe()
                )
                if user.is_attached and user.addresses and not is_up:
                    raise Violation(f"I8: {user.name} on {host.name} was attached, and is not any more")
            self._check_shown(host, heart)
            untold = self._rings.undisclosed(host)
            if untold:
                raise Violation(f"I3: {untold}, and {host.name} does not show it")

    # Helpers.

    def _observe(self, host: Host, deltas: tuple[Delta, ...]) -> None:
        """Join what a host says of itself, but for copies: under their names others speak."""
        if host.is_copy:
            return
        for delta in deltas:
            if delta.origin.peer != host.config.peer:
                continue
            self._relayed.observe(host, delta)
            result = self._store.join(delta)
            if isinstance(result, Joined):
                self._board.absorb(delta.origin, result.changed, result.removed)
                if any(fact.key.startswith(RETIRED) for fact in delta.facts):
                    self._doubt.look()

    def _check_durable(self, host: Host, origin: Origin, seq: int) -> None:
        if host.heart is None or origin != host.heart.board.me:
            return
        head = host.disk.head(origin)
        if seq > (0 if head is None else head.seq):
            raise Violation(f"I1: {host.name} speaks of its number {seq}, which is not on its disk")

    def _check_repaired(self, host: Host, want: dict[tuple[str, ...], KernelObject], problem: str) -> None:
        """Check that a kernel does not differ for long from what has been wanted of it all the time."""
        now_us = self._world.now_us
        wanted, since_us = self._differs.setdefault(host.index, (want, now_us))
        if wanted != want:
            self._differs[host.index] = (want, now_us)
        elif now_us - since_us > REPAIR_US:
            raise Violation(f"I8: {problem} for {REPAIR_US // 1_000_000} s")

    def _check_relayed(self) -> None:
        """Check that everybody holds untouched what it does not understand."""
        if any(name in self._stage.scenario.allow for name in ("amnesia", "lying-fsync")):
            return
        members = [self._world.hosts[index] for index in self._stage.scenario.members()]
        loss = self._relayed.loss([(host, host.heart) for host in members if isinstance(host.heart, Replica)])
        if loss:
            raise Violation(f"I1: {loss}")

    def _check_shown(self, host: Host, heart: Replica) -> None:
        """Check that every address in double use is a conflict in the status of a host."""
        status = heart.describe(host.clock.at(self._world.now_us)).ipam
        for address, holders in self._books.shared.items():
            if not all(self._world.hosts[holder.host].heart is not None for holder in holders):
                continue
            if status is not None and not any(line.startswith(f"{address} is used by ") for line in status.conflicts):
                raise Violation(f"I2: {address} is in use twice ({holders}), and {host.name} does not show it")

    def _excused(self, host: Host, heart: Replica) -> dict[str, None]:
        """Return the users that wait for others who stay away, or are elsewhere, if their host says so."""
        scenario = self._stage.scenario
        if len(scenario.members()) == len(self._world.hosts) and "two-rings" not in scenario.allow:
            return {}
        status = heart.describe(host.clock.at(self._world.now_us)).ipam
        if status is None:
            return {}
        is_halted = any(" is removing " in line for line in status.alarms)
        return {wait.ident: None for wait in status.pending if is_halted or any(word in wait.why for word in EXCUSES)}


def _difference(hearts: list[tuple[Host, Replica]]) -> str:
    """Name the first stream in which stores differ, and who holds how much of it."""
    origins = sorted({origin: None for _, heart in hearts for origin in heart.store.origins()})
    for origin in origins:
        heads = [(host.name, heart.store.head(origin)) for host, heart in hearts]
        if any(head != heads[0][1] for _, head in heads):
            held = ", ".join(f"{name} holds {0 if head is None else head.seq}" for name, head in heads)
            return f"stores differ: of {origin.peer}#{origin.incarnation} {held}"
    return "stores differ"


def _reaches(heart: Replica, other: Host) -> bool:
    return other.config.peer in heart.mesh.next_hops


def _ip(item: EndpointAddress) -> str:
    return item.cidr.partition("/")[0]
