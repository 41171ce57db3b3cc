"""The two clocks of this machine, read together."""

from __future__ import annotations

import time

from core.types import Instant


def now() -> Instant:
    """Return this moment on the monotonic clock, which asyncio's timers share, and on the wall clock."""
    return Instant(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)
