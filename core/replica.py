"""The whole agent minus input and output: `apply(event, at) -> effects`.

Rules of this file: it passes each event to the parts that care, lets them catch up with the facts, and turns what they
wrote into commits. It decides nothing else.

The order of effects is a contract. What we write goes to the journal first; only when the commit is confirmed does it
enter the store, and only from there do neighbours hear of it (law S1) and are requests answered. Until we know what
others know of us (`Mesh.in_sync`), nothing of our own is even given a number: a journal that was rolled back is found
out before a number could be used twice. While the disk takes nothing, we go on with what we have and say nothing new.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core.board import Board
from core.commits import DISK, Commits
from core.config import Config, Recovered
from core.context import Context
from core.effects import Effect
from core.events import (
    AddressesProbed,
    Allocate,
    AttachAsked,
    Claim,
    Commanded,
    Connect,
    ContainerGone,
    DetachAsked,
    DialFailed,
    Event,
    Forget,
    Free,
    FreeIdle,
    KernelChanged,
    KernelDumped,
    Leave,
    LinkDown,
    LinkUp,
    Lookup,
    Misbehaved,
    NameAdd,
    NameLookup,
    NameRemove,
    NamesAsked,
    OpsDone,
    PathDown,
    PathUp,
    Persisted,
    PersistFailed,
    Prime,
    Received,
    RemovePeers,
    RequestCancelled,
    Started,
    TimerFired,
)
from core.ipam.allocator import Allocator
from core.ipam.earlier import earlier_facts, earlier_lives
from core.ipam.electorate import electorate
from core.ipam.fences import Fences
from core.kinds import (
    NAMES,
    AttachmentRecord,
    FenceRecord,
    LinkRecord,
    NameRecord,
    PeerRecord,
    PortRecord,
    RetiredRecord,
    ShortIdRecord,
    TargetRecord,
    TextRecord,
    peer_key,
    put,
)
from core.mesh.mesh import Mesh
from core.mesh.seals import Seals
from core.messages import EspOffer, EspTaken
from core.naming.presence import TIMER as NAMES_TIMER
from core.naming.registry import Registry
from core.naming.zone import Zone
from core.reconcile.attachments import Attachments
from core.reconcile.desired import desired
from core.reconcile.objects import Endpoint, KernelObject
from core.reconcile.reconciler import Reconciler
from core.reconcile.strays import Strays
from core.status import KernelTrouble, Status
from core.types import Instant, PeerName, RequestId
from crdt.fact import Change, Origin
from crdt.store import Joined, Pool, Stale, Store

ADOPTED = AttachmentRecord | ShortIdRecord | RetiredRecord | FenceRecord | NameRecord | PortRecord | TextRecord
"""What a new life says again as an earlier one has said it; addresses and ranges are the allocator's."""
REBIRTHS_SUSPECT = 2
"""A journal that was rolled back is found out once after a start; who is overtaken again while it runs is not alone."""


