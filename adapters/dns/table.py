"""What we answer, prepared as bytes: to answer means to find, to shuffle and to join.

Names are kept in wire form and lower case, which can be done to a whole question: lengths of labels are no letters.
Of a query only what most of them look like is understood here, with or without EDNS; `answer` leaves the rest to
others. Names above those that exist, such as `_tcp.web`, exist without any records (RFC 8020).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from adapters.dns.reverse import Entry, Reverse
from adapters.dns.wire import (
    AAAA,
    ANY,
    HEADER_SIZE,
    OPT,
    OPT_HEAD_SIZE,
    PTR,
    SOA,
    SRV,
    TCP_SIZE_MAX,
    TXT,
    UDP_SIZE_MAX,
    UDP_SIZE_MIN,
    A,
    authority,
    labels_of,
    name_bytes,
    plain_address,
    record,
    records_that_fit,
    reverse_name,
    service_data,
    text_data,
)

RECORDS_MAX = 500_000
"""Some 300 MB; what goes beyond is not answered, and it is said."""
SHUFFLE_EVERY = 16
"""Answers that are only turned before they are shuffled anew: turning is as fair to the first place, and cheaper."""
_ARPA = b"\x04arpa\0"
_QUERY = b"\0\1\0\0\0\0"
"""Counts of what is asked, answered and said of authority."""
_OK = (b"\x84\x80\0\1", b"\x85\x80\0\1")
"""Flags and count of questions in an answer, without and with the wish for recursion that is repeated from the query:
response, authoritative, recursion available."""
_MISSING = (b"\x84\x83\0\1", b"\x85\x83\0\1")
_TRUNCATED = 0x02
_IS_IN_FIRST_RANK = 0


class Records:
    """The records of one name and one type; those of the lowest rank come first."""

    __slots__ = ("_left", "_ranks", "body", "count", "kind")

    def __init__(self, kind: bytes, ranked: Sequence[tuple[int, bytes]]) -> None:
        self.kind = kind
        """Type and class."""
        self.count = len(ranked).to_bytes(2)
        """As it stands in a header."""
        self.body = b"".join(data for _, data in ranked)
        """All of them, in some order."""
        self._left = 0
        self._ranks: Sequence[list[bytes]] = ()
        if len(ranked) > 1:
            by_rank: dict[int, list[bytes]] = {}
            for rank, data in ranked:
                by_rank.setdefault(rank, []).append(data)
            self._ranks = [by_rank[rank] for rank in sorted(by_rank)]

    def __len__(self) -> int:
        return int.from_bytes(self.count)

    def shuffled(self) -> bytes:
        """Return all of them in another order."""
        if not self._ranks:
            return self.body
        if self._left:
            self._left -= 1
            first = self._ranks[_IS_IN_FIRST_RANK]
            size = len(first[0])
            # Addresses are of one size, so a turn is a cut; others are of many, and seldom.
            if all_of_one_size(first, size):
                end, at = size * len(first), size * int(random.random() * len(first))
                return self.body[at:end] + self.body[:at] + self.body[end:]
        self._left = SHUFFLE_EVERY
        for rank in self._ranks:
            random.shuffle(rank)
        self.body = b"".join(data for rank in self._ranks for data in rank)
        return self.body


def all_of_one_size(records: list[bytes], size: int) -> bool:
    """Say whether records are of one type whose data has one size. O(1)."""
    return records[0][2:6] in (A, AAAA) and len(records[-1]) == size


Node = tuple[Records, ...]
"""The records of a name, by type: one or two, so to look through them is quicker than to look up, and smaller."""
HostRow = tuple[str, bytes, int, int]
"""Name, case kept; address in 16 bytes; time to live in seconds; rank."""
ServiceRow = tuple[str, int, int, int, int, int]
"""Target, port, priority, weight, time to live in seconds, rank."""
TextRow = tuple[str, int]
"""Text, time to live in seconds."""


class Table:
    """All that we answer."""

    def __init__(self, domain: str, ttl_s: int, serial: int) -> None:
        """Know a domain, absolute and in lower case, and no name in it."""
        self._domain = name_bytes(domain)
        self._depth = len(labels_of(self._domain) or ())
        data = authority(domain, ttl_s, serial)
        self._missing = record(SOA, ttl_s, data, self._domain)
        self._apex: Node = (Records(SOA, ((0, record(SOA, ttl_s, data)),)),)
        self._names: dict[bytes, Node] = {self._domain: self._apex}
        self._below: dict[bytes, int] = {}
        self._addresses: dict[bytes, tuple[bytes, ...]] = {}
        self._reverse = Reverse()
        self.records = 0
        """How many there are."""
        self.left_out = 0
        """Names that had no room."""

    def set(self, key: str, hosts: Sequence[HostRow], services: Sequence[ServiceRow], texts: Sequence[TextRow]) -> None:
        """Have a name answer this and nothing else; without anything it is no more. `key` is in lower case."""
        name = name_bytes(key)
        self._remove(name, key)
        count = len(hosts) + len(services) + len(texts)
        if not count:
            return
        if self.records + count > RECORDS_MAX:
            self.left_out += 1
            return
        by_kind: dict[bytes, list[tuple[int, bytes]]] = {}
        for _, address, ttl_s, rank in hosts:
            plain = plain_address(address)
            kind = A if len(plain) == 4 else AAAA
            by_kind.setdefault(kind, []).append((rank, record(kind, ttl_s, plain)))
        for target, port, priority, weight, ttl_s, rank in services:
            data = service_data(priority, weight, port, target)
            by_kind.setdefault(SRV, []).append((rank, record(SRV, ttl_s, data)))
        for text, ttl_s in texts:
            by_kind.setdefault(TXT, []).append((0, record(TXT, ttl_s, text_data(text))))
        self._add(name, tuple(Records(kind, _unique(rows)) for kind, rows in by_kind.items()))
        if hosts:
            self._addresses[name] = tuple(dict.fromkeys(address for _, address, _, _ in hosts))
            named: dict[bytes, Entry] = {}
            for host, address, ttl_s, rank in hosts:
                # Most are in lower case: then one text serves.
                named.setdefault(address, (rank, key, key if host == key else host, ttl_s))
            for address, entry in named.items():
                self._point(address, self._reverse.add(address, entry))

    def answer(self, query: bytes, *, is_tcp: bool = False) -> bytes | None:
        """Return the answer to a query about what is ours; None when it is about something else, or is unusual."""
        end = query.find(0, HEADER_SIZE)
        if end < 0 or query[4:10] != _QUERY or query[2] > 1:
            return None
        question_end = end + 5
        room = TCP_SIZE_MAX if is_tcp else UDP_SIZE_MIN
        extra = b""
        if query[10:12] != b"\0\0" or len(query) != question_end:
            size = _edns_size(query, question_end)
            if size < 0:
                return None
            extra = OPT
            if not is_tcp:
                room = max(UDP_SIZE_MIN, min(size, UDP_SIZE_MAX))
        name = query[HEADER_SIZE : end + 1].lower()
        node = self._names.get(name)
        if node is None:
            if query[HEADER_SIZE] + HEADER_SIZE + 1 == end:
                # A single label is completed, and asked of nobody else.
                node = self._names.get(name[:-1] + self._domain)
            elif not name.endswith(self._domain):
                return None
        kind = query[end + 1 : question_end]
        for records in node or ():
            if records.kind == kind:
                break
        else:
            return self._without(query, question_end, node, extra, room)
        body = records.shuffled()
        size = question_end + len(body) + len(extra)
        if size > room:
            return _cut(query, question_end, body, extra, room)
        counts = records.count + (b"\0\0\0\1" if extra else b"\0\0\0\0")
        return b"".join((query[:2], _OK[query[2]], counts, query[HEADER_SIZE:question_end], body, extra))

    # Below here: how.

    def _without(self, query: bytes, question_end: int, node: Node | None, extra: bytes, room: int) -> bytes | None:
        """Answer a question for which there are no records."""
        name, kind = query[HEADER_SIZE : question_end - 4], query[question_end - 4 : question_end]
        if kind[2:] != b"\0\1" or len(name) > 255:
            return None
        labels = labels_of(name)
        if labels is None:
            return None
        if node is None and len(labels) > 1 and b"".join(labels[-self._depth :]).lower() + b"\0" != self._domain:
            return None
        is_reverse = name.lower().endswith(_ARPA) and not self._domain.endswith(_ARPA)
        if is_reverse and kind not in (PTR, ANY):
            # Other servers may know more of what is theirs.
            return None
        flags = (_MISSING if node is None else _OK)[query[2]]
        if node and kind == ANY:
            body = b"".join(records.shuffled() for records in node)
            count = sum(len(records) for records in node)
            if question_end + len(body) + len(extra) > room:
                return _cut(query, question_end, body, extra, room)
            counts = count.to_bytes(2) + b"\0\0"
        else:
            body, counts = self._missing, b"\0\0\0\1"
        more = b"\0\1" if extra else b"\0\0"
        return b"".join((query[:2], flags, counts, more, query[HEADER_SIZE:question_end], body, extra))

    def _add(self, name: bytes, node: Node) -> None:
        self.records += sum(len(records) for records in node)
        self._names[name] = self._apex + node if name == self._domain else node
        for above in self._above(name):
            self._below[above] = self._below.get(above, 0) + 1
            self._names.setdefault(above, ())

    def _remove(self, name: bytes, key: str) -> None:
        node = self._names.get(name)
        if not node or node is self._apex:
            return
        self.records -= sum(len(records) for records in node if records.kind != SOA)
        if name == self._domain:
            self._names[name] = self._apex
        elif name in self._below:
            self._names[name] = ()
        else:
            del self._names[name]
        for above in self._above(name):
            self._below[above] -= 1
            if not self._below[above]:
                del self._below[above]
                if not self._names[above]:
                    del self._names[above]
        for address in self._addresses.pop(name, ()):
            self._point(address, self._reverse.remove(address, key))

    def _above(self, name: bytes) -> list[bytes]:
        """Return the names between a name and the domain."""
        labels = labels_of(name) or []
        return [b"".join(labels[count:]) + b"\0" for count in range(1, len(labels) - self._depth)]

    def _point(self, address: bytes, entry: Entry | None) -> None:
        """Have an address answer to a name."""
        name = reverse_name(address)
        if entry is None:
            del self._names[name]
            return
        _, _, host, ttl_s = entry
        self._names[name] = (Records(PTR, ((0, record(PTR, ttl_s, name_bytes(host))),)),)


def _unique(rows: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Leave out records that say the same, as of a name that is written in two ways."""
    best: dict[bytes, tuple[int, bytes]] = {}
    for rank, data in rows:
        # All but the time to live.
        what = data[:6] + data[10:]
        best[what] = min((rank, data), best.get(what, (rank, data)))
    return list(best.values())


def _edns_size(query: bytes, at: int) -> int:
    """Return what size an asker takes, as its pseudo-record says; -1 when what follows the question is not that."""
    rest = query[at:]
    is_opt = query[10:12] == b"\0\1" and len(rest) >= OPT_HEAD_SIZE and rest[:3] == OPT[:3] and rest[6] == 0
    if not is_opt or int.from_bytes(rest[9:11]) != len(rest) - OPT_HEAD_SIZE:
        return -1
    return int.from_bytes(rest[3:5])


def _cut(query: bytes, question_end: int, body: bytes, extra: bytes, room: int) -> bytes:
    """Return as much of an answer as there is room for, marked so that the asker comes back by TCP."""
    count, size = records_that_fit(body, room - question_end - len(extra))
    flags = bytearray(_OK[query[2]])
    flags[0] |= _TRUNCATED
    counts = count.to_bytes(2) + (b"\0\0\0\1" if extra else b"\0\0\0\0")
    return b"".join((query[:2], flags, counts, query[HEADER_SIZE:question_end], body[:size], extra))
