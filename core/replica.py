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
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from core.board import Board
from core.config import Config, Recovered
from core.context import Context
from core.effects import Answer, Effect, Persist, Refusal
from core.events import (
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
    KernelChanged,
    KernelDumped,
    Leave,
    LinkDown,
    LinkUp,
    Lookup,
    Misbehaved,
    OpsDone,
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
from core.ipam.fences import Fences
from core.kinds import (
    NAMES,
    AttachmentRecord,
    FenceRecord,
    LinkRecord,
    PeerRecord,
    RetiredRecord,
    ShortIdRecord,
    TargetRecord,
    peer_key,
    put,
)
from core.mesh.mesh import Mesh
from core.reconcile.attachments import Attachments
from core.reconcile.desired import desired
from core.reconcile.objects import KernelObject
from core.reconcile.reconciler import Reconciler
from core.status import KernelTrouble, Status
from core.types import Instant, RequestId, Ticket
from crdt.fact import STREAM_FACTS_MAX, STREAM_SIZE_MAX, Change, Delta, Origin
from crdt.store import Joined, Pool, Stale, Store
from crdt.stream import Stream

DISK = "disk"
DISK_RETRY_MS = 5_000
COMMITS_MAX = 16
"""Under way at once; what is decided beyond that goes into the next one, so a slow disk gets fewer and larger ones."""
RESERVE = 10
"""A tenth of our stream is kept for what nobody asks for: links, ring, numbers."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One Persist under way."""

    own: Delta | None
    """What becomes speakable with it."""
    foreign: tuple[Delta, ...]
    """What others said."""
    dropped: tuple[Origin, ...]
    """Streams forgotten."""


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
        self._own = store.stream(recovered.origin) or Stream.empty(recovered.origin)
        self._found_seq = self._own.head.seq
        self.mesh = Mesh(context)
        self.allocator = Allocator(
            context,
            in_sync=lambda: self.mesh.in_sync,
            reachable=self.mesh.reachable,
            send_to=self.mesh.send_to,
        )
        self._fences = Fences(context, lambda: self.mesh.in_sync and not earlier_lives(context))
        self.reconciler = Reconciler(context, self.desired, self._may_remove)
        self.attachments = Attachments(context, self.allocator, self.reconciler)
        self._commits: dict[Ticket, Commit] = {}
        self._last_ticket = 0
        self._unsaved: dict[Origin, None] = {}
        self._undropped: dict[Origin, None] = {}
        self._disk_trouble = ""
        self._retry: Ticket | None = None
        self._is_moving = False
        self._moved_at = 0
        self._caught_up: tuple[int, bool] | None = None
        self._waiting: deque[tuple[int, Effect]] = deque()
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
        waits = self.allocator.waiting
        return {"commits": len(self._commits), "effects": len(self._waiting), "addresses": waits}

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        """Decide what follows from an event."""
        context = self._context
        context.at = at
        _HANDLERS[type(event)](self, event)
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
        if self._disk_trouble:
            alarms = (f"nothing can be saved: {self._disk_trouble}", *alarms)
        return Status(
            config=context.config,
            incarnation=context.board.me.incarnation,
            mesh=self.mesh.describe(),
            ipam=ipam,
            attachments=self.attachments.describe(),
            kernel=troubles,
            disk=self._disk_trouble,
            origins=len(context.store.origins()),
            facts=context.store.fact_count(),
            digest=f"{context.store.digest.root:032x}",
            alarms=alarms,
        )

    def desired(self) -> tuple[KernelObject, ...]:
        """Return what the kernel should hold of ours now.

        No interface is asked for before it is certain that our own facts are the newest there are of us.
        """
        return desired(
            self._context.config,
            self.mesh.short_id,
            self.mesh.short_ids,
            self.mesh.next_hops,
            self.mesh.neighbour_addresses(),
            self.mesh.trees,
            self.attachments.records() if self._may_remove() else (),
        )

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
        for source, body in self.mesh.received(event):
            self.allocator.received(source, body)

    def _timer_fired(self, event: TimerFired) -> None:
        if event.name == DISK:
            self._save_again()
        elif not (self.mesh.timer(event.name) or self.allocator.timer(event.name)):
            assert self.reconciler.timer(event.name), f"nobody set the timer {event.name}"

    def _commanded(self, event: Commanded) -> None:
        request, command = event.request, event.command
        if isinstance(command, Allocate | Claim) and self._refuse_when_full(request):
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
            case Leave():
                self.allocator.leave(request)

    def _attach_asked(self, event: AttachAsked) -> None:
        if not self._refuse_when_full(event.request):
            self.attachments.asked(event)

    def _container_gone(self, event: ContainerGone) -> None:
        self.attachments.container_gone(event.container)
        self.allocator.container_gone(event.container)

    def _request_cancelled(self, event: RequestCancelled) -> None:
        self.allocator.cancel(event.request)
        self.attachments.cancelled(event.request)

    def _kernel_dumped(self, event: KernelDumped) -> None:
        self.reconciler.kernel_dumped(event.objects)
        self.attachments.settle()

    def _ops_done(self, event: OpsDone) -> None:
        self.reconciler.ops_done(event.results)
        self.attachments.settle()

    def _persisted(self, event: Persisted) -> None:
        context = self._context
        commit = self._commits.pop(event.ticket)
        if event.ticket == self._retry:
            self._retry, self._disk_trouble = None, ""
            context.mark("replica.disk-recovered")
            context.note("INFO", "the journal takes commits again")
        if commit.own is not None:
            result = context.store.join(commit.own)
            is_present = commit.own.origin == self._own.origin
            assert isinstance(result, Joined | Stale) or not is_present, f"we contradict ourselves: {result}"
            self.mesh.announce(commit.own.origin)
            if any(fact.kind == NAMES[AttachmentRecord] for fact in commit.own.facts):
                self.reconciler.dirty()
        self.attachments.settle()

    def _persist_failed(self, event: PersistFailed) -> None:
        commit = self._commits.pop(event.ticket)
        self._unsaved.update((delta.origin, None) for delta in commit.foreign)
        self._undropped.update((origin, None) for origin in commit.dropped)
        if not self._disk_trouble:
            self._context.mark("replica.disk-refused")
            text = f"cannot save: {event.reason}; peers hear nothing new from us until it works again"
            self._context.note("ERRO", text)
        self._retry, self._disk_trouble = None, event.reason
        self._context.timer(DISK, DISK_RETRY_MS)

    # After every event.

    def _catch_up(self, event: Event) -> None:
        """Let every part see what has changed.

        After a message or a commit that has changed no facts, as most do not, there is nothing to see; a command or a
        timer may have moved anything.
        """
        self._be_reborn_if_rolled_back()
        state = (self._context.board.revision, self.mesh.in_sync)
        if state == self._caught_up and isinstance(event, Received | Persisted):
            return
        self._caught_up = state
        self.mesh.facts_changed()
        if self.mesh.in_sync:
            self._adopt()
        self._fences.facts_changed()
        self.allocator.facts_changed()
        if self._context.config.datapath:
            self._notice_routes()

    def _notice_routes(self) -> None:
        """Have the kernel looked at when what it should hold of other hosts may be another."""
        mesh = self.mesh
        routes = (mesh.short_ids, mesh.graph, mesh.neighbour_addresses(), mesh.in_sync)
        if len(routes) != len(self._routes_seen) or any(
            new is not old for new, old in zip(routes, self._routes_seen, strict=True)
        ):
            self._routes_seen = routes
            self.reconciler.dirty()

    def _flush(self) -> None:
        """Turn what was written and learnt into a commit, and let go what waits for none."""
        context = self._context
        no_space = f"cannot save: {self._disk_trouble}; then ask again" if self._disk_trouble else ""
        if self._disk_trouble:
            self.attachments.disk_failed(no_space)
            # What was learnt is in the store, and is saved from there.
            self._unsaved.update((delta.origin, None) for delta in context.learnt)
            self._undropped.update((origin, None) for origin in context.dropped)
            context.learnt, context.dropped = [], []
        elif len(self._commits) >= COMMITS_MAX:
            context.mark("replica.commits-gathered")
        elif self.mesh.in_sync or context.learnt or context.dropped:
            self._commit(tuple(context.learnt), tuple(context.dropped))
            context.learnt, context.dropped = [], []
        if self._is_moving and not context.changes:
            self._is_moving, self._moved_at = False, self._own.head.seq
        if context.after_commit:
            last = self._own.head.seq + len(context.changes)
            self._waiting.extend((last, effect) for effect in context.after_commit)
            context.after_commit = []
        if self._waiting:
            self._release()
        while self._disk_trouble and self._waiting:
            _, effect = self._waiting.popleft()
            if isinstance(effect, Answer):
                context.mark("replica.answer-unsaved")
                context.emit(Answer(effect.request, Refusal(no_space)))

    def _commit(self, foreign: tuple[Delta, ...], dropped: tuple[Origin, ...]) -> None:
        context = self._context
        own: Delta | None = None
        if context.changes and self.mesh.in_sync:
            known = self._own.head.seq
            self._own = self._own.append(context.changes)
            own = self._own.delta(known)
            context.changes = []
        if own is None and not foreign and not dropped:
            return
        self._persist(Commit(own, foreign, dropped))

    def _persist(self, commit: Commit) -> None:
        self._last_ticket += 1
        ticket = Ticket(self._last_ticket)
        self._commits[ticket] = commit
        deltas = commit.foreign if commit.own is None else (*commit.foreign, commit.own)
        self._context.emit(Persist(ticket, deltas, commit.dropped, sync=commit.own is not None))

    def _release(self) -> None:
        """Let go what waited for our own facts to be durable."""
        durable = self._durable_seq()
        while self._waiting and self._waiting[0][0] <= durable:
            self._context.emit(self._waiting.popleft()[1])

    def _save_again(self) -> None:
        """Offer the journal all that it has refused."""
        if self._commits:
            self._context.mark("replica.retry-too-early")
            # Commits from before the trouble are still to be reported.
            self._context.timer(DISK, DISK_RETRY_MS)
            return
        context = self._context
        if context.changes and self.mesh.in_sync:
            self._own = self._own.append(context.changes)
            context.changes = []
        durable = self._durable_seq()
        own = self._own.delta(durable) if self._own.head.seq > durable else None
        held = (origin for origin in self._unsaved if context.store.head(origin) is not None)
        foreign = tuple(context.store.delta_for(origin, 0) for origin in held)
        # Even an empty one: it finds out whether the disk works again.
        self._persist(Commit(own, foreign, tuple(self._undropped)))
        self._retry = Ticket(self._last_ticket)
        self._unsaved.clear()
        self._undropped.clear()

    # Lives.

    def _adopt(self) -> None:
        """Take up what our earlier lives said, once we have heard it from others."""
        context = self._context
        lives = earlier_lives(context)
        if not lives:
            return
        for key, body in tuple(earlier_facts(context)):
            is_missing = context.board.get(context.me, key, type(body)) is None
            if isinstance(body, AttachmentRecord | ShortIdRecord | RetiredRecord | FenceRecord) and is_missing:
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
            for fact in self._own.live()
            if fact.seq > self._found_seq or fact.kind in present
        ]
        self._found_seq = 0
        pending, context.changes = context.changes, []
        context.board.reborn(me)
        self._own = Stream.empty(me)
        for change in (*facts, *pending):
            context.write(change)
        self._waiting = deque((len(context.changes), effect) for _, effect in self._waiting)
        self._is_moving = True
        self.mesh.reborn()

    # Helpers.

    def _may_remove(self) -> bool:
        """Say whether our facts are all there is of us: not before we are in sync, nor while we adopt earlier lives."""
        return self.mesh.in_sync and not self._is_moving and self._durable_seq() >= self._moved_at

    def _durable_seq(self) -> int:
        head = self._context.store.head(self._own.origin)
        return 0 if head is None else head.seq

    def _refuse_when_full(self, request: RequestId) -> bool:
        """Refuse what would let our stream grow beyond its limits; say whether that was so."""
        count, size = self._own.count, self._own.size
        if count < STREAM_FACTS_MAX * (RESERVE - 1) // RESERVE and size < STREAM_SIZE_MAX * (RESERVE - 1) // RESERVE:
            return False
        self._context.refuse(
            request,
            f"this host has {count} facts in {size} bytes to its name, which is the limit; detach containers first",
        )
        return True


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
    PersistFailed: Replica._persist_failed,
    RequestCancelled: Replica._request_cancelled,
    AttachAsked: Replica._attach_asked,
    DetachAsked: lambda self, event: self.attachments.detach(event),
    ContainerGone: Replica._container_gone,
    KernelDumped: Replica._kernel_dumped,
    KernelChanged: lambda self, event: self.reconciler.kernel_changed(),
    OpsDone: Replica._ops_done,
    Commanded: Replica._commanded,
}
