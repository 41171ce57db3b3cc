"""The sleeve's processes of all hosts, and what they find out: which transports get through between two neighbours.

A tunnel stands when the kernels of two hosts hold one of the same session. Each end probes both transports; one is up
only if both hear each other, so what is looked at is whether both directions are open just now. What changes is
reported after the time that the real probes take: silence is noticed after some 2.5 seconds, recovery after 1.5, in the
sleeve after 1. In between nothing happens, so a path that nobody touches costs nothing.

VXLAN never passes a NAT: nobody has sent anything out of the port that it comes to. The sleeve does when the end inside
has dialled: its probes keep the NAT's memory fresh, and when that is lost it comes out of another port, which the other
end follows.

Not here: loss, which probes are made to bear, and what the probes look like.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from core.events import Event, PathDown, PathUp
from core.reconcile.objects import FASTDP, SLEEVE, Tunnel
from sim.host import Host
from sim.names import address_of, nat_address_of
from sim.network import Network

FRAME_OVERHEAD = 14 + 50
"""Bytes of the inner Ethernet header, and of VXLAN, UDP, IP around it."""
UP_US = {FASTDP: (1_200_000, 2_200_000), SLEEVE: (500_000, 1_300_000)}
DOWN_US = (2_200_000, 2_900_000)
FIRST_US = 5_000_000
"""How long nothing is said of a transport that was never up."""
FOLLOW_US = 300_000
"""A moved neighbour sends its next probe within this time."""
FIRST_PORT = 20_000
"""Where NATs let the sleeve out."""
NO_ANSWER = "no answer to probes"

TRANSPORTS = (FASTDP, SLEEVE)
Watch = tuple[int, str, str]
"""Host, session, transport."""


@dataclass(slots=True)
class _State:
    """What one end will have found out about one transport."""

    is_open: bool
    """Frames get through both ways just now."""
    told: bool | None = None
    """What was reported last; None for nothing."""


class Tunnels:
    """All sleeve processes of a world."""

    def __init__(
        self,
        seed: str,
        hosts: tuple[Host, ...],
        network: Network,
        *,
        schedule: Callable[[int, Callable[[], None]], None],
        tell: Callable[[Host, Event], None],
    ) -> None:
        """`tell` lets an agent know what its sleeve reports."""
        self._entropy = random.Random(f"{seed}/tunnels")
        self._hosts = hosts
        self._network = network
        self._schedule = schedule
        self._tell = tell
        self._states: dict[Watch, _State] = {}
        self._moves: dict[int, int] = {}

    # What frames ask.

    def carries_vxlan(self, source: int, target: int) -> bool:
        """Say whether VXLAN gets from one host to another, and can be read there."""
        network = self._network
        if network.nat(target) is not None or not network.carries(source, target, FASTDP):
            return False
        form = self._hosts[source].kernel.locks().out(address_of(target))
        return form is not None and self._hosts[target].kernel.locks().lets_in(self.seen(source), form)

    def seen(self, host: int) -> str:
        """Return the address that others see of a host."""
        return address_of(host) if self._network.nat(host) is None else nat_address_of(host)

    def sleeve(self, source: int, number: int) -> tuple[int, int] | None:
        """Return which host gets what a sleeve sends to a neighbour's number, and the sender's number there."""
        near = next((item for item in self._hosts[source].kernel.tunnels() if item.number == number), None)
        if near is None:
            return None
        target, far = self._far_end(source, near)
        return (target, far.number) if far is not None and self._carries_sleeve(source, target, far) else None

    # What happens.

    def look(self) -> None:
        """Notice what has changed; call this whenever anything that decides about transports may have."""
        seen: dict[Watch, _State] = {}
        for host in self._hosts:
            for tunnel in host.kernel.tunnels():
                for transport in TRANSPORTS:
                    if transport == SLEEVE or tunnel.tries_fastdp:
                        watch = (host.index, tunnel.session, transport)
                        seen[watch] = self._state(watch, is_open=self._is_open(host.index, tunnel, transport))
        self._states = seen

    def look_after(self, delay_us: int) -> None:
        """Look again when something ends by itself."""
        self._schedule(delay_us, self.look)

    def moved(self, host: int) -> None:
        """Let the NAT before a host send its sleeve out of other ports, which its neighbours follow."""
        self._moves[host] = self._moves.get(host, 0) + 1
        for near in self._hosts[host].kernel.tunnels():
            target, far = self._far_end(host, near)
            state = self._states.get((target, near.session, SLEEVE))
            if far is not None and state is not None and state.told:
                self._report((target, near.session, SLEEVE), state, self._entropy.randint(1, FOLLOW_US))

    # Helpers.

    def _state(self, watch: Watch, *, is_open: bool) -> _State:
        """Return what there will be to say of a transport, and see to it that it is said."""
        before = self._states.get(watch)
        if before is not None and before.is_open == is_open:
            return before
        state = _State(is_open, None if before is None else before.told)
        if state.told is not is_open:
            first_us = (FIRST_US, FIRST_US) if state.told is None else DOWN_US
            self._report(watch, state, self._entropy.randint(*(UP_US[watch[2]] if is_open else first_us)))
        return state

    def _report(self, watch: Watch, state: _State, delay_us: int) -> None:
        """Say how it is after a while, unless it is another way by then."""

        def report() -> None:
            if self._states.get(watch) is not state:
                return
            state.told = state.is_open
            index, session, transport = watch
            host = self._hosts[index]
            near = next(item for item in host.kernel.tunnels() if item.session == session)
            if state.is_open:
                self._tell(host, PathUp(session, transport, near.mtu, self._heard_at(index, near, transport)))
            else:
                self._tell(host, PathDown(session, transport, NO_ANSWER))

        self._schedule(delay_us, report)

    def _is_open(self, source: int, near: Tunnel, transport: str) -> bool:
        target, far = self._far_end(source, near)
        if far is None:
            return False
        if transport == SLEEVE:
            return self._carries_sleeve(source, target, far) and self._carries_sleeve(target, source, near)
        if not far.tries_fastdp or not (self.carries_vxlan(source, target) and self.carries_vxlan(target, source)):
            return False
        if not all(self._hosts[host].kernel.tables().has_port for host in (source, target)):
            return False
        size = max(near.mtu, far.mtu) + FRAME_OVERHEAD
        return all(
            not size_max or size <= size_max
            for size_max in (self._network.size_max(source, target), self._network.size_max(target, source))
        )

    def _carries_sleeve(self, source: int, target: int, far: Tunnel) -> bool:
        """Say whether the sleeve gets from one host to another; into a NAT only if the end inside has dialled."""
        is_let_in = self._network.nat(target) is None or far.outbound
        return is_let_in and self._network.carries(source, target, SLEEVE)

    def _far_end(self, source: int, near: Tunnel) -> tuple[int, Tunnel | None]:
        for host in self._hosts:
            if host.index != source:
                for tunnel in host.kernel.tunnels():
                    if tunnel.session == near.session:
                        return host.index, tunnel
        return -1, None

    def _heard_at(self, source: int, near: Tunnel, transport: str) -> str:
        """Return where a neighbour's frames seem to come from."""
        target, _ = self._far_end(source, near)
        if self._network.nat(target) is None:
            return f"{address_of(target)}:{near.port + (transport == FASTDP)}"
        return f"{nat_address_of(target)}:{FIRST_PORT + self._moves.get(target, 0)}"
