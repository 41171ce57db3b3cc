"""How every host of a world stands at a moment, in a few lines each: `weave status` for a whole cluster."""

from __future__ import annotations

from collections.abc import Iterator

from core.ipam.universe import amount
from core.replica import Replica
from core.status import Status
from sim.host import Host
from sim.world import World

SHOWN_MAX = 8
"""Items of a kind that are named; the rest is counted."""
DIGEST_SIZE = 8
"""Characters of a fingerprint that tell whether two hosts agree."""


def summary(world: World) -> Iterator[str]:
    """Yield lines."""
    for host in world.hosts:
        yield f"{host.name}  {host.config.peer}  {_life(host)}"
        heart = host.heart
        if isinstance(heart, Replica):
            yield from _status(heart.describe(host.clock.at(world.now_us)))
        if host.disk.is_full:
            yield "    disk: full"
        objects = host.kernel.observe()
        if objects:
            yield f"    kernel: {len(objects)} objects of ours"


def _life(host: Host) -> str:
    if host.heart is not None:
        return f"up, process {host.life}"
    return "without power" if host.is_dark else "down"


def _status(status: Status) -> Iterator[str]:
    digest = status.digest[:DIGEST_SIZE]
    sync = "in sync" if status.mesh.in_sync else "catching up"
    yield f"    facts: {status.facts} of {status.origins} lives, digest {digest}, {sync}; life {status.incarnation}"
    links = [f"{line.nickname or line.address} {line.state}" for line in status.mesh.connections]
    yield f"    links: {_list(links)}"
    away = [peer.nickname or peer.peer for peer in status.mesh.peers if not peer.is_reachable]
    if away:
        yield f"    out of reach: {_list(away)}"
    ipam = status.ipam
    if ipam is not None:
        owners = [f"{owner.nickname or owner.peer} {amount(owner.addresses)}" for owner in ipam.owners]
        yield f"    addresses: {ipam.state}; owners: {_list(owners)}"
        held = [f"{ident} {' '.join(str(cidr) for cidr in cidrs)}" for ident, cidrs in ipam.held]
        yield f"    given here: {_list(held)}"
        if ipam.pending:
            yield f"    waiting: {_list([f'{wait.ident} ({wait.why})' for wait in ipam.pending])}"
    down = [f"{item.container} ({item.waits_for})" for item in status.attachments if not item.is_up]
    if down:
        yield f"    not up: {_list(down)}"
    troubles = [f"{trouble.what}: {trouble.why}" for trouble in status.kernel]
    if troubles:
        yield f"    kernel trouble: {_list(troubles)}"
    for alarm in status.alarms:
        yield f"    ALARM: {alarm}"


def _list(items: list[str]) -> str:
    shown = ", ".join(items[:SHOWN_MAX]) or "none"
    return f"{shown}, and {len(items) - SHOWN_MAX} more" if len(items) > SHOWN_MAX else shown
