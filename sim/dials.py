"""How calls come through, or do not: the handshake of TCP between simulated hosts.

A call asks three times within five seconds, each time with a datagram that may be lost, doubled or late; what comes
twice finds the call answered and costs nothing. A machine without power and a host behind a NAT say nothing; a machine
without an agent refuses. The dialler's end stands first. The other end learns of the connection from the first thing
that arrives on it, and refuses it when it has been restarted since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.events import DialFailed, Event, LinkUp
from core.types import HostPort, LinkId
from sim.host import Host
from sim.names import address_of, nat_address_of
from sim.network import Connection, End, Network

DIAL_TIMEOUT_US = 5_000_000
"""The shell gives a dial this long."""
ASK_US = (0, 1_000_000, 3_000_000)
"""When Linux sends the first segment of a connection, and sends it again."""
NO_ROUTE_US = 100_000
CONTROL_PORT = 6783
FIRST_EPHEMERAL_PORT = 32_768


@dataclass(slots=True)
class Call:
    """A dial under way."""

    host: Host
    """Who calls."""
    life: int
    """In which life."""
    other: Host
    """Who is called."""
    target: str
    """As the dialler put it."""
    asked: int = 0
    """How often it has asked."""
    is_over: bool = False
    """It has come through, or failed."""


class Dials:
    """All calls of a world."""

    def __init__(
        self,
        network: Network,
        hosts: tuple[Host, ...],
        *,
        schedule: Callable[[int, Callable[[], None]], None],
        apply: Callable[[Host, Event], None],
    ) -> None:
        """`apply` tells an agent what happened."""
        self._network = network
        self._by_address = {address_of(host.index): host for host in hosts}
        self._under_way: dict[tuple[int, str], Call] = {}
        self._hosts = hosts
        self._schedule = schedule
        self._apply = apply

    def dial(self, host: Host, target: str) -> None:
        """Begin a call; the agent is told of its end. A call to the same target that is under way is given up."""
        before = self._under_way.pop((host.index, target), None)
        if before is not None:
            before.is_over = True
        name, _, port = target.partition(":")
        other = self._by_address.get(name)
        if other is None or other.config.port != (int(port) if port else CONTROL_PORT):
            call = self._under_way[host.index, target] = Call(host, host.life, host, target)
            self._schedule(NO_ROUTE_US, lambda: self._fail(call, "no route to host"))
            return
        call = self._under_way[host.index, target] = Call(host, host.life, other, target)
        self._ask(call)
        self._schedule(DIAL_TIMEOUT_US, lambda: self._fail(call, "connection timed out"))

    def opened(self, connection: Connection, end: End) -> bool:
        """Let an agent know that it has been called; say whether it is still the one that was."""
        host = self._hosts[end.host]
        if host.heart is None or host.life != end.life:
            return False
        near = connection.ends[0]
        host.links[end.link] = (connection, end)
        is_sealed = host.config.has_password
        self._apply(host, LinkUp(end.link, False, self._seen(near), None, connection.session, is_sealed))
        return True

    def _ask(self, call: Call) -> None:
        if call.is_over or call.host.life != call.life:
            return
        for delay_us in self._network.datagrams_us(call.host.index, call.other.index):
            self._schedule(delay_us, lambda: self._hear(call))
        call.asked += 1
        if call.asked < len(ASK_US):
            self._schedule(ASK_US[call.asked] - ASK_US[call.asked - 1], lambda: self._ask(call))

    def _hear(self, call: Call) -> None:
        other = call.other
        if call.is_over or other.is_dark or self._network.nat(other.index) is not None:
            return
        life = other.life
        is_there = other.heart is not None
        for delay_us in self._network.datagrams_us(other.index, call.host.index):
            if is_there:
                self._schedule(delay_us, lambda: self._stand(call, life))
            else:
                self._schedule(delay_us, lambda: self._fail(call, "connection refused"))

    def _stand(self, call: Call, other_life: int) -> None:
        host, other = call.host, call.other
        if call.is_over or host.life != call.life:
            return
        self._end(call)
        near, far = _new_end(host, host.life), _new_end(other, other_life)
        connection = self._network.connect(near, far)
        host.links[near.link] = (connection, near)
        remote = HostPort(address_of(other.index), other.config.port)
        is_sealed = host.config.has_password
        self._apply(host, LinkUp(near.link, True, remote, call.target, connection.session, is_sealed))

    def _fail(self, call: Call, reason: str) -> None:
        if not call.is_over and call.host.life == call.life:
            self._end(call)
            self._apply(call.host, DialFailed(call.target, reason))

    def _end(self, call: Call) -> None:
        call.is_over = True
        place = (call.host.index, call.target)
        if self._under_way.get(place) is call:
            del self._under_way[place]

    def _seen(self, near: End) -> HostPort:
        """Return where a call seems to come from."""
        is_hidden = self._network.nat(near.host) is not None
        address = nat_address_of(near.host) if is_hidden else address_of(near.host)
        return HostPort(address, FIRST_EPHEMERAL_PORT + near.link % FIRST_EPHEMERAL_PORT)


def _new_end(host: Host, life: int) -> End:
    host.last_link += 1
    return End(host.index, LinkId(host.last_link), life)
