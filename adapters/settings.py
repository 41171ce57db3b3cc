"""Options of `weave launch` and the environment, as Weave Net's users know them, read into one value.

Options of services that are not there yet are accepted only in the form that switches them off.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.dns.options import DNS_PORT, FALLBACK_TIMEOUT_MS, RESOLV_CONF, ServerOptions
from adapters.docker import options as docker_options
from adapters.docker.options import OptionsError, ProxyOptions
from adapters.password import OPTION, VARIABLE
from core.config import Config, SeedMode
from core.ipam.universe import Universe, subnets_of
from core.naming.fqdn import problem_of
from core.naming.zone import TTL_MAX_S
from core.types import IPV4, IPV6, PeerName, Subnet

DEFAULT_RANGE = "10.32.0.0/12"
DEFAULT_PORT = 6783
HTTP_ADDRESS = "127.0.0.1:6784"
METRICS_ADDRESS = "127.0.0.1:6782"
RUNTIME_DIRECTORY = "/var/run/weave"
DATA_DIRECTORY = "/var/lib/weave"
SOCKET = "control.sock"
MTU_OVERHEAD = 124
"""Bytes of an underlay packet that containers leave free: enough for VXLAN in ESP (87), and for the sealed sleeve (114)
even behind the eight bytes of PPPoE. With Ethernet's 1500 it makes Weave Net's 1376."""
MTU_DEFAULT = 1500 - MTU_OVERHEAD
MTU_MIN, MTU_MAX = 576, 65_485
"""An IPv4 host must take 576 bytes; above, the outer headers no longer fit into 65,535."""
MTU_MIN_IPV6 = 1280
"""On a link with less Linux has no IPv6 (RFC 8200 §5)."""
RANGE_PREFIX_MAX = {IPV4: 30, IPV6: 126}
"""Four addresses: the first and the last are never given."""
NAME_SIZE = 6
MIB = 1024 * 1024
RECORD_MIB, RECORD_MIB_MAX = 64, 4096
"""Some 300,000 events, weeks of a quiet agent; a replay holds all of it in memory."""
HISTORY_MIB, HISTORY_MIB_MAX = 64, 4096
"""Some 200,000 changes, or a week of them; who asks `weave at` reads a sixteenth of it."""
DNS_DOMAIN = "weave.local."
DOMAIN_SIZE_MAX = 180
"""Characters: names in it are to have room, too, and so are the two names of its authority."""
SPAN_MAX_MS = 3_600_000
LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """The options make no sense; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an agent is told."""

    config: Config
    """For the heart."""
    host: str
    """Address to listen on for peers."""
    http: str
    """`host:port` of the read-only status; empty for none."""
    metrics: str
    """`host:port` of metrics and status; empty for none."""
    runtime: Path
    """Directory of socket, pid and log."""
    data: Path
    """Directory of the journal."""
    level: str
    """Least important level that is logged."""
    range_is_default: bool
    """The address range was not asked for."""
    mtu_is_default: bool
    """The MTU was not asked for, and follows that of the links to other hosts."""
    record: Path | None
    """Where to record what the heart is told; None for nowhere."""
    record_size_max: int
    """Bytes that the recording may have."""
    history_size_max: int
    """Bytes that the history may have; 0 for none."""
    name_server: ServerOptions
    """For the name server, if there is one."""
    proxy: ProxyOptions | None
    """For the Docker proxy; None for no proxy."""

    @property
    def socket(self) -> Path:
        """Where changes are asked for."""
        return self.runtime / SOCKET


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> object:  # type: ignore[override]  # it does not return
        raise SettingsError(message)


def runtime_directory(env: Mapping[str, str]) -> Path:
    """Return where an agent's socket is."""
    return Path(env.get("WEAVE_RUNTIME_DIR") or RUNTIME_DIRECTORY)


