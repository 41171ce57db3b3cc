"""What must hold: always (I1 to I4), and once faults have stopped (I8). Numbers as in the design's list of invariants.

I1  a number of an origin names one fact for ever, and nothing is said before it is durable
I2  no address is given to two containers, and none is on two interfaces
I3  the ranges of any joined store cover the universe; each host gives only from its own
I4  stores with equal digests hold equal facts, show equal views and want equal kernels
I8  stores become equal, kernels as desired, requests answered, and nothing promised is lost
"""

from __future__ import annotations

from core.board import Board
from core.config import Recovered
from core.effects import Answer
from core.ipam.ring import RingView
from core.messages import Deltas, Have, Message
from core.reconcile.objects import Endpoint, EndpointAddress, Op, OpResult, Verb
from core.replica import Replica
from core.types import Address, address_of, cidr_of
from crdt.fact import Fact, Origin
from crdt.store import Store
from sim.workload import Violation, Workload
from sim.world import Host, World


class Checks:
    """Looks on, and raises `Violation`."""

    def __init__(self, world: World, workload: Workload) -> None:
        self._world = world
        self._workload = workload
        self._said: dict[tuple[Origin, int], Fact] = {}

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
                    if before != fact:
                        raise Violation(f"I1: {delta.origin} number {fact.seq} is both {before} and {fact}")

    def answered(self, host: Host, answer: Answer) -> None:
        """Check I2 on what was promised, and I3 on who promised it."""
        workload = self._workload
        pending = workload.pending[host.index].get(answer.request)
        before = workload.answers
        workload.answered(host, answer)
        if pending is None or workload.answers == before or pending.kind not in ("allocate", "attach"):
            return
        user = workload.users[host.index].get(pending.user)
        if user is None:
            return
        view = ring_of(self._world)
        for text in user.addresses:
            owner = None if view is None else view.owner_at(address_of(text))
            if owner != host.config.peer:
                raise Violation(f"I3: {host.name} gave {text}, which belongs to {owner}")

    def operated(self, host: Host, op: Op, result: OpResult) -> None:
        """Check I2 on the interfaces themselves."""
        item = op.object
        if not isinstance(item, EndpointAddress) or op.verb is Verb.REMOVE:
            return
        for other in self._world.hosts:
            for found in other.kernel.observe():
                if not isinstance(found, EndpointAddress) or _ip(found) != _ip(item):
                    continue
                if (other.index, found.container) != (host.index, item.container):
                    places = f"{item.container} at {host.name} and {found.container} at {other.name}"
                    raise Violation(f"I2: {item.cidr} is on {places}")

    def crashed(self, host: Host) -> None:
        """Keep the books."""
        self._workload.crashed(host)

    def started(self, host: Host, recovered: Recovered) -> None:
        """Nothing to check."""

    def stepped(self, host: Host) -> None:
        """Nothing to check at every step; `snapshot` looks at whole stores."""

    # Now and then.

    def snapshot(self) -> None:
        """Check I3 and I4 on everything there is."""
        hearts = [(host, host.heart) for host in self._world.hosts if isinstance(host.heart, Replica)]
        view = ring_of(self._world)
        if view is not None:
            _check_cover(view, self._world)
        by_root: dict[int, tuple[Host, Replica]] = {}
        for host, heart in hearts:
            first_host, first = by_root.setdefault(heart.store.digest.root, (host, heart))
            if heart.store != first.store:
                raise Violation(f"I4: {host.name} and {first_host.name} have equal digests and different facts")

    # At the end.

    def unfinished(self) -> list[str]:
        """Say what keeps the cluster from having converged; empty when I8 holds."""
        hosts = self._world.hosts
        hearts = [host.heart for host in hosts if isinstance(host.heart, Replica)]
        problems = []
        roots = {heart.store.digest.root: None for heart in hearts}
        if len(hearts) != len(hosts) or len(roots) > 1:
            digests = ", ".join(f"{host.name}: {_store_text(host)}" for host in hosts)
            problems.append(f"stores differ: {digests}")
        for host, heart in zip(hosts, hearts, strict=False):
            want = {item.key: item for item in heart.desired()}
            have = {item.key: item for item in host.kernel.observe()}
            if want != have:
                missing = [key for key in want if have.get(key) != want[key]]
                extra = [key for key in have if key not in want]
                problems.append(f"kernel of {host.name}: missing {missing[:3]}, too much {extra[:3]}")
            for request, pending in self._workload.pending[host.index].items():
                problems.append(f"{host.name} has not answered request {request}: {pending}")
            if len(heart.mesh.next_hops) != len(hosts) - 1:
                problems.append(f"{host.name} reaches {len(heart.mesh.next_hops)} of {len(hosts) - 1} peers")
        return problems

    def promises(self) -> None:
        """Check that every address promised to a container that still is there is still its own. Raises: Violation."""
        for host in self._world.hosts:
            heart = host.heart
            assert isinstance(heart, Replica), "all hosts are up at the end"
            for user in self._workload.users[host.index].values():
                held = {str(cidr).split("/")[0]: None for cidr in heart.allocator.held(user.name)}
                lost = [text for text in user.addresses if text not in held]
                if lost:
                    raise Violation(f"I8: {user.name} on {host.name} was given {lost}, and the allocator has forgotten")
                is_up = any(
                    isinstance(item, Endpoint) and item.container == user.name for item in host.kernel.observe()
                )
                if user.is_attached and user.addresses and not is_up:
                    raise Violation(f"I8: {user.name} on {host.name} was attached, and is not any more")

    def _check_durable(self, host: Host, origin: Origin, seq: int) -> None:
        if host.heart is None or origin != host.heart.board.me:
            return
        head = host.disk.head(origin)
        if seq > (0 if head is None else head.seq):
            raise Violation(f"I1: {host.name} speaks of its number {seq}, which is not on its disk")


