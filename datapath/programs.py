"""The programs and their maps in the kernel: loaded once per agent, and found again after any restart.

Attached programs hold the maps, so these live as long as the overlay port, whatever becomes of the agent; no file
system is needed for that. A new agent takes the maps from the programs that it finds attached, loads its own programs
onto them and replaces the old ones in place. Maps of another shape, left by another release, are not taken.
"""

from __future__ import annotations

import ipaddress
import os
import resource
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from core.reconcile.objects import FASTDP, SLEEVE
from core.types import ShortId
from datapath import elf, filters, syscall

CHILDREN_MAX = 256
"""As in the C source."""
MAC_SIZE = 6
KEYS_MAX = 1 << 17
"""A walk over a map that changes meanwhile may start again; this ends it."""
DROP_REASONS = ("no_id", "no_hop", "no_tree", "parent", "loop", "ttl", "local", "key", "tags", "no_tap", "stranger")
"""As `enum drop` in the C source."""
TRANSPORTS = (FASTDP, SLEEVE)
"""By the number that says it in `struct neighbour`."""
SELF, NEIGHBOUR, TREE = struct.Struct("<III"), struct.Struct("<IHH"), struct.Struct("<III")
"""`struct self`, `struct neighbour`, and what stands before the children in `struct tree`."""
TREE_SIZE = TREE.size + NEIGHBOUR.size * CHILDREN_MAX


@dataclass(frozen=True, slots=True)
class Neighbour:
    """`struct neighbour`: who takes a frame next."""

    number: ShortId
    """Its number."""
    address: str
    """IPv4 address."""
    by: str = FASTDP
    """Transport to it."""


@dataclass(frozen=True, slots=True)
class TreeValue:
    """A value of the map `trees`."""

    parent: str | None
    """IPv4 address, for what comes by VXLAN."""
    parent_number: ShortId | None
    """Number, for what comes through the sleeve."""
    children: tuple[Neighbour, ...]
    """At most `CHILDREN_MAX`."""


