"""What must hold of frames: always (I5, I11), and once faults have stopped (I9).

I5  nothing enters or leaves an endpoint that is not up with addresses that were granted to it, after any operation; no
    frame comes twice or goes on for ever, even while hosts disagree; nothing is removed before it is certain that
    nobody needs it; what is not ours is reported
I11 between hosts with a password nothing leaves by VXLAN in the clear, after any operation, unless both trust
I9  every two endpoints reach each other, and what one of them sends to everybody comes to each of the others once
"""

from __future__ import annotations

from collections.abc import Iterator

from core.board import Board
from core.config import Recovered
from core.kinds import AttachmentRecord, attachment_key, parse
from core.reconcile.objects import (
    Association,
    Guard,
    KernelObject,
    Op,
    OpResult,
    Seal,
    Tree,
    Trust,
    Verb,
    VxlanPort,
)
from core.reconcile.plan import attachment_of
from core.replica import Replica
from crdt.store import Store
from sim.books import Violation
from sim.host import Host
from sim.packets import Drop, EndpointId, Journey, Plug
from sim.scene import Scene
from sim.secrecy import CLEAR

PAIRS_MAX = 200
"""At the end, so many pairs are tried; with more endpoints, each with one on every host."""
SAMPLE_MAX = 8
"""Hosts that send something at each look; others have their turn at the next."""
LOOK_US = 1_000_000
"""Between two looks."""
REPORT_US = (10_000_000, 75_000_000)
"""After so long status names what is in the way: where there is news of it, and where only the sweep finds it."""


