"""The lab file: a small TOML text that names hosts, the links between them, and containers.

What it is: parsing and checking, nothing else; no kernel, no process. A text either becomes a `LabFile` in which every
reference resolves, or raises `LabError` that names the place and what is allowed there.

    [lab]
    name = "line"                 # prefix of everything the lab creates
    launch = ["--no-dns"]         # options of `weave launch` on every host

    [[host]]
    name = "A"
    launch = ["--log-level", "debug"]   # more options; false: start no agent
    peers = ["B"]                 # hosts to dial; left out: every linked host
    setup = ["sysctl -qw net.ipv4.ip_forward=1"]    # commands to run there before any agent starts: routes, NAT, rules

    [[link]]
    a = "A"
    b = "B"
    delay = "10ms"                # one way, in each direction; rate and loss likewise

    [[container]]
    host = "A"
    name = "a1"
    attach = true                 # `weave attach` when the lab comes up
    addresses = ["net:default"]
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

# An interface name has 15 bytes, and a link's end is called `to-<host>`.
HOST_PATTERN = re.compile(r"[A-Za-z0-9]{1,12}")
# Only the host part of `wnlab-<lab>-<host>.<container>` is free of hyphens, so that the name can be taken apart again.
LAB_PATTERN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,22}[A-Za-z0-9])?")
CONTAINER_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
# The spellings of tc(8) that an operator uses; tc itself knows more.
DELAY_PATTERN = re.compile(r"\d+(\.\d+)?(us|ms|s)")
RATE_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(kbit|mbit|gbit)")
LOSS_PATTERN = re.compile(r"\d{1,2}(\.\d+)?%|100%")
# One machine runs a few dozen agents at best; a larger number is a slip of the pen.
HOSTS_MAX = 256
LINKS_MAX = 4096
CONTAINERS_MAX = 4096


class LabError(Exception):
    """A lab cannot be read, made or found; the text says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Host:
    """One network namespace that plays a machine."""

    name: str
    """As the file says, case kept."""
    launch: tuple[str, ...] | None
    """Options of `weave launch`, the lab's first; None starts no agent."""
    peers: tuple[str, ...]
    """Hosts to dial, each of them linked."""
    setup: tuple[str, ...] = ()
    """Shell commands, run on the host in this order once all cables are there."""


@dataclass(frozen=True, slots=True)
class Link:
    """One virtual cable between two hosts."""

    a: str
    """One end."""
    b: str
    """The other end."""
    delay: str | None = None
    """One way, in tc's spelling such as `10ms`; the same in both directions."""
    rate: str | None = None
    """Such as `100mbit`, in each direction."""
    loss: str | None = None
    """Such as `1%`, in each direction."""

    def joins(self, one: str, other: str) -> bool:
        """Tell whether this is the link between the two hosts, in either order."""
        return {self.a, self.b} == {one, other}


@dataclass(frozen=True, slots=True)
class Container:
    """One network namespace that plays a container."""

    host: str
    """Where it runs."""
    name: str
    """Unique on its host."""
    addresses: tuple[str, ...] = ()
    """Arguments of `weave attach`, such as `10.2.1.1/24` or `net:default`; none asks for the default subnet."""
    attach: bool = False
    """Attach it when the lab comes up."""


@dataclass(frozen=True, slots=True)
class LabFile:
    """A whole lab, every reference checked."""

    name: str
    """Of the lab; part of every namespace's name."""
    hosts: tuple[Host, ...]
    """In the file's order."""
    links: tuple[Link, ...]
    """In the file's order, which decides their addresses."""
    containers: tuple[Container, ...]
    """In the file's order."""

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises: LabError that lists those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"lab {self.name} has no host {name}; its hosts are {', '.join(h.name for h in self.hosts)}")


def load(path: Path) -> LabFile:
    """Read a lab file. Raises: LabError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot read lab file {path}: {error}") from error
    try:
        return parse(text)
    except LabError as error:
        raise LabError(f"{path}: {error}") from error


def parse(text: str) -> LabFile:
    """Turn TOML into a checked lab. Raises: LabError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"not valid TOML: {error}") from error
    _only(document, "the file", ("lab", "host", "link", "container"))
    head = document.get("lab", {})
    if not isinstance(head, dict):
        raise LabError("[lab] must be a table")
    _only(head, "[lab]", ("name", "launch"))
    name = _text(head, "[lab]", "name", LAB_PATTERN, "letters, digits and inner hyphens, at most 24")
    common = _launch(head, "[lab]") or ()
    links = tuple(_link(row, f"[[link]] {n}") for n, row in enumerate(_rows(document, "link", LINKS_MAX), start=1))
    rows = _rows(document, "host", HOSTS_MAX)
    hosts = tuple(_host(row, f"[[host]] {n}", common, links) for n, row in enumerate(rows, start=1))
    containers = tuple(
        _container(row, f"[[container]] {n}")
        for n, row in enumerate(_rows(document, "container", CONTAINERS_MAX), start=1)
    )
    lab = LabFile(name, hosts, links, containers)
    _check(lab)
    return lab