class Programs:
    """Descriptors of all programs and maps."""

    def __init__(self, vxlan_ifindex: int | None) -> None:
        """Load everything, on the maps that an earlier run left at the overlay port. Raises: OSError, BrokenObject."""
        if os.uname().release.split(".")[0] < "6":
            # Before 5.11, maps count against the limit of locked memory.
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        source = elf.read()
        left = {} if vxlan_ifindex is None else _left_maps(vxlan_ifindex)
        self._maps: dict[str, int] = {}
        for spec in source.maps:
            shape = (spec.kind, spec.key_size, spec.value_size, spec.max_entries)
            fd = left.pop(spec.name, None)
            if fd is not None and syscall.map_shape(fd) != shape:
                os.close(fd)
                fd = None
            self._maps[spec.name] = syscall.map_create(*shape, spec.flags, spec.name) if fd is None else fd
        for fd in left.values():
            os.close(fd)
        self._addresses: dict[ShortId, str] = {}
        self._uses: dict[str, int] = {}
        self._count_neighbours()
        self.fds = {spec.name: self._load(spec) for spec in source.programs}
        """Descriptor of each program."""

    def close(self) -> None:
        """Let go of everything; what is attached stays."""
        for fd in (*self._maps.values(), *self.fds.values()):
            os.close(fd)

    # Identity.

    def identity(self) -> ShortId | None:
        """Return our number."""
        number = self._self()[0]
        return ShortId(number) if number else None

    def set_identity(self, number: ShortId | None) -> None:
        """Set our number; without one nothing but probes passes the overlay port."""
        _, port, tap = self._self()
        self._write_self(int(number or 0), port, tap)

    def set_port(self, ifindex: int) -> None:
        """Say which interface is the overlay port."""
        number, _, tap = self._self()
        self._write_self(number, ifindex, tap)

    def set_tap(self, ifindex: int | None) -> None:
        """Say which interface leads to the sleeve."""
        number, port, _ = self._self()
        self._write_self(number, port, ifindex or 0)

    def tap(self) -> int | None:
        """Return the number of the interface that leads to the sleeve."""
        return self._self()[2] or None

    # Routes.

    def hops(self) -> Iterator[tuple[ShortId, Neighbour]]:
        """Yield each destination and who takes frames for it."""
        for key, value in self._items("hops", 4, NEIGHBOUR.size):
            yield ShortId(struct.unpack("<I", key)[0]), _unpack(value)

    def set_hop(self, destination: ShortId, next_hop: Neighbour) -> None:
        """Set where frames for a peer go next; that neighbour may send us frames."""
        syscall.map_update(self._maps["neighbours"], _key(next_hop.address), bytes(4))
        syscall.map_update(self._maps["hops"], struct.pack("<I", destination), _pack(next_hop))
        self._use(destination, next_hop.address)

    def remove_hop(self, destination: ShortId) -> bool:
        """Forget where frames for a peer go; say whether that was known."""
        was_known = syscall.map_delete(self._maps["hops"], struct.pack("<I", destination))
        self._use(destination, None)
        return was_known

    def neighbours(self) -> Iterator[str]:
        """Yield the address of everybody who may send us VXLAN."""
        for key, _ in self._items("neighbours", 4, 4):
            yield str(ipaddress.IPv4Address(struct.unpack("<I", key)[0]))

    def trees(self) -> Iterator[tuple[ShortId, TreeValue]]:
        """Yield the broadcast tree of each source."""
        for key, value in self._items("trees", 4, TREE_SIZE):
            parent, number, count = TREE.unpack_from(value)
            ends = (TREE.size + NEIGHBOUR.size * index for index in range(min(count, CHILDREN_MAX)))
            children = tuple(_unpack(value[at : at + NEIGHBOUR.size]) for at in ends)
            above = str(ipaddress.IPv4Address(parent)) if parent else None
            yield (
                ShortId(struct.unpack("<I", key)[0]),
                TreeValue(above, ShortId(number) if number else None, children),
            )

    def set_tree(self, source: ShortId, tree: TreeValue) -> None:
        """Set how a broadcast passes. Raises: ValueError when there are too many children."""
        if len(tree.children) > CHILDREN_MAX:
            raise ValueError(f"{len(tree.children)} neighbours in one broadcast tree; {CHILDREN_MAX} are the limit")
        parent = int(ipaddress.IPv4Address(tree.parent)) if tree.parent else 0
        head = TREE.pack(parent, tree.parent_number or 0, len(tree.children))
        value = (head + b"".join(map(_pack, tree.children))).ljust(TREE_SIZE, b"\0")
        syscall.map_update(self._maps["trees"], struct.pack("<I", source), value)

    def remove_tree(self, source: ShortId) -> bool:
        """Forget how a broadcast passes; say whether that was known."""
        return syscall.map_delete(self._maps["trees"], struct.pack("<I", source))

    # What was learnt.

    def forget_interface(self, ifindex: int) -> None:
        """Forget all MAC addresses behind an interface that goes away: a redirect to it would be lost."""
        for key, value in tuple(self._items("macs", 8, 8)):
            peer, index = struct.unpack("<II", value)
            if not peer and index == ifindex:
                syscall.map_delete(self._maps["macs"], key)

    def macs(self) -> dict[str, tuple[ShortId | None, int]]:
        """Return where each MAC address was last seen: a peer, or None and the interface here."""
        found: dict[str, tuple[ShortId | None, int]] = {}
        for key, value in self._items("macs", 8, 8):
            peer, ifindex = struct.unpack("<II", value)
            mac = ":".join(f"{octet:02x}" for octet in key[:MAC_SIZE])
            found[mac] = (ShortId(peer) if peer else None, ifindex)
        return found

    def drops(self) -> dict[str, int]:
        """Return frames dropped, by reason, since the overlay port was made."""
        cpus = _possible_cpus()
        totals = {}
        for index, reason in enumerate(DROP_REASONS):
            value = syscall.map_lookup(self._maps["drops"], struct.pack("<I", index), 8 * cpus) or bytes(8 * cpus)
            totals[reason] = sum(struct.unpack(f"<{cpus}Q", value))
        return totals

    def _count_neighbours(self) -> None:
        """Make the addresses of neighbours those of the hops, as another release or a sudden end may have left them."""
        left = tuple(self.neighbours())
        for destination, hop in tuple(self.hops()):
            syscall.map_update(self._maps["neighbours"], _key(hop.address), bytes(4))
            self._use(destination, hop.address)
        for address in left:
            if address not in self._uses:
                syscall.map_delete(self._maps["neighbours"], _key(address))

    def _use(self, destination: ShortId, address: str | None) -> None:
        """Count by how many hops an address is used; who is used by none is no neighbour any more."""
        if address is not None:
            self._uses[address] = self._uses.get(address, 0) + 1
        before = self._addresses.pop(destination, None)
        if address is not None:
            self._addresses[destination] = address
        if before is None:
            return
        self._uses[before] -= 1
        if not self._uses[before]:
            del self._uses[before]
            syscall.map_delete(self._maps["neighbours"], _key(before))

    def _self(self) -> tuple[int, int, int]:
        value = syscall.map_lookup(self._maps["self"], bytes(4), SELF.size) or bytes(SELF.size)
        number, port, tap = SELF.unpack(value)
        return number, port, tap

    def _write_self(self, number: int, port: int, tap: int) -> None:
        syscall.map_update(self._maps["self"], bytes(4), SELF.pack(number, port, tap))

    def _items(self, name: str, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
        fd = self._maps[name]
        key: bytes | None = None
        for _ in range(KEYS_MAX):
            key = syscall.map_next_key(fd, key, key_size)
            if key is None:
                return
            value = syscall.map_lookup(fd, key, value_size)
            if value is not None:
                yield key, value

    def _load(self, spec: elf.ProgramSpec) -> int:
        code = bytearray(spec.instructions)
        for offset, name in spec.uses:
            # BPF_PSEUDO_MAP_FD in the source register: the immediate is a descriptor.
            code[offset + 1] = code[offset + 1] & 0x0F | 0x10
            struct.pack_into("<i", code, offset + 4, self._maps[name])
        return syscall.prog_load(bytes(code), spec.name)


def _key(address: str) -> bytes:
    return struct.pack("<I", int(ipaddress.IPv4Address(address)))


def _pack(item: Neighbour) -> bytes:
    return NEIGHBOUR.pack(int(ipaddress.IPv4Address(item.address)), item.number, TRANSPORTS.index(item.by))


def _unpack(value: bytes) -> Neighbour:
    ip, number, by = NEIGHBOUR.unpack(value)
    return Neighbour(ShortId(number), str(ipaddress.IPv4Address(ip)), TRANSPORTS[by])


def _left_maps(ifindex: int) -> dict[str, int]:
    """Return descriptors of the maps of the programs attached to the overlay port, by name."""
    found: dict[str, int] = {}
    for parent in (filters.EGRESS, filters.INGRESS):
        program = filters.attached(ifindex, parent)
        if program is None:
            continue
        fd = syscall.prog_by_id(program.program)
        try:
            for number in syscall.prog_info(fd)[1]:
                map_fd = syscall.map_by_id(number)
                name = syscall.map_name(map_fd)
                if name in found:
                    os.close(map_fd)
                else:
                    found[name] = map_fd
        finally:
            os.close(fd)
    return found


def _possible_cpus() -> int:
    """Count CPUs as the kernel does for per-CPU maps."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        last = file.read().strip().replace(",", "-").split("-")[-1]
    return int(last) + 1
