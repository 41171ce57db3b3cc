"""Observes and changes everything of ours in this host's kernel, one operation at a time.

Runs in the network namespace of the process that makes it, on one thread. `execute` never raises for what a kernel may
answer; it says whether trying again helps. What is observed can be compared with what is desired: the same values.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from core.counters import Counters
from core.reconcile.objects import (
    FASTDP,
    SLEEVE,
    Again,
    AlreadySo,
    Association,
    Bridge,
    Done,
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    Guard,
    Hop,
    Identity,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Seal,
    Tap,
    Tree,
    Trust,
    Tunnel,
    Verb,
    VxlanPort,
)
from core.types import ShortId
from datapath import endpoints, guard, links, tap
from datapath.esp import Esp, SecretOf
from datapath.links import Foreign
from datapath.programs import Neighbour, Programs, TreeValue
from datapath.sleeve.process import Sleeve

RETRY_MS = 100
PASSING: tuple[int, ...] = (errno.EBUSY, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ENODEV, errno.EINTR)
PASSING += (errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH)
"""Errors that another time may not come."""
HINTS = {
    errno.EPERM: "run the agent as root",
    errno.EACCES: "run the agent as root",
    errno.EOPNOTSUPP: "this kernel lacks the feature; see the requirements in the reference",
    errno.EAFNOSUPPORT: "use a kernel with IPv6 that is not switched off at boot, and an MTU of 1280 or more",
    errno.ENOENT: "start the container, or attach it again",
    errno.EADDRINUSE: "find out what uses the UDP port with 'ss -ulnp', or choose another with --port",
    errno.EEXIST: "remove or rename what has that name",
    errno.ENOSYS: "load the modules esp4 and gcm (CONFIG_INET_ESP, CONFIG_CRYPTO_GCM); the sleeve is used meanwhile",
    errno.EPROTONOSUPPORT: "load the modules nf_tables (CONFIG_NF_TABLES_INET), xfrm_user and esp4 (CONFIG_INET_ESP)",
    errno.ENOPKG: "install the package nftables",
    errno.EKEYREVOKED: "nothing: the next keys are agreed on in time",
}
HINT = "see the kernel's log with 'dmesg'"


class KernelDriver:
    """The kernel of this host."""

    def __init__(
        self,
        bridge: str = "weave",
        port: int = 6784,
        *,
        host: str = "0.0.0.0",
        secret_of: SecretOf = lambda _: None,
        sleeve: Sleeve | None = None,
    ) -> None:
        """`secret_of` returns the link secret of a session, 32 bytes; None when it is not known.

        The sleeve listens on `host`. Without a sleeve, frames for it wait in the TAP device in vain.
        """
        self._bridge = bridge
        self._host = host
        self._secret_of = secret_of
        self._sleeve = sleeve
        self._port = port
        self._esp = Esp(port, secret_of)
        self._opened_ipr: IPRoute | None = None
        self._opened_programs: Programs | None = None

    def close(self) -> None:
        """Let go; the kernel goes on forwarding."""
        self._esp.close()
        if self._sleeve is not None:
            self._sleeve.close()
        if self._opened_programs is not None:
            self._opened_programs.close()
        if self._opened_ipr is not None:
            self._opened_ipr.close()

    def observe(self) -> tuple[KernelObject, ...]:
        """Return everything of ours. Raises: NetlinkError, OSError."""
        found: list[KernelObject] = []
        bridge = links.find(self._ipr, self._bridge)
        seen = links.observe_bridge(bridge)
        if seen is not None:
            found.append(seen)
        programs = self._programs
        port = links.observe_port(self._ipr, links.find(self._ipr, self._port_name), programs)
        if port is not None:
            found.append(port)
        to_sleeve = tap.observe(links.find(self._ipr, tap.NAME), programs)
        if to_sleeve is not None and (self._sleeve is None or self._sleeve.is_running(tap.NAME, to_sleeve.port)):
            found.append(to_sleeve)
        if self._sleeve is not None:
            found.extend(self._sleeve.tunnels())
        number = programs.identity()
        if number is not None:
            found.append(Identity(number))
        found.extend(Hop(peer, hop.number, hop.address, self._port, hop.by) for peer, hop in programs.hops())
        found.extend(_tree(source, value) for source, value in programs.trees())
        bridge_index = bridge["index"] if bridge is not None and links.is_bridge(bridge) else None
        for link in self._ipr.get_links():
            found.extend(endpoints.observe(link, bridge_index, programs))
        found.extend(self._observe_guard())
        return tuple(found)

    def execute(self, op: Op) -> OpResult:
        """Carry out one operation."""
        name = " ".join(op.object.key)
        try:
            changed = (self._remove if op.verb is Verb.REMOVE else self._ensure)(op.object)
        except Foreign as error:
            return Refused(str(error), "remove or rename it")
        except NetlinkError as error:
            return _failure(name, int(error.code), str(error))
        except OSError as error:
            return _failure(name, error.errno or errno.EIO, error.strerror or str(error))
        return Done() if changed else AlreadySo()

    def remove_all(self) -> None:
        """Take everything of ours out of the kernel. Raises: NetlinkError."""
        for link in self._ipr.get_links():
            if links.kind_of(link) == "veth" and endpoints.parse_alias(link.get("ifalias") or "") is not None:
                self._ipr.link("del", index=link["index"])
        devices = (
            (tap.NAME, tap.is_tap),
            (self._port_name, links.is_overlay),
            (self._bridge, links.is_bridge),
        )
        for name, is_ours in devices:
            with contextlib.suppress(Foreign):
                # Somebody else's may stay: it was never of ours.
                links.remove(self._ipr, name, is_ours)
        self._esp.remove_all()
        guard.remove()

    def drops(self) -> dict[str, int]:
        """Return frames dropped by our programs, by reason. Raises: OSError."""
        return self._programs.drops()

    def guard_drops(self) -> dict[str, int]:
        """Return packets dropped by the guard since its rules were made: `input`, `output`. Raises: OSError."""
        table = guard.observe()
        return {} if table is None else dict(table.drops)

    def counters(self) -> Counters:
        """Return what was dropped, by whom and why; costs some 10 ms."""
        programs: dict[str, int] = {}
        guarded: dict[str, int] = {}
        trouble = ""
        try:
            programs = self.drops()
            guarded = self.guard_drops()
        except (NetlinkError, OSError) as error:
            trouble = str(error)
        sleeve = self._sleeve
        said, deaths = ({}, 0) if sleeve is None else (sleeve.counters, sleeve.deaths)
        return Counters(programs, guarded, said, deaths, trouble)

    @property
    def _port_name(self) -> str:
        return f"vxlan-{self._port}"

    @property
    def _ipr(self) -> IPRoute:
        if self._opened_ipr is None:
            self._opened_ipr = IPRoute()
        return self._opened_ipr

    @property
    def _programs(self) -> Programs:
        if self._opened_programs is None:
            link = links.find(self._ipr, self._port_name)
            self._opened_programs = Programs(None if link is None else link["index"])
        return self._opened_programs

    def _ensure(self, item: KernelObject) -> bool:
        """Bring an object about; say whether anything was changed."""
        ensure: Callable[[], Any]
        match item:
            case Bridge():
                ensure = lambda: links.ensure_bridge(self._ipr, item)  # noqa: E731  # one line per kind
            case VxlanPort():
                ensure = lambda: links.ensure_port(self._ipr, item, self._programs)  # noqa: E731
            case Tap():
                ensure = lambda: self._make_tap(item)  # noqa: E731
            case Tunnel():
                ensure = lambda: self._set_tunnel(item)  # noqa: E731
            case Identity(number):
                ensure = lambda: self._programs.set_identity(number)  # noqa: E731
            case Hop():
                return self._set_hop(item)
            case Tree():
                return self._set_tree(item)
            case Endpoint():
                ensure = lambda: endpoints.ensure(self._ipr, item, self._bridge, self._programs)  # noqa: E731
            case EndpointAddress():
                return endpoints.add_address(item)
            case EndpointUp():
                return endpoints.bring_up(self._ipr, item)
            case EndpointRoute():
                return endpoints.add_route(item)
            case Guard(port):
                ensure = lambda: guard.ensure(port)  # noqa: E731
            case Trust(address):
                ensure = lambda: guard.admit(guard.TRUSTED, address)  # noqa: E731
            case Seal():
                ensure = lambda: self._esp.ensure_seal(item)  # noqa: E731
            case Association():
                ensure = lambda: self._esp.ensure_association(self._ipr, item)  # noqa: E731
        ensure()
        return True

    def _remove(self, item: KernelObject) -> bool:
        """Take an object away; say whether it was there."""
        match item:
            case Bridge(name):
                return links.remove(self._ipr, name, links.is_bridge)
            case VxlanPort(name):
                return links.remove(self._ipr, name, links.is_overlay)
            case Tap(name):
                if self._sleeve is not None:
                    self._sleeve.close_worker()
                self._programs.set_tap(None)
                return links.remove(self._ipr, name, tap.is_tap)
            case Identity():
                had = self._programs.identity() is not None
                self._programs.set_identity(None)
                return had
            case Hop():
                return self._programs.remove_hop(item.destination)
            case Tree():
                return self._programs.remove_tree(item.source)
            case Endpoint():
                return endpoints.remove(self._ipr, item.host_ifname, self._programs)
            case EndpointAddress():
                return endpoints.remove_address(item)
            case EndpointUp():
                return endpoints.bring_down(item)
            case EndpointRoute():
                return endpoints.remove_route(item)
            case Guard():
                return guard.remove()
            case Trust(address):
                return guard.expel(guard.TRUSTED, address)
            case Seal():
                return self._esp.remove_seal(item)
            case Association():
                return self._esp.remove_association(item)
            case Tunnel(peer):
                return self._sleeve is not None and self._sleeve.remove_tunnel(peer)

    def _make_tap(self, item: Tap) -> None:
        tap.ensure(self._ipr, item, self._programs)
        if self._sleeve is not None:
            self._sleeve.start(item.name, item.port, self._host)

    def _set_tunnel(self, item: Tunnel) -> None:
        if self._sleeve is None:
            raise Foreign("this driver was made without a sleeve")
        secret = self._secret_of(item.session)
        if secret is None:
            raise OSError(errno.EKEYREVOKED, "the session has ended")
        self._sleeve.set_tunnel(item, secret)

    def _observe_guard(self) -> list[KernelObject]:
        table = guard.observe()
        sealed = () if table is None else table.sealed
        found: list[KernelObject] = [*self._esp.seals(sealed), *self._esp.associations(self._ipr)]
        if table is not None:
            found.append(Guard(table.port or self._port, table.is_whole))
            found.extend(Trust(address) for address in table.trusted)
        return found

    def _set_hop(self, item: Hop) -> bool:
        if item.port != self._port:
            raise Foreign(
                f"{item.address} uses UDP port {item.port} and we {self._port}; all hosts must use one --port"
            )
        self._programs.set_hop(item.destination, Neighbour(item.via, item.address, item.by))
        return True

    def _set_tree(self, item: Tree) -> bool:
        children = tuple(
            Neighbour(number, address, SLEEVE if number in item.sleeved else FASTDP)
            for number, address in item.children
        )
        try:
            self._programs.set_tree(item.source, TreeValue(item.parent, item.parent_number, children))
        except ValueError as error:
            raise Foreign(str(error)) from error
        return True


def _tree(source: ShortId, value: TreeValue) -> Tree:
    children = tuple((child.number, child.address) for child in value.children)
    sleeved = tuple(child.number for child in value.children if child.by == SLEEVE)
    return Tree(source, value.parent, children, value.parent_number, sleeved)


def _failure(name: str, number: int, text: str) -> OpResult:
    what = f"{name}: {os.strerror(number).lower()}"
    detail = "" if os.strerror(number).lower() in text.lower() else f" ({text})"
    if number in PASSING:
        return Again(RETRY_MS, what + detail)
    return Refused(what + detail, HINTS.get(number, HINT))
