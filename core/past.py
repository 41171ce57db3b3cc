"""What a host believed, from its facts alone: a Status of some time, made from the streams that it held then.

Views are functions of facts, so they say of the past what they said then. What was never a fact is not known: why a
connection did not stand, requests that waited, what the kernel carried, alarms of the moment. Settings that are no
facts are those of now; the range and the nickname are facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from core.board import Board
from core.config import Config
from core.context import Context
from core.ipam.fences import Fences
from core.ipam.grace import Grace
from core.ipam.held import Held
from core.ipam.seed import Seed
from core.ipam.space import Space
from core.ipam.status import IpamStatus
from core.ipam.status import describe as describe_ipam
from core.ipam.universe import universe_of
from core.kinds import AttachmentRecord, HomeRecord, PeerRecord, home_key, peer_key
from core.mesh.describe import describe_facts
from core.mesh.shortids import ShortIds
from core.mesh.topology import Topology
from core.naming.zone import Zone
from core.reconcile.desired import host_ifname
from core.status import AttachmentStatus, Status
from core.types import Instant, PeerName
from crdt.fact import Delta, Origin
from crdt.store import Joined, Store

NOT_KNOWN = "whether the kernel carried it is not known of the past"


class Past:
    """The facts of one host at one time, and the views of them. Changes nothing, and nobody else sees it."""

    def __init__(self, config: Config, streams: Iterable[Delta], at_ms: int, entropy: random.Random) -> None:
        """Take verified whole streams. `at_ms` is the time on the host's wall clock. O(all facts).

        `entropy` is never drawn from: who looks back decides nothing.
        """
        store = Store()
        for delta in streams:
            result = store.join(delta)
            assert isinstance(result, Joined), f"streams are verified before: {result}"
        lives = store.lives(config.peer)
        board = Board(lives[-1] if lives else Origin(config.peer, 1))
        for origin in store.origins():
            stream = store.stream(origin)
            assert stream is not None, "origins come from the store"
            board.absorb(origin, tuple(stream.live()), (), stream)
        self.context = Context(_as_then(config, board), store, board, entropy, Instant(0, at_ms))
        """Store and board, with settings as they were."""
        Fences(self.context, lambda: False).facts_changed()
        self.topology = Topology(self.context)
        """Who is linked to whom."""
        self.topology.refresh()
        universe = self.context.config.universe
        self.seed = None if universe is None else Seed(self.context, universe, lambda: True)
        """The ring, as far as there was one."""
        if self.seed is not None:
            self.seed.recognise()

    def describe(self) -> Status:
        """Return the status as far as facts tell. O(all facts)."""
        context = self.context
        ipam, zone = self._ipam(), Zone(context)
        zone.facts_changed(self.topology.next_hops, self.topology.reached)
        return Status(
            config=context.config,
            incarnation=context.board.me.incarnation,
            mesh=describe_facts(context, self.topology, ShortIds(context)),
            ipam=ipam,
            attachments=tuple(self._attachments()),
            names=zone.describe(),
            kernel=(),
            disk="",
            origins=len(context.store.origins()),
            facts=context.store.fact_count(),
            digest=f"{context.store.digest.root:032x}",
            alarms=() if ipam is None else (*ipam.alarms, *ipam.conflicts),
        )

    def reachable(self, peer: PeerName) -> bool:
        """Say whether a path led there."""
        return self.topology.reachable(peer)

    def _ipam(self) -> IpamStatus | None:
        seed, context = self.seed, self.context
        if seed is None:
            return None
        held = Held(context)
        space = None if seed.ring is None else Space(context, seed.ring, held)
        return describe_ipam(context, seed, held, Grace(context, held), (), space, None, (), self.reachable)

    def _attachments(self) -> Iterable[AttachmentStatus]:
        for key, record in self.context.board.of(self.context.me, AttachmentRecord):
            _, container, ifname = key.split("/", 2)
            yield AttachmentStatus(
                container=container,
                ifname=ifname,
                mac=record.mac,
                addresses=record.addresses,
                netns=record.netns,
                host_ifname=host_ifname(container, ifname),
                is_up=False,
                waits_for=NOT_KNOWN,
            )


def _as_then(config: Config, board: Board) -> Config:
    """Return the settings with what facts say of them."""
    peer = board.get(config.peer, peer_key(), PeerRecord)
    if peer is not None:
        config = replace(config, nickname=peer.nickname, version=peer.version, port=peer.port)
    home = board.get(config.peer, home_key(), HomeRecord)
    if home is None or home.universe == str(config.universe or ""):
        return config
    if not home.universe:
        return replace(config, universe=None, default_subnet=())
    return replace(config, universe=universe_of(home.universe), default_subnet=())
