"""I6: what a host's name server answers is what present hosts say, no more and no less.

Always: whatever hosts within reach say is answered, our own first; nothing else is but what hosts say that were
reached before. At the end: what every container was promised is answered on every host that reaches it, by the same
answers; what nobody says any more is answered nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.kinds import NameRecord, PortRecord, TextRecord
from core.naming.answers import NameAnswers
from core.replica import Replica
from core.types import Address, PeerName, address_text
from sim.books import Violation
from sim.host import Host
from sim.names import name_of
from sim.stage import Stage

Said = tuple[str, str]
"""A name in lower case, and one thing that it answers."""


class Naming:
    """Looks at names."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._reached: dict[int, tuple[object, object, dict[PeerName, None]]] = {}

    def stepped(self, host: Host) -> None:
        """Remember whom a host has reached in this life; cheap when that has not changed."""
        heart = host.heart
        if not isinstance(heart, Replica):
            return
        frames, letters, ever = self._reached.get(host.index, ((), (), {}))
        if heart.zone.reached is not frames or heart.zone.connected is not letters:
            ever.update(dict.fromkeys((*heart.zone.reached, *sorted(heart.zone.connected))))
            self._reached[host.index] = heart.zone.reached, heart.zone.connected, ever

    def crashed(self, host: Host) -> None:
        """Begin anew with the next life."""
        self._reached.pop(host.index, None)

    def snapshot(self) -> None:
        """Check what servers answer. Raises: Violation."""
        for host in self._stage.world.hosts:
            heart = host.heart
            if not isinstance(heart, Replica) or not host.is_serving:
                continue
            _, _, ever = self._reached.get(host.index, ((), (), {}))
            answered = dict.fromkeys(_answered(host))
            present = (host.config.peer, *heart.zone.reached)
            for said in _said(heart, present):
                if said not in answered:
                    raise Violation(f"I6: {host.name} does not answer {said[1]} for {said[0]}, which is within reach")
            possible = dict.fromkeys(_said(heart, (host.config.peer, *ever)))
            for said in answered:
                if said not in possible:
                    raise Violation(f"I6: {host.name} answers {said[1]} for {said[0]}, which nobody says")
            for answers in host.served.values():
                ranks = [answer.rank for answer in answers.hosts]
                if ranks != sorted(ranks):
                    raise Violation(f"I6: {host.name} answers {answers.key} with others' addresses before its own")

    def unfinished(self, hearts: list[tuple[Host, Replica]]) -> list[str]:
        """Say which names are not answered as they should be, now that nothing goes wrong any more."""
        problems = []
        promised = {
            (name_of(user.name), address): holder.name
            for holder, _ in hearts
            for user in self._stage.books.users[holder.index].values()
            if user.is_attached and user.addresses
            for address in user.addresses
            # The kernel shows addresses, not names: who lost its journal with nobody to remember has none.
            if "amnesia" not in self._stage.scenario.allow
        }
        for host, heart in hearts:
            answered = dict.fromkeys(_answered(host))
            expected = dict.fromkeys(_said(heart, (host.config.peer, *heart.mesh.next_hops)))
            missing = [said for said in (*expected, *promised) if said not in answered]
            if missing:
                name, what = missing[0]
                problems.append(f"{host.name} does not answer {what} for {name}")
            extra = [said for said in answered if said not in expected]
            if extra:
                name, what = extra[0]
                problems.append(f"{host.name} answers {what} for {name}, of which nobody within reach says so")
        return problems


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
