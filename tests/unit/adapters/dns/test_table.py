"""What is answered, read back with dnslib."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from dnslib import DNSRecord

from adapters.dns.table import HostRow, ServiceRow, Table, TextRow
from adapters.dns.wire import TCP_SIZE_MAX, UDP_SIZE_MIN
from core.types import address_of

NOERROR, NXDOMAIN = 0, 3


def host(name: str, address: str, *, ttl_s: int = 1, rank: int = 0) -> HostRow:
    return name, address_of(address).to_bytes(16), ttl_s, rank


@pytest.fixture
def table() -> Table:
    return Table("weave.local.", 3, 7)


def put(
    table: Table,
    key: str,
    hosts: Sequence[HostRow] = (),
    services: Sequence[ServiceRow] = (),
    texts: Sequence[TextRow] = (),
) -> None:
    table.set(key, hosts, services, texts)


def query(name: str, kind: str = "A") -> bytes:
    return bytes(DNSRecord.question(name, kind).pack())


def asked(table: Table, name: str, kind: str = "A", *, is_tcp: bool = True) -> DNSRecord:
    answer = table.answer(query(name, kind), is_tcp=is_tcp)
    assert answer is not None, "it is ours"
    return DNSRecord.parse(answer)


def data(answer: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in answer.rr]


def test_an_address_is_answered_with_authority_as_the_question_was_asked(table: Table) -> None:
    put(table, "web.weave.local.", [host("Web.weave.local.", "10.32.0.1", ttl_s=9)])
    answer = asked(table, "wEb.Weave.LOCAL")
    assert (answer.header.qr, answer.header.aa, answer.header.ra, answer.header.rcode) == (1, 1, 1, NOERROR)
    assert (str(answer.q.qname), str(answer.rr[0].rname)) == ("wEb.Weave.LOCAL.", "wEb.Weave.LOCAL.")
    assert (data(answer), answer.rr[0].ttl) == (["10.32.0.1"], 9)


def test_a_single_label_is_completed_and_never_left_to_others(table: Table) -> None:
    put(table, "web.weave.local.", [host("web.weave.local.", "10.32.0.1")])
    assert data(asked(table, "WEB")) == ["10.32.0.1"]
    assert asked(table, "nobody").header.rcode == NXDOMAIN
    assert table.answer(query("example.com")) is None
    assert table.answer(query("xweave.local")) is None, "another domain that ends alike"


def test_a_missing_type_is_no_missing_name(table: Table) -> None:
    put(table, "_http._tcp.web.weave.local.", services=[("web.weave.local.", 80, 1, 2, 4, 0)])
    for name, code in (
        ("_http._tcp.web", 0),
        ("_tcp.web", 0),
        ("web", 0),
        ("", 0),
        ("_udp.web", 3),
        ("a._http._tcp.web", 3),
    ):
        answer = asked(table, f"{name}.weave.local".lstrip("."))
        assert (answer.header.rcode, answer.rr) == (code, []), name
        assert (str(answer.auth[0].rname), answer.auth[0].ttl, answer.auth[0].rdata.times[4]) == ("weave.local.", 3, 3)
    put(table, "_http._tcp.web.weave.local.")
    for name in ("_http._tcp.web", "_tcp.web", "web"):
        assert asked(table, f"{name}.weave.local").header.rcode == NXDOMAIN, "names above went with it"


def test_a_name_that_goes_leaves_what_is_below_it(table: Table) -> None:
    put(table, "b.a.weave.local.", [host("b.a.weave.local.", "10.32.0.1")])
    put(table, "a.weave.local.", [host("a.weave.local.", "10.32.0.2")])
    put(table, "a.weave.local.")
    assert (asked(table, "a").header.rcode, data(asked(table, "b.a.weave.local"))) == (NOERROR, ["10.32.0.1"])
    put(table, "b.a.weave.local.")
    assert asked(table, "a").header.rcode == NXDOMAIN
    assert table.records == 0


def test_services_texts_and_both_families(table: Table) -> None:
    put(table, "_http._tcp.web.weave.local.", services=[("Web.weave.local.", 80, 10, 5, 4, 0)])
    hosts = [host("Web.weave.local.", "10.32.0.1"), host("Web.weave.local.", "fd00::1")]
    put(table, "web.weave.local.", hosts, texts=[("grüße", 4)])
    assert data(asked(table, "_http._tcp.web.weave.local", "SRV")) == ["10 5 80 Web.weave.local."]
    assert data(asked(table, "web", "AAAA")) == ["fd00::1"]
    text = asked(table, "web", "TXT").rr[0].rdata
    assert text.data == ["grüße".encode()]
    assert len(asked(table, "web", "ANY").rr) == 3
    assert asked(table, "weave.local", "SOA").rr[0].rdata.times[0] == 7


def test_an_address_answers_to_the_first_of_its_names_case_kept(table: Table) -> None:
    put(table, "web.weave.local.", [host("Web.weave.local.", "10.32.0.1", rank=1), host("Web.weave.local.", "fd00::1")])
    put(table, "db.weave.local.", [host("dB.weave.local.", "10.32.0.1", rank=1)])
    assert data(asked(table, "1.0.32.10.IN-ADDR.ARPA", "PTR")) == ["dB.weave.local."]
    put(table, "zz.weave.local.", [host("zz.weave.local.", "10.32.0.1", rank=0)])
    assert data(asked(table, "1.0.32.10.in-addr.arpa", "PTR")) == ["zz.weave.local."], "this host comes first"
    for name in ("zz", "db"):
        put(table, f"{name}.weave.local.")
    assert data(asked(table, "1.0.32.10.in-addr.arpa", "PTR")) == ["Web.weave.local."]
    assert data(asked(table, f"1.{'0.' * 29}d.f.ip6.arpa", "PTR")) == ["Web.weave.local."]
    put(table, "web.weave.local.")
    assert table.answer(query("1.0.32.10.in-addr.arpa", "PTR")) is None, "others may know"


def test_nearest_come_first_and_every_one_of_them_comes_first_at_times(table: Table) -> None:
    near, far = [f"10.32.0.{number}" for number in (1, 2, 3)], [f"10.40.0.{number}" for number in (1, 2)]
    hosts = [host("web.weave.local.", address, rank=1) for address in far]
    put(table, "web.weave.local.", hosts + [host("web.weave.local.", address) for address in near])
    answers = [data(asked(table, "web")) for _ in range(400)]
    for answer in answers:
        assert (sorted(answer[:3]), sorted(answer[3:])) == (near, far)
    firsts = [answer[0] for answer in answers]
    # Of 400 each comes first 133 times; less than 60 has a chance of one in 10^15.
    assert all(firsts.count(address) > 60 for address in near)
    assert len({tuple(answer[:3]) for answer in answers}) == 6, "not only turned"


def test_a_name_in_two_cases_answers_all_its_addresses_once(table: Table) -> None:
    hosts = [host("SeEtWo.weave.local.", "10.32.0.2"), host("seetwo.weave.local.", "10.32.0.2")]
    put(table, "seetwo.weave.local.", [*hosts, host("seetwo.weave.local.", "10.32.0.3")])
    assert sorted(data(asked(table, "SEETWO"))) == ["10.32.0.2", "10.32.0.3"]


@pytest.mark.parametrize(("size", "count"), [(None, 29), (512, 29), (600, 34), (1232, 50), (100, 29), (65_535, 50)])
def test_datagrams_hold_what_askers_take_and_tcp_holds_all(table: Table, size: int | None, count: int) -> None:
    put(table, "web.weave.local.", [host("web.weave.local.", f"10.32.0.{number}") for number in range(1, 51)])
    question = query("web.weave.local")
    if size is not None:
        question = question[:11] + b"\1" + question[12:] + b"\0\0\x29" + size.to_bytes(2) + bytes(6)
    answer = table.answer(question)
    assert answer is not None
    assert len(answer) <= max(UDP_SIZE_MIN, size or 0)
    read = DNSRecord.parse(answer)
    # A record of 16 bytes more or less, where ours has a pseudo-record of 11.
    assert abs(len(read.rr) - count) <= 1
    assert read.header.tc == (len(read.rr) < 50)
    assert [record.rtype for record in read.ar] == ([] if size is None else [41])
    complete = table.answer(question, is_tcp=True)
    assert complete is not None
    assert len(DNSRecord.parse(complete).rr) == 50


def test_even_tcp_has_a_limit(table: Table) -> None:
    target = f"{'x' * 63}.{'x' * 63}.{'x' * 63}.weave.local."
    put(table, "_a._tcp.b.weave.local.", services=[(target, port, 0, 0, 1, 0) for port in range(1, 1025)])
    answer = table.answer(query("_a._tcp.b.weave.local", "SRV"), is_tcp=True)
    assert answer is not None
    assert 65_000 < len(answer) <= TCP_SIZE_MAX
    assert DNSRecord.parse(answer).header.tc


def test_what_is_unusual_is_left_to_others(table: Table) -> None:
    put(table, "web.weave.local.", [host("web.weave.local.", "10.32.0.1")])
    plain = query("web.weave.local")
    for at, value in ((2, 0x80), (2, 0x28), (5, 0), (5, 2), (7, 1), (9, 1), (11, 1), (len(plain) - 1, 3)):
        changed = bytearray(plain)
        changed[at] = value
        assert table.answer(bytes(changed)) is None, (at, value)
    for size in range(len(plain)):
        assert table.answer(plain[:size]) is None
    assert table.answer(plain + b"\0") is None