def parse(argv: Sequence[str], env: Mapping[str, str], *, has_password: bool = False) -> Settings:
    """Read options and environment. `has_password` if there is one in neither any more. Raises: SettingsError."""
    asked = _parser().parse_intermixed_args(docker_options.normalised(list(argv)))
    peers = tuple(asked.peers)
    record = asked.record or env.get("WEAVE_RECORD")
    if asked.resume and peers:
        raise SettingsError("You must not specify an initial peer list in conjunction with --resume")
    port = _port(asked.port if asked.port is not None else env.get("WEAVE_PORT") or DEFAULT_PORT)
    data = Path(asked.data_dir or env.get("WEAVE_DATA_DIR") or DATA_DIRECTORY)
    universe, default_subnet = _ranges(asked)
    mtu = asked.mtu or env.get("WEAVE_MTU")
    config = Config(
        peer=peer_name(asked.name) if asked.name else derived_peer_name(data),
        nickname=asked.nickname or socket.gethostname(),
        port=port,
        targets=peers,
        discovery=not asked.no_discovery,
        connection_limit=_number("--conn-limit", asked.conn_limit, 0, 4096),
        universe=universe,
        default_subnet=default_subnet,
        seed=seed_mode(asked.ipalloc_init or "consensus"),
        mtu=_number("--mtu", mtu or MTU_DEFAULT, mtu_min(universe), MTU_MAX),
        bridge=asked.weave_bridge,
        resume=asked.resume,
        fastdp=not (asked.no_fastdp or env.get("WEAVE_NO_FASTDP")),
        has_password=has_password or bool(asked.password or env.get(VARIABLE)),
        trusted=trusted_subnets(asked.trusted_subnets or ""),
        dns=not asked.no_dns,
        domain=dns_domain(asked.dns_domain),
        dns_ttl_s=_number("--dns-ttl", asked.dns_ttl, 0, TTL_MAX_S),
    )
    runtime = runtime_directory(env)
    try:
        proxy = docker_options.read_options(asked, env, runtime=runtime, data=data, domain=config.domain)
    except OptionsError as error:
        raise SettingsError(str(error)) from error
    return Settings(
        config=config,
        host=asked.host,
        http=_first(asked.http_addr, env.get("WEAVE_HTTP_ADDR"), HTTP_ADDRESS),
        metrics=_first(asked.metrics_addr, asked.status_addr, env.get("WEAVE_STATUS_ADDR"), METRICS_ADDRESS),
        runtime=runtime,
        data=data,
        level=asked.log_level,
        range_is_default=asked.ipalloc_range is None,
        mtu_is_default=not mtu,
        record=Path(record) if record else None,
        record_size_max=_number("--record-limit", asked.record_limit, 1, RECORD_MIB_MAX) * MIB,
        history_size_max=_number("--history-size", asked.history_size, 0, HISTORY_MIB_MAX) * MIB,
        name_server=_name_server(asked, config),
        proxy=proxy,
    )


def mtu_min(universe: Universe | None) -> int:
    """Return how small containers' MTU may be."""
    has_ipv6 = universe is not None and any(part.family == IPV6 for part in universe.parts)
    return MTU_MIN_IPV6 if has_ipv6 else MTU_MIN


def seed_mode(text: str) -> SeedMode:
    """Read `seed=A,B`, `consensus[=N]` or `observer`. Raises: SettingsError."""
    mode, equals, value = text.partition("=")
    problem = ""
    if mode == "seed":
        names = tuple(peer_name(name) for name in value.split(",") if name)
        if names:
            return SeedMode("seed", names)
        problem = "seed mode requires peer name list"
    elif mode == "consensus":
        if not equals:
            return SeedMode("consensus")
        if value.isascii() and value.isdigit() and 0 < int(value) <= 4095:
            return SeedMode("consensus", (), int(value))
        problem = f"bad consensus parameter: {value}"
    elif mode == "observer":
        if not equals:
            return SeedMode("observer")
        problem = "observer mode takes no parameter"
    else:
        problem = f"unknown mode: {mode}"
    raise SettingsError(f"Unable to parse --ipalloc-init: {problem}")


def trusted_subnets(text: str) -> tuple[str, ...]:
    """Read `CIDR[,CIDR]`; host bits do not count. Raises: SettingsError with Weave Net's words."""
    subnets = []
    for item in text.split(",") if text else ():
        try:
            if "/" not in item:
                raise ValueError("no prefix length")
            subnets.append(str(ipaddress.IPv4Network(item, strict=False)))
        except ValueError as error:
            raise SettingsError(f"Unable to parse trusted subnets: invalid CIDR address: {item}") from error
    return tuple(dict.fromkeys(subnets))


def dns_domain(text: str) -> str:
    """Read a domain, with or without its last dot. Raises: SettingsError."""
    domain = text.lower().rstrip(".") + "."
    problem = problem_of(domain) or (len(domain) > DOMAIN_SIZE_MAX and f"more than {DOMAIN_SIZE_MAX} characters")
    if problem:
        raise SettingsError(f"--dns-domain {text}: {problem}")
    return domain


