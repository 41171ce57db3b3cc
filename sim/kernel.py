"""A kernel made of a dictionary, with the manners of the real driver.

The contract that both keep is in `tests/kernel/test_kernel_contract.py`. How frames pass is said in `packets`; here is
what decides about them: the objects, what the programs have learnt, and what somebody has taken apart behind our back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from core.reconcile.objects import (
    SLEEVE,
    Again,
    AlreadySo,
    Association,
    Bridge,
    Done,
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    Hop,
    Identity,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Tap,
    Tree,
    Tunnel,
    Verb,
    VxlanPort,
)
from core.reconcile.plan import attachment_of, creation_order, vanish_with
from core.types import Address
from sim.packets import Branch, EndpointId, Exit, Place, Plug, Tables
from sim.secrecy import Locks, locks_of

RETRY_MS = 100
LOAD_BYTES = 1 << 20
"""What each association carries from one look of the agent to the next: symbolic frames have no size."""
Key = tuple[str, ...]


class FakeKernel:
    """Holds objects of ours and foreign ones; carries out operations on ours only."""

    def __init__(
        self, foreign: Iterable[KernelObject] = (), fail: Callable[[Op], OpResult | None] | None = None
    ) -> None:
        """`fail` is asked before each operation; what it returns, if anything, is the result and nothing happens."""
        self.foreign = tuple(foreign)
        self.fail = fail
        self.macs: dict[str, Place] = {}
        """What the programs have learnt."""
        self.meddled: dict[EndpointId, bool] = {}
        """Attachments that somebody else has changed and the agent not yet repaired, and whether it has seen that."""
        self.strangers: dict[Address, int] = {}
        """Addresses of machines on the bridge that are none of ours, and when they came, in virtual microseconds."""
        self._objects: dict[Key, KernelObject] = {}
        self._interfaces: dict[Key, int] = {}
        self._bare: dict[Key, None] = {}
        self._loose: dict[Key, None] = {}
        self._last_interface = 0
        self._tables: Tables | None = None
        self._locks: Locks | None = None

    # As the driver does.

    def observe(self) -> tuple[KernelObject, ...]:
        """Return everything of ours, in creation order."""
        return tuple(sorted(self._objects.values(), key=creation_order))

    def tunnels(self) -> tuple[Tunnel, ...]:
        """Return what the sleeve's process knows."""
        return tuple(item for item in self._objects.values() if isinstance(item, Tunnel))

    def using(self, ip: str) -> tuple[EndpointAddress, ...]:
        """Return the interfaces' addresses with this IP address, whatever their prefix."""
        items = (item for item in self._objects.values() if isinstance(item, EndpointAddress))
        return tuple(item for item in items if item.cidr.partition("/")[0] == ip)

    def dump(self) -> tuple[KernelObject, ...]:
        """Return everything of ours to the agent, which knows then what others have changed."""
        self.meddled = dict.fromkeys(self.meddled, True)
        for key, item in self._objects.items():
            if isinstance(item, Association):
                self._objects[key] = replace(item, size_bytes=item.size_bytes + LOAD_BYTES)
        return self.observe()

    def addresses_of(self, endpoint: EndpointId) -> tuple[str, ...]:
        """Return the addresses on an interface, as CIDRs."""
        items = (item for item in self._objects.values() if isinstance(item, EndpointAddress))
        return tuple(item.cidr for item in items if (item.container, item.ifname) == endpoint)

    def execute(self, op: Op) -> OpResult:
        """Carry out one operation."""
        injected = self.fail(op) if self.fail is not None else None
        if injected is not None:
            return injected
        item = op.object
        if self.is_foreign(item):
            return Refused(f"{' '.join(item.key)} exists and is not ours", "remove or rename it")
        self._tables = None
        result = self._remove(item) if op.verb is Verb.REMOVE else self._ensure(item)
        place = attachment_of(item)
        # Repair begins by taking away what stands in its way; with the first thing that is made, the excuse ends.
        if place is not None and self.meddled.get(place) and not (op.verb is Verb.REMOVE and self._is_bare(place)):
            del self.meddled[place]
        return result

    def _is_bare(self, place: EndpointId) -> bool:
        """Say whether an endpoint is up without an address."""
        is_up = any(isinstance(item, EndpointUp) and attachment_of(item) == place for item in self._objects.values())
        return is_up and not self.addresses_of(place)

    def locks(self) -> Locks:
        """Return what lets VXLAN out and in; good until something changes."""
        self.tables()
        if self._locks is None:
            self._locks = locks_of(self._objects.values())
        return self._locks

    def tables(self) -> Tables:
        """Return what frames see; good until something changes, but for what is learnt, which shows at once."""
        if self._tables is None:
            self._tables = self._make_tables()
            self._locks = None
        return self._tables

    # As others do.

    def lose(self, item: KernelObject, *, is_held: bool = True) -> None:
        """Drop an object behind the agent's back, as an operator would.

        Not `is_held`: no agent runs, so with the overlay port go the maps of its programs.
        """
        self._tables = None
        place = attachment_of(item)
        if place is not None:
            self.meddled[place] = False
        self._drop(item.key)
        if isinstance(item, VxlanPort) and not is_held:
            self.macs.clear()
            for other in tuple(self._objects.values()):
                if isinstance(other, Identity | Hop | Tree):
                    self._drop(other.key)
                elif isinstance(other, Endpoint):
                    # Its program works on maps that nobody can find any more.
                    self._take_apart(other, self._bare)

    def end_sleeve(self) -> tuple[Tunnel, ...]:
        """Let the sleeve's process end, and return what it knew; it begins anew with what the agent says next."""
        self._tables = None
        return self._forget_tunnels()

    def unplug(self, endpoint: Endpoint) -> None:
        """Take the outer end of a pair out of the bridge, behind the agent's back."""
        self._tables = None
        self._take_apart(endpoint, self._loose)

    def leave_behind(self, items: Iterable[KernelObject]) -> None:
        """Hold what an agent of long ago made and nobody took away."""
        self._tables = None
        for item in sorted(items, key=creation_order):
            if not self.is_foreign(item):
                self._ensure(item)

    def squat(self, item: KernelObject) -> None:
        """Let somebody else take the name of an object of ours; what had it goes."""
        self.lose(item)
        self.foreign = (*self.foreign, item)

    def half_make(self, item: Endpoint) -> None:
        """Leave a pair that is there, and neither in the bridge nor known to our programs."""
        if item.key not in self._objects and not self._missing(item) and not self.is_foreign(item):
            self._ensure(item)
            self._take_apart(item, self._bare)
            self.unplug(item)

    def is_foreign(self, item: KernelObject) -> bool:
        """Say whether somebody else has the name of an object."""
        for other in self.foreign:
            if other.key == item.key:
                return True
            if isinstance(item, Endpoint) and isinstance(other, Endpoint) and item.host_ifname == other.host_ifname:
                return True
        return False

    # How.

    def _ensure(self, item: KernelObject) -> OpResult:
        present = self._objects.get(item.key)
        if present == item:
            return AlreadySo()
        missing = self._missing(item)
        if missing:
            return Again(RETRY_MS, f"{' '.join(item.key)}: no {missing}")
        if isinstance(present, VxlanPort) and isinstance(item, VxlanPort) and present.port != item.port:
            return Refused(f"{item.name} exists and is not our overlay device", "remove or rename it")
        if isinstance(item, Endpoint):
            self._ensure_pair(item, present)
        self._objects[item.key] = item
        return Done()

    def _ensure_pair(self, item: Endpoint, present: KernelObject | None) -> None:
        self._bare.pop(item.key, None)
        self._loose.pop(item.key, None)
        if isinstance(present, Endpoint) and replace(present, is_whole=True) == item:
            return
        if present is not None:
            self._remove(present)
        self._last_interface += 1
        self._interfaces[item.key] = self._last_interface

    def _remove(self, item: KernelObject) -> OpResult:
        if isinstance(item, Endpoint):
            # A redirect to it would be lost.
            gone = self._interfaces.get(item.key, 0)
            for mac in [mac for mac, place in self.macs.items() if not place.peer and place.ifindex == gone]:
                del self.macs[mac]
        return Done() if self._drop(item.key) else AlreadySo()

    def _drop(self, key: Key) -> bool:
        """Delete an object, and what the kernel deletes or takes apart with it."""
        present = self._objects.pop(key, None)
        if present is None:
            return False
        self._interfaces.pop(key, None)
        self._bare.pop(key, None)
        self._loose.pop(key, None)
        for other in vanish_with(present, tuple(self._objects.values())):
            del self._objects[other.key]
        if isinstance(present, Tap):
            # Without its device the sleeve ends, and with it all it knows.
            self._forget_tunnels()
        if isinstance(present, EndpointAddress) and present.is_ipv4 and not self._has_ipv4(present):
            # With the last IPv4 address go the routes.
            for other in tuple(self._objects.values()):
                if isinstance(other, EndpointRoute) and attachment_of(other) == attachment_of(present):
                    del self._objects[other.key]
        if isinstance(present, Bridge):
            for other in tuple(self._objects.values()):
                if isinstance(other, VxlanPort):
                    self._objects[other.key] = replace(other, bridge="")
                elif isinstance(other, Endpoint):
                    self._take_apart(other, self._loose)
        return True

    def _forget_tunnels(self) -> tuple[Tunnel, ...]:
        gone = self.tunnels()
        for item in gone:
            del self._objects[item.key]
        return gone

    def _has_ipv4(self, lost: EndpointAddress) -> bool:
        return any(
            isinstance(other, EndpointAddress) and other.is_ipv4 and attachment_of(other) == attachment_of(lost)
            for other in self._objects.values()
        )

    def _take_apart(self, pair: Endpoint, lack: dict[Key, None]) -> None:
        if pair.key in self._objects:
            lack[pair.key] = None
            self._objects[pair.key] = replace(pair, is_whole=False)

    def _missing(self, item: KernelObject) -> str:
        """Name what has to exist first and does not; empty when nothing is missing."""
        if isinstance(item, VxlanPort):
            return "" if ("bridge", item.bridge) in self._objects else f"bridge {item.bridge}"
        if isinstance(item, Tunnel):
            return "" if any(isinstance(other, Tap) for other in self._objects.values()) else "way to the sleeve"
        if isinstance(item, Endpoint):
            return "" if any(isinstance(other, Bridge) for other in self._objects.values()) else "bridge"
        if isinstance(item, EndpointAddress | EndpointRoute | EndpointUp):
            pair = self._objects.get(("endpoint", item.container, item.ifname))
            if not isinstance(pair, Endpoint) or pair.netns != item.netns:
                return f"interface {item.ifname} in {item.netns}"
        if isinstance(item, EndpointRoute) and ("up", item.container, item.ifname) not in self._objects:
            return f"interface {item.ifname} that is up"
        return ""

    def _make_tables(self) -> Tables:
        number, has_port, is_joined, has_tap = 0, False, False, False
        hops: dict[int, Exit] = {}
        trees: dict[int, Branch] = {}
        plugs: dict[int, Plug] = {}
        for key, item in self._objects.items():
            match item:
                case Identity():
                    number = int(item.short_id)
                case VxlanPort():
                    has_port, is_joined = True, bool(item.bridge)
                case Tap():
                    has_tap = True
                case Hop():
                    hops[item.destination] = Exit(item.address, item.via, item.by == SLEEVE)
                case Tree():
                    exits = tuple(Exit(place, child, child in item.sleeved) for child, place in item.children)
                    trees[item.source] = Branch(item.parent, exits, item.parent_number or 0)
                case Endpoint():
                    place = (item.container, item.ifname)
                    ifindex = self._interfaces[key]
                    is_up = ("up", *place) in self._objects
                    plugs[ifindex] = Plug(
                        place, item.mac, ifindex, is_up, key not in self._loose, key not in self._bare
                    )
        return Tables(number, has_port, is_joined, hops, trees, plugs, self.macs, has_tap)
