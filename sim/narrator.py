"""Looks on while a scenario is played, and tells its story.

It stands between a world and its checks: everything that the world shows it is passed on, so that a broken promise is
the last thing that it sees. A run without a narrator costs nothing more. What happens often is remembered up to a
limit, the newest; what changes how things stand (actions, starts, ends, cuts) is remembered without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter

from core.config import Recovered
from core.effects import Answer, Effect, Hangup, Note, Ok, Persist, Refusal, Send
from core.events import (
    AttachAsked,
    Commanded,
    ContainerGone,
    DetachAsked,
    Event,
    LinkDown,
    Persisted,
    PersistFailed,
    Received,
)
from core.messages import Message
from core.reconcile.objects import Op, OpResult
from core.replica import Replica
from core.types import LinkId, RequestId, Ticket
from crdt.fact import Delta
from sim.actions import Action
from sim.host import Host
from sim.run import MakeReplica, Report, Run
from sim.scenario import Scenario
from sim.story import (
    Asked,
    Began,
    Ended,
    Fate,
    Happening,
    Missed,
    Noted,
    Operated,
    PathsCut,
    Performed,
    Sent,
    Story,
    Wrote,
)

OFTEN_MAX = 200_000
"""Messages, writes, requests and operations remembered: about an hour of five busy hosts, and 100 MB."""
PATHS_HOSTS_MAX = 64
"""With more hosts the paths between all of them are too many to be compared at each action."""


def tell(scenario: Scenario, make: MakeReplica = Replica, *, profile: str = "") -> Story:
    """Play a scenario and tell what happened. With a profile, its seed chooses what happens instead."""
    run = Run(scenario, make, profile=profile)
    narrator = Narrator(run)
    return narrator.story(run.play())


class Narrator:
    """Remembers what happens in one run."""

    def __init__(self, run: Run) -> None:
        self._world = run.world
        self._inner = run.checks
        self._walls = dict.fromkeys(run.scenario.walls)
        self._calm_us = run.scenario.until_ms * 1000
        self._lasting: list[Happening] = []
        self._often: deque[Happening] = deque(maxlen=OFTEN_MAX)
        self._often_count = 0
        self._cuts: tuple[tuple[int, int], ...] = ()
        self._writes: dict[tuple[int, Ticket], tuple[int, tuple[Delta, ...]]] = {}
        self._questions: dict[tuple[int, RequestId], tuple[int, Commanded | AttachAsked | DetachAsked]] = {}
        # By the end that is to receive: what is under way to it, since when, from whom, and whether into a cut.
        self._under_way: dict[tuple[int, LinkId], list[tuple[int, int, Message, bool]]] = {}
        run.world.watcher = self
        run.stage.performed = self.performed

    def story(self, report: Report) -> Story:
        """Tell it; what is open now stays open."""
        now_us = self._world.now_us
        for host, link in tuple(self._under_way):
            is_up = link in self._world.hosts[host].links
            self._lose_messages(host, link, Fate.UNDER_WAY if is_up else Fate.LOST)
        for host, ticket in tuple(self._writes):
            self._end_write(host, ticket, Fate.UNDER_WAY)
        for host, request in tuple(self._questions):
            self._end_question(host, request, None)
        calm_us = min(self._calm_us, now_us)
        if self._cuts and calm_us < now_us:
            self._lasting.append(PathsCut(calm_us, ()))
        happenings = sorted([*self._lasting, *self._often], key=attrgetter("at_us"))
        return Story(report, tuple(happenings), self._often_count - len(self._often), calm_us, now_us)

    def performed(self, action: Action) -> None:
        """Remember an action, and what it did to paths."""
        self._lasting.append(Performed(self._now_us, action))
        cuts = self._cuts_now()
        if cuts != self._cuts:
            self._cuts = cuts
            self._lasting.append(PathsCut(self._now_us, cuts))

    # What the world shows.

    def started(self, host: Host, recovered: Recovered) -> None:
        """Remember that an agent starts."""
        self._lasting.append(Began(self._now_us, host.index))
        self._inner.started(host, recovered)

    def crashed(self, host: Host) -> None:
        """Remember that an agent has ended, and with it all that it had begun."""
        self._lasting.append(Ended(self._now_us, host.index, host.is_dark))
        for index, link in tuple(self._under_way):
            if index == host.index:
                self._lose_messages(index, link, Fate.LOST)
        for index, ticket in tuple(self._writes):
            if index == host.index:
                self._end_write(index, ticket, Fate.LOST)
        for index, request in tuple(self._questions):
            if index == host.index:
                self._end_question(index, request, None)
        self._inner.crashed(host)

    def applied(self, host: Host, event: Event, effects: Sequence[Effect]) -> None:
        """Remember what an agent was told, and what it decides."""
        match event:
            case Received(link, message):
                self._arrive(host, link, message)
            case LinkDown(link, _):
                self._lose_messages(host.index, link, Fate.LOST)
            case Persisted(ticket):
                for index, earlier in tuple(self._writes):
                    if index == host.index and earlier <= ticket:
                        self._end_write(index, earlier, Fate.ARRIVED)
            case PersistFailed(ticket, _):
                self._end_write(host.index, ticket, Fate.FAILED)
            case Commanded(request) | AttachAsked(request) | DetachAsked(request):
                self._questions[host.index, request] = (self._now_us, event)
            case ContainerGone():
                self._remember(Missed(self._now_us, host.index, event))
            case _:
                pass
        self._decided(host, effects)
        self._inner.applied(host, event, effects)

    def operated(self, host: Host, op: Op, result: OpResult) -> None:
        """Remember a kernel operation."""
        self._remember(Operated(self._now_us, host.index, op, result))
        self._inner.operated(host, op, result)

    def sent(self, host: Host, message: Message) -> None:
        """Pass on; `applied` has seen it together with its link."""
        self._inner.sent(host, message)

    def answered(self, host: Host, answer: Answer) -> None:
        """Pass on; `applied` has seen it."""
        self._inner.answered(host, answer)

    def persisted(self, host: Host, effect: Persist) -> None:
        """Pass on; the agent is told of it at the same moment."""
        self._inner.persisted(host, effect)

    def stepped(self, host: Host) -> None:
        """Pass on."""
        self._inner.stepped(host)

    # Helpers.

    @property
    def _now_us(self) -> int:
        return self._world.now_us

    def _decided(self, host: Host, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(link, message):
                    self._send(host, link, message)
                case Hangup(link, _):
                    self._lose_messages(host.index, link, Fate.LOST)
                case Persist(ticket, deltas):
                    own = tuple(delta for delta in deltas if delta.origin.peer == host.config.peer and delta.facts)
                    if own:
                        self._writes[host.index, ticket] = (self._now_us, own)
                case Answer(request, reply):
                    self._end_question(host.index, request, reply)
                case Note(level, text):
                    self._remember(Noted(self._now_us, host.index, level, text))
                case _:
                    pass

    def _send(self, host: Host, link: LinkId, message: Message) -> None:
        found = host.links.get(link)
        if found is None:
            return
        far = found[0].far_end(host.index)
        was_cut = not self._world.network.passes(host.index, far.host)
        queue = self._under_way.setdefault((far.host, far.link), [])
        queue.append((self._now_us, host.index, message, was_cut))

    def _arrive(self, host: Host, link: LinkId, message: Message) -> None:
        """Find the message among those under way; connections keep the order, so that what is before it was lost."""
        queue = self._under_way.get((host.index, link), [])
        for place, (_, _, sent, _) in enumerate(queue):
            if sent is message or sent == message:
                self._end_messages(host.index, queue[:place], Fate.LOST)
                self._end_messages(host.index, queue[place : place + 1], Fate.ARRIVED)
                del queue[: place + 1]
                return

    def _lose_messages(self, host: int, link: LinkId, fate: Fate) -> None:
        self._end_messages(host, self._under_way.pop((host, link), []), fate)

    def _end_messages(self, target: int, ended: list[tuple[int, int, Message, bool]], fate: Fate) -> None:
        for at_us, source, message, was_cut in ended:
            self._remember(Sent(at_us, source, target, message, self._now_us, fate, was_cut))

    def _end_write(self, host: int, ticket: Ticket, fate: Fate) -> None:
        found = self._writes.pop((host, ticket), None)
        if found is not None:
            at_us, deltas = found
            for delta in deltas:
                self._remember(Wrote(at_us, host, delta.origin, delta.facts, self._now_us, fate))

    def _end_question(self, host: int, request: RequestId, reply: Ok | Refusal | None) -> None:
        found = self._questions.pop((host, request), None)
        if found is not None:
            at_us, question = found
            self._remember(Asked(at_us, host, question, self._now_us, reply))

    def _remember(self, happening: Happening) -> None:
        self._often_count += 1
        self._often.append(happening)

    def _cuts_now(self) -> tuple[tuple[int, int], ...]:
        """Return the pairs without a path, but for those that never had one."""
        count = len(self._world.hosts)
        if count > PATHS_HOSTS_MAX:
            return ()
        return tuple(
            (source, target)
            for source in range(count)
            for target in range(count)
            if source != target
            and (source, target) not in self._walls
            and not self._world.network.passes(source, target)
        )