def listen_address(text: str) -> tuple[str, int]:
    """Read `IP[:PORT]`, IPv6 with a port in brackets; empty for wherever it suits. Raises: SettingsError."""
    host, port = text, str(DNS_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        found = str(ipaddress.ip_address(host)) if host else ""
    except ValueError as error:
        raise SettingsError(f"--dns-listen-address {text}: {error}") from error
    return found, _number("--dns-listen-address", port, 1, 65_535)


def span_ms(option: str, text: str) -> int:
    """Read `5s`, `500ms`, `1m` as Go writes them; at least a millisecond. Raises: SettingsError."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)", text)
    found = int(float(match[1]) * {"ms": 1, "s": 1_000, "m": 60_000}[match[2]]) if match else 0
    if not 0 < found <= SPAN_MAX_MS:
        raise SettingsError(f"{option} {text}: a time like 5s or 500ms, an hour at most")
    return found


def peer_name(text: str) -> PeerName:
    """Read a peer name: a MAC address, in which `::` stands for zeros. Raises: SettingsError."""
    head, double, tail = text.partition("::")
    front = head.split(":") if head else []
    back = tail.split(":") if tail else []
    octets = front + ["0"] * (NAME_SIZE - len(front) - len(back)) + back if double else front
    if len(octets) != NAME_SIZE or not all(re.fullmatch("[0-9a-fA-F]{1,2}", octet) for octet in octets):
        raise SettingsError(f'invalid peer name "{text}": six pairs of hexadecimal digits, as in 7e:21:4a:70:2f:45')
    return PeerName(":".join(f"{int(octet, 16):02x}" for octet in octets))


def derived_peer_name(data: Path) -> PeerName:
    """Derive a name from the machine's identity; a machine without one gets a random name, kept beside the journal."""
    identity = _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id")
    product = _read("/sys/class/dmi/id/product_uuid") or _read("/sys/hypervisor/uuid")
    if identity or product:
        digest = hashlib.sha256(f"weavenet-{identity}{product}".encode()).digest()
        return _named(digest[:NAME_SIZE])
    file = data / "peer-name"
    kept = _read(str(file))
    if kept:
        return peer_name(kept)
    name = _named(secrets.token_bytes(NAME_SIZE))
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(name)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}; this host needs a name: give one with --name") from error
    return name


def _parser() -> _Parser:
    parser = _Parser(prog="weave launch", allow_abbrev=False, add_help=False)
    add = parser.add_argument
    add("--name", metavar="MAC", help="this host's peer name; derived from the machine unless given")
    add("--nickname", metavar="NAME", help="what people call this host; its host name unless given")
    add("--port", metavar="PORT", help="TCP and UDP port for peers; VXLAN has UDP on the next one (6783)")
    add("--host", metavar="IP", default="0.0.0.0", help="address to listen on for peers (all)")
    add("--resume", action="store_true", help="connect to the peers of the last run")
    add("--no-discovery", action="store_true", help="connect only to the peers named here")
    add("--conn-limit", metavar="N", default=200, help="connections in and out together, 0 for no limit (200)")
    about = f"address range shared by all hosts; IPv4, IPv6 or both ({DEFAULT_RANGE})"
    add("--ipalloc-range", "--iprange", metavar="CIDR[,CIDR]", help=about)
    add("--ipalloc-default-subnet", metavar="CIDR[,CIDR]", help="part of it used unless asked otherwise (all)")
    add("--ipalloc-init", metavar="MODE", help="seed=NAME,…  consensus[=N]  observer  (consensus)")
    add(OPTION, metavar="TEXT", help=f"encrypt all between peers; the same everywhere (none, or {VARIABLE})")
    add("--trusted-subnets", metavar="CIDR,…", help="where frames need no encryption, if both ends say so (none)")
    add(
        "--mtu",
        metavar="BYTES",
        help=f"of containers' interfaces (what links to other hosts have, less {MTU_OVERHEAD})",
    )
    add("--no-fastdp", action="store_true", help="carry frames in the sleeve only, not in VXLAN by the kernel")
    add("--weave-bridge", metavar="NAME", default="weave", help="name of the bridge (weave)")
    add("--http-addr", metavar="HOST:PORT", help=f"read-only status, empty for none ({HTTP_ADDRESS})")
    add("--status-addr", metavar="HOST:PORT", help=argparse.SUPPRESS)
    add("--metrics-addr", metavar="HOST:PORT", help=f"metrics and status, empty for none ({METRICS_ADDRESS})")
    add("--data-dir", metavar="DIR", help=f"where the journal is ({DATA_DIRECTORY}, or WEAVE_DATA_DIR)")
    add("--log-level", choices=LEVELS, default="info", help="least important lines that are logged (info)")
    add("--record", metavar="FILE", help="record all that happens, for a replay (off, or WEAVE_RECORD)")
    add("--record-limit", metavar="MIB", default=RECORD_MIB, help=f"size at which recording stops ({RECORD_MIB})")
    add("--history-size", metavar="MIB", default=HISTORY_MIB, help=f"for 'weave at', 0 for none ({HISTORY_MIB})")
    add("--no-dns", action="store_true", help="serve no names")
    add("--dns-domain", metavar="NAME", default=DNS_DOMAIN, help=f"what names belong to ({DNS_DOMAIN})")
    add("--dns-ttl", metavar="SECONDS", default=1, help="how long resolvers may keep an answer (1)")
    about = "where names are served (the bridge of Docker, else of weave; port 53)"
    add("--dns-listen-address", metavar="IP[:PORT]", default="", help=about)
    about = "how long servers of --resolv-conf have for names of others (5s)"
    add("--dns-fallback-timeout", metavar="TIME", default=f"{FALLBACK_TIMEOUT_MS}ms", help=about)
    add("--resolv-conf", metavar="FILE", default="", help=f"names the servers for names of others ({RESOLV_CONF})")
    for flag in ("--without-dns", "--no-restart"):
        add(flag, action="store_true", help=argparse.SUPPRESS)
    add("--plugin", choices=("false",), help=argparse.SUPPRESS)
    docker_options.add_options(parser)
    add("peers", nargs="*", metavar="HOST[:PORT]", help="peers to connect to")
    return parser


