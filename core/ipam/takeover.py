"""Taking over the addresses of dead peers, once everybody who may own any has answered.

A takeover is the operator's word that peers are dead: their ranges get a new owner one generation up, which nothing
that they say themselves can beat. It begins with a record that asks all others for their fences (`fences`); with all of
them here, and all that they hold of the dead, whatever the dead gave to anybody alive is known and stays with its
owner. A dead peer that comes back finds out and stops giving; what its containers still use is left alone, see `space`.

A target that turns out to live ends the attempt. One takeover at a time per host. Of two hosts that remove one peer the
lower name goes on, the other yields. Without `force` whoever does not answer within `ANSWER_MS` ends the attempt with
nothing changed. With `force` it goes on after `FORCE_MS` without them, for which the operator answers: what the dead
gave to the missing may be given again.

Not promised: a host that none of those asked has heard of, or that they hold for dead since an earlier removal, is not
asked; what the dead gave to it may be given again, and is then shown as a conflict.

Source: research §3.4. Weave Net's `rmpeer` rests on one peer's own view and is documented as unsafe.
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.ipam.electorate import ballot_of, electorate
from core.ipam.fences import fences_for, is_held, takeovers
from core.ipam.labels import Labels
from core.ipam.retired import retire
from core.ipam.ring import Ring
from core.ipam.space import Space
from core.ipam.universe import amount
from core.kinds import TakeoverRecord, gone, put, takeover_key
from core.types import PeerName, RequestId

TIMER = "ipam/takeover"
ANSWER_MS = 30_000
"""The question must cross the mesh, be written to every disk, and the answer must come back."""
BACK_TIMER = "ipam/takeover/back"
BACK_MS = 10_000
"""For so long a target must be within reach to count as back. When a path to somebody who was cut off is there again,
old facts of its links to the dead come to life for a moment, until it has told that they are gone."""
FORCE_MS = 600_000
"""How long a forced takeover waits: whoever is only cut off for a while shall not be passed over."""
NONCE_BITS = 62


class Takeover:
    """What this host removes."""

    def __init__(self, context: Context, space: Space, ring: Ring, reachable: Callable[[PeerName], bool]) -> None:
        self._context = context
        self._space = space
        self._ring = ring
        self._reachable = reachable
        self._labels = Labels(context)
        self._request: RequestId | None = None
        self._names: dict[PeerName, str] = {}
        self._is_resumed = False
        self._is_late = False
        self._is_in_doubt = False

    def remove(self, request: RequestId, names: tuple[str, ...], *, force: bool) -> None:
        """Begin to take over everything of these peers, or refuse with nothing changed."""
        peers: dict[PeerName, str] = {}
        for name in names:
            found = self._find(name)
            if isinstance(found, str):
                self._context.refuse(request, found)
                return
            peers[found[0]] = name
        if self._record() is not None:
            text = "another removal is under way here: 'weave status ipam' shows what it waits for"
            self._context.refuse(request, text)
            return
        self._request, self._names, self._is_resumed, self._is_late = request, peers, True, False
        self._ask(tuple(sorted(peers)), force=force, since_ms=self._context.at.wall_ms)
        self._context.timer(TIMER, ANSWER_MS)
        self.step()

    def cancel(self, request: RequestId) -> None:
        """Withdraw what nobody waits for any more; what is forced goes on by itself."""
        record = self._record()
        if request == self._request:
            self._request = None
            if record is not None and not record.force:
                self._withdraw("")

    def step(self) -> None:
        """Go on as far as the facts allow. Cheap when nothing is under way."""
        record = self._record()
        if record is None:
            return
        if not self._is_resumed:
            self._resume(record)
        if record.force or self._request is not None:
            problem = self._problem(record)
            if problem:
                self._withdraw(problem)
                return
        else:
            # Who asked for it is gone since a restart.
            self._context.mark("takeover.nobody-waits")
            self._withdraw("")
            return
        if self._is_doubtful(record):
            return
        voters = electorate(self._context, record.targets)
        if ballot_of(record.nonce, record.targets, voters) != record.ballot:
            self._context.mark("takeover.voters-changed")
            self._ask(record.targets, force=record.force, since_ms=record.since_ms)
        elif not self._missing(record) and self._holds_all(record):
            self._complete(())

    def timer(self) -> None:
        """Give up, or go on without those that are missing."""
        record = self._record()
        if record is None:
            return
        missing, back = self._missing(record), self._back(record)
        if back and (self._is_late or not record.force):
            self._withdraw(f"{back} has come back: nothing was removed")
        elif not record.force:
            self._context.mark("takeover.gave-up")
            self._withdraw(self._unanswered(record, missing))
        elif self._is_late:
            self._context.mark("takeover.forced")
            self._complete(tuple(missing))
        else:
            self._is_late = True
            self._context.timer(TIMER, FORCE_MS - ANSWER_MS)
            self._answer_early(record, missing)

    def back_timer(self) -> None:
        """End the attempt if a target is there for good."""
        self._is_in_doubt = False
        record = self._record()
        back = "" if record is None else self._back(record)
        if back:
            self._context.mark("takeover.target-came-back")
            self._withdraw(f"{back} has come back: nothing was removed")

    def waits_for(self) -> tuple[PeerName, ...]:
        """Return who has not answered yet."""
        record = self._record()
        return () if record is None else tuple(self._missing(record))

    # Below here: how.

    def _record(self) -> TakeoverRecord | None:
        return self._context.board.get(self._context.me, takeover_key(), TakeoverRecord)

    def _ask(self, targets: tuple[PeerName, ...] | tuple[str, ...], *, force: bool, since_ms: int) -> None:
        nonce = self._context.entropy.getrandbits(NONCE_BITS)
        ballot = ballot_of(nonce, targets, electorate(self._context, targets))
        self._context.write(put(takeover_key(), TakeoverRecord(tuple(targets), nonce, ballot, force, since_ms)))

    def _resume(self, record: TakeoverRecord) -> None:
        """Take up what the life before this one had begun."""
        self._is_resumed, self._is_late = True, True
        self._names = {PeerName(target): self._labels.of(target) for target in record.targets}
        if record.force:
            self._context.timer(TIMER, FORCE_MS)

    def _problem(self, record: TakeoverRecord) -> str:
        """Say why a takeover must not go on; empty while it may."""
        for taker, other in sorted(takeovers(self._context).items()):
            if taker < self._context.me and taker not in record.targets:
                shared = [target for target in record.targets if target in other.targets]
                if shared:
                    self._context.mark("takeover.yielded")
                    names = ", ".join(self._names.get(PeerName(target), target) for target in shared)
                    return (
                        f"{self._labels.of(taker)} is removing {names} already: 'weave status ipam' shows how far it is"
                    )
        return ""

    def _back(self, record: TakeoverRecord) -> str:
        """Name a target that is within reach; empty when none is."""
        found = (target for target in record.targets if self._reachable(PeerName(target)))
        return next((self._names.get(PeerName(target), target) for target in found), "")

    def _is_doubtful(self, record: TakeoverRecord) -> bool:
        """Say whether a target seems to be back, and find out in a while whether it is."""
        was_in_doubt, self._is_in_doubt = self._is_in_doubt, bool(self._back(record))
        if self._is_in_doubt != was_in_doubt:
            self._context.timer(BACK_TIMER, BACK_MS if self._is_in_doubt else None)
        return self._is_in_doubt

    def _missing(self, record: TakeoverRecord) -> list[PeerName]:
        """Return who has not given all the fences that were asked for."""
        answers = [fences_for(self._context, PeerName(target), record.ballot) for target in record.targets]
        voters = electorate(self._context, record.targets)
        me = self._context.me
        return [peer for peer in voters if peer != me and not all(peer in fences for fences in answers)]

    def _holds_all(self, record: TakeoverRecord) -> bool:
        """Say whether we hold everything of the dead that anybody who answered holds."""
        return all(
            is_held(self._context, PeerName(target), fence)
            for target in record.targets
            for fence in fences_for(self._context, PeerName(target), record.ballot).values()
        )

    def _complete(self, missing: tuple[PeerName, ...]) -> None:
        """Take everything over; all of it is one commit, so others see all of it or nothing."""
        context, lines = self._context, []
        for peer, name in self._names.items():
            lines.append(f"{amount(self._space.take_over(peer))} IPs taken over from {name}")
            context.write(retire(context, peer, missing))
            context.mark("takeover.peer-removed")
        context.write(gone(takeover_key(), TakeoverRecord))
        self._end_timers()
        if self._request is not None:
            context.answer(self._request, "\n".join(lines))
        else:
            context.note("INFO", "; ".join(lines))
        self._request = None

    def _withdraw(self, why: str) -> None:
        """End an attempt with nothing changed."""
        self._context.write(gone(takeover_key(), TakeoverRecord))
        self._end_timers()
        if self._request is not None:
            self._context.refuse(self._request, why)
        elif why:
            self._context.note("WARN", f"the removal was given up: {why}")
        self._request = None

    def _end_timers(self) -> None:
        self._context.timer(TIMER, None)
        if self._is_in_doubt:
            self._is_in_doubt = False
            self._context.timer(BACK_TIMER, None)

    def _unanswered(self, record: TakeoverRecord, missing: list[PeerName]) -> str:
        names = " ".join(self._names.get(PeerName(target), target) for target in record.targets)
        if not missing:
            return f"{names} cannot be removed yet: some of what it gave away is still on its way; try again"
        return (
            f"{names} cannot be removed safely: {self._labels.listed(missing)} may own addresses that came from there "
            f"and did not answer within {ANSWER_MS // 1000} seconds; nothing was changed. Bring them up and try again; "
            f"or, if they are dead, too, remove all at once: 'weave rmpeer {names} {self._labels.typed(missing)}'; "
            "or add --force, at the risk that addresses are used twice"
        )

    def _answer_early(self, record: TakeoverRecord, missing: list[PeerName]) -> None:
        """Let the operator go: a forced takeover goes on by itself."""
        if self._request is None:
            return
        absent = self._labels.listed(missing) or "nobody"
        lines = [
            f"IPs of {self._names.get(PeerName(target), target)} will be taken over when {absent} has answered, "
            f"or in {(FORCE_MS - ANSWER_MS) // 60_000} minutes without: addresses may then be used twice"
            for target in record.targets
        ]
        self._context.answer(self._request, "\n".join(lines))
        self._request = None

    def _find(self, name: str) -> tuple[PeerName] | str:
        """Return the peer of that name or nickname, or why it cannot be removed."""
        board = self._context.board
        known = list(dict.fromkeys([*board.peers(), *self._ring.view().shares()]))
        matches = [peer for peer in known if peer == name]
        if not matches:
            matches = [peer for peer in known if self._labels.nickname(peer) == name]
        if not matches:
            return f"no peer is called {name}: see 'weave status peers' and 'weave status ipam' for those known"
        if len(matches) > 1:
            return f"{len(matches)} peers are called {name} ({', '.join(matches)}): use the name of one"
        peer = matches[0]
        if peer == self._context.me:
            return f"{name} is this host: run 'weave reset' to remove it, or 'weave rmpeer {name}' on another"
        if self._reachable(peer):
            why = "two owners would give the same addresses"
            return f"{name} is connected, or was a minute ago: stop it first and wait, for {why}"
        return (peer,)
