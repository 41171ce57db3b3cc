"""Hosts under one name: two machines of which one began as a copy of the other's disk, name and journal.

A restarted host and a copy look alike: somebody under a known name whose agent is another than before. What tells them
apart is the older connection. Of a host that was restarted it is dead; that of a host that was copied still answers
when asked. Then the newcomer is refused, so that it never gets in sync here and gives nothing; and when the older one
is away for a moment, its name is kept for it.

Two copies that have never met the same third host are not found out here.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.context import Context
from core.messages import Hello
from core.types import HostPort, PeerName

KEPT_MS = 60_000
"""A name in dispute is kept for whom we knew first while it is away for less: as long as a link is held."""
DISPUTE_MS = 600_000
"""A dispute is over when nobody was refused for so long: even a host that has many places to call calls more often."""
DISPUTES_MAX = 64
"""Remembered at once; one is an accident, more than a few are a broken installation script."""
REMEDY = "give one of them another name with 'weave launch --name', or 'weave reset --force' it"


@dataclass(slots=True)
class _Dispute:
    """A name that two hosts have."""

    uid: int
    """Of the agent that keeps it."""
    remote: HostPort
    """Where that one is, or was."""
    seen_ms: int
    """When it was there last, on the monotonic clock."""
    rival: str
    """Who was refused last, in words."""
    refused_ms: int
    """When, on the monotonic clock."""

    def is_of(self, uid: int, remote: HostPort) -> bool:
        """Say whether an agent is the one that keeps the name, or was started in its place."""
        return uid == self.uid or remote.host == self.remote.host


class Namesakes:
    """Disputes about names, as third host and as one of the two."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._disputes: dict[PeerName, _Dispute] = {}
        self._keepers: dict[PeerName, str] = {}

    # As third host.

    def is_kept(self, hello: Hello, remote: HostPort) -> bool:
        """Say whether a name is kept for another host than the one that greets so, and that is not connected."""
        dispute = self._dispute(hello.peer)
        if dispute is None or dispute.is_of(hello.uid, remote):
            return False
        return self._context.at.mono_ms - dispute.seen_ms < KEPT_MS

    def left(self, hello: Hello, remote: HostPort) -> None:
        """Note that who had greeted so has gone just now: its name is kept if it is in dispute."""
        dispute = self._dispute(hello.peer)
        if dispute is not None and dispute.is_of(hello.uid, remote):
            dispute.uid, dispute.remote, dispute.seen_ms = hello.uid, remote, self._context.at.mono_ms

    def refuse(self, hello: Hello, remote: HostPort, *, kept: tuple[int, HostPort] | None = None) -> str:
        """Enter that who greets so was refused; return what to tell it.

        `kept` is the agent that has the name, and where it is; None for the one that is away.
        """
        now = self._context.at.mono_ms
        rival = f"{hello.nickname} at {remote.host}"
        dispute = self._dispute(hello.peer)
        if dispute is None:
            self._context.note("WARN", f"two hosts have the name {hello.peer}; {rival} is refused")
        if kept is not None:
            self._disputes.pop(hello.peer, None)
            while len(self._disputes) >= DISPUTES_MAX:
                del self._disputes[next(iter(self._disputes))]
            dispute = self._disputes[hello.peer] = _Dispute(kept[0], kept[1], now, rival, now)
        assert dispute is not None, "somebody has the name"
        dispute.rival, dispute.refused_ms = rival, now
        return f"another host with the name {hello.peer} is connected from {dispute.remote.host}: {REMEDY}"

    # As one of the two.

    def kept_out(self, peer: PeerName, why: str) -> None:
        """Note that a peer keeps another host that has our name."""
        self._keepers[peer] = why

    def let_in(self, peer: PeerName) -> None:
        """Note that a peer talks to us."""
        self._keepers.pop(peer, None)

    @property
    def is_kept_out(self) -> bool:
        """Say whether anybody keeps another host that has our name."""
        return bool(self._keepers)

    def alarms(self) -> tuple[str, ...]:
        """Say what people should know, a line each."""
        disputes = ((peer, self._dispute(peer)) for peer in tuple(self._disputes))
        return (
            *(f"{peer} does not let us in: {why}" for peer, why in self._keepers.items()),
            *(
                f"two hosts have the name {peer}: the one at {dispute.remote.host} keeps it here, {dispute.rival} was "
                f"refused; {REMEDY}"
                for peer, dispute in disputes
                if dispute is not None
            ),
        )

    def _dispute(self, peer: PeerName) -> _Dispute | None:
        dispute = self._disputes.get(peer)
        if dispute is not None and self._context.at.mono_ms - dispute.refused_ms >= DISPUTE_MS:
            del self._disputes[peer]
            return None
        return dispute