class Reach:
    """Sends frames and looks where they come out."""

    def __init__(self, scene: Scene, store: Store, board: Board) -> None:
        """`store` and `board` hold what everybody has on disk about themselves."""
        self._scene = scene
        self._hosts = scene.world.hosts
        self._traffic = scene.world.traffic
        self._store, self._board = store, board
        self._looks = 0
        self._lives: dict[int, int] = {}
        self._in_the_way: dict[int, dict[tuple[str, ...], tuple[KernelObject, int, bool]]] = {}

    # While things happen.

    def started(self, host: Host, recovered: Recovered) -> None:
        """Note under which name a life begins: it may be reborn under another."""
        self._lives[host.index] = recovered.origin.incarnation
        self._in_the_way.pop(host.index, None)

    def operated(self, host: Host, op: Op, _result: OpResult) -> None:
        """Check I5 on what an operation has touched. Raises: Violation."""
        item = op.object
        if op.verb is Verb.REMOVE:
            self._check_needless(host, op)
        place = attachment_of(item)
        if place is not None:
            self._check_closed(host, place)
        elif isinstance(item, Guard | Trust | Seal | Association | VxlanPort):
            self._check_sealed(host)
        elif isinstance(item, Tree):
            for other in self._hosts:
                if other.kernel.tables().number == item.source:
                    self._check_broadcast(other, None)

    def snapshot(self) -> None:
        """Check I5 on all endpoints, and send some frames. Raises: Violation."""
        for host in self._hosts:
            for plug in self._traffic.plugs(host):
                self._check_closed(host, plug.endpoint)
            self._check_reported(host)
            self._check_sealed(host)
        self._looks += 1
        senders = [host for host in self._hosts if host.kernel.tables().plugs]
        for count in range(min(SAMPLE_MAX, len(senders))):
            self._try(senders[(self._looks * SAMPLE_MAX + count) % len(senders)], senders)

    # At the end.

    def unreachable(self) -> list[str]:
        """Say who does not reach whom, where frames end and why; empty when I9 holds. Raises: Violation."""
        if not self._scene.scenario.kernels:
            return []
        members = [self._hosts[index] for index in self._scene.scenario.members()]
        ends = [(host, plug) for host in members for plug in self._traffic.plugs(host)]
        problems: list[str] = []
        for host, plug in [*((host, None) for host in members), *ends]:
            problems.extend(self._unheard(host, plug, members, ends))
        for (host, plug), (other, target) in _pairs(ends):
            journey = self._check(host, plug, self._traffic.send(host, plug, target.mac))
            if journey.copies != {(other.index, target.endpoint): 1}:
                text = f"{_name(plug)} on {host.name} does not reach {_name(target)} on {other.name}"
                problems.append(f"I9: {text}: {self._ends(journey)}")
        return problems

    # Helpers.

    def _try(self, host: Host, others: list[Host]) -> None:
        """Let an endpoint ask everybody for somebody, and somebody answer."""
        plugs = self._traffic.plugs(host)
        if not plugs:
            return
        plug = plugs[self._looks % len(plugs)]
        self._check_broadcast(host, plug)
        other = others[(self._looks + host.index) % len(others)]
        answering = [found for found in self._traffic.plugs(other) if found.endpoint != plug.endpoint]
        if answering:
            answer = answering[self._looks % len(answering)]
            self._check(other, answer, self._traffic.send(other, answer, plug.mac))
            self._check(host, plug, self._traffic.send(host, plug, answer.mac))

    def _check_broadcast(self, host: Host, plug: Plug | None) -> None:
        self._check(host, plug, self._traffic.broadcast(host, plug))

    def _check(self, host: Host, plug: Plug | None, journey: Journey) -> Journey:
        """Check that nothing of a journey came twice or went in circles, and who it came to."""
        sender = f"{_name(plug)} on {host.name}" if plug is not None else host.name
        for index, count in journey.arrivals.items():
            if count > 1 or index == host.index:
                where = self._hosts[index].name
                raise Violation(f"I5: a frame of {sender} came to {where} {count} times, over {self._way(journey)}")
        for (index, endpoint), count in journey.copies.items():
            where = f"{'/'.join(endpoint)} on {self._hosts[index].name}"
            if count > 1:
                raise Violation(f"I5: a frame of {sender} came to {where} {count} times, over {self._way(journey)}")
            if plug is not None and (index, endpoint) == (host.index, plug.endpoint):
                raise Violation(f"I5: a frame of {sender} came back to it, over {self._way(journey)}")
        storms = [drop for drop in journey.drops if drop.why == "storm"]
        if storms:
            raise Violation(f"I5: a frame of {sender} went on for ever: {self._drop_text(storms[0])}")
        return journey

    def _check_closed(self, host: Host, endpoint: EndpointId) -> None:
        """Check that an endpoint that carries frames may do so."""
        plug = host.kernel.tables().plug_of(endpoint)
        if plug is None or not plug.is_up or endpoint in host.kernel.meddled:
            return
        if (host.index, endpoint[0]) in self._scene.leftovers or "amnesia" in self._scene.scenario.allow:
            return
        name = f"{'/'.join(endpoint)} on {host.name}"
        addresses = host.kernel.addresses_of(endpoint)
        if not addresses:
            raise Violation(f"I5: {name} is up without an address")
        granted = self._granted(host, endpoint)
        for cidr in addresses:
            if cidr not in granted:
                raise Violation(f"I5: {name} is up with {cidr}, which it was not granted; it was granted {granted}")

    def _check_sealed(self, host: Host) -> None:
        """Check that nothing leaves a host by VXLAN in the clear that must be encrypted (I11)."""
        if not host.config.has_password or not host.kernel.tables().has_port:
            return
        for other in self._hosts:
            address = self._scene.world.tunnels.seen(other.index)
            is_trusted = host.config.trusted and other.config.trusted
            if other is not host and not is_trusted and host.kernel.locks().out(address) == CLEAR:
                raise Violation(f"I11: what {host.name} sends to {other.name} by VXLAN leaves in the clear")

    def _granted(self, host: Host, endpoint: EndpointId) -> tuple[str, ...]:
        """Return the addresses that an attachment has by what is on disk, if need be in an earlier life's words."""
        key = attachment_key(*endpoint)
        record = self._board.get(host.config.peer, key, AttachmentRecord)
        if record is not None:
            return record.addresses
        lives = [origin for origin in self._store.origins() if origin.peer == host.config.peer]
        for origin in sorted(lives, key=lambda origin: -origin.incarnation):
            stream = self._store.stream(origin)
            fact = None if stream is None else stream.get(key)
            if fact is not None:
                body = None if fact.body is None else parse(fact.kind, fact.body)
                return body.addresses if isinstance(body, AttachmentRecord) else ()
        return ()

    def _check_needless(self, host: Host, op: Op) -> None:
        """Check that nothing is removed by a life that cannot know yet whether it is needed."""
        heart = host.heart
        if not isinstance(heart, Replica) or heart.mesh.in_sync:
            return
        if heart.board.me.incarnation == self._lives[host.index]:
            raise Violation(f"I5: {host.name} removes {' '.join(op.object.key)} before it is in sync")

    def _check_reported(self, host: Host) -> None:
        """Check that status names what has been in the way for some time."""
        now_us = self._scene.world.now_us
        heart, foreign = host.heart, host.kernel.foreign
        before = self._in_the_way.pop(host.index, {})
        if not foreign or host.is_paused or host.netlink.has_trouble or not isinstance(heart, Replica):
            return
        seen = self._in_the_way[host.index] = {}
        for item in foreign:
            found, since_us, was_mute = before.get(item.key, (item, now_us, False))
            if found is not item:
                # The one before it has gone, and this one come, between two looks.
                since_us, was_mute = now_us, False
            # It came at some time since the look before.
            is_news_lost = host.netlink.is_mute or host.netlink.heard_again_us >= since_us - LOOK_US
            seen[item.key] = (item, since_us, was_mute or is_news_lost)
            is_late = now_us - since_us >= REPORT_US[seen[item.key][2]]
            if not is_late or item.key not in {wanted.key for wanted in heart.desired()}:
                continue
            name = " ".join(item.key)
            if not any(name in trouble.what for trouble in heart.describe(host.clock.at(now_us)).kernel):
                raise Violation(f"I5: something that is not ours is called {name} on {host.name}, and status is silent")

    def _unheard(
        self, host: Host, plug: Plug | None, members: list[Host], ends: list[tuple[Host, Plug]]
    ) -> Iterator[str]:
        """Yield where a frame to everybody has not come."""
        journey = self._check(host, plug, self._traffic.broadcast(host, plug))
        sender = f"{_name(plug)} on {host.name}" if plug is not None else host.name
        missed = [other.name for other in members if other is not host and other.index not in journey.arrivals]
        missed += [
            f"{_name(other)} on {where.name}"
            for where, other in ends
            if other is not plug and (where.index, other.endpoint) not in journey.copies
        ]
        if missed:
            text = f"what {sender} sends to everybody does not come to {', '.join(missed[:3])}"
            yield f"I9: {text}: {self._ends(journey)}"
        elif len(journey.hops) != len(journey.arrivals):
            yield f"I9: what {sender} sends to everybody is sent where nobody takes it: {self._ends(journey)}"

    def _ends(self, journey: Journey) -> str:
        drops = "; ".join(self._drop_text(drop) for drop in journey.drops[:3]) or "nobody took it"
        return f"{drops} (way: {self._way(journey)})"

    def _drop_text(self, drop: Drop) -> str:
        return f"dropped at {self._hosts[drop.host].name}, {drop.why}: {drop.about}"

    def _way(self, journey: Journey) -> str:
        hops = [f"{self._hosts[one].name}>{self._hosts[other].name}" for one, other in journey.hops[:12]]
        return " ".join(hops) or "no other host"


End = tuple[Host, Plug]


def _pairs(ends: list[End]) -> Iterator[tuple[End, End]]:
    """Yield pairs of endpoints, in both directions: all, or if those are many, each with one on every host."""
    count = len(ends)
    by_host: dict[int, list[End]] = {}
    for end in ends:
        by_host.setdefault(end[0].index, []).append(end)
    for number, one in enumerate(ends):
        for others in by_host.values():
            for other in others if count * count <= PAIRS_MAX else (others[number % len(others)],):
                if other is not one:
                    yield one, other


def _name(plug: Plug) -> str:
    return "/".join(plug.endpoint)
