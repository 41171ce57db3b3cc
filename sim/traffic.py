"""Frames among the hosts of a world: symbolic packets through the tables of all kernels and the paths that are open.

Every frame teaches the programs that it passes where its sender is, as in the kernel. A frame takes no time and is not
lost by chance: what is looked at is where it would go just now.
"""

from __future__ import annotations

from sim.host import Host
from sim.names import address_of
from sim.network import Network
from sim.packets import EVERYBODY, Frame, Journey, Plug, send
from sim.tunnels import Tunnels


class Traffic:
    """Sends frames."""

    def __init__(self, hosts: tuple[Host, ...], network: Network, tunnels: Tunnels) -> None:
        self._hosts = hosts
        self._tunnels = tunnels
        self._network = network
        self._by_address = {address_of(host.index): host.index for host in hosts}

    def plugs(self, host: Host) -> tuple[Plug, ...]:
        """Return the interfaces of a host's containers that can carry frames."""
        return tuple(plug for plug in host.kernel.tables().plugs.values() if plug.is_up)

    def broadcast(self, host: Host, plug: Plug | None) -> Journey:
        """Let an endpoint, or with None a host itself, send a frame to everybody."""
        return self.send(host, plug, EVERYBODY)

    def announce(self, host: Host, container: str, ifname: str) -> None:
        """Let an endpoint say where it is, as the driver does when it brings one up."""
        plug = host.kernel.tables().plug_of((container, ifname))
        if plug is not None and plug.is_up:
            self.broadcast(host, plug)

    def send(self, host: Host, plug: Plug | None, target: str) -> Journey:
        """Send one frame to a MAC address."""
        tables = [other.kernel.tables() for other in self._hosts]
        source, ifindex = (host.config.peer, 0) if plug is None else (plug.mac, plug.ifindex)
        journey = send(tables, host.index, ifindex, Frame(source, target), self._wires, self._tunnels.sleeve)
        for index, mac, place in journey.learnt:
            self._hosts[index].kernel.macs[mac] = place
        return journey

    def _wires(self, source: int, address: str) -> tuple[int, str] | None:
        target = self._by_address.get(address)
        if target is None or not self._tunnels.carries_vxlan(source, target):
            return None
        return target, self._tunnels.seen(source)
