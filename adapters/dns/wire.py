"""Bytes of DNS messages: names, records, headers. Source: RFC 1035 §3, §4; RFC 2782 for SRV; RFC 6891 for OPT.

Records made here belong to the name in the question: their owner is a pointer to it, so that they serve for every way
of writing that name.
"""

from __future__ import annotations

import ipaddress
import struct

IN = b"\0\1"
A, PTR, SOA, TXT, AAAA, SRV, ANY = (struct.pack("!HH", kind, 1) for kind in (1, 12, 6, 16, 28, 33, 255))
"""Types with class IN, as they follow the name in a question and in a record."""
OWNER = b"\xc0\x0c"
"""A pointer to the name in the first question."""
HEADER_SIZE = 12
RECORD_HEAD_SIZE = 12
"""Of a record whose owner is a pointer: owner, type, class, time to live, size of the data."""
UDP_SIZE_MIN = 512
"""What every resolver takes."""
UDP_SIZE_MAX = 4_096
"""What we send at most, and take: more would be cut into pieces that get lost."""
TCP_SIZE_MAX = 65_535
OPT = struct.pack("!BHHIH", 0, 41, UDP_SIZE_MAX, 0, 0)
"""Our own pseudo-record: EDNS version 0, no options."""
OPT_HEAD_SIZE = 11
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
LABEL_SIZE_MAX = 63
SOA_TIMES_S = (3_600, 600, 86_400)
"""Refresh, retry, expire: for secondary servers, which there are none of."""


def name_bytes(name: str) -> bytes:
    """Return an absolute name, case kept, uncompressed."""
    labels = name.rstrip(".").split(".") if name != "." else []
    return b"".join(bytes((len(label),)) + label.encode("ascii") for label in labels) + b"\0"


def reverse_name(address: bytes) -> bytes:
    """Return the name under which an address, 16 bytes with IPv4 mapped, is asked for, in lower case."""
    return name_bytes(ipaddress.ip_address(plain_address(address)).reverse_pointer)


def plain_address(address: bytes) -> bytes:
    """Return an address of 16 bytes as it stands in a record: 4 bytes of IPv4, or 16."""
    return address[12:] if address.startswith(b"\0" * 10 + b"\xff\xff") else address


def record(kind: bytes, ttl_s: int, data: bytes, owner: bytes = OWNER) -> bytes:
    """Return a record; `kind` holds type and class."""
    return owner + kind + struct.pack("!IH", ttl_s, len(data)) + data


def service_data(priority: int, weight: int, port: int, target: str) -> bytes:
    """Return what an SRV record holds."""
    return struct.pack("!HHH", priority, weight, port) + name_bytes(target)


def text_data(text: str) -> bytes:
    """Return what a TXT record holds; at most 255 bytes of UTF-8."""
    data = text.encode("utf-8", "replace")[:255]
    return bytes((len(data),)) + data


def authority(domain: str, ttl_s: int, serial: int) -> bytes:
    """Return the data of a domain's SOA; `ttl_s` is how long one may remember that a name is missing."""
    names = name_bytes(f"ns.{domain}") + name_bytes(f"hostmaster.{domain}")
    return names + struct.pack("!IIIII", serial & 0xFFFFFFFF, *SOA_TIMES_S, ttl_s)


def labels_of(name: bytes) -> list[bytes] | None:
    """Split a name in wire form, its end included, into labels with their lengths; None if it is not well-formed."""
    labels, at, end = [], 0, len(name) - 1
    while at < end:
        size = name[at]
        if not 0 < size <= LABEL_SIZE_MAX or at + 1 + size > end:
            return None
        labels.append(name[at : at + 1 + size])
        at += 1 + size
    return labels


def records_that_fit(body: bytes, room: int) -> tuple[int, int]:
    """Return how many of the records, whose owners are pointers, fit into so many bytes, and how many they take."""
    count = at = 0
    while at < len(body):
        size = RECORD_HEAD_SIZE + int.from_bytes(body[at + 10 : at + 12])
        if at + size > room:
            break
        at += size
        count += 1
    return count, at


def failure(query: bytes, code: int) -> bytes:
    """Return an answer without anything but a code. `query` has a header; its question is repeated where it has a
    single one that can be read."""
    question = question_of(query)
    count = b"\0\1" if question else b"\0\0"
    flags = bytes((0x80 | query[2] & 0x79, 0x80 | code))
    return query[:2] + flags + count + b"\0\0\0\0\0\0" + question


def question_of(message: bytes) -> bytes:
    """Return the only question of a message: name, type, class. Empty when there is none, or it is malformed."""
    if message[4:6] != b"\0\1":
        return b""
    end = message.find(0, HEADER_SIZE)
    name = message[HEADER_SIZE : end + 1]
    if end < 0 or len(name) > 255 or labels_of(name) is None or len(message) < end + 5:
        return b""
    return message[HEADER_SIZE : end + 5]
