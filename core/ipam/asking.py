"""Asking owners for space, one after the other, until one gives.

An ask goes to the owner who seems to have the most free. A refusal, or silence for `SILENCE_MS`, moves it on to the
next. When all have said no it rests, and starts again when the ring or who can be reached changes, or after `REST_MS`.
What is given arrives as a fact, not as an answer; whoever wanted it then stops wanting it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from core.context import Context
from core.ipam.fences import takeovers
from core.ipam.homes import Homes
from core.ipam.ring import Ring, rank_of
from core.kinds import NOBODY
from core.messages import SpaceAsk, SpaceRefused
from core.types import Address, PeerName

TIMER = "ipam/ask"
SILENCE_MS = 10_000
"""A gift must cross the mesh twice and be written to two disks; Weave Net waited for ever."""
REST_MS = 15_000
"""An owner may free addresses without anybody hearing of it."""
AGAIN_MS = 500
"""After a gift: our assertion of it must reach the giver before it gives more."""
CLAIM_ROUNDS_MAX = 5
"""Fruitless rounds after which the claim of one address is answered with no. Source: Weave Net's claim."""
WHY_SIZE_MAX = 200
"""Characters of a peer's reason that are shown."""
REFUSED = "refused"
FULL = "is full"
SILENT = "is silent"
UNREACHABLE = "is unreachable"
ELSEWHERE = "is elsewhere"

AskKey = tuple[Address, Address, bool]
"""First address, one past the last, and whether all of it is wanted."""


@dataclass
class _Ask:
    """One range that somebody here needs something of."""

    key: AskKey
    """What is wanted."""
    tried: dict[PeerName, str] = field(default_factory=dict)
    """What came of it, by owner, in this round."""
    donor: PeerName | None = None
    """Whose answer is awaited; None while resting."""
    due_ms: int = 0
    """When to go on."""
    rounds: int = 0
    """Rounds that ended with a rest slept through; what a change cuts short does not count."""
    is_pausing: bool = False
    """Something was given lately; whoever needs more of it waits `AGAIN_MS`, whatever changes."""
    refusal: str = ""
    """Why the owner refused the one address that was wanted."""


