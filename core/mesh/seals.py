"""Keys of VXLAN with neighbours to whom it goes inside ESP only: who uses which association, and when the next comes.

Each end owns what it receives by: it draws an SPI, has the association installed, and only then offers it; the other
installs its half, lets what it sends take it, and says so; then what came before is retired. Each change is made before
what it replaces is broken, so rotation loses nothing, and until there is an association the seal has none: nothing
leaves. A key is followed by the next when it has served for long or carried much. Both ends count, for what is lost
on the way has only been sent: the receiver begins the next epoch, the sender asks for it. Keys are told apart by
session and epoch; secrets are not seen here.

An association that was once installed and is gone is never made again, for it would begin to count anew under a key
that has served: the next epoch takes its place. What an earlier session, or an earlier life of this agent, has left in
the kernel goes on to serve until the new session has its own.

Source: IKEv2's rekeying (RFC 7296, 2.8): new first, old deleted after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from core.context import Context
from core.effects import Send
from core.mesh.line import Line
from core.mesh.mesh import Mesh
from core.messages import EspOffer, EspTaken
from core.reconcile.objects import Association, KernelObject, Op, OpResult, Refused, Seal, Trust, Verb
from core.reconcile.reconciler import Reconciler
from core.types import PeerName
from core.wire import EPOCH_MAX, SPI_MAX, SPI_MIN

TIMER = "mesh/seal/"
RETIRE_MS = 5_000
"""What was sent by the association before has arrived by then."""
RENEW_MIN_MS = 10_000
"""Between two new epochs, whatever goes wrong with them."""
ASK_FACTOR = 2
"""The receiver counts as well, and knows first unless half is lost on the way: the sender asks when this many times as
much has gone out."""
LOST = -1
"""Epoch of who has none any more, and wants another."""


@dataclass(slots=True)
class _Seal:
    """The associations with one neighbour in one session."""

    line: Line
    """The session."""
    begun_ms: int
    """When our newest epoch began."""
    epoch: int = 0
    """Our newest one."""
    inbound: dict[int, int] = field(default_factory=dict)
    """SPIs of what we receive by, ours, by epoch, ascending."""
    offered: int = LOST
    """Our newest epoch that the neighbour has been told of."""
    taken: int = LOST
    """Our newest epoch that it sends by."""
    retired: int = LOST
    """Below this one, ours are gone; `LOST` while what earlier sessions left still serves."""
    outbound: dict[int, int] = field(default_factory=dict)
    """SPIs of what we send by, the neighbour's, by epoch, ascending."""
    used: int = LOST
    """The neighbour's epoch that we send by, and have told it so."""
    asked: int = LOST
    """The neighbour's newest epoch that it has been told to be spent."""
    installed: dict[tuple[str, ...], Association] = field(default_factory=dict)
    """What the kernel was once known to hold."""
    due_ms: dict[str, int] = field(default_factory=dict)
    """When to `retire` what is old, and to `renew`."""


