"""XFRM by netlink: security associations and policies of the kernel's IPsec, as far as ESP over one UDP port needs.

Messages are laid out by hand in the machine's byte order; what the kernel says in words (extended acknowledgements)
is in the error raised. Knows nothing of neighbours, sessions or what is ours.

Source: linux/xfrm.h, linux/netlink.h; RFC 4303 (ESP), RFC 4106 (AES-GCM in ESP).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

NETLINK_XFRM = 6
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
REQUEST, ACK, EXCLUSIVE, DUMP, CREATE = 0x1, 0x4, 0x200, 0x300, 0x400
ERROR, DONE = 2, 3
EXT_ACK_TEXT = 1

NEW_STATE, DELETE_STATE, GET_STATE = 0x10, 0x11, 0x12
NEW_POLICY, DELETE_POLICY, GET_POLICY, UPDATE_POLICY = 0x13, 0x14, 0x15, 0x19
TEMPLATES, AEAD, REPLAY_ESN = 5, 18, 23
"""Attributes."""

IN, OUT = 0, 1
ESP = socket.IPPROTO_ESP
TRANSPORT = 0
STATE_ESN = 128
ALGORITHM = b"rfc4106(gcm(aes))"
KEY_SIZE, SALT_SIZE = 32, 4
ICV_BITS = 128
REPLAY_WINDOW = 1024
"""Packets. 256 would do for what arrives in order; segments of several cores and paths overtake one another by more."""
INFINITE = (1 << 64) - 1
RECEIVE_SIZE = 1 << 18
"""Bytes: more than the kernel puts into one datagram of a dump."""
TIMEOUT_S = 5
"""The kernel answers at once, unless it must load modules first."""

HEADER = struct.Struct("=IHHII")
SELECTOR = struct.Struct("=16s16s4s4sHBBB3xiI")
ID = struct.Struct("=16s4sB3x")
LIFETIME = struct.pack("=8Q", INFINITE, INFINITE, INFINITE, INFINITE, 0, 0, 0, 0)
CURRENT = struct.Struct("=4Q")
STATE_REST = struct.Struct("=12xIIHBBB7x")
STATE_SIZE = 224
POLICY_REST = struct.Struct("=IIBBBB4x")
POLICY_SIZE = 168
TEMPLATE = struct.Struct("=16s4sB3xH2x16sIBBBxIII")
ESN = struct.Struct("=6I")
ANY = bytes(16)


@dataclass(frozen=True, slots=True)
class Selector:
    """Which packets: UDP to one destination port between an address and anybody."""

    source: str | None
    """IPv4 address; None for any."""
    destination: str | None
    """IPv4 address; None for any."""
    port: int
    """UDP destination port."""


@dataclass(frozen=True, slots=True)
class State:
    """A security association without its keys."""

    selector: Selector
    """What it may carry."""
    source: str | None
    """Outer IPv4 address; None for any."""
    destination: str
    """Outer IPv4 address."""
    spi: int
    """Security parameter index."""
    reqid: int
    """Ties it to policies."""
    size_bytes: int = 0
    """Carried so far."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A demand that what the selector matches is inside ESP in transport mode."""

    selector: Selector
    """What it is about."""
    direction: int
    """`IN` or `OUT`."""
    reqid: int
    """Associations that serve."""
    spi: int = 0
    """The one association that serves; 0 for any."""


