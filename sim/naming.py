"""I6: what a host's name server answers is what present hosts say, no more and no less.

Always: whatever hosts within reach say is answered, our own first; nothing else is but what hosts say that were within
reach a moment ago, or have just connected or said something new of their links. At the end: what every container was
promised, and whoever added a name, is answered on every host that reaches it; what nobody says any more, and what was
removed, is answered nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from core.kinds import AttachmentRecord, LinkRecord, NameRecord, PortRecord, TextRecord
from core.naming.answers import NameAnswers
from core.naming.presence import HOLD_DOWN_MS
from core.replica import Replica
from core.types import Address, PeerName, address_text
from sim.books import Violation
from sim.host import Host
from sim.names import name_of
from sim.stage import Stage

Said = tuple[str, str]
"""A name in lower case, and one thing that it answers."""
SLACK_MS = 1_000
"""By how much a hold-down may be late on its host's own clock, whose speed may change while it lasts."""


@dataclass(slots=True)
class Sight:
    """Whom a host has seen in one life."""

    links: dict[PeerName, None]
    """Peers whose links have changed since we last looked."""
    frames: Collection[PeerName] = ()
    """Whom frames reach."""
    letters: frozenset[PeerName] = frozenset()
    """Whom letters reach."""
    lately_ms: dict[PeerName, int] = field(default_factory=dict)
    """When there was last a reason to answer for a peer out of reach, on the host's monotonic clock."""


class Naming:
    """Looks at names."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._sights: dict[int, Sight] = {}

    def stepped(self, host: Host) -> None:
        """Remember when a host had reason to answer for whom; cheap when nothing has changed."""
        heart = host.heart
        if not isinstance(heart, Replica):
            return
        sight = self._sights.get(host.index)
        if sight is None:
            sight = self._sights[host.index] = Sight(heart.board.watch(LinkRecord))
        zone = heart.zone
        if zone.reached is sight.frames and zone.connected is sight.letters and not sight.links:
            return
        now_ms = host.clock.at(self._stage.world.now_us).mono_ms
        lost = [peer for peer in sight.frames if peer not in zone.reached]
        connected = sorted(zone.connected - sight.letters)
        told = [peer for peer in sight.links if peer in zone.connected]
        sight.lately_ms.update(dict.fromkeys((*lost, *connected, *told), now_ms))
        sight.frames, sight.letters = zone.reached, zone.connected
        sight.links.clear()

    def crashed(self, host: Host) -> None:
        """Begin anew with the next life."""
        self._sights.pop(host.index, None)

    def snapshot(self) -> None:
        """Check what servers answer. Raises: Violation."""
        for host in self._stage.world.hosts:
            heart = host.heart
            if not isinstance(heart, Replica) or not host.is_serving:
                continue
            answered = dict.fromkeys(_answered(host))
            present = (host.config.peer, *heart.zone.reached)
            for said in _said(heart, present):
                if said not in answered:
                    raise Violation(f"I6: {host.name} does not answer {said[1]} for {said[0]}, which is within reach")
            # What an agent that stands still has let its server answer is answered on.
            possible = dict.fromkeys(_said(heart, (*present, *self._lately(host))))
            for said in () if host.is_paused else answered:
                if said not in possible:
                    raise Violation(f"I6: {host.name} answers {said[1]} for {said[0]}, which nobody says in reach")
            ours = dict.fromkeys(_said(heart, (host.config.peer,)))
            for answers in host.served.values():
                are_others = [(answers.key, address_text(answer.address)) not in ours for answer in answers.hosts]
                ranks = [answer.rank for answer in answers.hosts]
                if ranks != sorted(ranks) or are_others != sorted(are_others):
                    raise Violation(f"I6: {host.name} answers {answers.key} with others' addresses before its own")

    def _lately(self, host: Host) -> tuple[PeerName, ...]:
        """Return peers for which a host may still answer, by its own clock."""
        sight = self._sights.get(host.index)
        now_ms = host.clock.at(self._stage.world.now_us).mono_ms
        seen = {} if sight is None else sight.lately_ms
        return tuple(peer for peer, seen_ms in seen.items() if now_ms - seen_ms <= HOLD_DOWN_MS + SLACK_MS)

    def unfinished(self, hearts: list[tuple[Host, Replica]]) -> list[str]:
        """Say which names are not answered as they should be, now that nothing goes wrong any more."""
        problems: list[str] = []
        promised = {
            (name_of(user.name), address): holder.name
            for holder, _ in hearts
            for user in self._stage.books.users[holder.index].values()
            if user.is_attached and user.addresses
            for address in user.addresses
            # The kernel shows addresses, not names: who lost its journal with nobody to remember has none.
            if "amnesia" not in self._stage.scenario.allow
        }
        book = self._stage.books.names
        for holder, _ in hearts:
            promised.update((said, holder.name) for said in book.promised(holder.index))
        for host, heart in hearts:
            problems.extend(_orphans(host, heart))
            answered = dict.fromkeys(_answered(host))
            expected = dict.fromkeys(_said(heart, (host.config.peer, *heart.mesh.next_hops)))
            missing = [said for said in (*expected, *promised) if said not in answered]
            if missing:
                name, what = missing[0]
                problems.append(f"{host.name} does not answer {what} for {name}")
            extra = [said for said in answered if said not in expected]
            extra += [said for holder, _ in hearts for said in book.removed(holder.index) if said in answered]
            if extra:
                name, what = extra[0]
                problems.append(f"{host.name} answers {what} for {name}, of which nobody within reach says so")
        return problems


def _orphans(host: Host, heart: Replica) -> Iterator[str]:
    """Say which names have outlived their containers: workloads give names to attached ones only."""
    attached = {key.split("/")[1]: None for key, _ in heart.board.of(host.config.peer, AttachmentRecord)}
    for _, record in heart.board.of(host.config.peer, NameRecord):
        if record.container not in attached:
            yield f"{host.name} still says {record.name} of {record.container}, which is not attached"


def _answered(host: Host) -> Iterator[Said]:
    for key, answers in host.served.items():
        for one in answers.hosts:
            yield key, address_text(one.address)
        for service in answers.services:
            yield key, f"{service.target}:{service.port}"
        for text in answers.texts:
            yield key, text.text
        assert answers != NameAnswers(key), "a name without answers is no more"


def _said(heart: Replica, peers: tuple[PeerName, ...]) -> Iterator[Said]:
    """Yield what peers say of names, as the facts that a host holds have it."""
    for peer in peers:
        for _, name in heart.board.of(peer, NameRecord):
            yield name.name.lower(), address_text(Address(name.address))
        for _, port in heart.board.of(peer, PortRecord):
            yield f"{port.service}.{port.name}".lower(), f"{port.name}:{port.port}"
        for _, text in heart.board.of(peer, TextRecord):
            for line in text.texts:
                yield text.name.lower(), line
