"""Options as Weave Net's users type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.settings import SettingsError, derived_peer_name, listen_address, parse, peer_name, seed_mode
from core.config import SeedMode
from core.ipam.universe import universe_of

NAME = ("--name", "7e:21:4a:70:2f:45")


def test_nothing_said_means_weave_net_s_defaults(tmp_path: Path) -> None:
    settings = parse(NAME, {"WEAVE_DATA_DIR": str(tmp_path)})
    config = settings.config
    assert (config.port, config.mtu, config.bridge, config.connection_limit) == (6783, 1376, "weave", 200)
    assert config.universe == universe_of("10.32.0.0/12")
    assert config.default_subnet == ()
    assert config.seed == SeedMode("consensus")
    assert config.discovery
    assert (settings.http, settings.metrics) == ("127.0.0.1:6784", "127.0.0.1:6782")
    assert settings.range_is_default
    assert settings.data == tmp_path


def test_options_come_before_the_environment() -> None:
    env = {"WEAVE_PORT": "7000", "WEAVE_MTU": "1400", "WEAVE_HTTP_ADDR": "127.0.0.1:9"}
    assert parse(NAME, env).config.port == 7000
    settings = parse((*NAME, "--port", "8000", "--mtu", "1450", "--http-addr", ""), env)
    assert (settings.config.port, settings.config.mtu, settings.http) == (8000, 1450, "")


def test_nothing_is_recorded_unless_asked_for() -> None:
    assert parse(NAME, {"WEAVE_RECORD": ""}).record is None
    by_env = parse(NAME, {"WEAVE_RECORD": "/a"})
    assert (by_env.record, by_env.record_size_max) == (Path("/a"), 64 * 1024 * 1024)
    by_option = parse((*NAME, "--record", "/b", "--record-limit", "2"), {"WEAVE_RECORD": "/a"})
    assert (by_option.record, by_option.record_size_max) == (Path("/b"), 2 * 1024 * 1024)


def test_a_history_is_kept_unless_it_may_have_no_size() -> None:
    assert parse(NAME, {}).history_size_max == 64 * 1024 * 1024
    assert parse((*NAME, "--history-size", "0"), {}).history_size_max == 0
    with pytest.raises(SettingsError, match="--history-size: -1 is not a number from 0 to 4096"):
        parse((*NAME, "--history-size=-1"), {})


def test_peers_and_options_may_be_mixed() -> None:
    config = parse((*NAME, "one", "--no-discovery", "two:7000", "--nickname", "n"), {}).config
    assert config.targets == ("one", "two:7000")
    assert not config.discovery
    assert config.nickname == "n"


def test_an_empty_range_switches_allocation_off() -> None:
    assert parse((*NAME, "--ipalloc-range", ""), {}).config.universe is None


def test_switches_of_services_that_are_not_there_are_accepted_when_they_are_off() -> None:
    parse((*NAME, "--no-dns", "--without-dns", "--plugin=false", "--proxy=false", "--no-restart"), {})
    with pytest.raises(SettingsError, match="--plugin"):
        parse((*NAME, "--plugin=true"), {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resume", "peer"), "initial peer list in conjunction with --resume"),
        (("--ipalloc-range", "10.32.0.1/12"), "bits after network prefix"),
        (("--ipalloc-range", "nonsense"), "--ipalloc-range"),
        (("--ipalloc-range", "10.0.0.0/31"), "no room"),
        (("--ipalloc-range", "fd00::/127"), "/126 is the smallest"),
        (("--ipalloc-range", "10.0.0.0/8,10.0.0.0/12"), "both IPv4"),
        (("--ipalloc-range", "10.0.0.0/8,fd00::/64,fd01::/64"), "both IPv6"),
        (("--ipalloc-range", "10.0.0.0/8,"), "--ipalloc-range"),
        (("--ipalloc-range", "fd00::1/64"), "bits after network prefix"),
        (("--ipalloc-range", "fe80::/64"), "take a part of fd00::/8"),
        (("--ipalloc-range", "::/0"), "take a part of fd00::/8"),
        (("--ipalloc-range", "::ffff:10.0.0.0/112"), "IPv4 inside IPv6"),
        (("--ipalloc-default-subnet", "fd00::/64"), "does not overlap with allocation range"),
        (("--ipalloc-range", "", "--ipalloc-default-subnet", "10.0.0.0/24"), "specified without --ipalloc-range"),
        (("--ipalloc-range", "", "--ipalloc-init", "observer"), "specified without --ipalloc-range"),
        (("--ipalloc-default-subnet", "192.168.0.0/24"), "does not overlap with allocation range"),
        (("--ipalloc-init", "nonsense"), "unknown mode: nonsense"),
        (("--ipalloc-init", "seed="), "seed mode requires peer name list"),
        (("--ipalloc-init", "consensus=x"), "bad consensus parameter: x"),
        (("--ipalloc-init", "observer=1"), "observer mode takes no parameter"),
        (("--port", "0"), "--port"),
        (("--port", "65535"), "--port"),
        (("--mtu", "100"), "--mtu"),
        (("--mtu", "1279", "--ipalloc-range", "10.0.0.0/8,fd00::/64"), "not a number from 1280"),
        (("--conn-limit", "-1"), "--conn-limit"),
        (("--record-limit", "0"), "--record-limit"),
        (("--nonsense",), "--nonsense"),
        (("--trusted-subnets", "10.0.0.0"), "Unable to parse trusted subnets: invalid CIDR address: 10.0.0.0"),
        (("--trusted-subnets", "10.0.0.0/8,x/9"), "Unable to parse trusted subnets: invalid CIDR address: x/9"),
        (("--trusted-subnets", "10.0.0.0/33"), "invalid CIDR address: 10.0.0.0/33"),
        (("--trusted-subnets", "fd00::/8"), "invalid CIDR address: fd00::/8"),
        (("--trusted-subnets", "10.0.0.0/8,"), "invalid CIDR address: "),
    ],
)
def test_what_makes_no_sense_is_named(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse((*NAME, *words), {})
    assert message in str(error.value)


def test_whoever_gives_a_password_anywhere_gets_encryption() -> None:
    assert not parse(NAME, {}).config.has_password
    assert not parse((*NAME, "--password", ""), {"WEAVE_PASSWORD": ""}).config.has_password
    assert parse((*NAME, "--password", "hunter2"), {}).config.has_password
    assert parse(NAME, {"WEAVE_PASSWORD": "hunter2"}).config.has_password
    assert parse((*NAME, "--password="), {"WEAVE_PASSWORD": "hunter2"}).config.has_password, "as in Weave Net"
    assert parse(NAME, {}, has_password=True).config.has_password


def test_settings_do_not_hold_the_password() -> None:
    assert "hunter2" not in repr(parse((*NAME, "--password", "hunter2"), {"WEAVE_PASSWORD": "hunter2"}))


def test_trusted_subnets_are_read_as_weave_net_reads_them() -> None:
    assert parse(NAME, {}).config.trusted == ()
    words = (*NAME, "--trusted-subnets", "10.1.2.3/8,192.168.0.0/24,10.0.0.0/8")
    assert parse(words, {}).config.trusted == ("10.0.0.0/8", "192.168.0.0/24")


def test_peer_names_are_mac_addresses_and_may_be_short() -> None:
    assert peer_name("7E:21:4a:70:2f:5") == "7e:21:4a:70:2f:05"
    assert peer_name("::1") == "00:00:00:00:00:01"
    assert peer_name("2::1:2") == "02:00:00:00:01:02"
    for text in ("", "1", "1:2:3:4:5:6:7", "g::1", "::123"):
        with pytest.raises(SettingsError):
            peer_name(text)


def test_a_list_of_seeds_names_peers() -> None:
    assert seed_mode("seed=::1,::2") == SeedMode("seed", (peer_name("::1"), peer_name("::2")))
    assert seed_mode("consensus=3") == SeedMode("consensus", (), 3)


def test_a_derived_name_stays_the_same_and_belongs_to_nobody_else(tmp_path: Path) -> None:
    name = derived_peer_name(tmp_path)
    assert name == derived_peer_name(tmp_path)
    first = int(name[:2], 16)
    assert first & 0b11 == 0b10, "locally administered, one receiver"


def test_a_range_of_each_family_in_any_order() -> None:
    words = ("--ipalloc-range", "fd00:10:32::/64,10.32.0.0/12", "--ipalloc-default-subnet", "10.32.5.0/24")
    config = parse((*NAME, *words), {}).config
    assert str(config.universe) == "10.32.0.0/12,fd00:10:32::/64"
    assert [str(subnet) for subnet in config.subnets] == ["10.32.5.0/24", "fd00:10:32::/64"]


def test_options_of_names_are_read_as_weave_net_s_users_write_them() -> None:
    settings = parse(NAME, {})
    server = settings.name_server
    assert (settings.config.dns, settings.config.domain, settings.config.dns_ttl_s) == (True, "weave.local.", 1)
    assert (server.host, server.port, server.timeout_ms, server.resolv_conf) == ("", 53, 5_000, "/etc/resolv.conf")
    words = ("--dns-domain", "Foo.bar", "--dns-ttl", "30", "--dns-listen-address", "10.1.2.3:5300")
    settings = parse((*NAME, *words, "--dns-fallback-timeout", "1.5s", "--resolv-conf", "/r"), {})
    server = settings.name_server
    assert (settings.config.domain, settings.config.dns_ttl_s) == ("foo.bar.", 30)
    assert (server.domain, server.ttl_s) == ("foo.bar.", 30)
    assert (server.host, server.port, server.timeout_ms, server.resolv_conf) == ("10.1.2.3", 5300, 1_500, "/r")
    assert not parse((*NAME, "--no-dns"), {}).config.dns


@pytest.mark.parametrize(
    ("text", "place"), [("10.0.0.1", ("10.0.0.1", 53)), ("fd00::1", ("fd00::1", 53)), ("[fd00::1]:5", ("fd00::1", 5))]
)
def test_addresses_to_listen_on_are_of_either_family(text: str, place: tuple[str, int]) -> None:
    assert listen_address(text) == place


@pytest.mark.parametrize(
    "words",
    [
        ("--dns-domain", "a..b"),
        ("--dns-domain", "x." * 100),
        ("--dns-ttl", "-1"),
        ("--dns-listen-address", "host:53"),
        ("--dns-listen-address", "10.0.0.1:0"),
        ("--dns-fallback-timeout", "5"),
        ("--dns-fallback-timeout", "0s"),
        ("--dns-fallback-timeout", "999999m"),
    ],
)
def test_options_of_names_that_make_no_sense_are_refused(words: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match=words[0]):
        parse((*NAME, *words), {})
