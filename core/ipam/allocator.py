"""Addresses for this host's containers: own requests, gifts of space between peers, and waiting.

What may be used is decided by `space`, who has what by `held`, whom to ask by `asking`. This file decides when: nothing
is given, to containers or to peers, before this host has caught up with a neighbour and has adopted what its earlier
lives said, and whatever cannot be answered now waits until facts change. Answers leave once their facts are durable;
peers see only what is durable, so a gift can never be forgotten by its giver.
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.events import AddressesProbed, Allocate, Claim, Free, FreeIdle, Lookup, RemovePeers
from core.ipam import adopting, asking, grace, holders, leaving, probes, seed, takeover
from core.ipam.asking import AskKey
from core.ipam.earlier import earlier_lives
from core.ipam.grace import Grace, unattached
from core.ipam.held import Held, is_ident
from core.ipam.homes import tell_of_none
from core.ipam.leaving import Vacate, forget_containers
from core.ipam.probes import Probes
from core.ipam.ring import Ring
from core.ipam.seed import Seed
from core.ipam.status import IpamStatus, describe
from core.ipam.steward import Steward
from core.ipam.universe import ADDRESSES_MIN, subnets_of
from core.ipam.waits import CATCHING_UP, NO_RING, WAITS_MAX, Callback, Failed, Found, Lacking, Wait
from core.kinds import (
    HomeRecord,
    LinkRecord,
    PeerRecord,
    RetiredRecord,
    RingClaim,
)
from core.messages import SpaceAsk, SpaceRefused
from core.types import Cidr, PeerName, RequestId, Subnet, address_text, cidr_of

TIMERS = "ipam/"
"""All our timers begin so."""
IS_OFF = "IP address allocation must be enabled to use 'net:'"


EARLY_MAX = 256
"""Peers whose asks are kept until there is a ring; there is one within a second of the first."""


class Allocator:
    """The IPAM of one host."""

    def __init__(
        self,
        context: Context,
        *,
        in_sync: Callable[[], bool],
        may_give: Callable[[], bool] = lambda: True,
        is_own: Callable[[str, str], bool] = lambda _ident, _mac: False,
        reachable: Callable[[PeerName], bool],
        send_to: Callable[[PeerName, SpaceAsk | SpaceRefused], bool],
        vacate: Vacate = lambda then: then(),
    ) -> None:
        """`may_give` holds once what containers are known to use has been claimed; `is_own` is as in `Probes`."""
        self._context = context
        self._in_sync = in_sync
        self._may_give = may_give
        self._reachable = reachable
        self._send_to = send_to
        self._vacate = vacate
        self._universe = context.config.universe
        self._held = Held(context)
        self._seed = None if self._universe is None else Seed(context, self._universe, in_sync)
        self._steward: Steward | None = None
        self._early: dict[PeerName, SpaceAsk] = {}
        self._waits: dict[str, Wait] = {}
        self._primes: dict[RequestId, None] = {}
        self._grace = Grace(context, self._held)
        self._probes = Probes(context, self._held, is_own)
        self._seen: tuple[object, ...] = ()
        self._has_left = False
        self._has_looked = False

    # Requests of people and scripts.

    def allocate(self, request: RequestId, command: Allocate) -> None:
        """Answer with an address in each subnet, as soon as there are all."""
        if self._universe is None:
            self._context.refuse(request, IS_OFF)
            return
        try:
            subnets = subnets_of(command.subnet) if command.subnet else self._context.config.subnets
        except ValueError as error:
            self._context.refuse(request, str(error))
            return
        self.wait_for(_request_key(request), command.ident, subnets, self._answering(request), "allocate")

    def claim(self, request: RequestId, command: Claim) -> None:
        """Answer once the address is recorded as used by the ident."""
        try:
            cidr = cidr_of(command.cidr)
        except ValueError as error:
            self._context.refuse(request, f"Unable to claim: {error}")
            return
        callback = self._answering(request, "Unable to claim: ", is_silent=True)
        self.wait_for_claim(_request_key(request), command.ident, (cidr,), callback, "claim")

    def lookup(self, request: RequestId, command: Lookup) -> None:
        """Answer with what the ident holds, at once."""
        holders.look_up(self._context, self._held, request, command)

    def free(self, request: RequestId, command: Free) -> None:
        """Give back one address of the ident, or all."""
        cidrs = holders.meant(self._context, self._held, request, command)
        if cidrs:
            self.release(command.ident, cidrs)
            self._context.answer(request)

    def free_idle(self, request: RequestId, command: FreeIdle) -> None:
        """Give back what the ident holds and no interface has; answer with the addresses."""
        ident = command.ident
        if self._is_waiting(ident):
            self._context.refuse(request, f"{ident} waits for addresses, so it is not gone; see 'weave status ipam'")
            return
        cidrs = dict(unattached(self._context, self._held)).get(ident, ())
        self._grace.freed += len(cidrs)
        self.release(ident, cidrs)
        self._context.answer(request, " ".join(map(str, cidrs)))

    def prime(self, request: RequestId) -> None:
        """Answer once there is a ring, and we may act on it."""
        if self._seed is None:
            self._context.answer(request)
            return
        self._primes[request] = None
        self._seed.need()
        self._work()

    def leave(self, request: RequestId) -> None:
        """Hand everything to an heir and answer when it has asserted it."""
        steward = self._ready()
        if self._seed is None or self._seed.ring is None:
            self._has_left = True
            self._vacate(lambda: self._forget_all(request))
        elif steward is None:
            self._context.refuse(request, f"nothing can be handed over now: {self._reason()}; try again later")
        else:
            steward.leaving.leave(request)
            if steward.leaving.is_under_way:
                self._abandon("this host is being reset")

    def remove_peers(self, request: RequestId, command: RemovePeers) -> None:
        """Take over the addresses of dead peers."""
        steward = self._ready()
        if steward is None:
            self._context.refuse(request, f"nothing can be taken over now: {self._reason() or IS_OFF}; try again later")
            return
        steward.takeover.remove(request, command.peers, force=command.force)
        self._work()

    def cancel(self, request: RequestId) -> None:
        """Forget a request whose caller has gone away."""
        self.cancel_wait(_request_key(request))
        self._primes.pop(request, None)
        if self._steward is not None:
            self._steward.leaving.cancel(request)
            self._steward.takeover.cancel(request)

    # What the attachment code uses.

    def wait_for(
        self, key: str, ident: str, subnets: tuple[Subnet, ...], callback: Callback, why: str = "attach"
    ) -> None:
        """Give `ident` the lowest free address in each subnet, now or later.

        `callback` is called once, maybe before this returns, with the addresses or with an error for people. The
        records are then written but not yet durable: answer through `Context.answer`. The same ident and subnet get
        the same address again. `why` says what asks, for people.
        """
        for subnet in subnets:
            problem = self._problem(subnet)
            if problem:
                callback(problem)
                return
        self._wait(Wait(key, ident, subnets, callback, why))

    def wait_for_claim(
        self, key: str, ident: str, cidrs: tuple[Cidr, ...], callback: Callback, why: str = "attach"
    ) -> None:
        """Record that `ident` uses these addresses, now or later; those outside the universe need no record."""
        universe = self._universe
        if universe is None or all(cidr.address not in universe for cidr in cidrs):
            callback(cidrs)
            return
        self._wait(Wait(key, ident, cidrs, callback, why))

    def want_back(self, key: str, ident: str, cidrs: tuple[Cidr, ...], callback: Callback, why: str) -> None:
        """Record that `ident` has used these addresses all the time; who waits already waits for that, too."""
        universe = self._universe
        inside = tuple(cidr for cidr in cidrs if universe is not None and cidr.address in universe)
        if not inside:
            callback(cidrs)
            return
        others, self._waits = self._waits, {}
        self._wait(Wait(key, ident, inside, callback, why, is_in_use=True))
        self._waits.update(others)

    def cancel_wait(self, key: str) -> None:
        """Forget a wait; nothing of it remains. Unknown keys are fine."""
        if self._drop(key) is not None:
            self._work()

    def release(self, ident: str, addresses: tuple[Cidr, ...]) -> None:
        """Give addresses back at once; those that the ident does not hold are ignored."""
        held = [cidr.address for cidr in self._held.of(ident)]
        given_back = [cidr.address for cidr in addresses if cidr.address in held]
        for address in given_back:
            self._held.drop(ident, address)
        if given_back:
            self._work()

    def held(self, ident: str) -> tuple[Cidr, ...]:
        """Return the addresses of an ident, ascending."""
        return self._held.of(ident)

    def container_gone(self, container: str) -> None:
        """Free what a container holds, unless it is asked for again soon."""
        dead = [wait for wait in self._waits.values() if wait.ident == container]
        for wait in dead:
            self._drop(wait.key)
        for wait in dead:
            wait.callback(f"container {container} has ended")
        self._grace.begin(container)
        self._work()

    # What happens.

    def started(self) -> None:
        """Take up what the journal says."""
        if self._universe is None:
            tell_of_none(self._context)
        self.facts_changed()

    def received(self, source: PeerName, body: SpaceAsk | SpaceRefused) -> None:
        """React to what another allocator says."""
        if source == self._context.me or not 0 <= body.lo < body.hi:
            return
        steward = self._ready()
        if steward is None:
            # Who has learnt of the ring first asks at once; it would wait long for an answer that never comes.
            if isinstance(body, SpaceAsk) and len(self._early) < EARLY_MAX:
                self._early[source] = body
            return
        if isinstance(body, SpaceRefused):
            steward.asks.refused(source, body)
        else:
            why = steward.donate(source, body)
            if why:
                self._send_to(source, SpaceRefused(body.lo, body.hi, why))
        self._work()

    def probed(self, event: AddressesProbed) -> None:
        """Go on with who waits for an answer of the network."""
        self._probes.answered(event, self._waits)
        self._work()

    def facts_changed(self) -> None:
        """React to changes of facts or of reachability. Cheap when none concerns us."""
        if self._seed is None:
            return
        self._seed.step()
        steward = self._ready()
        if steward is None:
            return
        if not self._has_looked:
            self._has_looked = True
            self._grace.resume()
        early, self._early = self._early, {}
        if early:
            # What our own containers use must not be given away.
            self._work()
        for source, ask in early.items():
            self.received(source, ask)
        # Before the shortcut below: who can be reached may have changed without a fact.
        steward.takeover.step()
        board = self._context.board
        ring = (board.version(RingClaim, RetiredRecord), self._seed.homes.strangers())
        others = board.version(LinkRecord, PeerRecord, HomeRecord)
        if self._seen == (ring, others):
            return
        is_ring_new = not self._seen or self._seen[0] != ring
        self._seen = (ring, others)
        if not (is_ring_new or self._waits or steward.asks or board.has(RetiredRecord)):
            # A forming network says a thousand times who is there and linked to whom. That matters only to who waits
            # for others, and where somebody who was removed may come back.
            return
        if self._settle(steward):
            steward.asks.given()
        steward.asks.changed()
        self._work()

    def timer(self, name: str) -> bool:
        """React to a timer; say whether it was ours."""
        if not name.startswith(TIMERS):
            return False
        if name == seed.TIMER and self._seed is not None:
            self._seed.timer()
        elif name == probes.TIMER:
            self._probes.timer()
        elif name.startswith(grace.TIMER):
            ident = name.removeprefix(grace.TIMER)
            self.release(ident, self._grace.over(ident, is_waiting=self._is_waiting(ident)))
        elif name == asking.TIMER and self._steward is not None:
            self._steward.asks.timer()
        elif name == leaving.TIMER and self._steward is not None:
            self._steward.leaving.timer()
        elif name == takeover.TIMER and self._steward is not None:
            self._steward.takeover.timer()
        elif name == takeover.BACK_TIMER and self._steward is not None:
            self._steward.takeover.back_timer()
        self._work()
        return True

    def adopt(self) -> bool:
        """Say again what our earlier lives said of ring and addresses; say whether they may now be forgotten.

        For the Replica: once in sync, after this life's first fact, and in the `apply` in which it writes
        `PeerRecord.adopts`. Until then nothing is given.
        """
        self._has_looked = False
        return adopting.adopt(self._context, self._held, self._seed, self._make_steward)

    @property
    def waiting(self) -> int:
        """Requests that wait for addresses."""
        return len(self._waits)

    @property
    def ring(self) -> Ring | None:
        """The ring that the peers have agreed on; None while there is none."""
        return None if self._seed is None else self._seed.ring

    def describe(self) -> IpamStatus | None:
        """Return what status and report show; None when allocation is off. O(all facts of addresses)."""
        if self._universe is None or self._seed is None:
            return None
        steward = self._steward
        space, taking = (None, None) if steward is None else (steward.space, steward.takeover)
        waits = tuple((wait, self._why_waiting(wait)) for wait in self._waits.values())
        return describe(
            self._context,
            self._seed,
            self._held,
            self._grace,
            self._probes.describe(),
            space,
            taking,
            waits,
            self._reachable,
        )

    # Below here: how.

    def _forget_all(self, request: RequestId) -> None:
        """End a host that has nothing to hand over."""
        forget_containers(self._context)
        self._context.answer(request)

    def _wait(self, wait: Wait) -> None:
        if self._has_left or (self._steward is not None and self._steward.leaving.is_under_way):
            wait.callback("this host is being reset")
        elif not is_ident(wait.ident):
            wait.callback("the name of the container must have 1 to 200 bytes")
        elif len(self._waits) >= WAITS_MAX and wait.key not in self._waits:
            wait.callback(f"{WAITS_MAX} requests wait for addresses already: {self._reason()}")
        else:
            steward = self._ready()
            self._grace.back(wait.ident, None if steward is None else steward.space)
            self._waits[wait.key] = wait
            if self._seed is not None:
                self._seed.need()
            self._work()

    def _work(self) -> None:
        """Try everything that waits, in the order in which it came."""
        steward = self._ready()
        if steward is None:
            return
        for request in self._primes:
            self._context.answer(request)
        self._primes.clear()
        self._grace.check(steward.space)
        asks: dict[AskKey, None] = {}
        done: list[tuple[Wait, tuple[Cidr, ...] | str]] = []
        for wait in tuple(self._waits.values()):
            if self._probes.is_asking(wait.key):
                continue
            refusal = self._probes.refusal(wait.key)
            result = Failed(refusal) if refusal else steward.look(wait)
            if isinstance(result, Lacking):
                asks.update(dict.fromkeys(result.asks))
                continue
            if isinstance(result, Found) and not wait.is_in_use:
                checked = self._probes.check(wait.key, result)
                if checked is None:
                    continue
                result = checked
            self._drop(wait.key)
            if isinstance(result, Found):
                self._record(wait, result.cidrs)
            done.append((wait, result.why if isinstance(result, Failed) else result.cidrs))
        self._settle(steward)
        steward.asks.keep(asks)
        # Only now: a callback may come back with the next wish.
        for wait, answer in done:
            wait.callback(answer)

    def _record(self, wait: Wait, cidrs: tuple[Cidr, ...]) -> None:
        assert self._universe is not None, "there is no ring without a universe"
        for cidr in cidrs:
            if cidr.address in self._universe:
                self._held.take(wait.ident, cidr, wait.why)
        self._grace.given(wait.ident, cidrs, wait.why)

    def _is_waiting(self, ident: str) -> bool:
        return any(wait.ident == ident for wait in self._waits.values())

    def _drop(self, key: str) -> Wait | None:
        self._probes.forget(key)
        return self._waits.pop(key, None)

    def _settle(self, steward: Steward) -> bool:
        steward.leaving.facts_changed()
        return not steward.leaving.is_under_way and steward.space.settle()

    def _abandon(self, why: str) -> None:
        for wait in [self._drop(key) for key in tuple(self._waits)]:
            assert wait is not None, "it waited"
            wait.callback(why)

    def _make_steward(self) -> Steward | None:
        if self._steward is None and self._seed is not None and self._seed.ring is not None:
            self._steward = Steward(
                self._context,
                self._seed,
                self._held,
                self._reachable,
                self._send_to,
                self._vacate,
                lambda: self._probes.squatters,
            )
        return self._steward

    def _ready(self) -> Steward | None:
        """Return what acts on the ring; None while we may not act."""
        if self._seed is None or self._seed.ring is None or not self._is_informed():
            # Once we may, there is everything to do, whether or not facts have changed since.
            self._seen = ()
            return None
        return self._make_steward()

    def _is_informed(self) -> bool:
        return self._in_sync() and not earlier_lives(self._context) and self._may_give()

    def _reason(self) -> str:
        """Say why nothing can be done at all; empty when something can."""
        if self._seed is not None and self._seed.ring is None:
            return NO_RING
        return CATCHING_UP if self._seed is not None and self._ready() is None else ""

    def _why_waiting(self, wait: Wait) -> str:
        asked = self._probes.asked_about(wait.key)
        if asked:
            return f"the network is asked whether anybody uses {' '.join(map(address_text, asked))}"
        steward = self._ready()
        result = None if steward is None else steward.look(wait)
        return result.why if isinstance(result, Lacking) else self._reason()

    def _problem(self, subnet: Subnet) -> str:
        """Say why nothing can ever be allocated in a subnet; empty when something can."""
        universe = self._universe
        if universe is None:
            return IS_OFF
        if subnet.size < ADDRESSES_MIN:
            return f"invalid subnet - smaller than minimum size {ADDRESSES_MIN}: {subnet}"
        if universe.clip(subnet) is None:
            return f"range {subnet} out of bounds: {universe}"
        return ""

    def _answering(self, request: RequestId, trouble: str = "", *, is_silent: bool = False) -> Callback:
        def answer(result: tuple[Cidr, ...] | str) -> None:
            if isinstance(result, str):
                self._context.refuse(request, trouble + result)
            else:
                self._context.answer(request, "" if is_silent else " ".join(str(cidr) for cidr in result))

        return answer


def _request_key(request: RequestId) -> str:
    return f"request/{request}"
