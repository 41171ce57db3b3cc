"""Whom `resolv.conf` names, and that changes of it are followed."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.dns.resolv_conf import LOOK_MS, SERVERS_MAX, ResolvConf, servers_of


def test_servers_are_read_in_order_and_nonsense_is_passed_over() -> None:
    content = b"""# nameserver 192.0.2.9
search example.com
nameserver 192.0.2.1
nameserver\t2001:db8::1 # comment
nameserver
nameserver ns.example.com
nameserver 192.0.2.1
nameserver [127.0.0.1]:5353
nameserver [127.0.0.1]:0
nameserver [127.0.0.1
\xff\xfe nameserver 192.0.2.7
nameserver fe80::1%eth0
"""
    expected = (("192.0.2.1", 53), ("2001:db8::1", 53), ("127.0.0.1", 5353), ("fe80::1%eth0", 53))
    assert servers_of(content) == expected
    assert len(servers_of(b"".join(b"nameserver 192.0.2.%d\n" % number for number in range(100)))) == SERVERS_MAX


def test_the_file_is_read_again_when_it_has_changed_but_not_at_once(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    conf = ResolvConf(str(file))
    assert conf.servers(0, ()) == ()
    file.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    assert conf.servers(LOOK_MS - 1, ()) == ()
    assert conf.servers(LOOK_MS, ()) == (("192.0.2.1", 53), ("192.0.2.2", 53))
    assert conf.servers(LOOK_MS, {("192.0.2.1", 53)}) == (("192.0.2.2", 53),)
    file.write_text("nameserver 192.0.2.3\n")
    os.utime(file, ns=(1, 1))
    assert len(conf.servers(2 * LOOK_MS - 1, ())) == 2
    assert conf.servers(2 * LOOK_MS, ()) == (("192.0.2.3", 53),)
    file.unlink()
    assert conf.servers(3 * LOOK_MS, ()) == ()