class Xfrm:
    """A connection to the kernel, in the network namespace of the thread that makes it. Not thread-safe."""

    def __init__(self) -> None:
        """Connect. Raises: OSError."""
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_XFRM)
        self._socket.settimeout(TIMEOUT_S)
        for option in (NETLINK_EXT_ACK, NETLINK_CAP_ACK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; the kernel keeps what it has."""
        self._socket.close()

    def add_state(self, state: State, key: bytes) -> None:
        """Add an association; `key` is 32 bytes and a salt of 4. Raises: OSError (FileExistsError: SPI in use)."""
        self._do(NEW_STATE, encode_state(state, key), CREATE | EXCLUSIVE)

    def remove_state(self, state: State) -> bool:
        """Remove an association; say whether it was there. Raises: OSError."""
        return self._removed(DELETE_STATE, encode_state_id(state))

    def states(self) -> tuple[State, ...]:
        """Return all associations of ESP over IPv4 for a UDP port, whosever they are. Raises: OSError."""
        found = (decode_state(payload) for payload in self._request(GET_STATE, b"", DUMP))
        return tuple(state for state in found if state is not None)

    def add_policy(self, policy: Policy) -> None:
        """Add a policy. Raises: OSError (FileExistsError: there is one with its selector)."""
        self._do(NEW_POLICY, encode_policy(policy), 0)

    def replace_policy(self, policy: Policy) -> None:
        """Put a policy in the place of the one with its selector, atomically. Raises: OSError."""
        self._do(UPDATE_POLICY, encode_policy(policy), 0)

    def remove_policy(self, policy: Policy) -> bool:
        """Remove a policy, found by selector and direction; say whether it was there. Raises: OSError."""
        return self._removed(DELETE_POLICY, encode_policy_id(policy))

    def policies(self) -> tuple[Policy, ...]:
        """Return all policies that demand ESP over IPv4 for a UDP port, whosever they are. Raises: OSError."""
        found = (decode_policy(payload) for payload in self._request(GET_POLICY, b"", DUMP))
        return tuple(policy for policy in found if policy is not None)

    def _removed(self, kind: int, payload: bytes) -> bool:
        try:
            self._do(kind, payload, 0)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return True

    def _do(self, kind: int, payload: bytes, flags: int) -> None:
        for _ in self._request(kind, payload, ACK | flags):
            pass

    def _request(self, kind: int, payload: bytes, flags: int) -> Iterator[bytes]:
        """Send a request and yield what comes before the end of the answer. Raises: OSError."""
        self._sequence += 1
        self._socket.send(HEADER.pack(HEADER.size + len(payload), kind, flags | REQUEST, self._sequence, 0) + payload)
        while True:
            try:
                data = self._socket.recv(RECEIVE_SIZE)
            except TimeoutError as error:
                raise BlockingIOError(errno.EAGAIN, "the kernel's IPsec did not answer") from error
            for kind_of, sequence, body in split(data):
                if sequence != self._sequence:
                    # The rest of an answer that somebody stopped reading.
                    continue
                if kind_of == ERROR:
                    raise_error(body)
                if kind_of in (ERROR, DONE):
                    return
                yield body


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, sequence number and payload of each message."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, _, sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size:
            return
        yield kind, sequence, data[at + HEADER.size : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of each attribute."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def raise_error(body: bytes) -> None:
    """Raise what an acknowledgement says, in the kernel's words. Raises: OSError unless it says that all is well."""
    number = -struct.unpack_from("=i", body)[0]
    if number == 0:
        return
    # The request is not repeated behind its header (NETLINK_CAP_ACK): attributes follow.
    texts = [value for kind, value in attributes(body[4 + HEADER.size :]) if kind == EXT_ACK_TEXT]
    said = texts[0].rstrip(b"\0").decode(errors="replace") if texts else os.strerror(number)
    raise OSError(number, said)


def encode_state(state: State, key: bytes) -> bytes:
    """Return the payload of NEW_STATE."""
    assert len(key) == KEY_SIZE + SALT_SIZE, "a key and a salt"
    aead = struct.pack("=64sII", ALGORITHM, len(key) * 8, ICV_BITS) + key
    words = REPLAY_WINDOW // 32
    replay = ESN.pack(words, 0, 0, 0, 0, REPLAY_WINDOW) + bytes(4 * words)
    body = _selector(state.selector) + _id(state.destination, state.spi) + _address(state.source) + LIFETIME
    body += CURRENT.pack(0, 0, 0, 0) + STATE_REST.pack(0, state.reqid, socket.AF_INET, TRANSPORT, 0, STATE_ESN)
    assert len(body) == STATE_SIZE, "struct xfrm_usersa_info"
    return body + _attribute(AEAD, aead) + _attribute(REPLAY_ESN, replay)


def encode_state_id(state: State) -> bytes:
    """Return the payload of DELETE_STATE."""
    return struct.pack("=16s4sHBx", _address(state.destination), state.spi.to_bytes(4, "big"), socket.AF_INET, ESP)


def decode_state(payload: bytes) -> State | None:
    """Return the association of an answer; None when it is of another make."""
    if len(payload) < STATE_SIZE:
        return None
    selector = _read_selector(payload)
    destination, spi, protocol = ID.unpack_from(payload, SELECTOR.size)
    at = SELECTOR.size + ID.size
    source = payload[at : at + 16]
    size_bytes = CURRENT.unpack_from(payload, at + 16 + len(LIFETIME))[0]
    at += 16 + len(LIFETIME) + CURRENT.size
    _, reqid, family, mode, _, _ = STATE_REST.unpack_from(payload, at)
    if selector is None or (protocol, family, mode) != (ESP, socket.AF_INET, TRANSPORT) or spi == bytes(4):
        return None
    target = socket.inet_ntoa(destination[:4])
    return State(selector, _read_address(source), target, int.from_bytes(spi, "big"), reqid, size_bytes)


def encode_policy(policy: Policy) -> bytes:
    """Return the payload of NEW_POLICY and UPDATE_POLICY."""
    body = _selector(policy.selector) + LIFETIME + CURRENT.pack(0, 0, 0, 0)
    body += POLICY_REST.pack(0, 0, policy.direction, 0, 0, 0)
    assert len(body) == POLICY_SIZE, "struct xfrm_userpolicy_info"
    every = 0xFFFFFFFF
    template = TEMPLATE.pack(
        ANY, policy.spi.to_bytes(4, "big"), ESP, socket.AF_INET, ANY, policy.reqid, TRANSPORT, 0, 0, every, every, every
    )
    return body + _attribute(TEMPLATES, template)


def encode_policy_id(policy: Policy) -> bytes:
    """Return the payload of DELETE_POLICY."""
    return _selector(policy.selector) + struct.pack("=IB3x", 0, policy.direction)


def decode_policy(payload: bytes) -> Policy | None:
    """Return the policy of an answer; None when it is of another make."""
    if len(payload) < POLICY_SIZE:
        return None
    selector = _read_selector(payload)
    _, _, direction, action, _, _ = POLICY_REST.unpack_from(payload, SELECTOR.size + len(LIFETIME) + CURRENT.size)
    templates = [value for kind, value in attributes(payload[POLICY_SIZE:]) if kind == TEMPLATES]
    if selector is None or action != 0 or len(templates) != 1 or len(templates[0]) != TEMPLATE.size:
        return None
    _, spi, protocol, _, _, reqid, mode, _, is_optional, *_ = TEMPLATE.unpack(templates[0])
    if (protocol, mode, is_optional) != (ESP, TRANSPORT, 0) or direction not in (IN, OUT):
        return None
    return Policy(selector, direction, reqid, int.from_bytes(spi, "big"))


def _selector(selector: Selector) -> bytes:
    lengths = (0 if address is None else 32 for address in (selector.destination, selector.source))
    return SELECTOR.pack(
        _address(selector.destination),
        _address(selector.source),
        selector.port.to_bytes(2, "big") + b"\xff\xff",
        bytes(4),
        socket.AF_INET,
        *lengths,
        socket.IPPROTO_UDP,
        0,
        0,
    )


def _read_selector(payload: bytes) -> Selector | None:
    fields = SELECTOR.unpack_from(payload)
    destination, source, to_port, from_port, family, size_of_destination, size_of_source, protocol, device, _ = fields
    if (family, protocol, device) != (socket.AF_INET, socket.IPPROTO_UDP, 0):
        return None
    if to_port[2:] != b"\xff\xff" or from_port != bytes(4):
        return None
    for address, size in ((source, size_of_source), (destination, size_of_destination)):
        if size != (0 if address == ANY else 32):
            return None
    return Selector(_read_address(source), _read_address(destination), int.from_bytes(to_port[:2], "big"))


def _id(destination: str, spi: int) -> bytes:
    return ID.pack(_address(destination), spi.to_bytes(4, "big"), ESP)


def _address(address: str | None) -> bytes:
    return ANY if address is None else socket.inet_aton(address) + bytes(12)


def _read_address(data: bytes) -> str | None:
    return None if data == ANY else socket.inet_ntoa(data[:4])


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)
