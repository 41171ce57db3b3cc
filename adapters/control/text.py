"""`weave status` and its parts as text, line by line as Weave Net's users parse it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from core.ipam.status import OwnerStatus, PartStatus
from core.ipam.universe import amount
from core.mesh.status import ConnectionStatus
from core.messages import PROTOCOL_MAX, PROTOCOL_MIN
from core.naming.status import NameStatus
from core.status import Status
from core.types import address_text

STATES = ("established", "pending", "retrying", "failed", "connecting")
LABEL_WIDTH = 15


def status_text(status: Status) -> str:
    """Return `weave status`, without the blank lines around it."""
    blocks = [_block(("Version", f"{status.config.version} (version check update disabled)")), _router(status)]
    if status.ipam is not None:
        blocks.append(
            _block(
                ("Service", "ipam"),
                ("Status", status.ipam.state),
                ("Range", status.ipam.universe),
                ("DefaultSubnet", status.ipam.default_subnet),
            )
        )
    if status.config.dns:
        blocks.append(_block(*_dns(status)))
    if status.alarms:
        blocks.append(_block(("Service", "alarms"), *(("Alarm", alarm) for alarm in status.alarms)))
    if status.kernel:
        lines = [f"{item.what}: {item.why}{f'; {item.hint}' if item.hint else ''}" for item in status.kernel]
        blocks.append(_block(("Service", "kernel"), *(("Trouble", line) for line in lines)))
    return "\n".join(blocks)


def targets_text(status: Status) -> str:
    """Return one target per line, as typed."""
    return _lines(status.mesh.targets)


def connections_text(status: Status) -> str:
    """Return one connection per line."""
    return _lines(_connection(connection) for connection in status.mesh.connections)


def peers_text(status: Status) -> str:
    """Return each peer, followed by its connections."""
    lines = []
    for peer in status.mesh.peers:
        lines.append(f"{peer.peer}({peer.nickname})")
        for link in peer.links:
            state = "established" if link.established else "pending"
            name = f"{link.peer}({link.nickname})"
            lines.append(f"   {_arrow(outbound=link.outbound)} {link.address:<21} {name:<37} {state}")
    return _lines(lines)


def dns_text(status: Status) -> str:
    """Return one line per address of a name that is answered; names of hosts that are cut off come after a blank line.

    Columns are name without domain, address, container and peer.
    """
    if not status.config.dns:
        return ""
    present = [_name(entry, status.config.domain) for entry in status.names if entry.is_present]
    withheld = [_name(entry, status.config.domain) for entry in status.names if not entry.is_present]
    return _lines([*present, *(["", *(f"{line} - withheld: unreachable!" for line in withheld)] if withheld else [])])


def ipam_text(status: Status) -> str:
    """Return each owner of addresses with its share, of each family; nothing while there is no ring.

    Then, set off by a blank line, what waits and for what, and what somebody must know or settle.
    """
    if status.ipam is None or not status.ipam.owners:
        return ""
    lines = []
    first = status.ipam.owners[0]
    for index, part in enumerate(status.ipam.parts):
        # Scripts know the words of a range of one family.
        whole = "total" if len(status.ipam.parts) == 1 else part.cidr
        lines += [_owner_line(one, index, part, whole, is_us=one is first) for one in status.ipam.owners]
    notes = [f"{wait.ident} waits for {' '.join(wait.wants)}: {wait.why}" for wait in status.ipam.pending]
    notes += [
        f"{entry.ident} is gone: {' '.join(map(str, entry.left))} will be free soon, unless it comes back"
        for entry in status.ipam.idle
        if entry.left
    ]
    notes += [*status.ipam.squatters, *status.ipam.alarms, *status.ipam.conflicts]
    return _lines([*lines, *(["", *notes] if notes else [])])


def _owner_line(owner: OwnerStatus, index: int, part: PartStatus, whole: str, *, is_us: bool) -> str:
    count, active = owner.parts[index]
    info = f"({active} active)" if is_us else "" if owner.is_reachable else "- unreachable!"
    name = f"{owner.peer}({owner.nickname})"
    return f"{name:<37} {amount(count):>8} IPs ({100 * count / part.size:04.1f}% of {whole}) {info}"


def _name(entry: NameStatus, domain: str) -> str:
    name = entry.name[: -len(domain) - 1]
    return f"{name:<12} {address_text(entry.address):<15} {entry.container:<12.12} {entry.peer}"


def _dns(status: Status) -> Iterator[tuple[str, str]]:
    config, server = status.config, status.server
    yield "Service", "dns"
    yield "Domain", config.domain
    if server is not None:
        yield "Upstream", ", ".join(server.upstreams)
    yield "TTL", str(config.dns_ttl_s)
    yield "Entries", str(sum(entry.is_present for entry in status.names))
    if server is not None:
        yield "Address", ", ".join(server.addresses) or "none yet"
        if server.trouble:
            yield "Trouble", server.trouble


def _router(status: Status) -> str:
    mesh, config = status.mesh, status.config
    counts = dict.fromkeys(STATES, 0)
    for connection in mesh.connections:
        counts[connection.state] = counts.get(connection.state, 0) + 1
    detail = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    links = [link.established for peer in mesh.peers for link in peer.links]
    sums = [(sum(links), "established"), (len(links) - sum(links), "pending")]
    with_links = ", ".join(f"{count} {state}" for count, state in sums if count)
    return _block(
        ("Service", "router"),
        ("Protocol", f"weavenet {PROTOCOL_MIN}..{PROTOCOL_MAX}"),
        ("Name", f"{config.peer}({config.nickname})"),
        ("Encryption", "enabled" if config.has_password else "disabled"),
        ("PeerDiscovery", "enabled" if config.discovery else "disabled"),
        ("Targets", str(len(mesh.targets))),
        ("Connections", f"{len(mesh.connections)}{f' ({detail})' if detail else ''}"),
        ("Peers", f"{len(mesh.peers)}{f' (with {with_links} connections)' if with_links else ''}"),
        ("TrustedSubnets", ", ".join(config.trusted) or "none"),
    )


def _connection(connection: ConnectionStatus) -> str:
    info = connection.info
    if connection.retry_at_ms is not None:
        moment = datetime.fromtimestamp(connection.retry_at_ms / 1000, UTC)
        info = f"{info}, retry: {moment:%Y-%m-%d %H:%M:%S} +0000 UTC"
    hidden = ("name", "error")
    attributes = " ".join(f"{key}={_value(value)}" for key, value in connection.attributes if key not in hidden)
    arrow = _arrow(outbound=connection.outbound)
    why = f" ({connection.why})" if connection.why else ""
    return f"{arrow} {connection.address:<21} {connection.state:<11} {info} {attributes}{why}"


def _block(*pairs: tuple[str, str]) -> str:
    return "".join(f"{label:>{LABEL_WIDTH}}: {value}\n" for label, value in pairs)


def _lines(lines: object) -> str:
    return "".join(f"{line}\n" for line in lines)  # type: ignore[attr-defined]  # any iterable of texts


def _arrow(*, outbound: bool) -> str:
    return "->" if outbound else "<-"


def _value(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
