"""Sleeves of several hosts without datagrams: what one's programs put into its TAP comes out of another's."""

from __future__ import annotations

import contextlib
import os
import select
import threading

from datapath_world import Host

from core.reconcile.desired import TAP_NAME
from datapath.sleeve import frame
from datapath.sleeve.tap import open_tap

NUMBER_MASK = 0xFFF
"""Of a tag; the rest is priority."""


class TapRelay:
    """Carries frames between TAP devices, by the numbers in their outermost tags; host `i` has number `i + 1`."""

    def __init__(self, hosts: list[Host]) -> None:
        self._taps = [host.run(lambda: open_tap(TAP_NAME)) for host in hosts]
        self._wake, self._stop = os.pipe()
        self.count = 0
        """Frames carried so far."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Carry no more."""
        os.close(self._stop)
        self._thread.join()
        for fd in (*self._taps, self._wake):
            os.close(fd)

    def end(self, host: int, number: int) -> tuple[int, int] | None:
        """Return who gets what a host sends to a number, and by which number it comes; the world of `sim.packets`."""
        other = number - 1
        return (other, host + 1) if 0 <= other < len(self._taps) and other != host else None

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([*self._taps, self._wake], [], [])
            if self._wake in ready:
                return
            for fd in ready:
                self._carry(self._taps.index(fd), bytearray(os.read(fd, frame.FRAME_SIZE_MAX)))

    def _carry(self, host: int, data: bytearray) -> None:
        view = memoryview(data)
        tags = frame.tags(view)
        end = None if tags is None else self.end(host, tags[0] & NUMBER_MASK)
        if end is None:
            return
        other, via = end
        frame.set_via(view, via)
        with contextlib.suppress(OSError):
            # A device that is down takes nothing.
            os.write(self._taps[other], data)
        self.count += 1
