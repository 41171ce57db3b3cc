"""What the shell must do. The complete list: a reviewer sees a new output arrive here, and nowhere else.

The order of effects within one `apply` is a contract: the shell performs them left to right. A send that must follow
a commit is not emitted before that commit is confirmed, so the shell need not know which send depends on which fact.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.messages import Message
from core.naming.answers import NameAnswers
from core.reconcile.objects import Op
from core.types import Address, LinkId, RequestId, Ticket
from crdt.fact import Delta, Origin


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit deltas to the journal, then report `Persisted` or `PersistFailed`."""

    ticket: Ticket
    """Ascending."""
    deltas: tuple[Delta, ...]
    """Pieces of streams, own and foreign, in order."""
    dropped: tuple[Origin, ...]
    """Streams to forget."""
    sync: bool
    """The commit must survive a power cut; else it may be batched and lost."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write a message to a connection; dropped silently when that is gone."""

    link: LinkId
    """Which connection."""
    message: Message
    """What to say."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection, then report `LinkUp` or `DialFailed`. Names are resolved anew each time.

    A call to the same target that is still under way is given up, and nothing is reported of it.
    """

    target: str
    """`host[:port]`, echoed in the report."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close a connection after what was sent; no `LinkDown` is reported for it."""

    link: LinkId
    """Which connection."""
    reason: str
    """Why, for the log."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Report `TimerFired(name)` at a time; replaces an earlier timer of that name."""

    name: str
    """Its name."""
    due_ms: int | None
    """On the monotonic clock of `Instant`; None cancels."""


@dataclass(frozen=True, slots=True)
class Execute:
    """Carry out kernel operations in order, then report `OpsDone`."""

    ops: tuple[Op, ...]
    """In plan order."""


@dataclass(frozen=True, slots=True)
class DumpKernel:
    """Report `KernelDumped`."""


@dataclass(frozen=True, slots=True)
class ProbeAddresses:
    """Ask the network who uses addresses, then report `AddressesProbed`; and again if somebody answers later."""

    probe: int
    """Its number, given back in the report."""
    addresses: tuple[Address, ...]
    """Which, at most a few hundred."""


@dataclass(frozen=True, slots=True)
class ServeNames:
    """Have the name server answer these names so from now on."""

    names: tuple[NameAnswers, ...]
    """Each replaces what the server knew of that name."""
    is_whole: bool = False
    """Names that are not among these are no more."""


@dataclass(frozen=True, slots=True)
class Ok:
    """A question answered well."""

    text: str
    """What Weave Net's HTTP API would say; may be empty."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question answered with no."""

    why: str
    """What happened, to what, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a question from outside."""

    request: RequestId
    """Which."""
    reply: Ok | Refusal
    """What."""


@dataclass(frozen=True, slots=True)
class Note:
    """Write to the log."""

    level: str
    """`DEBU`, `INFO`, `WARN` or `ERRO`."""
    text: str
    """One line."""


Effect = Persist | Send | Dial | Hangup | SetTimer | Execute | DumpKernel | ProbeAddresses | ServeNames | Answer | Note
