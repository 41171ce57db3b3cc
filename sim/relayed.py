"""Whether hosts pass on untouched what they do not understand (I1): facts of a later version, byte for byte.

What counts is what a host of that version has on disk; a fact that was overwritten, or went with a life that has been
superseded, is not looked for.
"""

from __future__ import annotations

from core.replica import Replica
from crdt.fact import Delta, Fact, Origin
from sim.host import Host
from sim.names import TODAY
from sim.releases import is_ahead


class Relayed:
    """Remembers what was said in a later version's words."""

    def __init__(self) -> None:
        self._ahead: dict[int, None] = {}
        self._facts: dict[tuple[Origin, str], Fact] = {}

    def observe(self, host: Host, delta: Delta) -> None:
        """Take note of what a host has made durable; without cost where nobody ever ran a later version."""
        if host.release != TODAY:
            self._ahead[host.index] = None
        if host.index not in self._ahead:
            return
        if delta.since == 0:
            # The whole stream: what is not in it was deleted, and the deletion forgotten.
            for place in [place for place in self._facts if place[0] == delta.origin]:
                del self._facts[place]
        for fact in delta.facts:
            before = self._facts.get((delta.origin, fact.key))
            if before is None or before.seq < fact.seq:
                self._facts[delta.origin, fact.key] = fact

    def loss(self, hearts: list[tuple[Host, Replica]]) -> str:
        """Say who has lost or changed what it did not understand; empty when nobody has."""
        writers = {heart.board.me: None for _, heart in hearts}
        for (origin, key), fact in self._facts.items():
            if fact.body is None or not is_ahead(fact) or origin not in writers:
                continue
            for host, heart in hearts:
                stream = heart.store.stream(origin)
                held = None if stream is None else stream.get(key)
                if held != fact:
                    return f"{host.name} holds {held} instead of {fact} of {origin.peer}#{origin.incarnation}"
        return ""