def help_text() -> str:
    """Return the options of `weave launch`."""
    return _parser().format_help()


def _ranges(asked: argparse.Namespace) -> tuple[Universe | None, tuple[Subnet, ...]]:
    text = DEFAULT_RANGE if asked.ipalloc_range is None else asked.ipalloc_range
    if not text:
        for option in ("default-subnet", "init"):
            if getattr(asked, f"ipalloc_{option.replace('-', '_')}"):
                raise SettingsError(f"--ipalloc-{option} specified without --ipalloc-range.")
        return None, ()
    universe = Universe(_subnets("--ipalloc-range", text))
    if not asked.ipalloc_default_subnet:
        return universe, ()
    defaults = _subnets("--ipalloc-default-subnet", asked.ipalloc_default_subnet)
    for default in defaults:
        if universe.clip(default) is None:
            raise SettingsError(
                f"IP address allocation default subnet {default} does not overlap with allocation range {universe}"
            )
    return universe, defaults


def _subnets(option: str, text: str) -> tuple[Subnet, ...]:
    try:
        subnets = subnets_of(text)
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from error
    for subnet in subnets:
        longest = RANGE_PREFIX_MAX[subnet.family]
        if subnet.prefix > longest:
            raise SettingsError(f"{option}: {subnet} has no room for containers; /{longest} is the smallest")
    return subnets


def _name_server(asked: argparse.Namespace, config: Config) -> ServerOptions:
    host, port = listen_address(asked.dns_listen_address)
    return ServerOptions(
        domain=config.domain,
        ttl_s=config.dns_ttl_s,
        host=host,
        port=port,
        bridge=config.bridge,
        timeout_ms=span_ms("--dns-fallback-timeout", asked.dns_fallback_timeout),
        resolv_conf=asked.resolv_conf or RESOLV_CONF,
    )


def _port(value: object) -> int:
    # The overlay uses the next one.
    return _number("--port", value, 1, 65_534)


def _number(option: str, value: object, low: int, high: int) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise SettingsError(f"{option}: {text} is not a number from {low} to {high}")
    return int(text)


def _first(*values: str | None) -> str:
    """Return the first that was given; an empty one counts, it switches off."""
    return next(value for value in values if value is not None)


def _named(octets: bytes) -> PeerName:
    first = octets[0] & 0xFC | 0x02  # unicast, locally administered
    return PeerName(":".join(f"{octet:02x}" for octet in (first, *octets[1:])))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def is_running_as_root() -> bool:
    """Say whether this process may change the network."""
    return os.geteuid() == 0
