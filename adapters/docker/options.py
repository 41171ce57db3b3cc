"""What `weave launch` is told about the Docker proxy, as one value that also travels to the proxy's process."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from adapters.docker.tls import Tls, detected

DOCKER = "unix:///var/run/docker.sock"
SOCKET = "weave.sock"
TCP_DEFAULT = "tcp://0.0.0.0:12375"
TLS_FILES = ("tlscacert", "tlscert", "tlskey")


class OptionsError(Exception):
    """The options make no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """Everything the proxy is told."""

    docker: str
    """The daemon: `unix://PATH` or `tcp://HOST:PORT`."""
    listen: tuple[str, ...]
    """Where clients come: the same two forms."""
    control: str
    """The agent's socket."""
    shim: str
    """Directory that the shim is kept in; containers that restart at boot need it, so it is not a temporary one."""
    bridge: str
    """Docker's own bridge: the host, as containers see it."""
    dns_domain: str
    """With the dot at its end; empty if the agent serves no names."""
    without_dns: bool
    """Leave names and name servers of containers alone."""
    multicast_route: bool
    """Multicast leaves containers by the network."""
    rewrite_hosts: bool
    """Write the hosts files of containers."""
    default_ipalloc: bool
    """Attach containers that do not ask for it."""
    rewrite_inspect: bool
    """Show weave's addresses in `docker inspect`."""
    hostname_label: str
    """Label that holds a container's host name; empty for none."""
    hostname_match: str
    """Regular expression over a container's name."""
    hostname_replacement: str
    """What the host name is made of, with `$1` and `${name}`."""
    tls: tuple[str, str, str] | None
    """Files with the authorities', own certificate, and own key, for TCP; None for no TLS."""
    tls_verify: bool
    """Clients need a certificate of those authorities."""

    def to_text(self) -> str:
        """Return a text for `from_text`."""
        return json.dumps(asdict(self))


def from_text(text: str) -> ProxyOptions:
    """Read what `to_text` has written."""
    values = json.loads(text)
    values["listen"] = tuple(values["listen"])
    values["tls"] = None if values["tls"] is None else tuple(values["tls"])
    return ProxyOptions(**values)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the proxy's options to those of `weave launch`."""
    add = parser.add_argument
    add("--proxy", choices=("true", "false"), help="put containers of Docker on the network (if there is a Docker)")
    add("-H", dest="proxy_listen", action="append", metavar="ADDRESS", help="where the proxy listens (weave.sock)")
    add("--docker-api", metavar="ADDRESS", help=f"of the Docker daemon, empty for none ({DOCKER}, or DOCKER_HOST)")
    add("--docker-bridge", metavar="NAME", help="Docker's own bridge (docker0, or DOCKER_BRIDGE)")
    add("--no-multicast-route", action="store_true", help="let multicast of containers leave by their other interface")
    add("--no-rewrite-hosts", action="store_true", help="leave /etc/hosts of containers alone")
    add("--no-default-ipalloc", action="store_true", help="attach only containers that have WEAVE_CIDR")
    add("--rewrite-inspect", action="store_true", help="show the network's addresses in `docker inspect`")
    add("--hostname-from-label", metavar="LABEL", default="", help="label that holds a container's host name")
    add("--hostname-match", metavar="REGEXP", default="(.*)", help="part of a container's name that matters ((.*))")
    add("--hostname-replacement", metavar="TEXT", default="$1", help="host name made of that part ($1)")
    for flag in ("tls", "tlsverify", "no-detect-tls"):
        add(f"--{flag}", action="store_true", help=argparse.SUPPRESS)
    for name in TLS_FILES:
        add(f"--{name}", metavar="FILE", default="", help=argparse.SUPPRESS)


def normalised(argv: list[str]) -> list[str]:
    """Return words in which flags that stand alone do not take the next word for their value."""
    return ["--proxy=true" if word in ("--proxy", "-proxy") else word for word in argv]


def read_options(
    asked: argparse.Namespace, env: Mapping[str, str], *, runtime: Path, data: Path, domain: str
) -> ProxyOptions | None:
    """Return what was asked for; None for no proxy. Raises: OptionsError."""
    client = env.get("DOCKER_HOST") or DOCKER
    own = f"unix://{runtime / SOCKET}"
    # With `eval $(weave env)` in force, a client's daemon is the proxy itself.
    docker = asked.docker_api if asked.docker_api is not None else DOCKER if client == own else client
    if asked.proxy == "false" or not docker:
        return None
    if asked.proxy is None and not asked.proxy_listen and not _is_there(docker):
        return None
    for address in (docker, *(asked.proxy_listen or ())):
        _check(address)
    if docker.startswith("tcp://") and asked.docker_api is None and env.get("DOCKER_TLS_VERIFY"):
        text = f"the proxy does not speak TLS to the Docker daemon at {docker}"
        raise OptionsError(f"{text}; name its socket with --docker-api unix:///PATH, or launch with --proxy=false")
    try:
        re.compile(asked.hostname_match)
    except re.error as error:
        raise OptionsError(f"Incorrect hostname match '{asked.hostname_match}': {error}") from error
    default = own if docker.startswith("unix://") else TCP_DEFAULT
    tls = _tls(asked, is_needed=any(not address.startswith("unix://") for address in asked.proxy_listen or (default,)))
    return ProxyOptions(
        docker=docker,
        listen=tuple(dict.fromkeys(asked.proxy_listen or (default,))),
        control=str(runtime / "control.sock"),
        shim=str(data / "shim"),
        bridge=asked.docker_bridge or env.get("DOCKER_BRIDGE") or "docker0",
        dns_domain="" if asked.no_dns else domain,
        without_dns=asked.without_dns,
        multicast_route=not asked.no_multicast_route,
        rewrite_hosts=not asked.no_rewrite_hosts,
        default_ipalloc=not asked.no_default_ipalloc,
        rewrite_inspect=asked.rewrite_inspect,
        hostname_label=asked.hostname_from_label,
        hostname_match=asked.hostname_match,
        hostname_replacement=asked.hostname_replacement,
        tls=None if tls is None else tls.files,
        tls_verify=tls is not None and tls.is_verifying,
    )


def _check(address: str) -> None:
    kind, separator, rest = address.partition("://")
    if kind == "unix" and separator:
        if not rest.startswith("/"):
            raise OptionsError("When launching the proxy, unix sockets must be specified as an absolute path.")
        return
    if kind != "tcp" or not rest.rpartition(":")[2].isdigit() or int(rest.rpartition(":")[2]) > 65_535:
        raise OptionsError(f"{address} is neither unix:///PATH nor tcp://HOST:PORT")


def _is_there(docker: str) -> bool:
    if not docker.startswith("unix://"):
        # Others, as ssh://, are for clients only.
        return docker.startswith("tcp://")
    try:
        return stat.S_ISSOCK(os.stat(docker.removeprefix("unix://")).st_mode)
    except OSError:
        return False


def _tls(asked: argparse.Namespace, *, is_needed: bool) -> Tls | None:
    """Return what was asked for, or else what the daemon does. Raises: OptionsError."""
    if not asked.tls and not asked.tlsverify:
        return None if asked.no_detect_tls or not is_needed else detected()
    files = {name: getattr(asked, name) for name in TLS_FILES}
    for name, file in files.items():
        if not file and (name != "tlscacert" or asked.tlsverify):
            raise OptionsError(f"--{name} is needed for TLS")
        if file and not os.path.isfile(file):
            raise OptionsError(f"--{name}: there is no file {file}")
    return Tls((files["tlscacert"], files["tlscert"], files["tlskey"]), asked.tlsverify)