class Asks:
    """All asks of this host."""

    def __init__(
        self,
        context: Context,
        ring: Ring,
        homes: Homes,
        reachable: Callable[[PeerName], bool],
        send_to: Callable[[PeerName, SpaceAsk | SpaceRefused], bool],
    ) -> None:
        self._context = context
        self._ring = ring
        self._homes = homes
        self._reachable = reachable
        self._send_to = send_to
        self._asks: dict[AskKey, _Ask] = {}
        self._due_ms: int | None = None

    def __bool__(self) -> bool:
        return bool(self._asks)

    def keep(self, keys: Iterable[AskKey]) -> None:
        """Ask for exactly these: begin what is new, forget what is no longer wanted."""
        wanted = dict.fromkeys(keys)
        for key in [key for key in self._asks if key not in wanted]:
            del self._asks[key]
        for key in wanted:
            if key not in self._asks:
                self._asks[key] = _Ask(key)
                self._advance(self._asks[key])
        self._set_timer()

    def changed(self) -> None:
        """Let resting asks begin a new round: the ring, or who can be reached, has changed."""
        for ask in self._asks.values():
            if ask.donor is None and not ask.is_pausing:
                ask.tried.clear()
                self._advance(ask)
        self._set_timer()

    def given(self) -> None:
        """Let asks for any space begin anew soon: some has arrived, and more may be needed."""
        for ask in self._asks.values():
            if not ask.key[2]:
                ask.tried.clear()
                ask.donor, ask.is_pausing = None, True
                ask.due_ms = self._context.at.mono_ms + AGAIN_MS
        self._set_timer()

    def refused(self, source: PeerName, body: SpaceRefused) -> None:
        """Take note that an owner gives nothing."""
        for ask in self._asks.values():
            lo, hi, exact = ask.key
            if ask.donor != source or (lo, hi) != (body.lo, body.hi):
                continue
            ask.tried[source] = REFUSED
            if exact and self._ring.view().owner_at(lo) == source:
                self._context.mark("ipam.claim-refused")
                ask.refusal = body.why[:WHY_SIZE_MAX]
            self._advance(ask)
        self._set_timer()

    def timer(self) -> None:
        """Go on with what has waited long enough."""
        self._due_ms = None
        now = self._context.at.mono_ms
        for ask in self._asks.values():
            if ask.due_ms > now:
                continue
            if ask.donor is None:
                ask.tried.clear()
                ask.rounds += 1
            else:
                self._context.mark("ipam.owner-silent")
                ask.tried[ask.donor] = SILENT
            self._advance(ask)
        self._set_timer()

    def tried(self, key: AskKey) -> dict[PeerName, str]:
        """Return what came of an ask in this round, by owner."""
        ask = self._asks.get(key)
        return {} if ask is None else dict(ask.tried)

    def owner_count(self, key: AskKey) -> int:
        """Return how many others own anything in a range."""
        return sum(1 for owner in self._ring.view().owners(key[0], key[1]) if owner != self._context.me)

    def donor(self, key: AskKey) -> PeerName | None:
        """Return whose answer an ask awaits."""
        ask = self._asks.get(key)
        return None if ask is None else ask.donor

    def is_elsewhere(self, owner: PeerName) -> bool:
        """Say whether an owner cannot be asked, for it lives in another ring by now."""
        return self._homes.is_elsewhere(owner)

    def void_gift(self, address: Address) -> tuple[PeerName | None, PeerName | None]:
        """Return who gave an address away that is nobody's, and who is removing the giver; None where unknown."""
        here = self._ring.view().claims_at(address)
        void = [(rank_of(claim), writer) for writer, claim in here if claim.owner == NOBODY]
        giver = max(void)[1] if void else None
        for taker, record in sorted(takeovers(self._context).items()):
            if giver in self._context.board.fences and giver in record.targets:
                return giver, taker
        return giver, None

    def failure(self, key: AskKey) -> str:
        """Return why the claim of an address must be given up; empty while there is hope."""
        ask = self._asks.get(key)
        if ask is None:
            return ""
        if ask.refusal:
            return ask.refusal
        return "it does not answer" if ask.rounds >= CLAIM_ROUNDS_MAX else ""

    def _advance(self, ask: _Ask) -> None:
        """Ask the next owner, or rest."""
        lo, hi, exact = ask.key
        ask.is_pausing = False
        view = self._ring.view()
        owners = [owner for owner in view.owners(lo, hi) if owner != self._context.me and owner not in ask.tried]
        ranked = sorted((-view.free_hint(owner, lo, hi), owner) for owner in owners)
        for hint, owner in ranked:
            if self._homes.is_elsewhere(owner):
                ask.tried[owner] = ELSEWHERE
            elif not hint and not exact:
                ask.tried[owner] = FULL
            elif self._reachable(owner) and self._send_to(owner, SpaceAsk(lo, hi, exact, self._ring.ring_id)):
                if ask.tried:
                    self._context.mark("ipam.asked-next-owner")
                ask.donor = owner
                ask.due_ms = self._context.at.mono_ms + SILENCE_MS
                return
            else:
                self._context.mark("ipam.owner-unreachable")
                ask.tried[owner] = UNREACHABLE
        if ask.tried:
            self._context.mark("ipam.nobody-gives")
        ask.donor = None
        ask.due_ms = self._context.at.mono_ms + REST_MS

    def _set_timer(self) -> None:
        due = min((ask.due_ms for ask in self._asks.values()), default=None)
        if due != self._due_ms:
            self._due_ms = due
            self._context.timer(TIMER, None if due is None else due - self._context.at.mono_ms)
