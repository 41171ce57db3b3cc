"""Time on a simulated machine: a monotonic clock that drifts, a wall clock that is wrong and steps.

Everything is integer microseconds of virtual time, so that no rounding depends on the platform.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.types import Instant

EPOCH_US = 1_700_000_000_000_000
"""Wall time at virtual time zero, microseconds since 1970."""
DRIFT_MAX_PPM = 200
"""Ten times worse than an ordinary quartz: a timer of a minute is late by 12 ms."""
SKEW_MAX_US = 3_600_000_000
"""Weave Net refused connections at a quarter of an hour; an hour must not matter."""


@dataclass(slots=True)
class Clock:
    """The clocks of one machine."""

    drift_ppm: int
    """Microseconds gained in a second of virtual time; may be negative."""
    skew_us: int
    """How far the wall clock is ahead."""
    since_us: int = 0
    """Virtual time from which on the drift has been what it is."""
    read_us: int = 0
    """What the monotonic clock read then."""

    @staticmethod
    def drawn(entropy: random.Random) -> Clock:
        """Draw clocks that are all wrong in their own way."""
        drift_ppm = entropy.randint(-DRIFT_MAX_PPM, DRIFT_MAX_PPM)
        return Clock(drift_ppm, entropy.randint(-SKEW_MAX_US, SKEW_MAX_US))

    def at(self, now_us: int) -> Instant:
        """Read both clocks."""
        return Instant(self._mono_us(now_us) // 1000, (EPOCH_US + now_us + self.skew_us) // 1000)

    def when(self, due_ms: int, now_us: int) -> int:
        """Return the virtual time, not before `now_us`, from which on the monotonic clock shows `due_ms` or more."""
        elapsed_us = -(-(due_ms * 1000 - self.read_us) * 1_000_000 // (1_000_000 + self.drift_ppm))
        return max(now_us, self.since_us + elapsed_us)

    def step(self, by_us: int) -> None:
        """Set the wall clock, as an operator or NTP would."""
        self.skew_us += by_us

    def drift(self, now_us: int, ppm: int) -> None:
        """Let the monotonic clock run at another speed; what it reads does not jump."""
        self.read_us, self.since_us = self._mono_us(now_us), now_us
        self.drift_ppm = ppm

    def reboot(self, now_us: int) -> None:
        """Start the monotonic clock anew."""
        self.read_us, self.since_us = 0, now_us

    def _mono_us(self, now_us: int) -> int:
        return self.read_us + (now_us - self.since_us) * (1_000_000 + self.drift_ppm) // 1_000_000
