"""Messages for one peer, passed on hop by hop; they may be lost, and whoever sends them tries again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.context import Context
from core.effects import Send
from core.mesh.topology import Topology
from core.messages import Routed, SpaceAsk, SpaceRefused
from core.types import LinkId, PeerName
from core.wire import TTL_MAX

Letter = tuple[PeerName, SpaceAsk | SpaceRefused]
"""Who wrote, and what."""


class Relay:
    """Sends along next hops, over all links: a link over which no frames get through carries letters all the same."""

    def __init__(self, context: Context, topology: Topology, links: Callable[[], Mapping[PeerName, LinkId]]) -> None:
        self._context = context
        self._topology = topology
        self._links = links

    def send(self, peer: PeerName, body: SpaceAsk | SpaceRefused) -> bool:
        """Send a message on its way; False when there is none."""
        return self._forward(Routed(self._context.me, peer, TTL_MAX, body))

    def received(self, message: Routed) -> tuple[Letter, ...]:
        """Return the message if it is for us, else pass it on."""
        if message.destination == self._context.me:
            return ((message.source, message.body),)
        if message.ttl > 0:
            self._context.mark("relay.passed-on")
            self._forward(Routed(message.source, message.destination, message.ttl - 1, message.body))
        return ()

    def _forward(self, message: Routed) -> bool:
        hop = self._topology.letter_hops.get(message.destination)
        link = None if hop is None else self._links().get(hop)
        if link is None:
            self._context.mark("relay.no-way")
            return False
        self._context.emit(Send(link, message))
        return True