class Seals:
    """The associations with all neighbours."""

    def __init__(self, context: Context, mesh: Mesh, reconciler: Reconciler) -> None:
        self._context = context
        self._mesh = mesh
        self._reconciler = reconciler
        self._seals: dict[PeerName, _Seal] = {}
        self._seen: object = None

    # What happens.

    def catch_up(self) -> None:
        """Begin with sessions that are new, and end with those that are over."""
        lines = self._mesh.lines
        if lines is self._seen:
            return
        self._seen = lines
        for peer in [peer for peer, seal in self._seals.items() if lines.get(peer) != seal.line]:
            del self._seals[peer]
            self._context.timer(TIMER + peer, None)
        for peer, line in lines.items():
            if line.has_esp and peer not in self._seals:
                seal = self._seals[peer] = _Seal(line, self._context.at.mono_ms)
                seal.inbound[seal.epoch] = self._draw_spi()
        self._reconciler.dirty()

    def received(self, peer: PeerName, message: EspOffer | EspTaken) -> None:
        """Take what a neighbour offers, and learn what it has taken."""
        self.catch_up()
        seal = self._seals.get(peer)
        if seal is None:
            return
        if isinstance(message, EspOffer):
            if message.epoch > max(seal.outbound, default=seal.used):
                in_use = {epoch: spi for epoch, spi in seal.outbound.items() if epoch == seal.used}
                seal.outbound = {**in_use, message.epoch: message.spi}
        elif message.epoch == LOST:
            self._renew_soon(seal)
        elif message.epoch == seal.offered > seal.taken:
            seal.taken = message.epoch
            now = self._context.at.mono_ms
            seal.due_ms = {"retire": now + RETIRE_MS, "renew": seal.begun_ms + self._context.config.rotate_ms}
        self._advance(peer, seal)

    def ops_done(self, results: Iterable[tuple[Op, OpResult]]) -> None:
        """Go on with what is installed now."""
        refused = [
            op.object
            for op, result in results
            if isinstance(op.object, Association) and op.verb is Verb.CREATE and isinstance(result, Refused)
        ]
        for peer, seal in self._seals.items():
            for item in refused:
                if item.address == seal.line.remote.host and item.session == seal.line.session:
                    self._lost(peer, seal, item)
            self._advance(peer, seal)

    def kernel_dumped(self, objects: Iterable[KernelObject]) -> None:
        """Give up what has gone behind our back, before anybody makes it again, and replace what has carried enough."""
        present = {item.key: item for item in objects if isinstance(item, Association)}
        for peer, seal in self._seals.items():
            for key, item in tuple(seal.installed.items()):
                if key not in present:
                    self._context.mark("seals.lost")
                    self._lost(peer, seal, item)
            self._weigh(peer, seal, present)

    def timer(self, name: str) -> bool:
        """Retire and renew; False when the timer is not ours."""
        if not name.startswith(TIMER):
            return False
        peer = PeerName(name.removeprefix(TIMER))
        seal, now = self._seals.get(peer), self._context.at.mono_ms
        if seal is None:
            return True
        due = [what for what, at_ms in seal.due_ms.items() if at_ms <= now]
        for what in due:
            del seal.due_ms[what]
        if "retire" in due:
            seal.retired = seal.taken
            seal.inbound = {epoch: spi for epoch, spi in seal.inbound.items() if epoch >= seal.retired}
        if "renew" in due:
            self._renew(seal)
        self._advance(peer, seal)
        return True

    # What the kernel should hold.

    def objects(self) -> Iterator[KernelObject]:
        """Yield associations and seals."""
        observed = self._reconciler.observed or ()
        kept: dict[str, list[KernelObject]] = {}
        for item in observed:
            if isinstance(item, Association | Seal | Trust):
                kept.setdefault(item.address, []).append(item)
        for seal in self._seals.values():
            yield from self._objects(seal, kept.get(seal.line.remote.host, []))
        lines = self._mesh.lines
        for peer, place in self._mesh.neighbour_addresses().items():
            if peer not in lines:
                # Held for who will be back: its kernel forwards, and so does ours.
                yield from kept.get(place.host, [])

    def _objects(self, seal: _Seal, kept: list[KernelObject]) -> Iterator[KernelObject]:
        address, port = seal.line.remote.host, self._context.config.port + 1
        for epoch, spi in seal.inbound.items():
            yield self._inbound(seal, epoch, spi)
        for epoch, spi in seal.outbound.items():
            yield self._outbound(seal, epoch, spi)
        earlier = [item for item in kept if isinstance(item, Association) and item.session != seal.line.session]
        if seal.retired == LOST:
            yield from (item for item in earlier if item.is_inbound)
        ready = [spi for epoch, spi in seal.outbound.items() if self._reconciler.has(self._outbound(seal, epoch, spi))]
        if ready:
            yield Seal(address, port, ready[-1])
            if seal.used == LOST:
                yield from (item for item in earlier if not item.is_inbound)
            return
        sent_by = next((item.spi for item in kept if isinstance(item, Seal)), 0)
        served = next((item for item in earlier if not item.is_inbound and item.spi == sent_by), None)
        if served is not None:
            self._context.mark("seals.earlier-serves")
            yield served
        yield Seal(address, port, 0 if served is None else sent_by)

    def _inbound(self, seal: _Seal, epoch: int, spi: int) -> Association:
        return self._association(seal, epoch, spi, is_inbound=True)

    def _outbound(self, seal: _Seal, epoch: int, spi: int) -> Association:
        return self._association(seal, epoch, spi, is_inbound=False)

    def _association(self, seal: _Seal, epoch: int, spi: int, *, is_inbound: bool) -> Association:
        line = seal.line
        return Association(
            address=line.remote.host,
            is_inbound=is_inbound,
            spi=spi,
            port=self._context.config.port + 1,
            session=line.session,
            epoch=epoch,
            from_dialler=line.outbound != is_inbound,
        )

    # How it goes on.

    def _advance(self, peer: PeerName, seal: _Seal) -> None:
        """Offer what is installed, use what is offered, and say so."""
        has = self._reconciler.has
        ours = (
            *(self._inbound(seal, epoch, spi) for epoch, spi in seal.inbound.items()),
            *(self._outbound(seal, epoch, spi) for epoch, spi in seal.outbound.items()),
        )
        seal.installed = {item.key: item for item in ours if item.key in seal.installed or has(item)}
        newest = seal.inbound.get(seal.epoch)
        if newest is not None and seal.offered < seal.epoch and has(self._inbound(seal, seal.epoch, newest)):
            seal.offered = seal.epoch
            self._say(peer, EspOffer(seal.epoch, newest))
        theirs = max(seal.outbound, default=LOST)
        address, port = seal.line.remote.host, self._context.config.port + 1
        if theirs > seal.used and has(Seal(address, port, seal.outbound[theirs])):
            seal.used = theirs
            seal.outbound = {theirs: seal.outbound[theirs]}
            self._say(peer, EspTaken(theirs))
        self._arm(peer, seal)
        self._reconciler.dirty()

    def _lost(self, peer: PeerName, seal: _Seal, item: Association) -> None:
        """Give up an association that the kernel does not hold any more, or does not take."""
        seal.installed.pop(item.key, None)
        if item.is_inbound:
            if seal.inbound.get(item.epoch) == item.spi:
                del seal.inbound[item.epoch]
            if item.epoch == seal.epoch:
                self._renew_soon(seal)
        elif seal.outbound.get(item.epoch) == item.spi:
            del seal.outbound[item.epoch]
            if not seal.outbound:
                self._say(peer, EspTaken(LOST))
        self._arm(peer, seal)
        self._reconciler.dirty()

    def _weigh(self, peer: PeerName, seal: _Seal, present: Mapping[tuple[str, ...], Association]) -> None:
        """Begin a new epoch when ours has carried enough; ask for one when the neighbour's has."""
        limit = self._context.config.rotate_bytes
        spi = seal.inbound.get(seal.epoch)
        ours = None if spi is None else present.get(self._inbound(seal, seal.epoch, spi).key)
        if ours is not None and ours.size_bytes >= limit and seal.taken == seal.epoch:
            self._context.mark("seals.spent")
            self._renew_soon(seal)
            self._arm(peer, seal)
        spi = seal.outbound.get(seal.used)
        theirs = None if spi is None else present.get(self._outbound(seal, seal.used, spi).key)
        if theirs is not None and theirs.size_bytes >= ASK_FACTOR * limit and seal.asked < seal.used:
            seal.asked = seal.used
            self._say(peer, EspTaken(LOST))

    def _renew_soon(self, seal: _Seal) -> None:
        """Begin a new epoch, but not too soon after the one before."""
        seal.due_ms["renew"] = max(seal.begun_ms + RENEW_MIN_MS, self._context.at.mono_ms)

    def _renew(self, seal: _Seal) -> None:
        if seal.epoch < EPOCH_MAX:
            self._context.mark("seals.renewed")
            seal.epoch += 1
            seal.inbound[seal.epoch] = self._draw_spi()
            seal.begun_ms = self._context.at.mono_ms

    def _draw_spi(self) -> int:
        in_use = {spi: None for seal in self._seals.values() for spi in seal.inbound.values()}
        spi = self._context.entropy.randint(SPI_MIN, SPI_MAX)
        while spi in in_use:
            spi = self._context.entropy.randint(SPI_MIN, SPI_MAX)
        return spi

    def _arm(self, peer: PeerName, seal: _Seal) -> None:
        due_ms = min(seal.due_ms.values(), default=None)
        after_ms = None if due_ms is None else max(1, due_ms - self._context.at.mono_ms)
        self._context.timer(TIMER + peer, after_ms)

    def _say(self, peer: PeerName, message: EspOffer | EspTaken) -> None:
        link = self._mesh.link_to(peer)
        if link is not None:
            self._context.emit(Send(link, message))
