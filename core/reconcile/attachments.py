"""Containers' interfaces: what was asked for, what is still missing, and who waits for it.

An attachment is a fact in our own stream; the reconciler makes the kernel follow. Coming: addresses first, then the
fact, then the kernel, then the answer. Going: the kernel first, then the fact, together with the addresses; until the
kernel is known to have let go of an address, nobody else can get it. Both are all or nothing: a request that fails or
whose caller goes away leaves what was there before it. What is under way lives in memory only: after a crash an
interface is either attached as asked, or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

from core.context import Context
from core.events import AttachAsked, DetachAsked
from core.ipam.universe import subnets_of, why_unfit
from core.kinds import AttachmentRecord, attachment_key, gone, parse, put
from core.reconcile.desired import endpoint_objects, host_ifname
from core.reconcile.objects import Refused
from core.reconcile.plan import attachment_of
from core.reconcile.reconciler import Reconciler
from core.reconcile.sources import AddressSource, Callback, NameRegistry
from core.status import AttachmentStatus
from core.types import Address, Cidr, RequestId, Subnet, cidr_of
from crdt.fact import Origin

CONTAINER_SIZE_MAX = 128
"""Bytes; it has to fit into an interface's alias together with the namespace."""
IFNAME_SIZE_MAX = 15
"""Bytes, by Linux."""
NETNS_SIZE_MAX = 120
"""Bytes; an interface's alias has 255."""
ADDRESSES_MAX = 64
"""Per interface."""
REQUESTS_MAX = 1024
"""Under way at once."""
IS_RESET = "this host is being reset"
IS_OFF = "IP address allocation must be enabled to use 'net:'"
AttachmentId = tuple[str, str]


@dataclass(slots=True)
class Coming:
    """A request to attach."""

    event: AttachAsked
    """As asked."""
    subnets: tuple[Subnet, ...]
    """An address in each is wanted."""
    cidrs: tuple[Cidr, ...]
    """These very addresses are wanted."""
    held_before: tuple[Cidr, ...]
    """What the container had at the allocator; the rest is given back on failure."""
    got: tuple[Cidr, ...] = ()
    """What the request has brought so far."""
    record: AttachmentRecord | None = None
    """The fact, once written; then only disk and kernel are missing."""
    added: tuple[str, ...] = ()
    """Addresses that were not on the interface before."""
    names: tuple[str, ...] = ()
    """Keys of names that were not there before."""


@dataclass(slots=True)
class Going:
    """Addresses that leave an interface."""

    addresses: tuple[str, ...]
    """CIDRs."""
    requests: tuple[RequestId, ...]
    """Who is told."""


