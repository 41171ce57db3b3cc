"""Symbolic frames: who gets a frame, in how many copies, over which hosts, and where and why copies are dropped.

The rules are those of `datapath/bpf/weave.bpf.c`, in the same order and under the same names, and what the kernel's
bridge does around them; `tests/kernel/test_packets_contract.py` sends the same frames through both and compares. A
frame passes in no time: tables do not change while it is under way. What the programs learn from it is part of the
result, and enters the tables only when the caller says so, so a journey is a pure function of what it is given.

Not here: sizes, fragments, ICMP errors, more than one address behind an endpoint, the bridge's own learning (with the
fixed entry that every endpoint has it decides nothing).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

TTL = 64
SLEEVE_TTL = 63
"""As much as fits in the tags of a frame in the sleeve."""
JOURNEY_MAX = 4096
"""Times that a frame may pass between hosts, all copies together: more is a storm."""
EVERYBODY = "ff:ff:ff:ff:ff:ff"
LINK_LOCAL = "01:80:c2:"
RESERVED = "01:80:c2:00:00:0"
"""A bridge forwards nothing to these (IEEE 802.1D)."""

EndpointId = tuple[str, str]
"""Container and inner interface name."""
Wires = Callable[[int, str], tuple[int, str] | None]
"""VXLAN: from a host to an address; returns which host gets it and from which address, None when nobody does."""
Sleeves = Callable[[int, int], tuple[int, int] | None]
"""The sleeve: from a host to a neighbour's number; returns which host gets it, and the sender's number there."""


class Place(NamedTuple):
    """Where a MAC address is, as learnt; `struct place`."""

    peer: int
    """Number of the host; 0 means here."""
    ifindex: int
    """Behind which outer interface, if here."""


class Exit(NamedTuple):
    """A neighbour that a frame goes on to; `struct neighbour`."""

    address: str
    """In the underlay."""
    number: int = 0
    """Its short id."""
    is_sleeved: bool = False
    """The sleeve takes it there, not VXLAN."""


@dataclass(frozen=True, slots=True)
class Plug:
    """A veth pair, as frames see it."""

    endpoint: EndpointId
    """Whose."""
    mac: str
    """Inner MAC address."""
    ifindex: int
    """Number of the outer end; never used twice."""
    is_up: bool
    """The inner end is up."""
    is_plugged: bool
    """The outer end is up and a port of the bridge."""
    has_program: bool
    """`from_container` sees what comes out of it."""


@dataclass(frozen=True, slots=True)
class Branch:
    """How broadcasts of one source pass a host; `struct tree`."""

    parent: str | None
    """Underlay address that they must come from by VXLAN."""
    children: tuple[Exit, ...]
    """Neighbours that they go on to."""
    parent_number: int = 0
    """Number that they must come from by the sleeve; 0 for none."""


@dataclass(frozen=True, slots=True)
class Tables:
    """All that decides about a frame on one host."""

    number: int
    """Its short id; 0 for none."""
    has_port: bool
    """The overlay device is there, with its programs."""
    is_joined: bool
    """It is a port of the bridge."""
    hops: Mapping[int, Exit]
    """By number of the destination, the neighbour that takes it next."""
    trees: Mapping[int, Branch]
    """By number of the source."""
    plugs: Mapping[int, Plug]
    """By interface number."""
    macs: Mapping[str, Place]
    """What was learnt."""
    has_tap: bool = False
    """The way to and from the sleeve is there, with its program."""

    def plug_of(self, endpoint: EndpointId) -> Plug | None:
        """Return the interface of an endpoint."""
        return next((plug for plug in self.plugs.values() if plug.endpoint == endpoint), None)


@dataclass(frozen=True, slots=True)
class Frame:
    """What is sent."""

    source: str
    """MAC address."""
    target: str
    """MAC address."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The end of one copy."""

    host: int
    """Where."""
    why: str
    """As in `enum drop`, or `cut` (no path, or no tunnel), `no_port`, `down`, `gone`, `unplugged`, `storm`."""
    about: str
    """What it was about: an address, a number, an endpoint."""


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of a frame."""

    copies: dict[tuple[int, EndpointId], int]
    """How often each endpoint got it, by host and endpoint, in the order of arrival."""
    arrivals: dict[int, int]
    """How often each host took a copy out of the overlay for its own containers."""
    hops: tuple[tuple[int, int], ...]
    """Passages from host to host, in order."""
    drops: tuple[Drop, ...]
    """Copies that ended."""
    learnt: tuple[tuple[int, str, Place], ...]
    """What each host learnt, in order: host, MAC address, place."""


def nowhere(_host: int, _number: int) -> None:
    """Be the sleeves of a world that has none."""


def send(
    tables: Sequence[Tables], host: int, ifindex: int, frame: Frame, wires: Wires, sleeves: Sleeves = nowhere
) -> Journey:
    """Let an endpoint send a frame, or with an `ifindex` of 0 a host itself through its bridge."""
    walk = _Walk(tables, frame, wires, sleeves)
    if ifindex:
        walk.leave(host, ifindex)
    else:
        walk.bridge(host, None)
    walk.finish()
    return Journey(walk.copies, walk.arrivals, tuple(walk.hops), tuple(walk.drops), tuple(walk.learnt))


class _Crossing(NamedTuple):
    """A frame between two hosts."""

    host: int
    """Where it arrives."""
    remote: str
    """Underlay address that it comes from by VXLAN; empty by the sleeve."""
    via: int
    """Number of the neighbour that it comes from by the sleeve; 0 by VXLAN."""
    source: int
    """Number of the host where it entered: the lower half of the VNI."""
    target: int
    """Number of the host where it leaves, 0 for everywhere: the upper half."""
    ttl: int
    """What is left of it."""


class _Walk:
    """One frame under way."""

    def __init__(self, tables: Sequence[Tables], frame: Frame, wires: Wires, sleeves: Sleeves) -> None:
        self.copies: dict[tuple[int, EndpointId], int] = {}
        self.arrivals: dict[int, int] = {}
        self.hops: list[tuple[int, int]] = []
        self.drops: list[Drop] = []
        self.learnt: list[tuple[int, str, Place]] = []
        self._tables = tables
        self._frame = frame
        self._is_group = is_group(frame.target)
        self._is_learnable = not is_group(frame.source)
        self._wires = wires
        self._sleeves = sleeves
        self._under_way: deque[_Crossing] = deque()

    def finish(self) -> None:
        """Follow all copies to their ends."""
        while self._under_way:
            self._arrive(self._under_way.popleft())

    # Inside a host.

    def leave(self, host: int, ifindex: int) -> None:
        """Let the frame come out of a container."""
        plug = self._tables[host].plugs.get(ifindex)
        if plug is None:
            self._drop(host, "gone", f"interface {ifindex}")
        elif not plug.is_up:
            self._drop(host, "down", _name(plug))
        elif plug.has_program:
            self._from_container(host, plug)
        else:
            self._to_bridge(host, plug)

    def _from_container(self, host: int, plug: Plug) -> None:
        here = self._tables[host]
        self._learn(host, Place(0, plug.ifindex))
        place = None if self._is_group else self._place(host)
        if place is None or (not place.peer and place.ifindex == plug.ifindex):
            self._to_bridge(host, plug)
        elif not place.peer:
            self._redirect(host, place.ifindex)
        elif not here.number or place.peer not in here.hops:
            self._to_bridge(host, plug)
        else:
            self._cross(host, here.hops[place.peer], here.number, place.peer, TTL)

    def _to_bridge(self, host: int, plug: Plug) -> None:
        if plug.is_plugged:
            self.bridge(host, plug)
        else:
            self._drop(host, "unplugged", _name(plug))

    def bridge(self, host: int, source: Plug | None, *, is_from_overlay: bool = False) -> None:
        """Let the bridge pass the frame on to its other ports."""
        if self._frame.target.startswith(RESERVED) and (source is not None or is_from_overlay):
            return
        here = self._tables[host]
        others = [plug for plug in here.plugs.values() if plug.is_plugged and plug is not source]
        known = [plug for plug in here.plugs.values() if plug.is_plugged and plug.mac == self._frame.target]
        if self._is_group or known:
            for plug in others if self._is_group else known[-1:]:
                if plug is not source:
                    self._deliver(host, plug)
        if (self._is_group or not known) and here.is_joined and not is_from_overlay:
            self._vxlan_out(host)

    def _redirect(self, host: int, ifindex: int) -> None:
        """Put the frame straight into a container, whatever its MAC address; `bpf_redirect_peer`."""
        plug = self._tables[host].plugs.get(ifindex)
        if plug is None:
            self._drop(host, "gone", f"interface {ifindex}")
        else:
            self._deliver(host, plug)

    def _deliver(self, host: int, plug: Plug) -> None:
        if not plug.is_up:
            self._drop(host, "down", _name(plug))
            return
        where = (host, plug.endpoint)
        self.copies[where] = self.copies.get(where, 0) + 1

    # Between hosts.

    def _vxlan_out(self, host: int) -> None:
        here, frame = self._tables[host], self._frame
        if not here.number:
            self._drop(host, "no_id", "no number yet")
            return
        if frame.target.startswith(LINK_LOCAL):
            return
        place = None if self._is_group else self._place(host)
        if place is not None and not place.peer:
            self._drop(host, "local", f"{frame.target} was last seen here")
        elif place is not None and place.peer not in here.hops:
            self._drop(host, "no_hop", f"to number {place.peer}")
        elif place is not None:
            self._cross(host, here.hops[place.peer], here.number, place.peer, TTL)
        elif here.number not in here.trees:
            self._drop(host, "no_tree", f"of number {here.number}")
        else:
            self._flood(host, here.trees[here.number], here.number, TTL)

    def _arrive(self, crossing: _Crossing) -> None:
        host, remote, via, source, target, ttl = crossing
        come_from = f"number {via}" if via else remote
        here = self._tables[host]
        place = None if self._is_group else self._place(host)
        if not here.number:
            self._drop(host, "no_id", "no number yet")
        elif source == here.number:
            self._drop(host, "loop", f"our own, from {come_from}")
        elif target and not via and not is_neighbour(here, source, remote):
            self._drop(host, "stranger", f"{remote} is no neighbour")
        elif not target:
            self._take_broadcast(crossing)
        elif target == here.number:
            self._learn(host, Place(source, 0))
            self._count(host)
            if place is not None and not place.peer and place.ifindex:
                self._redirect(host, place.ifindex)
            else:
                self._from_overlay(host)
        elif target not in here.hops:
            self._drop(host, "no_hop", f"to number {target}")
        elif is_back(here.hops[target], remote, via):
            self._drop(host, "loop", f"to number {target} it would go back to {come_from}")
        elif ttl <= 1:
            self._drop(host, "ttl", f"to number {target}")
        else:
            self._cross(host, here.hops[target], source, target, ttl - 1)

    def _take_broadcast(self, crossing: _Crossing) -> None:
        host, remote, via, source, _, ttl = crossing
        tree = self._tables[host].trees.get(source)
        if tree is None:
            self._drop(host, "no_tree", f"of number {source}")
            return
        if not is_from_parent(tree, remote, via):
            one, other = (f"number {via}", tree.parent_number) if via else (remote, tree.parent)
            self._drop(host, "parent", f"{one} is not our parent {other} in the tree of number {source}")
            return
        self._learn(host, Place(source, 0))
        if ttl > 1:
            self._flood(host, tree, source, ttl - 1)
        self._count(host)
        self._from_overlay(host)

    def _from_overlay(self, host: int) -> None:
        if not self._tables[host].has_port:
            self._drop(host, "no_port", "the overlay device")
        elif self._tables[host].is_joined:
            self.bridge(host, None, is_from_overlay=True)
        else:
            self._drop(host, "unplugged", "the overlay device")

    def _flood(self, host: int, tree: Branch, source: int, ttl: int) -> None:
        for child in tree.children:
            self._cross(host, child, source, 0, ttl)

    def _cross(self, host: int, to: Exit, source: int, target: int, ttl: int) -> None:
        """Send a copy to a neighbour."""
        if to.is_sleeved:
            self._cross_sleeve(host, to.number, source, target, min(ttl, SLEEVE_TTL))
            return
        if not self._tables[host].has_port:
            self._drop(host, "no_port", "the overlay device")
            return
        end = self._wires(host, to.address)
        if end is None:
            self._drop(host, "cut", f"to {to.address}")
        elif self._passes_to(host, end[0]):
            other, remote = end
            if self._tables[other].has_port:
                self._under_way.append(_Crossing(other, remote, 0, source, target, ttl))
            else:
                self._drop(other, "no_port", "no overlay device")

    def _cross_sleeve(self, host: int, number: int, source: int, target: int, ttl: int) -> None:
        if not self._tables[host].has_tap:
            self._drop(host, "no_tap", "no way to the sleeve")
            return
        end = self._sleeves(host, number)
        if end is None:
            self._drop(host, "cut", f"through the sleeve to number {number}")
        elif self._passes_to(host, end[0]):
            other, via = end
            if self._tables[other].has_tap:
                self._under_way.append(_Crossing(other, "", via, source, target, ttl))
            else:
                self._drop(other, "no_tap", "no way from the sleeve")

    def _passes_to(self, host: int, other: int) -> bool:
        """Count a passage; say whether there may be one more."""
        if len(self.hops) >= JOURNEY_MAX:
            self._drop(host, "storm", f"after {JOURNEY_MAX} passages")
            return False
        self.hops.append((host, other))
        return True

    # Notes.

    def _place(self, host: int) -> Place | None:
        """Return where the target is, as far as a host knows, what it has just learnt included."""
        for where, mac, place in reversed(self.learnt):
            if where == host and mac == self._frame.target:
                return place
        return self._tables[host].macs.get(self._frame.target)

    def _learn(self, host: int, place: Place) -> None:
        mac = self._frame.source
        if self._is_learnable and self._tables[host].macs.get(mac) != place:
            self.learnt.append((host, mac, place))

    def _count(self, host: int) -> None:
        self.arrivals[host] = self.arrivals.get(host, 0) + 1

    def _drop(self, host: int, why: str, about: str) -> None:
        self.drops.append(Drop(host, why, about))


def is_neighbour(here: Tables, source: int, remote: str) -> bool:
    """Say whether a host expects VXLAN from an address at all. Most come from where what goes back would go."""
    back = here.hops.get(source)
    return (back is not None and back.address == remote) or any(hop.address == remote for hop in here.hops.values())


def is_from_parent(tree: Branch, remote: str, via: int) -> bool:
    """Say whether a broadcast comes the one way it may come: what keeps wrong trees from multiplying frames."""
    return tree.parent_number == via if via else tree.parent == remote


def is_back(to: Exit, remote: str, via: int) -> bool:
    """Say whether a frame would go back to the neighbour that it comes from."""
    return to.number == via if via else not to.is_sleeved and to.address == remote


def is_group(mac: str) -> bool:
    """Say whether a MAC address means more than one receiver."""
    return bool(int(mac[:2], 16) & 1)


def _name(plug: Plug) -> str:
    return "/".join(plug.endpoint)