class Replica:
    """One host."""

    def __init__(self, config: Config, recovered: Recovered, entropy: random.Random, pool: Pool | None = None) -> None:
        """Live on with what the journal held; with a `pool`, share streams with the other hosts of a simulation."""
        store, board = Store(pool), Board(recovered.origin)
        for delta in recovered.streams:
            result = store.join(delta)
            assert isinstance(result, Joined), f"the journal holds what it must not: {result}"
            board.absorb(delta.origin, result.changed)
        self._context = context = Context(config, store, board, entropy)
        self.mesh = Mesh(context)
        self._commits = Commits(context, lambda: self.mesh.in_sync)
        self._found_seq = self._commits.own.head.seq
        self.allocator = Allocator(
            context,
            in_sync=lambda: self.mesh.in_sync,
            may_give=lambda: self.strays.has_looked,
            is_own=self._is_own,
            reachable=self.mesh.reachable,
            send_to=self.mesh.send_to,
            vacate=self._vacate,
        )
        self._fences = Fences(context, lambda: self.mesh.in_sync and not earlier_lives(context))
        self.reconciler = Reconciler(context, self.desired, self._may_remove)
        self._seals = Seals(context, self.mesh, self.reconciler)
        self.zone = Zone(context)
        self.names = Registry(context, self.zone, lambda: self.mesh.in_sync and not earlier_lives(context))
        self.attachments = Attachments(context, self.allocator, self.reconciler, self.names)
        self._rebirths = 0
        self.strays = Strays(
            context, self.allocator, self.attachments.mac_of, self.attachments.is_known, self.reconciler.dirty
        )
        self._is_moving = False
        self._moved_at = 0
        self._caught_up: tuple[object, ...] | None = None
        self._routes_seen: tuple[object, ...] = ()

    @property
    def store(self) -> Store:
        """Replicated state, of our own only what is durable."""
        return self._context.store

    @property
    def board(self) -> Board:
        """Parsed facts, our own at once."""
        return self._context.board

    @property
    def marks(self) -> dict[str, int]:
        """How often each marked place was passed; do not change it."""
        return self._context.marks

    def queues(self) -> dict[str, int]:
        """Return how much waits, by what it waits for; each has a limit."""
        return {**self._commits.queues(), "addresses": self.allocator.waiting}

    def voters(self) -> tuple[PeerName, ...]:
        """Return who would have to answer before anybody else were removed, ourselves included; by name."""
        return electorate(self._context, ())

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        """Decide what follows from an event."""
        context = self._context
        context.at = at
        _HANDLERS[type(event)](self, event)
        for received in self.mesh.released():
            self._received(received)
        self._catch_up(event)
        self._flush()
        effects, context.effects = context.effects, []
        return effects

    def describe(self, at: Instant) -> Status:
        """Take a snapshot for people and scripts. O(all facts)."""
        context = self._context
        context.at = at
        failures = self.reconciler.failures
        troubles = tuple(
            KernelTrouble(
                f"{failure.op.verb.value} {' '.join(failure.op.object.key)}",
                failure.result.why,
                getattr(failure.result, "hint", ""),
                max(0, failure.due_ms - at.mono_ms),
            )
            for failure in failures
        )
        ipam = self.allocator.describe()
        alarms = self.mesh.alarms() + (() if ipam is None else (*ipam.alarms, *ipam.conflicts))
        if self._rebirths >= REBIRTHS_SUSPECT:
            me = context.me
            alarms = (
                f"others have heard under our name {me} what we never said, {self._rebirths} times since we started: "
                "another host has it, maybe a copy of this disk. Stop that one, and there run 'weave reset --force' "
                "and 'weave launch' with another --name",
                *alarms,
            )
        if self._commits.trouble:
            alarms = (f"nothing can be saved: {self._commits.trouble}", *alarms)
        return Status(
            config=context.config,
            incarnation=context.board.me.incarnation,
            mesh=self.mesh.describe(),
            ipam=ipam,
            attachments=self.attachments.describe(),
            names=self.zone.describe(),
            kernel=troubles,
            disk=self._commits.trouble,
            origins=len(context.store.origins()),
            facts=context.store.fact_count(),
            digest=f"{context.store.digest.root:032x}",
            alarms=alarms,
        )

    def desired(self) -> tuple[KernelObject, ...]:
        """Return what the kernel should hold of ours now.

        No interface is asked for before it is certain that our own facts are the newest there are of us.
        """
        objects = desired(
            self._context.config,
            self.mesh.short_id,
            self.mesh.short_ids,
            self.mesh.next_hops,
            self.mesh.neighbour_addresses(),
            self.mesh.trees,
            self.attachments.records() if self._may_remove() else (),
            transports=self.mesh.transports(),
            lines=self.mesh.lines,
            seals=self._seals.objects(),
        )
        strays = self.strays.objects()
        return (*objects, *strays) if strays else objects

    # Events.

    def _started(self, _event: Started) -> None:
        context, config = self._context, self._context.config
        before = context.board.get(context.me, peer_key(), PeerRecord)
        adopts = 0 if before is None else before.adopts
        record = PeerRecord(config.nickname, config.version, config.port, adopts)
        if before != record:
            context.write(put(peer_key(), record))
        self.mesh.started()
        self.allocator.started()
        self.reconciler.started()

    def _received(self, event: Received) -> None:
        if isinstance(event.message, EspOffer | EspTaken):
            peer = self.mesh.heard_of_esp(event)
            if peer is not None:
                self._seals.received(peer, event.message)
            return
        for source, body in self.mesh.received(event):
            self.allocator.received(source, body)

    def _timer_fired(self, event: TimerFired) -> None:
        if event.name == DISK:
            self._commits.timer()
        elif event.name.startswith(NAMES_TIMER):
            self.zone.timer(event.name)
        elif not any(part.timer(event.name) for part in (self._seals, self.mesh, self.allocator)):
            assert self.reconciler.timer(event.name), f"nobody set the timer {event.name}"

    def _commanded(self, event: Commanded) -> None:
        request, command = event.request, event.command
        if isinstance(command, Allocate | Claim | NameAdd) and self._refuse_when_full(request):
            return
        if self._commits.trouble and isinstance(command, Allocate | Claim | RemovePeers | Leave):
            # Else it would be refused because its facts cannot be saved, and take effect once they can.
            self._context.refuse(request, self._commits.refusal())
            return
        match command:
            case Connect():
                self.mesh.connect(request, command)
            case Forget():
                self.mesh.forget(request, command)
            case RemovePeers():
                self.allocator.remove_peers(request, command)
            case Prime():
                self.allocator.prime(request)
            case Allocate():
                self.allocator.allocate(request, command)
            case Claim():
                self.allocator.claim(request, command)
            case Lookup():
                self.allocator.lookup(request, command)
            case Free():
                self.allocator.free(request, command)
            case FreeIdle():
                self.allocator.free_idle(request, command)
            case Leave():
                self.allocator.leave(request)
            case NameAdd():
                self.names.add(request, command)
            case NameRemove():
                self.names.remove(request, command)
            case NameLookup():
                self.names.lookup(request, command)

    def _attach_asked(self, event: AttachAsked) -> None:
        if not self._refuse_when_full(event.request):
            self.attachments.asked(event)

    def _container_gone(self, event: ContainerGone) -> None:
        self.attachments.container_gone(event.container)
        self.names.container_gone(event.container)
        self.allocator.container_gone(event.container)

    def _request_cancelled(self, event: RequestCancelled) -> None:
        self.allocator.cancel(event.request)
        self.attachments.cancelled(event.request)
        self.names.cancelled(event.request)

    def _kernel_dumped(self, event: KernelDumped) -> None:
        self.mesh.kernel_dumped(event.objects)
        self._seals.kernel_dumped(event.objects)
        self.strays.kernel_dumped(event.objects)
        self.reconciler.kernel_dumped(event.objects)
        self._seals.ops_done(())
        self.attachments.settle()

    def _ops_done(self, event: OpsDone) -> None:
        self.reconciler.ops_done(event.results)
        self._seals.ops_done(event.results)
        self.attachments.settle()

    def _persisted(self, event: Persisted) -> None:
        own = self._commits.confirmed(event).own
        if own is not None:
            result = self._context.store.join(own)
            is_present = own.origin == self._commits.own.origin
            assert isinstance(result, Joined | Stale) or not is_present, f"we contradict ourselves: {result}"
            self.mesh.announce(own.origin)
            if any(fact.kind == NAMES[AttachmentRecord] for fact in own.facts):
                self.strays.saved((container, ifname) for container, ifname, _ in self.attachments.records())
                self.reconciler.dirty()
        self.attachments.settle()

    # After every event.

    def _catch_up(self, event: Event) -> None:
        """Let every part see what has changed.

        After a message or a commit that has changed no facts, as most do not, there is nothing to see; a command or a
        timer may have moved anything.
        """
        self._be_reborn_if_rolled_back()
        state = (self._context.board.revision, self.mesh.in_sync, self.mesh.lines)
        if state == self._caught_up and isinstance(event, Received | Persisted):
            return
        self._caught_up = state
        self.mesh.facts_changed()
        if self.mesh.in_sync:
            self._adopt()
            if not earlier_lives(self._context):
                self.strays.look()
        self.names.facts_changed()
        self._fences.facts_changed()
        self.allocator.facts_changed()
        self.zone.facts_changed(self.mesh.next_hops, self.mesh.reached)
        if self._context.config.datapath:
            self._seals.catch_up()
            self._notice_routes()

    def _notice_routes(self) -> None:
        """Have the kernel looked at when what it should hold of other hosts may be another."""
        mesh = self.mesh
        places, transports = mesh.neighbour_addresses(), mesh.transports()
        routes = (mesh.short_ids, mesh.graph, places, transports, mesh.lines, mesh.in_sync)
        if len(routes) != len(self._routes_seen) or any(
            new is not old for new, old in zip(routes, self._routes_seen, strict=True)
        ):
            self._routes_seen = routes
            self.reconciler.dirty()

    def _flush(self) -> None:
        """Have saved what was decided, and let go what waits for nothing."""
        if self._commits.trouble:
            self.attachments.disk_failed(self._commits.refusal())
            # Names that came with what was undone are no more.
            self.zone.facts_changed(self.zone.reached, self.zone.connected)
        self._commits.flush()
        if self._is_moving and not self._context.changes:
            self._is_moving, self._moved_at = False, self._commits.own.head.seq

    # Lives.

    def _adopt(self) -> None:
        """Take up what our earlier lives said, once we have heard it from others."""
        context = self._context
        lives = earlier_lives(context)
        if not lives:
            return
        for key, body in tuple(earlier_facts(context)):
            is_missing = context.board.get(context.me, key, type(body)) is None
            if isinstance(body, ADOPTED) and is_missing and not self.names.has_withdrawn(body):
                context.write(put(key, body))
        if not self.allocator.adopt():
            return
        record = context.board.get(context.me, peer_key(), PeerRecord)
        assert record is not None, "our first fact"
        context.write(put(peer_key(), replace(record, adopts=lives[-1].incarnation)))
        context.forget_superseded(context.me)
        self._is_moving = True

    def _be_reborn_if_rolled_back(self) -> None:
        """Go on under a new name when others hold more of our stream than we do.

        What we found on disk is old, and its newest form comes back from the others as that of an earlier life. Said
        again is only what this life has said, and what is true of us at present.
        """
        seen = self.mesh.rolled_back_to
        if seen is None:
            return
        context = self._context
        me = Origin(context.me, max(seen, context.board.me.incarnation) + 1)
        context.mark("replica.reborn")
        context.note(
            "WARN",
            f"peers know more of us than our journal does: it was rolled back; we go on as life {me.incarnation}",
        )
        present = tuple(NAMES[kind] for kind in (PeerRecord, LinkRecord, TargetRecord))
        facts = [
            Change(fact.key, fact.kind, fact.body)
            for fact in self._commits.own.live()
            if fact.seq > self._found_seq or fact.kind in present
        ]
        self._found_seq = 0
        self._rebirths += 1
        pending, context.changes = context.changes, []
        context.board.reborn(me)
        self._commits.start_over(me, [*facts, *pending])
        self._is_moving = True
        self.mesh.reborn()

    # Helpers.

    def _vacate(self, then: Callable[[], None]) -> None:
        """Take names and interfaces away, for a reset that will come about."""
        self.names.clear()
        self.attachments.vacate(then)

    def _is_own(self, container: str, mac: str) -> bool:
        """Say whether an interface of a container on this host has a MAC address."""
        return any(
            isinstance(item, Endpoint) and (item.container, item.mac) == (container, mac)
            for item in self.reconciler.observed or ()
        )

    def _may_remove(self) -> bool:
        """Say whether our facts are all there is of us: not before we are in sync, nor while we adopt earlier lives."""
        return self.mesh.in_sync and not self._is_moving and self._commits.durable_seq >= self._moved_at

    def _refuse_when_full(self, request: RequestId) -> bool:
        """Refuse what would let our stream grow beyond its limits; say whether that was so."""
        excess = self._commits.excess()
        if excess:
            self._context.refuse(request, excess)
        return bool(excess)