class Attachments:
    """All interfaces of this host's containers."""

    def __init__(self, context: Context, allocator: AddressSource, reconciler: Reconciler, names: NameRegistry) -> None:
        self._context = context
        self._allocator = allocator
        self._names = names
        self._reconciler = reconciler
        self._coming: dict[AttachmentId, Coming] = {}
        self._going: dict[AttachmentId, Going] = {}
        self._void: dict[AttachmentId, tuple[Origin, int]] = {}
        self._vacated: Callable[[], None] | None = None

    # Requests.

    def asked(self, event: AttachAsked) -> None:
        """Attach, or add addresses to what is attached."""
        problem = _problem(event)
        place = (event.container, event.ifname)
        if not problem and (place in self._coming or place in self._going):
            problem = f"{event.ifname} of {event.container} is being changed by another request; wait for that"
        if not problem and len(self._coming) >= REQUESTS_MAX:
            problem = f"{REQUESTS_MAX} requests to attach are under way; wait for some of them"
        if self._vacated is not None:
            problem = IS_RESET
        if problem:
            self._context.refuse(event.request, problem)
            return
        try:
            subnets, cidrs = self._wants(event.addresses)
        except ValueError as error:
            self._context.refuse(event.request, str(error))
            return
        coming = Coming(event, subnets, cidrs, self._allocator.held(event.container))
        self._coming[place] = coming
        inside = tuple(cidr for cidr in cidrs if self._is_managed(cidr))
        if inside:
            self._allocator.wait_for_claim(_key(event.request), event.container, inside, self._claimed(coming))
        else:
            self._claimed(coming)(())

    def detach(self, event: DetachAsked) -> None:
        """Take addresses away, and the interface with the last of them."""
        place = (event.container, event.ifname)
        record = self._record(place)
        if place in self._coming or place in self._going:
            text = f"{event.ifname} of {event.container} is being changed by another request; wait for that"
            self._context.refuse(event.request, text)
            return
        if record is None:
            text = f"{event.container} has no interface {event.ifname} on the network; see 'weave ps'"
            self._context.refuse(event.request, text)
            return
        try:
            subnets, cidrs = self._wants(event.addresses)
        except ValueError as error:
            self._context.refuse(event.request, str(error))
            return
        texts = {str(cidr): None for cidr in cidrs}
        leaving = tuple(
            text
            for text in record.addresses
            if text in texts or any(cidr_of(text).address in subnet for subnet in subnets)
        )
        if not leaving:
            asked = " ".join(event.addresses) or "the default subnet"
            text = f"{event.container} has no address in {asked}; it has {' '.join(record.addresses)}"
            self._context.refuse(event.request, text)
            return
        self._going[place] = Going(leaving, (event.request,))
        self._take_names(event.container)
        self._reconciler.dirty()
        self.settle()

    def vacate(self, then: Callable[[], None]) -> None:
        """Take all interfaces away, for a reset, and call back when the last is gone from kernel and facts."""
        self._vacated = then
        for place, coming in tuple(self._coming.items()):
            if self._coming.get(place) is coming:
                self._context.refuse(coming.event.request, IS_RESET)
                self._undo(place, coming)
        for container, ifname, record in self._all():
            self._going.setdefault((container, ifname), Going((), ())).addresses = record.addresses
        self._reconciler.dirty()
        self.settle()

    def cancelled(self, request: RequestId) -> None:
        """Undo what a request to attach has done whose caller went away; a detach goes on without its caller."""
        for place, coming in tuple(self._coming.items()):
            if coming.event.request == request and self._coming.get(place) is coming:
                self._undo(place, coming)
        for going in self._going.values():
            going.requests = tuple(other for other in going.requests if other != request)

    def container_gone(self, container: str) -> None:
        """Forget the interfaces of a container that has ended; its addresses are the allocator's affair."""
        for place, coming in tuple(self._coming.items()):
            if place[0] != container or self._coming.get(place) is not coming:
                continue
            self._context.refuse(coming.event.request, f"{container} has ended")
            self._undo(place, coming)
        for place in [place for place in self._going if place[0] == container]:
            for request in self._going.pop(place).requests:
                self._context.answer(request)
        for name, ifname, _ in tuple(self._all()):
            if name == container:
                self._forget((name, ifname))
                self._reconciler.dirty()

    def disk_failed(self, why: str) -> None:
        """Refuse and undo what waits for the disk."""
        for place, coming in tuple(self._coming.items()):
            if self._coming.get(place) is not coming:
                continue
            if coming.record is not None and self._durable(place) != coming.record:
                self._context.mark("attachments.disk-failed")
                self._context.refuse(coming.event.request, why)
                self._undo(place, coming)

    def settle(self) -> None:
        """Answer what has come about; to be called whenever disk or kernel may have moved.

        Undoing one request may settle others, in here again: what is no longer there has been dealt with.
        """
        for place, coming in tuple(self._coming.items()):
            if self._coming.get(place) is not coming:
                self._context.mark("attachments.settled-within")
                continue
            if coming.record is None:
                continue
            refusal = self._refusal(place)
            if refusal is not None:
                self._context.mark("attachments.kernel-refused")
                self._context.refuse(coming.event.request, f"{refusal.why}; {refusal.hint}")
                self._undo(place, coming)
            elif self._durable(place) == coming.record and self._is_up(place, coming.record):
                del self._coming[place]
                self._context.answer(coming.event.request, " ".join(str(cidr) for cidr in coming.got))
        for place, going in tuple(self._going.items()):
            if self._going.get(place) is going and self._has_let_go(place, going):
                self._leave(place, going)
        for place in tuple(self._void):
            # Once nothing is left to be forgotten there is nothing to remember.
            self._saved(place)
        if self._vacated is not None and next(self._all(), None) is None:
            then, self._vacated = self._vacated, None
            then()

    # What others ask.

    def records(self) -> Iterator[tuple[str, str, AttachmentRecord]]:
        """Yield container, interface and what it should carry: what is durable, less what is on its way out.

        Else a crash could leave an address on an interface of which the next life knows nothing.
        """
        for container, ifname, present in self._all():
            going = self._going.get((container, ifname))
            record = self._durable((container, ifname))
            if record is None:
                continue
            # What has been given back is no longer wanted either, though the disk may not have heard of it yet.
            leaving = () if going is None else going.addresses
            left = tuple(text for text in record.addresses if text in present.addresses and text not in leaving)
            yield container, ifname, replace(record, addresses=left)

    def is_known(self, place: AttachmentId) -> bool:
        """Say whether an interface has a record, or is asked for or on its way out."""
        return place in self._coming or place in self._going or self._record(place) is not None

    def describe(self) -> tuple[AttachmentStatus, ...]:
        """Return what status and report show."""
        found = []
        for container, ifname, record in self._all():
            place = (container, ifname)
            is_up = self._is_up(place, record)
            found.append(
                AttachmentStatus(
                    container=container,
                    ifname=ifname,
                    mac=record.mac,
                    addresses=record.addresses,
                    netns=record.netns,
                    host_ifname=host_ifname(container, ifname),
                    is_up=is_up,
                    waits_for="" if is_up else self._why_down(place),
                )
            )
        return tuple(found)

    # Below here: how.

    def _wants(self, texts: tuple[str, ...]) -> tuple[tuple[Subnet, ...], tuple[Cidr, ...]]:
        """Read addresses as Weave Net writes them. Raises: ValueError."""
        if len(texts) > ADDRESSES_MAX:
            raise ValueError(f"{len(texts)} addresses are more than the {ADDRESSES_MAX} that an interface may have")
        subnets: dict[Subnet, None] = {}
        cidrs: dict[Cidr, None] = {}
        for text in texts or ("net:default",):
            if text.startswith("net:"):
                config = self._context.config
                if config.universe is None:
                    raise ValueError(IS_OFF)
                rest = text.removeprefix("net:")
                subnets.update(dict.fromkeys(config.subnets if rest == "default" else subnets_of(rest)))
            else:
                cidr = cidr_of(text.removeprefix("ip:"))
                if why_unfit(cidr.address):
                    raise ValueError(f"{cidr}: {why_unfit(cidr.address)}")
                cidrs[cidr] = None
        return tuple(subnets), tuple(cidrs)

    def _claimed(self, coming: Coming) -> Callback:
        """Go on with addresses in subnets once the given ones are ours."""

        def claimed(result: tuple[Cidr, ...] | str) -> None:
            place = (coming.event.container, coming.event.ifname)
            if isinstance(result, str):
                self._context.refuse(coming.event.request, result)
                self._undo(place, coming)
            elif coming.subnets:
                ready = self._allocated(coming)
                self._allocator.wait_for(_key(coming.event.request), coming.event.container, coming.subnets, ready)
            else:
                self._allocated(coming)(())

        return claimed

    def _allocated(self, coming: Coming) -> Callback:
        """Write the fact once all addresses are there."""

        def allocated(result: tuple[Cidr, ...] | str) -> None:
            event = coming.event
            place = (event.container, event.ifname)
            if isinstance(result, str):
                self._context.refuse(event.request, result)
                self._undo(place, coming)
                return
            coming.got = tuple(dict.fromkeys((*coming.cidrs, *result)))
            before = self._record(place)
            old = () if before is None else before.addresses
            addresses = tuple(dict.fromkeys((*old, *(str(cidr) for cidr in coming.got))))
            coming.added = tuple(text for text in addresses if text not in old)
            mac = self.mac_of(place) if before is None else before.mac
            at_ms = self._context.at.wall_ms
            record = AttachmentRecord(mac, addresses, event.netns, event.multicast_route, "attach", at_ms)
            if before is not None and replace(record, why=before.why, at_ms=before.at_ms) == before:
                coming.record = before
            else:
                coming.record = record
                self._context.write(put(attachment_key(*place), record))
                self._reconciler.dirty()
            # In the same commit: after a crash a container has its names, or is not attached.
            coming.names = self._names.attached(place[0], event.names, tuple(cidr.address for cidr in coming.got))
            self.settle()

        return allocated

    def _undo(self, place: AttachmentId, coming: Coming) -> None:
        """Leave what was there before a request."""
        del self._coming[place]
        event = coming.event
        self._allocator.cancel_wait(_key(event.request))
        if coming.record is None:
            self._give_back(event.container, self._allocator.held(event.container), coming.held_before)
            return
        self._names.undone(coming.names)
        if coming.added:
            self._context.mark("attachments.undone-in-kernel")
            self._going[place] = Going(coming.added, ())
            self._reconciler.dirty()
            self.settle()

    def _take_names(self, container: str) -> None:
        """Take the names off what leaves a container; before the interface goes, so that nobody is sent there."""
        leaving, left = dict[Address, None](), dict[Address, None]()
        for name, ifname, record in self._all():
            if name == container:
                going = self._going.get((name, ifname))
                for text in record.addresses:
                    is_leaving = going is not None and text in going.addresses
                    (leaving if is_leaving else left)[cidr_of(text).address] = None
        addresses = tuple(address for address in leaving if address not in left)
        self._names.detached(container, addresses, is_last=not left)

    def _leave(self, place: AttachmentId, going: Going) -> None:
        """Record that addresses have left an interface, and give them back."""
        del self._going[place]
        record = self._record(place)
        if record is not None:
            left = tuple(text for text in record.addresses if text not in going.addresses)
            if left:
                record = replace(record, addresses=left, why="detach", at_ms=self._context.at.wall_ms)
                self._context.write(put(attachment_key(*place), record))
            else:
                self._forget(place)
        others = {text for name, _, other in self._all() if name == place[0] for text in other.addresses}
        cidrs = tuple(cidr_of(text) for text in going.addresses if text not in others)
        self._give_back(place[0], cidrs, ())
        self._reconciler.dirty()
        for request in going.requests:
            self._context.answer(request, " ".join(going.addresses))

    def _give_back(self, container: str, cidrs: tuple[Cidr, ...], kept: tuple[Cidr, ...]) -> None:
        held = self._allocator.held(container)
        leaving = tuple(cidr for cidr in cidrs if cidr in held and cidr not in kept)
        if leaving:
            self._allocator.release(container, leaving)

    def _has_let_go(self, place: AttachmentId, going: Going) -> bool:
        """Say whether the kernel carries none of the addresses any more."""
        if not self._context.config.datapath:
            return True
        record = self._record(place)
        if record is None or all(text in going.addresses for text in record.addresses):
            return self._reconciler.lacks(("endpoint", *place))
        return all(self._reconciler.lacks(("address", *place, text)) for text in going.addresses)

    def _forget(self, place: AttachmentId) -> None:
        """Write that there is no such interface; what the journal still says of it counts no more."""
        found = self._saved(place)
        if found is not None:
            self._void[place] = found[0]
        self._context.write(gone(attachment_key(*place), AttachmentRecord))

    def _durable(self, place: AttachmentId) -> AttachmentRecord | None:
        """Return what the journal says of an interface, unless that is about to be forgotten.

        A container that comes back at once may have the same record as before, and it is not on disk all the same:
        the deletion of the earlier one will be there first.
        """
        found = self._saved(place)
        if found is None or self._void.get(place) == found[0]:
            return None
        self._void.pop(place, None)
        return found[1]

    def _saved(self, place: AttachmentId) -> tuple[tuple[Origin, int], AttachmentRecord] | None:
        """Return what the journal says of an interface, and the number of the fact that does."""
        stream = self._context.store.stream(self._context.board.me)
        fact = None if stream is None else stream.get(attachment_key(*place))
        record = None if fact is None or fact.body is None else parse(fact.kind, fact.body)
        if stream is None or fact is None or not isinstance(record, AttachmentRecord):
            self._void.pop(place, None)
            return None
        return (stream.origin, fact.seq), record

    def _is_up(self, place: AttachmentId, record: AttachmentRecord) -> bool:
        config = self._context.config
        return not config.datapath or all(
            self._reconciler.has(item) for item in endpoint_objects(config, *place, record)
        )

    def _refusal(self, place: AttachmentId) -> Refused | None:
        for failure in self._reconciler.failures:
            if attachment_of(failure.op.object) == place and isinstance(failure.result, Refused):
                return failure.result
        return None

    def _why_down(self, place: AttachmentId) -> str:
        for failure in self._reconciler.failures:
            if attachment_of(failure.op.object) == place:
                return failure.result.why
        return "the kernel has not been asked yet"

    def _record(self, place: AttachmentId) -> AttachmentRecord | None:
        return self._context.board.get(self._context.me, attachment_key(*place), AttachmentRecord)

    def _all(self) -> Iterator[tuple[str, str, AttachmentRecord]]:
        for key, record in self._context.board.of(self._context.me, AttachmentRecord):
            _, container, ifname = key.split("/", 2)
            yield container, ifname, record

    def _is_managed(self, cidr: Cidr) -> bool:
        universe = self._context.config.universe
        return universe is not None and cidr.address in universe

    def mac_of(self, place: AttachmentId) -> str:
        """Make a MAC address, the same at every attach of that container here, so that neighbours' caches stay true."""
        text = "\0".join((self._context.me, *place))
        digest = blake2b(text.encode(), digest_size=6).digest()
        # Locally administered, one receiver.
        octets = (digest[0] & 0xFE | 0x02, *digest[1:])
        return ":".join(f"{octet:02x}" for octet in octets)


def _key(request: RequestId) -> str:
    return f"attach/{request}"


def _problem(event: AttachAsked) -> str:
    """Say what is wrong with a request, whatever the state; empty when nothing is."""
    container, ifname = event.container, event.ifname
    if not 0 < len(container.encode()) <= CONTAINER_SIZE_MAX or "/" in container or "\0" in container:
        return f"a container's name has 1 to {CONTAINER_SIZE_MAX} bytes and no '/': {container[:CONTAINER_SIZE_MAX]!r}"
    if not 0 < len(ifname.encode()) <= IFNAME_SIZE_MAX or not ifname.isprintable() or any(c in ifname for c in "/ :"):
        return f"an interface's name has 1 to {IFNAME_SIZE_MAX} bytes without '/', ':' and blanks: {ifname[:32]!r}"
    if not event.netns.startswith("/") or len(event.netns.encode()) > NETNS_SIZE_MAX or not event.netns.isprintable():
        text = event.netns[:NETNS_SIZE_MAX]
        return f"a network namespace is given by an absolute path of at most {NETNS_SIZE_MAX} bytes: {text!r}"
    return ""
