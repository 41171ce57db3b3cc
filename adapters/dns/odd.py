"""Queries that are not what most of them look like: refused, or good enough for other servers.

What stands in them is read with dnslib, whose errors are as many as there are ways to write nonsense; here is one.
"""

from __future__ import annotations

from dnslib import DNSRecord

from adapters.dns.table import Table
from adapters.dns.wire import FORMERR, HEADER_SIZE, IN, NOTIMP, NXDOMAIN, REFUSED, failure, question_of

OTHERS_MAX = 4
"""Records that a query may carry beside its question; usual is one. dnslib takes some 20 µs for each."""
_RESPONSE = 0x80
_OPCODE = 0x78
_ANY_CLASS = b"\0\xff"


class BadQuery(Exception):
    """Bytes are no query."""


def reply_to(query: bytes, table: Table, *, is_tcp: bool) -> bytes | None:
    """Answer a query that `table` did not; empty when it deserves no answer, None when others are to be asked."""
    if len(query) < HEADER_SIZE or query[2] & _RESPONSE:
        # An answer to an answer would go round for ever.
        return b""
    if query[2] & _OPCODE:
        return failure(query, NOTIMP)
    if query[4:6] not in (b"\0\0", b"\0\1"):
        # Weave Net's answer.
        return failure(query, NXDOMAIN)
    try:
        _check(query)
    except BadQuery:
        return failure(query, FORMERR)
    question = question_of(query)
    if question[-2:] not in (IN, _ANY_CLASS):
        return failure(query, REFUSED)
    # With nothing around the question it may be one of ours.
    plain = query[:2] + bytes((query[2] & 1, 0)) + b"\0\1\0\0\0\0\0\0" + question[:-2] + IN
    return table.answer(plain, is_tcp=is_tcp)


def _check(query: bytes) -> None:
    """Raises: BadQuery."""
    others = sum(int.from_bytes(query[at : at + 2]) for at in (6, 8, 10))
    if others > OTHERS_MAX or not question_of(query):
        raise BadQuery
    try:
        DNSRecord.parse(query)
    except Exception as error:  # whatever a foreign parser may raise on hostile bytes
        raise BadQuery from error