# Handlers take the event that their key names; the table is the proof.
_HANDLERS: dict[type[Event], Callable[[Replica, Any], None]] = {
    Started: Replica._started,
    LinkUp: lambda self, event: self.mesh.link_up(event),
    DialFailed: lambda self, event: self.mesh.dial_failed(event.target, event.reason),
    LinkDown: lambda self, event: self.mesh.link_down(event.link, event.reason),
    Received: Replica._received,
    Misbehaved: lambda self, event: self.mesh.misbehaved(event.link, event.reason),
    TimerFired: Replica._timer_fired,
    Persisted: Replica._persisted,
    PersistFailed: lambda self, event: self._commits.failed(event),
    PathUp: lambda self, event: self.mesh.path_up(event),
    PathDown: lambda self, event: self.mesh.path_down(event),
    RequestCancelled: Replica._request_cancelled,
    AttachAsked: Replica._attach_asked,
    DetachAsked: lambda self, event: self.attachments.detach(event),
    ContainerGone: Replica._container_gone,
    KernelDumped: Replica._kernel_dumped,
    AddressesProbed: lambda self, event: self.allocator.probed(event),
    NamesAsked: lambda self, event: self.zone.asked(),
    KernelChanged: lambda self, event: self.reconciler.kernel_changed(),
    OpsDone: Replica._ops_done,
    Commanded: Replica._commanded,
}
