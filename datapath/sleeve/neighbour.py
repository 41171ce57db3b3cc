"""One tunnel: keys, way, and what is known of both transports.

Decides when to probe and what to report; sends nothing by itself but through `Outlet`, which the worker is.
"""

from __future__ import annotations

import socket
from typing import Protocol

from datapath.sleeve import aead, frame, keys, probe
from datapath.sleeve.control import Epochs, Message, Path, SetTunnel
from datapath.sleeve.endpoint import Endpoint, Source
from datapath.sleeve.liveness import HEARD_AGAIN_LAST, SILENT_MS, Liveness
from datapath.sleeve.opener import Receiving
from datapath.sleeve.pmtu import PathMtu
from datapath.sleeve.probe import FastProbe
from datapath.sleeve.sealer import LENGTH, Sending

FASTDP, SLEEVE = "fastdp", "sleeve"
"""As in `core.reconcile.objects`, which the worker does not load: it is small."""
ASK_MTU_MS = 1_000
"""Between questions to the kernel what the first link carries."""
RECONNECT_MS = 5_000
"""A neighbour not heard for so long is tried by a new socket: our own address may have changed, or its."""
SMALL_EVERY = 4
"""While full-size probes are not heard, each fourth has a small one beside it, to know why."""
SMALL_SILENT_MS = 6_000
"""After which small probes count as not heard; they come once a second, or every four when nothing else is heard."""
NEWEST_MS = 2_000
"""Between reports of the highest counter heard: what is younger could be replayed once to a worker that comes after."""
FAST_PORT_STEP = 1
"""VXLAN has the port after the sleeve's."""


class Outlet(Protocol):
    """What a neighbour may do to the world."""

    def send_control(self, neighbour: Neighbour, body: bytes, size: int) -> None:
        """Send a message by the sleeve, filled up to `size` bytes of datagram."""

    def write_frame(self, data: bytes) -> None:
        """Give a frame to the kernel."""

    def report(self, message: Message) -> bool:
        """Tell the agent; say whether it was taken."""


