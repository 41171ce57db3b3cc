"""The guard on the kernel at hand: what passes it, what does not, and who cannot open it."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from dataclasses import replace

import pytest
from datapath_world import PORT, Host, Namespace, pair

from core.reconcile.objects import (
    Again,
    AlreadySo,
    Association,
    Done,
    Guard,
    KernelObject,
    Op,
    Refused,
    Seal,
    Trust,
    Verb,
)
from core.reconcile.plan import plan
from datapath import guard, probe
from datapath.observe import Monitor

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
SPI = 0x1234
GUARDS = (Guard, Trust, Seal, Association)
World = tuple[Host, Host, tuple[str, str]]


@pytest.fixture(scope="module")
def made() -> Iterator[World]:
    world = pair()
    yield world
    for host in world[:2]:
        host.remove()


@pytest.fixture
def world(made: World) -> Iterator[World]:
    """Two hosts that reach each other, unguarded before and after."""
    assert gets_through(made)
    yield made
    for host in made[:2]:
        for item in reversed(guards_of(host)):
            host.execute(Verb.REMOVE, item)
        assert guards_of(host) == []
        assert host.sh("ip", "xfrm", "policy").stdout == ""


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(9)
    yield host
    host.remove()


def gets_through(world: World) -> bool:
    done = world[0].containers[0].sh("ping", "-c2", "-i0.05", "-W0.4", "-q", "10.32.0.2")
    return "100% packet loss" not in done.stdout


def guards_of(host: Host) -> list[KernelObject]:
    return [item for item in host.observe() if isinstance(item, GUARDS)]


def drops_of(host: Host) -> dict[str, int]:
    return host.run(host.driver.guard_drops)


def reconcile(host: Host, *desired: KernelObject) -> list[Op]:
    """Carry out a plan about guards alone; return it."""
    ops = plan(desired, guards_of(host), may_remove=True)
    for op in ops:
        assert host.run(lambda op=op: host.driver.execute(op)) == Done(), op  # type: ignore[misc]  # bound now
    return list(ops)


def inject(source: Namespace, address: str) -> None:
    """Send a datagram that VXLAN would take."""
    code = f"import socket; socket.socket(2, 2).sendto(bytes([8]) + bytes(60), ({address!r}, {PORT}))"
    source.sh("python3", "-S", "-c", code)


def test_nothing_leaves_towards_a_stranger(world: World) -> None:
    a, b, _ = world
    a.create(Guard(PORT))
    assert not gets_through(world)
    assert drops_of(a)["output"] > 0
    assert drops_of(b) == {}


def test_nothing_comes_in_from_a_stranger(world: World) -> None:
    a, b, _ = world
    b.create(Guard(PORT))
    assert not gets_through(world)
    # B's own answers would have to leave: none does, for no question has come in.
    assert drops_of(b)["input"] > 0
    assert drops_of(a) == {}


def test_the_trusted_pass_as_they_are(world: World) -> None:
    a, b, (of_a, of_b) = world
    a.create(Guard(PORT), Trust(of_b))
    b.create(Guard(PORT), Trust(of_a))
    # What the other end's kernel sent of itself before it was trusted was dropped, and rightly.
    before = drops_of(a), drops_of(b)
    assert gets_through(world)
    assert (drops_of(a), drops_of(b)) == before
    assert b.execute(Verb.REMOVE, Trust(of_a)) == Done()
    assert b.execute(Verb.REMOVE, Trust(of_a)) == AlreadySo()
    assert not gets_through(world)


def test_other_traffic_between_the_hosts_stays(world: World) -> None:
    a, b, (of_a, of_b) = world
    a.create(Guard(PORT), Seal(of_b, PORT, 0))
    b.create(Guard(PORT), Seal(of_a, PORT, 0))
    assert "0% packet loss" in a.sh("ping", "-c2", "-i0.05", "-W1", "-q", of_b).stdout


def test_the_sealed_do_not_pass_without_esp(world: World) -> None:
    a, b, (of_a, of_b) = world
    a.create(Guard(PORT), Seal(of_b, PORT, 0))
    assert not gets_through(world)
    a.execute(Verb.REMOVE, Seal(of_b, PORT, 0))
    b.create(Guard(PORT), Seal(of_a, PORT, SPI))
    assert a.execute(Verb.CREATE, Trust(of_b)) == Done()
    assert not gets_through(world)


def test_flushed_policies_open_nothing(world: World) -> None:
    a, b, (of_a, of_b) = world
    a.create(Guard(PORT), Seal(of_b, PORT, 0))
    b.create(Guard(PORT), Seal(of_a, PORT, 0))
    for host in (a, b):
        host.sh("ip", "xfrm", "policy", "flush")
    before = drops_of(b)["input"]
    assert not gets_through(world)
    assert drops_of(a)["output"] > 0
    inject(a, of_b)
    assert drops_of(b)["input"] == before, "A has let it out"
    a.execute(Verb.REMOVE, Guard(PORT))
    inject(a, of_b)
    assert drops_of(b)["input"] > before


def test_a_flushed_guard_opens_nothing_while_policies_stand(world: World) -> None:
    a, _, (_, of_b) = world
    a.create(Guard(PORT), Seal(of_b, PORT, 0))
    a.sh("nft", "flush", "ruleset")
    assert guard.TABLE not in a.sh("nft", "list", "tables").stdout
    assert not gets_through(world)


def test_others_flush_their_own_tables_and_the_guard_stays(world: World) -> None:
    a, _, _ = world
    a.create(Guard(PORT))
    a.sh("nft", "add", "table", "ip", "filter")
    a.sh("nft", "add", "chain", "ip", "filter", "OUTPUT", "{ type filter hook output priority 0; }")
    a.sh("nft", "add", "rule", "ip", "filter", "OUTPUT", "udp", "dport", str(PORT), "accept")
    assert not gets_through(world), "their acceptance opens nothing"
    a.sh("nft", "flush", "table", "ip", "filter")
    assert not gets_through(world)
    a.sh("nft", "delete", "table", "ip", "filter")
    assert guards_of(a) == [Guard(PORT)]


def test_it_stands_without_an_agent_and_is_known_to_the_next(world: World) -> None:
    a, _, (_, of_b) = world
    wanted = [Seal(of_b, PORT, SPI), Guard(PORT), Trust("198.18.7.7")]
    a.create(wanted[1], wanted[0], wanted[2])
    a.run(a.driver.close)
    assert not gets_through(world)
    a.restart()
    assert guards_of(a) == wanted
    assert reconcile(a, *wanted) == []


@pytest.mark.parametrize(
    ("damage", "repairs"),
    [
        (("ip", "xfrm", "policy", "flush"), ("seal",)),
        (("nft", "flush", "ruleset"), ("guard", "seal", "trust")),
        (("nft", "flush", "chain", "inet", guard.TABLE, "output-overlay"), ("guard",)),
        (("nft", "delete", "element", "inet", guard.TABLE, guard.SEALED, "{ 198.18.7.8 }"), ("seal",)),
    ],
)
def test_damage_is_told_of_seen_and_repaired(host: Host, damage: tuple[str, ...], repairs: tuple[str, ...]) -> None:
    wanted: tuple[KernelObject, ...] = (Guard(PORT), Seal("198.18.7.8", PORT, SPI), Trust("198.18.7.7"))
    reconcile(host, *wanted)
    monitor = host.run(Monitor)
    assert not select.select([monitor], [], [], 0)[0]
    assert host.sh(*damage).returncode == 0
    assert select.select([monitor], [], [], 1)[0]
    assert monitor.read()
    monitor.close()
    assert [op.object.key[0] for op in reconcile(host, *wanted)] == list(repairs)
    assert reconcile(host, *wanted) == []


def test_a_new_spi_takes_over_in_place(host: Host) -> None:
    seal = Seal("198.18.7.8", PORT, 0)
    reconcile(host, Guard(PORT), seal)
    ops = reconcile(host, Guard(PORT), replace(seal, spi=SPI))
    assert [op.verb for op in ops] == [Verb.CHANGE]
    assert f"spi 0x{SPI:08x}" in host.sh("ip", "xfrm", "policy").stdout


def test_a_seal_goes_whole_and_the_guard_stays(host: Host) -> None:
    seal = Seal("198.18.7.8", PORT, SPI)
    reconcile(host, Guard(PORT), seal)
    reconcile(host, Guard(PORT))
    assert guards_of(host) == [Guard(PORT)]
    assert "198.18.7.8" not in host.sh("nft", "list", "table", "inet", guard.TABLE).stdout
    assert host.execute(Verb.REMOVE, seal) == AlreadySo()


def test_a_seal_needs_the_guard(host: Host) -> None:
    result = host.execute(Verb.CREATE, Seal("198.18.7.8", PORT, 0))
    assert isinstance(result, Again)
    assert guards_of(host) == [Seal("198.18.7.8", PORT, 0, is_whole=False)]


def test_a_policy_of_somebody_else_is_left_alone(host: Host) -> None:
    words = f"dst 198.18.7.8/32 proto udp dport {PORT} dir out tmpl proto esp mode transport reqid 7".split()
    assert host.sh("ip", "xfrm", "policy", "add", *words).returncode == 0
    host.create(Guard(PORT))
    before = host.sh("ip", "xfrm", "policy", "list", "dir", "out").stdout
    result = host.execute(Verb.CREATE, Seal("198.18.7.8", PORT, 0))
    assert isinstance(result, Refused)
    assert "somebody else's IPsec policy" in result.why
    host.run(host.driver.remove_all)
    assert host.sh("ip", "xfrm", "policy").stdout == before


def test_everything_of_ours_goes_and_nothing_else(host: Host) -> None:
    host.sh("nft", "add", "table", "inet", "theirs")
    host.create(Guard(PORT), Trust("198.18.7.7"), Seal("198.18.7.8", PORT, SPI))
    host.run(host.driver.remove_all)
    assert host.sh("nft", "list", "tables").stdout == "table inet theirs\n"
    assert host.sh("ip", "xfrm", "policy").stdout == ""


def test_without_its_secret_an_association_waits(host: Host) -> None:
    result = host.execute(Verb.CREATE, Association("198.18.7.8", False, SPI, PORT, "f" * 16, 0, True))
    assert isinstance(result, Again)
    assert "the secret of session ffffffffffffffff is not known" in result.why


def test_a_kernel_without_esp_is_known_by_trying(host: Host) -> None:
    if host.run(probe.has_esp):
        pytest.skip("this kernel has ESP: what tests/vm shows, it can show itself")
    why = host.run(probe.why_no_esp)
    assert why.startswith("this kernel has no ESP with AES-GCM (Requested "), why
    assert "esp4" in why
    host.secrets["f" * 16] = bytes(32)
    result = host.execute(Verb.CREATE, Association("198.18.7.8", False, SPI, PORT, "f" * 16, 0, True))
    assert isinstance(result, Refused)
    assert "esp4" in result.hint
    assert guards_of(host) == []
