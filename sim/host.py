"""One machine: an agent, a disk, a kernel and clocks; who looks on, and what a world needs of an agent."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.board import Board
from core.config import Config, Recovered
from core.effects import Answer, Effect, Persist
from core.events import Event
from core.messages import Message
from core.naming.answers import NameAnswers
from core.reconcile.objects import Op, OpResult
from core.types import Instant, LinkId, RequestId
from crdt.store import Store
from sim.clocks import Clock
from sim.disk import Disk
from sim.kernel import FakeKernel
from sim.netlink import Netlink
from sim.network import Connection, End


class Heart(Protocol):
    """What the simulator needs of a Replica."""

    @property
    def store(self) -> Store:
        """Replicated state, of our own only what is durable."""

    @property
    def board(self) -> Board:
        """Parsed facts."""

    @property
    def marks(self) -> dict[str, int]:
        """Marked places passed."""

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        """Decide."""


class Watcher(Protocol):
    """Who looks on, and says when something is wrong by raising."""

    def sent(self, host: Host, message: Message) -> None:
        """A host handed a message to the network."""

    def answered(self, host: Host, answer: Answer) -> None:
        """A host answered a question."""

    def operated(self, host: Host, op: Op, result: OpResult) -> None:
        """A kernel operation was carried out."""

    def crashed(self, host: Host) -> None:
        """A host has lost its memory."""

    def started(self, host: Host, recovered: Recovered) -> None:
        """A host is about to live again, with what its disk held."""

    def persisted(self, host: Host, effect: Persist) -> None:
        """A commit has taken place; synced ones survive everything but the loss of the disk."""

    def applied(self, host: Host, event: Event, effects: Sequence[Effect]) -> None:
        """A host has decided on an event; these effects are carried out next, all unless it crashes among them."""

    def stepped(self, host: Host) -> None:
        """A host has applied an event, and its effects are carried out."""


MakeHeart = Callable[[Config, Recovered, random.Random], Heart]
Codec = Callable[[Message], Message]


@dataclass(slots=True)
class Doomed:
    """A crash to come."""

    spared: int
    """Events with effects that pass before."""
    gap: int
    """Effects that are carried out of the event in which it crashes; with fewer, all of them."""
    power: bool
    """The machine goes down with the agent."""


@dataclass(slots=True)
class Host:
    """One machine."""

    index: int
    """Number in the world, from 0."""
    config: Config
    """Settings."""
    entropy: random.Random
    """Randomness of its disk, kernel and crashes."""
    disk: Disk
    """Its journal."""
    clock: Clock
    """Its clocks."""
    netlink: Netlink
    """The way to its kernel."""
    release: str = ""
    """Which version of the software it runs, see `releases`."""
    make: MakeHeart | None = None
    """Makes agents of that version; None for the one that the world is about."""
    codec: Codec | None = None
    """What that version makes of messages; None for what the world says."""
    kernel: FakeKernel = field(default_factory=FakeKernel)
    """Outlives the agent, not the machine."""
    heart: Heart | None = None
    """The agent; None while it is down."""
    life: int = 0
    """Raised at each start and crash; what an earlier life had planned does not happen."""
    doom: Doomed | None = None
    """When it crashes in the middle of an event."""
    is_dark: bool = False
    """The machine is without power."""
    links: dict[LinkId, tuple[Connection, End]] = field(default_factory=dict)
    """Open connections of this life."""
    timers: dict[str, int] = field(default_factory=dict)
    """Armed timers, each with a number that tells it from its predecessors."""
    netns: dict[str, None] = field(default_factory=dict)
    """Network namespaces that exist."""
    served: dict[str, NameAnswers] = field(default_factory=dict)
    """What its name server answers, by name."""
    is_serving: bool = False
    """The name server has been told all names; before that, news are of no use to it."""
    is_write_due: bool = False
    """Commits that need no sync wait for company before they are written."""
    is_copy: bool = False
    """It began as a copy of another host, and has its name; nobody should listen to what it says of itself."""
    is_paused: bool = False
    """The agent does nothing; what happens waits."""
    paused_until_us: int = 0
    """When it goes on."""
    backlog: deque[Callable[[], None]] = field(default_factory=deque)
    """What has happened meanwhile, in order."""
    last_link: int = 0
    """Newest link number."""
    last_request: int = 0
    """Newest request number."""
    last_timer: int = 0
    """Newest timer number."""

    @property
    def name(self) -> str:
        """Return what traces call it."""
        return self.config.nickname

    def next_request(self) -> RequestId:
        """Number a question."""
        self.last_request += 1
        return RequestId(self.last_request)
