"""What the cluster has promised to users: who was told that it may use which address, and who still waits.

An address that two users were given is a violation, unless nobody could have known: a giver that had not heard of its
own removal, because the operator called it dead while it lived; or givers that were told to share different ranges.
Such double use is entered, and has to be visible to everybody in the end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from core.effects import Answer, Ok
from core.types import RequestId, cidr_of
from sim.namebook import NameBook

REPLIES_MAX = 1_000
"""Answers remembered of each host."""


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class User:
    """A container, or just a name, as its host's users see it."""

    name: str
    """Identity."""
    is_attached: bool
    """On the network, not just given an address."""
    addresses: tuple[str, ...] = ()
    """What it was told it may use."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request without an answer yet."""

    user: str
    """For whom; empty for an operator."""
    kind: str
    """`take`, `claim`, `claim-address`, `attach`, `detach`, `give-back`, `add-name`, `remove-name`, `remove`,
    `reset` or `operate`."""
    asked_us: int
    """When."""
    address: str = ""
    """Which address is claimed; empty when any will do."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who uses an address."""

    host: int
    """Where."""
    user: str
    """Who."""
    ring: str
    """Name of the ring it was given from."""


@dataclass(slots=True)
class Books:
    """Of all hosts."""

    users: tuple[dict[str, User], ...]
    """By name, of each host."""
    pending: tuple[dict[RequestId, Pending], ...]
    """Of each host."""
    replies: tuple[deque[str], ...]
    """What was answered on each host, latest last: `take c1: 10.32.0.1/24`, `no remove: h2 is connected …`."""
    answers: int = 0
    """Requests answered well."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Requests answered with no, by kind."""
    done: dict[str, int] = field(default_factory=dict)
    """Requests answered well, by kind."""
    shared: dict[str, tuple[Holder, ...]] = field(default_factory=dict)
    """Addresses that two were given because one of the givers could not know."""
    doubtful: dict[str, None] = field(default_factory=dict)
    """Addresses that may be given twice, because a giver could not know better, see `doubt`."""
    names: NameBook = field(default_factory=lambda: NameBook(0))
    """Names that people have added and removed by hand."""
    _holders: dict[str, tuple[Holder, ...]] = field(default_factory=dict)

    @staticmethod
    def of(host_count: int) -> Books:
        """Open books for so many hosts."""
        hosts = range(host_count)
        replies = tuple(deque[str](maxlen=REPLIES_MAX) for _ in hosts)
        return Books(tuple({} for _ in hosts), tuple({} for _ in hosts), replies, names=NameBook(host_count))

    def is_busy(self, host: int, name: str) -> bool:
        """Say whether a user waits for an answer."""
        return any(pending.user == name for pending in self.pending[host].values())

    def ask(self, host: int, request: RequestId, pending: Pending) -> None:
        """Enter a request."""
        self.pending[host][request] = pending

    def answered(
        self, host: int, host_name: str, answer: Answer, *, ring: str, is_unaware: bool
    ) -> tuple[Pending, tuple[str, ...]]:
        """Enter an answer; return the request and the addresses newly given with it. Raises: Violation.

        `ring` names the ring that the host gives from; who is unaware gives what may be another's.
        """
        pending = self.pending[host].pop(answer.request, None)
        if pending is None:
            raise Violation(f"{host_name} answered request {answer.request} twice, or it was never asked")
        self.replies[host].append(_reply(pending, answer))
        if pending.kind in ("add-name", "remove-name"):
            self.names.answered(host, pending.user, is_done=isinstance(answer.reply, Ok))
        if not isinstance(answer.reply, Ok):
            self.refusals[pending.kind] = self.refusals.get(pending.kind, 0) + 1
            if pending.address:
                # Whoever wanted that address, and no other, goes away.
                self.users[host].pop(pending.user, None)
            return pending, ()
        self.answers += 1
        self.done[pending.kind] = self.done.get(pending.kind, 0) + 1
        user = self.users[host].get(pending.user)
        if pending.kind not in ("take", "attach", "claim-address") or user is None:
            return pending, ()
        said = tuple(str(cidr_of(text)).split("/")[0] for text in answer.reply.text.split())
        addresses = (pending.address,) if pending.address else said
        if is_unaware:
            self.doubtful.update(dict.fromkeys(addresses))
        for address in addresses:
            self._give(address, Holder(host, user.name, ring))
        user.addresses = tuple(dict.fromkeys((*user.addresses, *addresses)))
        return pending, addresses

    def let_go(self, host: int, name: str) -> None:
        """From now on nobody relies on what a user had."""
        user = self.users[host].pop(name, None)
        self.names.let_go(host, name)
        if user is None:
            return
        for address in user.addresses:
            left = tuple(one for one in self._holders.get(address, ()) if (one.host, one.user) != (host, name))
            if left:
                self._holders[address] = left
            else:
                self._holders.pop(address, None)
            if len(left) < 2:
                self.shared.pop(address, None)

    def ring_of(self, host: int, user: str, address: str) -> str:
        """Return from which ring a user was given an address; empty when it was not."""
        found = (one.ring for one in self._holders.get(address, ()) if (one.host, one.user) == (host, user))
        return next(found, "")

    def crashed(self, host: int) -> None:
        """Forget the requests of an agent that went down: nobody knows what came of them, so nobody relies on it."""
        self.names.crashed(host)
        for pending in tuple(self.pending[host].values()):
            if pending.kind in ("detach", "give-back"):
                self.let_go(host, pending.user)
        self.pending[host].clear()

    def _give(self, address: str, holder: Holder) -> None:
        others = tuple(
            other for other in self._holders.get(address, ()) if (other.host, other.user) != (holder.host, holder.user)
        )
        if not others:
            self._holders[address] = (holder,)
            return
        held = (*others, holder)
        if address not in self.doubtful and len({one.ring: None for one in held}) < len(held):
            raise Violation(
                f"I2: {address} was given to {holder.user} on host {holder.host}; "
                f"{others[0].user} on host {others[0].host} has it"
            )
        self._holders[address] = held
        self.shared[address] = held


def _reply(pending: Pending, answer: Answer) -> str:
    what = f"{pending.kind} {pending.user}" if pending.user else pending.kind
    if isinstance(answer.reply, Ok):
        return f"{what}: {answer.reply.text}"
    return f"no {what}: {answer.reply.why}"
