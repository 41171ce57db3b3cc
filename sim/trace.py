"""What happened in a run, as lines, and their hash: two runs are the same when their hashes are.

A line names an event with what tells it from others; the fingerprints in it stand for everything they cover.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b

from core.effects import Answer, Dial, Effect, Hangup, Persist, Send, SetTimer
from core.events import Event, KernelDumped, OpsDone, Received
from core.messages import Buckets, Deltas, Message
from crdt.fact import Delta

TAIL_LINES = 400
"""Kept for a failing run; the hash covers all."""


class Trace:
    """Hashes every line, keeps the newest."""

    def __init__(self) -> None:
        self.is_kept = True
        """Off for runs that are too large to be told line by line; then nothing need be added."""
        self.listener: Callable[[str], None] | None = None
        """Who wants to have every line."""
        self._hash = blake2b(digest_size=16)
        self.line_count = 0
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def add(self, now_us: int, who: str, what: str) -> None:
        """Record that something happened."""
        line = f"{now_us // 1000:>7}.{now_us % 1000:03} {who:<6} {what}"
        self._hash.update(line.encode())
        self.line_count += 1
        self.tail.append(line)
        if self.listener is not None:
            self.listener(line)

    @property
    def value(self) -> str:
        """Return the hash of all lines so far."""
        return self._hash.hexdigest()


def event_text(event: Event) -> str:
    """Describe an event in one line."""
    if isinstance(event, Received):
        return f"Received link={event.link} {message_text(event.message)}"
    if isinstance(event, KernelDumped):
        return f"KernelDumped {len(event.objects)}"
    if isinstance(event, OpsDone):
        results = ", ".join(f"{op.verb.value} {' '.join(op.object.key)}: {result}" for op, result in event.results)
        return f"OpsDone {results}"
    return repr(event)


def effects_text(effects: list[Effect]) -> str:
    """Describe effects in one line, in order."""
    return "; ".join(_effect_text(effect) for effect in effects)


def message_text(message: Message) -> str:
    """Describe a message in one line."""
    if isinstance(message, Deltas):
        return "Deltas " + " ".join(delta_text(delta) for delta in message.deltas)
    if isinstance(message, Buckets):
        return f"Buckets {sum(message.buckets):x} {message.answer_wanted}"
    return repr(message)


def delta_text(delta: Delta) -> str:
    """Describe a piece of a stream."""
    head = delta.head
    return f"{delta.origin.peer}#{delta.origin.incarnation}[{delta.since}..{head.seq}]{head.fingerprint:x}"


def _effect_text(effect: Effect) -> str:
    if isinstance(effect, Send):
        return f"Send {effect.link} {type(effect.message).__name__}"
    if isinstance(effect, Persist):
        return f"Persist {effect.ticket} {' '.join(delta_text(delta) for delta in effect.deltas)}"
    if isinstance(effect, SetTimer):
        return f"SetTimer {effect.name} {effect.due_ms}"
    if isinstance(effect, Answer | Dial | Hangup):
        return repr(effect)
    return type(effect).__name__
