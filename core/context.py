"""What the parts of a Replica share during one `apply`: the moment, the facts, and where decisions go.

Parts never return effects; they `emit` them and `write` changes here, in the order that the contract demands. The
Replica turns the written changes into one Persist at the end of `apply`, ahead of everything that waits for it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from core.board import Board
from core.config import Config
from core.effects import Answer, Effect, Note, Ok, Refusal, SetTimer
from core.marks import MARKS
from core.types import Instant, PeerName, RequestId
from crdt.fact import Change, Delta, Origin
from crdt.store import Joined, JoinResult, Stale, Store


@dataclass
class Context:
    """Shared by all parts of one Replica."""

    config: Config
    """Settings."""
    store: Store
    """Replicated state: everything foreign, and of our own only what is durable."""
    board: Board
    """Parsed facts, our own ones at once."""
    entropy: random.Random
    """The only source of randomness."""
    at: Instant = field(default_factory=lambda: Instant(0, 0))
    """The moment of the event being applied."""
    effects: list[Effect] = field(default_factory=list)
    """What this `apply` has decided so far."""
    after_commit: list[Effect] = field(default_factory=list)
    """What may happen only once the changes written in this `apply` are durable."""
    changes: list[Change] = field(default_factory=list)
    """Changes of our own stream written in this `apply`; flushed by the Replica."""

    learnt: list[Delta] = field(default_factory=list)
    """Foreign deltas joined in this `apply`; flushed by the Replica."""
    dropped: list[Origin] = field(default_factory=list)
    """Streams forgotten in this `apply`; flushed by the Replica."""
    marks: dict[str, int] = field(default_factory=dict)
    """How often each place that tests must reach was passed, see `core.marks`."""

    @property
    def me(self) -> PeerName:
        """Our name."""
        return self.config.peer

    def emit(self, effect: Effect) -> None:
        """Decide an effect."""
        self.effects.append(effect)

    def write(self, change: Change) -> None:
        """Decide a change of our own stream; views see it at once, peers once it is durable."""
        self.changes.append(change)
        self.board.preview(change)

    def learn(self, delta: Delta) -> JoinResult:
        """Join what a peer said into store and views, and have it kept.

        Streams that a later life of their writer has adopted are superseded, and forgotten as soon as that is known.
        """
        board, origin = self.board, delta.origin
        peer = PeerName(origin.peer)
        assert peer != self.config.peer or origin.incarnation != board.incarnation(peer), "our own stream is ours"
        if origin.incarnation <= board.adopted(peer):
            return Stale(origin)
        result = self.store.join(delta)
        if isinstance(result, Joined):
            self.learnt.append(delta)
            board.absorb(origin, result.changed, result.removed, self.store.stream(origin))
            self.forget_superseded(peer)
        return result

    def forget_superseded(self, peer: PeerName) -> None:
        """Drop the streams of a peer's earlier lives that it has adopted."""
        adopted = self.board.adopted(peer)
        if not adopted:
            return
        for origin in self.store.lives(peer):
            if origin.incarnation <= adopted and self.store.drop(origin):
                self.dropped.append(origin)

    def mark(self, name: str) -> None:
        """Count that a place was passed which is rarely reached. Source: FoundationDB's CODE_PROBE."""
        assert name in MARKS, f"{name} is not in the list of marks"
        self.marks[name] = self.marks.get(name, 0) + 1

    def note(self, level: str, text: str) -> None:
        """Log a line."""
        self.effects.append(Note(level, text))

    def timer(self, name: str, after_ms: int | None) -> None:
        """Set a timer relative to now; None cancels it."""
        self.effects.append(SetTimer(name, None if after_ms is None else self.at.mono_ms + after_ms))

    def answer(self, request: RequestId, text: str = "") -> None:
        """Answer a question, once everything written in this `apply` is durable."""
        self.after_commit.append(Answer(request, Ok(text)))

    def refuse(self, request: RequestId, why: str) -> None:
        """Answer a question with no."""
        self.effects.append(Answer(request, Refusal(why)))
