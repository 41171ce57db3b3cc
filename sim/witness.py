"""Sees what people see: the status of hosts line by line, and the answers that were given there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.ipam.status import IpamStatus
from core.ipam.universe import amount
from core.replica import Replica
from core.status import Status
from core.types import address_text
from sim.books import Violation
from sim.expectation import STORY, Expectation
from sim.host import Host
from sim.scene import Scene


def look(scene: Scene, expectation: Expectation) -> None:
    """Check that some hosts show what is expected. Raises: Violation."""
    for index in expectation.hosts:
        host = scene.world.hosts[index]
        lines = lines_of(scene, host, expectation.part)
        if not expectation.is_met_by(lines):
            verb = "must not show" if expectation.never else "should show"
            shown = "; ".join(repr(line) for line in lines) or "nothing"
            when = f"at {scene.world.now_us // 1000} ms {host.name} {verb}"
            raise Violation(f"{STORY}: {when} {expectation.shows!r} among its {expectation.part}, and shows {shown}")


def lines_of(scene: Scene, host: Host, part: str) -> tuple[str, ...]:
    """Return a part of what a host shows now; nothing while its agent is down, but for answers given before."""
    if part == "answers":
        return tuple(scene.books.replies[host.index])
    if part == "names":
        return tuple(_names(host))
    if not isinstance(host.heart, Replica):
        return ()
    return tuple(_READERS[part](host.heart.describe(host.clock.at(scene.world.now_us))))


def _names(host: Host) -> Iterable[str]:
    """What the name server answers."""
    for key in sorted(host.served):
        yield f"{key} {' '.join(address_text(answer.address) for answer in host.served[key].hosts)}"


def _alarms(status: Status) -> Iterable[str]:
    return status.alarms


def _connections(status: Status) -> Iterable[str]:
    return (f"{line.nickname or line.address} {line.state} {line.info}" for line in status.mesh.connections)


def _interfaces(status: Status) -> Iterable[str]:
    return (
        f"{item.container} {' '.join(item.addresses)} {'up' if item.is_up else item.waits_for}"
        for item in status.attachments
    )


def _conflicts(ipam: IpamStatus) -> Iterable[str]:
    return ipam.conflicts


def _held(ipam: IpamStatus) -> Iterable[str]:
    return (f"{ident} {' '.join(str(cidr) for cidr in cidrs)}" for ident, cidrs in ipam.held)


def _owners(ipam: IpamStatus) -> Iterable[str]:
    return (
        f"{owner.nickname or owner.peer} {amount(owner.addresses)}{'' if owner.is_reachable else ' unreachable'}"
        for owner in ipam.owners
    )


def _pending(ipam: IpamStatus) -> Iterable[str]:
    return (f"{wait.ident} {' '.join(wait.wants)}: {wait.why}" for wait in ipam.pending)


def _stranded(ipam: IpamStatus) -> Iterable[str]:
    return (f"{ident} {address} {owner}" for address, ident, owner in ipam.stranded)


def _of_ipam(read: Callable[[IpamStatus], Iterable[str]]) -> Callable[[Status], Iterable[str]]:
    return lambda status: () if status.ipam is None else read(status.ipam)


_READERS: dict[str, Callable[[Status], Iterable[str]]] = {
    "alarms": _alarms,
    "conflicts": _of_ipam(_conflicts),
    "connections": _connections,
    "held": _of_ipam(_held),
    "interfaces": _interfaces,
    "owners": _of_ipam(_owners),
    "pending": _of_ipam(_pending),
    "state": _of_ipam(lambda ipam: (ipam.state,)),
    "stranded": _of_ipam(_stranded),
    "terminations": lambda status: (str(status.mesh.terminations),),
}
"""How each part is written."""
