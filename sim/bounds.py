"""Whether anything grows without end (I7): each queue of an agent has a limit that no trouble may lift."""

from __future__ import annotations

from core.commits import COMMITS_MAX
from core.ipam.waits import WAITS_MAX
from core.kinds import AddressRecord
from core.replica import Replica
from core.types import PeerName
from crdt.fact import STORE_ORIGINS_MAX
from sim.host import Host

QUEUES: dict[str, int] = {"commits": COMMITS_MAX, "effects": 2 * WAITS_MAX, "addresses": WAITS_MAX}
TIMERS_MAX = 32
"""Of an agent itself, besides those for each connection, container, address of one that has just ended, and peer."""
TIMERS_PER_PEER_MAX = 3
"""For its link, its transports, and its keys."""
LINKS_PER_PEER_MAX = 8
"""Connections to one peer while several dials cross, and old ones have not been given up."""


def excess(host: Host, heart: Replica, users: int, hosts: int) -> str:
    """Say what of an agent has grown beyond its limit; empty when nothing has."""
    for name, size in heart.queues().items():
        if size > QUEUES[name]:
            return f"{size} {name} wait, more than {QUEUES[name]}"
    limit = TIMERS_MAX + len(host.links) + TIMERS_PER_PEER_MAX * hosts + users
    if len(host.timers) > limit:
        limit += len(tuple(heart.board.of(PeerName(heart.board.me.peer), AddressRecord)))
    if len(host.timers) > limit:
        return f"{len(host.timers)} timers are set, more than {limit}"
    if len(host.links) > LINKS_PER_PEER_MAX * hosts:
        return f"{len(host.links)} connections stand, more than {LINKS_PER_PEER_MAX} per host"
    if len(heart.store.origins()) > STORE_ORIGINS_MAX:
        return f"{len(heart.store.origins())} streams are held, more than {STORE_ORIGINS_MAX}"
    return ""
