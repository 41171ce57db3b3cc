"""Reads the compiled programs: an ELF object with one program per section and all maps in the section `maps`.

Only what our own `build.sh` makes is understood: 64 bits, little-endian, legacy map definitions, no debug information
needed. Anything else is a broken installation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

OBJECT = Path(__file__).parent / "bpf" / "weave.bpf.o"
MAPS = "maps"
MAP_SIZE = 20
PROGRAMS = ("vxlan_out", "vxlan_in", "tap_in", "from_container")
SECTION_SYMBOLS, SECTION_RELOCATIONS = 2, 9
RELOCATE_MAP = 1
"""R_BPF_64_64: a 64-bit immediate load."""


class BrokenObject(Exception):
    """The object is not what `build.sh` makes."""


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map to be created."""

    name: str
    """Its name in the source."""
    kind: int
    """BPF_MAP_TYPE_…"""
    key_size: int
    """Bytes."""
    value_size: int
    """Bytes."""
    max_entries: int
    """Capacity."""
    flags: int
    """BPF_F_…"""


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program to be loaded."""

    name: str
    """Its name in the source."""
    instructions: bytes
    """8 bytes each."""
    uses: tuple[tuple[int, str], ...]
    """Byte offset of an instruction, and the map whose descriptor it loads."""


@dataclass(frozen=True, slots=True)
class Object:
    """Everything in the file."""

    maps: tuple[MapSpec, ...]
    """By place in the file."""
    programs: tuple[ProgramSpec, ...]
    """In the order of `PROGRAMS`."""


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    data: bytes
    link: int
    info: int


def read(path: Path = OBJECT) -> Object:
    """Read the object. Raises: BrokenObject, OSError."""
    data = path.read_bytes()
    try:
        return _parse(data)
    except (struct.error, IndexError, KeyError, UnicodeDecodeError, StopIteration) as error:
        raise BrokenObject(f"{path} is damaged ({error!r}); install weavenet again") from error


def _parse(data: bytes) -> Object:
    if data[:6] != b"\x7fELF\x02\x01":
        raise BrokenObject("the data path's programs are not a 64-bit little-endian ELF object; install weavenet again")
    sections = _sections(data)
    by_name = {section.name: index for index, section in enumerate(sections)}
    symbols = next(section for section in sections if section.kind == SECTION_SYMBOLS)
    names = sections[symbols.link].data
    entries = [struct.unpack_from("<IBBHQQ", symbols.data, at) for at in range(0, len(symbols.data), 24)]
    maps: dict[int, MapSpec] = {}
    for name_at, _, _, section, value, size in entries:
        if section == by_name[MAPS] and size == MAP_SIZE:
            fields = struct.unpack_from("<IIIII", sections[section].data, value)
            maps[value] = MapSpec(_text(names, name_at), *fields)
    programs = []
    for name in PROGRAMS:
        index = by_name[f"tc/{name}"]
        uses = []
        for section in sections:
            if section.kind == SECTION_RELOCATIONS and section.info == index:
                for at in range(0, len(section.data), 16):
                    offset, info = struct.unpack_from("<QQ", section.data, at)
                    if info & 0xFFFFFFFF != RELOCATE_MAP:
                        raise BrokenObject(f"program {name} has a relocation of type {info & 0xFFFFFFFF}")
                    uses.append((offset, maps[entries[info >> 32][4]].name))
        programs.append(ProgramSpec(name, sections[index].data, tuple(uses)))
    return Object(tuple(maps[value] for value in sorted(maps)), tuple(programs))


def _sections(data: bytes) -> list[_Section]:
    table_at, size, count, names_index = (
        struct.unpack_from("<Q", data, 0x28)[0],
        *struct.unpack_from("<HHH", data, 0x3A),
    )
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table_at + index * size) for index in range(count)]
    names_at, names_size = headers[names_index][4], headers[names_index][5]
    names = data[names_at : names_at + names_size]
    return [
        _Section(_text(names, name), kind, data[at : at + length], link, info)
        for name, kind, _, _, at, length, link, info, _, _ in headers
    ]


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()
