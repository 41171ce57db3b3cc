"""bpf(2): the few commands that the data path needs.

Source: linux/bpf.h; structures are laid out by hand, as far as each command reads them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
"""The system call's number, by machine."""

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT_KEY, PROG_LOAD = 0, 1, 2, 3, 4, 5
PROG_BY_ID, MAP_BY_ID, OBJECT_INFO = 13, 14, 15
PROG_TYPE_SCHED_CLS = 3
NAME_SIZE = 15
LOG_SIZE = 1 << 20
"""Bytes of verifier's log, asked for only when a program was refused."""
PROG_INFO_SIZE = 80
"""Of `struct bpf_prog_info`, up to `map_ids` and the name behind it."""
MAP_INFO_SIZE = 40
"""Of `struct bpf_map_info`, up to the name."""

_libc = ctypes.CDLL(None, use_errno=True)


def call(command: int, attributes: bytes) -> int:
    """Make the call and return its result. Raises: OSError."""
    return _call(command, ctypes.create_string_buffer(attributes, len(attributes)))


def map_create(kind: int, key_size: int, value_size: int, max_entries: int, flags: int, name: str) -> int:
    """Return the descriptor of a new map. Raises: OSError."""
    text = name.encode()[:NAME_SIZE]
    return call(MAP_CREATE, struct.pack("<IIIIIII16s", kind, key_size, value_size, max_entries, flags, 0, 0, text))


def map_lookup(map_fd: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value of a key; None when there is none. Raises: OSError."""
    key_buffer, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value_size)
    try:
        _element(MAP_LOOKUP, map_fd, key_buffer, value)
    except FileNotFoundError:
        return None
    return value.raw


def map_update(map_fd: int, key: bytes, value: bytes) -> None:
    """Set the value of a key. Raises: OSError."""
    _element(
        MAP_UPDATE, map_fd, ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    )


def map_delete(map_fd: int, key: bytes) -> bool:
    """Remove a key; say whether it was there. Raises: OSError."""
    try:
        _element(MAP_DELETE, map_fd, ctypes.create_string_buffer(key, len(key)), None)
    except FileNotFoundError:
        return False
    return True


def map_next_key(map_fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """Return the key after one, or with None the first; None after the last. Raises: OSError."""
    before = None if key is None else ctypes.create_string_buffer(key, len(key))
    after = ctypes.create_string_buffer(key_size)
    try:
        _element(MAP_NEXT_KEY, map_fd, before, after)
    except FileNotFoundError:
        return None
    return after.raw


def prog_load(instructions: bytes, name: str) -> int:
    """Return the descriptor of a new program for traffic control. Raises: OSError with the verifier's last words."""
    try:
        return _load(instructions, name, None)
    except PermissionError:
        log = ctypes.create_string_buffer(LOG_SIZE)
        try:
            return _load(instructions, name, log)
        except OSError as error:
            words = log.value.decode(errors="replace").strip().splitlines()[-3:]
            raise OSError(error.errno, f"the kernel refused program {name}: {' / '.join(words)}") from error


def prog_by_id(number: int) -> int:
    """Return a descriptor of a program that the kernel holds. Raises: OSError."""
    return call(PROG_BY_ID, struct.pack("<III", number, 0, 0))


def map_by_id(number: int) -> int:
    """Return a descriptor of a map that the kernel holds. Raises: OSError."""
    return call(MAP_BY_ID, struct.pack("<III", number, 0, 0))


def prog_info(prog_fd: int) -> tuple[bytes, tuple[int, ...]]:
    """Return a program's tag, a hash of its instructions, and the numbers of its maps. Raises: OSError."""
    count_max = 16
    numbers = (ctypes.c_uint32 * count_max)()
    info = bytearray(PROG_INFO_SIZE)
    # nr_map_ids and map_ids follow type, id, tag, two lengths, two pointers, load time and uid.
    struct.pack_into("<IQ", info, 52, count_max, ctypes.addressof(numbers))
    info = _info(prog_fd, bytes(info))
    count = struct.unpack_from("<I", info, 52)[0]
    return bytes(info[8:16]), tuple(numbers[:count])


def map_name(map_fd: int) -> str:
    """Return the name a map was created with. Raises: OSError."""
    info = _info(map_fd, bytes(MAP_INFO_SIZE))
    return bytes(info[24:40]).split(b"\0")[0].decode(errors="replace")


def map_shape(map_fd: int) -> tuple[int, int, int, int]:
    """Return a map's type, key size, value size and number of entries. Raises: OSError."""
    kind, _, key_size, value_size, max_entries = struct.unpack_from("<IIIII", _info(map_fd, bytes(MAP_INFO_SIZE)))
    return kind, key_size, value_size, max_entries


def setns(fd: int) -> None:
    """Move the calling thread into a network namespace. Raises: OSError."""
    clone_newnet = 0x40000000
    if _libc.setns(fd, clone_newnet) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _load(instructions: bytes, name: str, log: ctypes.Array[ctypes.c_char] | None) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "<IIQQIIQII16s",
        PROG_TYPE_SCHED_CLS,
        len(instructions) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        0 if log is None else 1,
        0 if log is None else LOG_SIZE,
        0 if log is None else ctypes.addressof(log),
        0,
        0,
        name.encode()[:NAME_SIZE],
    )
    return call(PROG_LOAD, attributes)


def _element(
    command: int,
    map_fd: int,
    key: ctypes.Array[ctypes.c_char] | None,
    value: ctypes.Array[ctypes.c_char] | None,
) -> None:
    key_at = 0 if key is None else ctypes.addressof(key)
    value_at = 0 if value is None else ctypes.addressof(value)
    call(command, struct.pack("<IIQQQ", map_fd, 0, key_at, value_at, 0))


def _info(fd: int, before: bytes) -> bytearray:
    buffer = ctypes.create_string_buffer(before, len(before))
    call(OBJECT_INFO, struct.pack("<IIQ", fd, len(before), ctypes.addressof(buffer)))
    return bytearray(buffer.raw)


def _call(command: int, buffer: ctypes.Array[ctypes.c_char]) -> int:
    machine = platform.machine()
    if machine not in NUMBERS:
        raise OSError(38, f"the number of bpf(2) on {machine} is not known here")
    result: int = _libc.syscall(NUMBERS[machine], command, buffer, len(buffer))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