def _check(lab: LabFile) -> None:
    if not lab.hosts:
        raise LabError("a lab needs at least one [[host]] with a name")
    _no_twins([host.name for host in lab.hosts], "host")
    _no_twins([" – ".join(sorted((link.a, link.b))) for link in lab.links], "link")
    _no_twins([f"{container.host}.{container.name}" for container in lab.containers], "container")
    for link in lab.links:
        lab.host(link.a)
        lab.host(link.b)
        if link.a == link.b:
            raise LabError(f"host {link.a} is linked to itself; a link joins two hosts")
    for host in lab.hosts:
        for peer in host.peers:
            lab.host(peer)
            if not any(link.joins(host.name, peer) for link in lab.links):
                raise LabError(f"host {host.name} lists peer {peer}, but no [[link]] joins them; add one")
    for container in lab.containers:
        if lab.host(container.host).launch is None and container.attach:
            raise LabError(
                f"container {container.name} is to be attached, but host {container.host} has launch = false; "
                "drop one of the two"
            )


def _no_twins(names: list[str], what: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise LabError(f"{what} {name} is there twice; names must differ")


def _host(row: dict[str, object], where: str, common: tuple[str, ...], links: tuple[Link, ...]) -> Host:
    _only(row, where, ("name", "launch", "peers", "setup"))
    name = _text(row, where, "name", HOST_PATTERN, "1 to 12 letters and digits")
    own = _launch(row, where)
    peers = _words(row, where, "peers")
    if "peers" not in row:
        peers = tuple(link.b if link.a == name else link.a for link in links if name in (link.a, link.b))
    return Host(name, None if own is None else common + own, peers, _words(row, where, "setup"))


def _link(row: dict[str, object], where: str) -> Link:
    _only(row, where, ("a", "b", "delay", "rate", "loss"))
    return Link(
        a=_text(row, where, "a", HOST_PATTERN, "a host's name"),
        b=_text(row, where, "b", HOST_PATTERN, "a host's name"),
        delay=_quantity(row, where, "delay", DELAY_PATTERN, '"10ms"'),
        rate=_quantity(row, where, "rate", RATE_PATTERN, '"100mbit"'),
        loss=_quantity(row, where, "loss", LOSS_PATTERN, '"1%"'),
    )


def _container(row: dict[str, object], where: str) -> Container:
    _only(row, where, ("host", "name", "addresses", "attach"))
    attach = row.get("attach", False)
    if not isinstance(attach, bool):
        raise LabError(f"{where}: attach is {attach!r}; it must be true or false")
    return Container(
        host=_text(row, where, "host", HOST_PATTERN, "a host's name"),
        name=_text(row, where, "name", CONTAINER_PATTERN, "letters, digits, hyphens, at most 32"),
        addresses=_words(row, where, "addresses"),
        attach=attach,
    )


def _rows(document: dict[str, object], key: str, count_max: int) -> list[dict[str, object]]:
    rows = document.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LabError(f"{key} must be written as [[{key}]] tables")
    if len(rows) > count_max:
        raise LabError(f"{len(rows)} [[{key}]] tables; at most {count_max} fit")
    return rows


def _only(row: dict[str, object], where: str, allowed: tuple[str, ...]) -> None:
    for key in row:
        if key not in allowed:
            raise LabError(f"{where}: unknown key {key}; known are {', '.join(allowed)}")


def _text(row: dict[str, object], where: str, key: str, pattern: re.Pattern[str], rule: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise LabError(f"{where}: {key} is {value!r}; it must be {rule}")
    return value


def _quantity(row: dict[str, object], where: str, key: str, pattern: re.Pattern[str], example: str) -> str | None:
    return None if key not in row else _text(row, where, key, pattern, f"a text such as {example}")


def _words(row: dict[str, object], where: str, key: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise LabError(f"{where}: {key} is {value!r}; it must be a list of texts")
    return tuple(value)


def _launch(row: dict[str, object], where: str) -> tuple[str, ...] | None:
    if row.get("launch") is False:
        return None
    return _words(row, where, "launch")