class Neighbour:
    """One tunnel, from `SetTunnel` to `RemoveTunnel`."""

    def __init__(self, told: SetTunnel, secret: bytes | bytearray, host: str, port: int, now_ms: int) -> None:
        ours, theirs = keys.direction(outbound=told.outbound), keys.direction(outbound=not told.outbound)
        self.told = told
        """What the agent wants."""
        self._has_aes = aead.is_aegis_fast()
        # The best cipher is agreed by probes; until then the one that every machine computes well.
        cipher = aead.CHACHA if told.is_sealed else aead.PLAIN
        ciphers = (aead.AEGIS, aead.CHACHA) if told.is_sealed else (aead.PLAIN,)
        chain = keys.Chain(secret, ours, told.send_epoch, is_sealed=told.is_sealed)
        other = keys.Chain(secret, theirs, told.receive_epoch, is_sealed=told.is_sealed)
        self._out_tag, self.in_tag = keys.tag(told.session, ours), keys.tag(told.session, theirs)
        self.sending = Sending(
            keys.SendKeys(chain, cipher, now_ms), int.from_bytes(self._out_tag[:4], "little"), told.incarnation
        )
        self.receiving = Receiving(
            keys.ReceiveKeys(other, ciphers), int.from_bytes(self.in_tag[:4], "little"), told.number, told.newest
        )
        self.endpoint = Endpoint(host, port, (told.address, told.port))
        """The way to it."""
        self._port = port
        self.newest = told.newest
        """One past the highest counter that came from where it is now."""
        self._probe_keys = keys.probe_key(secret, ours), keys.probe_key(secret, theirs)
        self._fast_out = self.sending.counter
        self._fast_in = 0
        self._fast_source = bytes(4)
        self._small_ms = now_ms - SMALL_SILENT_MS
        self._is_small_heard = False
        self._full_count = 0
        self._born_ms = now_ms
        self._sleeve = Liveness(now_ms, HEARD_AGAIN_LAST)
        self._fast = Liveness(now_ms)
        self._pmtu = PathMtu(now_ms)
        self._was_up = False
        self._ask_mtu_ms = now_ms
        self._reconnect_ms = now_ms + RECONNECT_MS
        self._reconnects = 0
        self._last_remote: Source = (told.address, told.port)
        self._reported: dict[str, Path] = {}
        self._epochs = Epochs(told.session, told.send_epoch, told.receive_epoch, told.newest)
        self._newest_ms = now_ms

    @property
    def mtu(self) -> int:
        """Bytes of IP packet that one datagram of the sleeve carries."""
        return self.sending.room - LENGTH.size - frame.L3_AT

    def change(self, told: SetTunnel, now_ms: int) -> bool:
        """Take another wish for the same session; say whether the way must be connected anew."""
        before, self.told = self.told, told
        self.receiving.number = told.number
        if before.tries_fastdp != told.tries_fastdp or before.mtu != told.mtu:
            self._fast = Liveness(now_ms)
            self._reported.pop(FASTDP, None)
        return (before.address, before.port) != (told.address, told.port)

    def saw_traffic(self, now_ms: int) -> None:
        """Note that something authentic came through the sleeve."""
        self._sleeve.saw_traffic(now_ms)

    def obey(self, body: bytes, now_ms: int, outlet: Outlet) -> None:
        """Take a message of the neighbour's worker. Unknown ones are for later versions."""
        if len(body) < probe.MESSAGE.size:
            return
        kind, value = probe.MESSAGE.unpack_from(body)
        if kind == probe.PROBE:
            self._sleeve.heard(now_ms, hears_us=bool(value & probe.HEARS), asks=bool(value & probe.ASKS))
            wants = aead.AEGIS if value & probe.HAS_AES and self._has_aes else aead.CHACHA
            if self.told.is_sealed and self.sending.keys.aead.cipher != wants:
                self.sending.keys.use(wants)
        elif kind == probe.SIZE:
            outlet.send_control(self, probe.MESSAGE.pack(probe.SIZE_ACK, value), 0)
        elif kind == probe.SIZE_ACK:
            self._pmtu.acked(value, now_ms)
            self.sending.capacity = self._pmtu.size

    def heard_fast(self, source: bytes, payload: memoryview, now_ms: int) -> bool:
        """Take a probe that came through VXLAN from an IPv4 address (4 bytes); say whether it is one."""
        found = probe.decode(payload, self._probe_keys[1])
        if found is None or found.counter < self._fast_in or not self.told.tries_fastdp:
            return False
        self._fast_in = found.counter + 1
        self._fast_source = source
        self._is_small_heard = bool(found.flags & probe.HEARS_SMALL)
        if source != socket.inet_aton(self.told.address):
            return True
        if found.flags & probe.IS_FULL:
            # As large as its containers' frames get, whatever ours do; that it has lost nothing is proved.
            hears, asks = bool(found.flags & probe.HEARS), bool(found.flags & probe.ASKS)
            self._fast.heard(now_ms, hears_us=hears, asks=asks)
        else:
            self._small_ms = now_ms
        return True

    def tick(self, now_ms: int, outlet: Outlet) -> int:
        """Send what is due, report what has changed; return when to come again."""
        self._sleeve.be_calm(now_ms, is_calm=self._fast.is_up)
        self._sleeve.tick(now_ms)
        if now_ms >= self._sleeve.due_ms:
            flags = probe.HEARS * self._sleeve.hears | probe.ASKS * self._sleeve.asks | probe.HAS_AES * self._has_aes
            outlet.send_control(self, probe.MESSAGE.pack(probe.PROBE, flags), 0)
            self._sleeve.sent(now_ms)
        due_ms = self._sleeve.due_ms
        if self.told.tries_fastdp:
            self._fast.tick(now_ms)
            if now_ms >= self._fast.due_ms:
                self._probe_fast(now_ms, outlet)
            due_ms = min(due_ms, self._fast.due_ms)
        self._follow_mtu(now_ms, outlet)
        self._rotate(now_ms, outlet)
        for path in self._paths(now_ms):
            if self._reported.get(path.transport) != path and outlet.report(path):
                self._reported[path.transport] = path
        return due_ms

    def next_remote(self, now_ms: int) -> Source | None:
        """Return where to try it by a new socket, if it is time: in turn where it was and where the agent says."""
        if self._sleeve.hears:
            self._reconnect_ms, self._last_remote = now_ms + RECONNECT_MS, self.endpoint.remote
        if now_ms < self._reconnect_ms:
            return None
        self._reconnect_ms = now_ms + RECONNECT_MS
        self._reconnects += 1
        return (self.told.address, self.told.port) if self._reconnects % 2 else self._last_remote

    def wipe(self) -> None:
        """Forget the keys."""
        self.sending.keys.wipe()
        self.receiving.keys.wipe()

    def _probe_fast(self, now_ms: int, outlet: Outlet) -> None:
        fast = self._fast
        flags = probe.HEARS * fast.hears | probe.ASKS * fast.asks
        flags |= probe.HEARS_SMALL * (now_ms - self._small_ms < SMALL_SILENT_MS)
        self._full_count += 1
        self._send_fast(flags | probe.IS_FULL, self.told.mtu, outlet)
        if not fast.is_up and self._full_count % SMALL_EVERY == 0:
            self._send_fast(flags, probe.SMALL_SIZE, outlet)
        fast.sent(now_ms)

    def _send_fast(self, flags: int, size: int, outlet: Outlet) -> None:
        made = FastProbe(flags, self._out_tag, self._fast_out, max(size, probe.SMALL_SIZE))
        self._fast_out += 1
        outlet.write_frame(probe.frame_to(socket.inet_aton(self.told.address), probe.encode(made, self._probe_keys[0])))

    def _follow_mtu(self, now_ms: int, outlet: Outlet) -> None:
        if now_ms >= self._ask_mtu_ms:
            self._ask_mtu_ms = now_ms + ASK_MTU_MS
            mtu = self.endpoint.mtu()
            if mtu is not None:
                self._pmtu.limit(mtu, now_ms)
        was_up, self._was_up = self._was_up, self._sleeve.is_up
        if self._was_up and not was_up:
            self._pmtu.resume(now_ms)
        size = self._pmtu.tick(now_ms) if self._was_up else None
        if size is not None:
            outlet.send_control(self, probe.MESSAGE.pack(probe.SIZE, size), size)
        self.sending.capacity = self._pmtu.size

    def _rotate(self, now_ms: int, outlet: Outlet) -> None:
        sending, receiving = self.sending, self.receiving
        rotates = self._sleeve.is_up and sending.keys.is_rotation_due(now_ms, sending.counter)
        newest = self._epochs.newest
        if now_ms - self._newest_ms >= NEWEST_MS:
            self._newest_ms, newest = now_ms, receiving.replay.top
        epochs = Epochs(self.told.session, sending.keys.epoch + rotates, receiving.keys.epoch, newest)
        if epochs == self._epochs or not outlet.report(epochs):
            return
        # The agent knows first: a worker that comes after us must not use the old key again.
        self._epochs = epochs
        if rotates:
            sending.keys.rotate(now_ms, sending.counter)

    def _paths(self, now_ms: int) -> list[Path]:
        """Return what to say of each transport; nothing of one that is not up while it is young."""
        session, found = self.told.session, []
        is_young = now_ms - self._born_ms < SILENT_MS
        if self._sleeve.is_up:
            host, port = self.endpoint.remote
            found.append(Path(session, SLEEVE, True, self.mtu, f"{host}:{port}", ""))
        elif not is_young or SLEEVE in self._reported:
            found.append(Path(session, SLEEVE, False, 0, "", self._why_no_sleeve()))
        if not self.told.tries_fastdp:
            return found
        if self._fast.is_up:
            address = f"{socket.inet_ntoa(self._fast_source)}:{self.told.port + FAST_PORT_STEP}"
            found.append(Path(session, FASTDP, True, self.told.mtu, address, ""))
        elif not is_young or FASTDP in self._reported:
            found.append(Path(session, FASTDP, False, 0, "", self._why_no_fastdp(now_ms)))
        return found

    def _why_no_sleeve(self) -> str:
        host, port = self.endpoint.remote
        if self._sleeve.hears:
            return f"datagrams pass one way only: {host} does not hear ours (UDP port {port} blocked?)"
        # What comes from there comes to our port; its own may be one that a NAT has chosen.
        return f"nothing arrives from {host} (UDP port {self._port} blocked?)"

    def _why_no_fastdp(self, now_ms: int) -> str:
        host, port, size = self.told.address, self.told.port + FAST_PORT_STEP, self.told.mtu + 14
        hears_small = now_ms - self._small_ms < SMALL_SILENT_MS
        blocked = "ESP, IP protocol 50, blocked?" if self.told.is_sealed else f"UDP port {port} blocked?"
        if self._fast_source not in (bytes(4), socket.inet_aton(host)):
            return f"VXLAN comes from {socket.inet_ntoa(self._fast_source)}, not from {host}: a NAT is between"
        if self._fast.hears and self._is_small_heard:
            return f"frames of {size} bytes do not get through to {host}, smaller ones do"
        if self._fast.hears:
            return f"VXLAN arrives one way only: {host} does not hear ours ({blocked})"
        if hears_small:
            return f"frames of {size} bytes do not get through from {host}, smaller ones do"
        return f"no VXLAN arrives from {host} ({blocked})"