def merged(world: World) -> Store:
    """Return the join of all stores and disks: what an observer who knows all would hold."""
    joined = Store()
    for host in world.hosts:
        for store in (host.disk.synced, *((host.heart.store,) if host.heart is not None else ())):
            for origin in store.origins():
                head, held = store.head(origin), joined.head(origin)
                if head is not None and (held is None or held.seq < head.seq):
                    joined.join(store.delta_for(origin, 0))
    return joined


def ring_of(world: World) -> RingView | None:
    """Return who owns what, read from the join of all stores; None while there is no ring. Raises: Violation."""
    rings = [host.heart.allocator.ring for host in world.hosts if isinstance(host.heart, Replica)]
    known = [ring for ring in rings if ring is not None]
    if not known:
        return None
    if len({ring.ring_id for ring in known}) > 1:
        raise Violation(f"I3: there are several rings: {sorted(ring.ring_id for ring in known)}")
    store, board = merged(world), Board(Origin("", 0))
    for origin in store.origins():
        board.absorb(origin, store.delta_for(origin, 0).facts)
    return known[0].view_of(board)


def _check_cover(view: RingView, world: World) -> None:
    universe = world.hosts[0].config.universe
    assert universe is not None, "the simulator's hosts allocate"
    at = universe.lo
    for run in view.runs:
        if run.lo != at:
            raise Violation(f"I3: nobody owns what lies between {at:x} and {run.lo:x}")
        at = Address(run.hi)
    if at != universe.hi:
        raise Violation(f"I3: nobody owns what lies from {at:x}")


def _ip(item: EndpointAddress) -> Address:
    return cidr_of(item.cidr).address


def _store_text(host: Host) -> str:
    if host.heart is None:
        return "down"
    return " ".join(f"{origin.peer[-2:]}#{origin.incarnation}@{seq}" for origin, seq in host.heart.store.have().items())
