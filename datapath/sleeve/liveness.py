"""Whether a transport carries frames to a neighbour and back.

Both ends send probes; each probe says whether its sender hears the other's. A transport is up while we hear the
neighbour and it says that it hears us. Once silent for ten intervals it is down, and must be heard several times again:
so nothing flaps at 30 % loss. Who begins to miss probes asks for answers, at twice the pace. Time is an argument.

Source: BFD (RFC 5880 §6.8, asynchronous mode with its remote state), with the intervals of issue 4.
"""

from __future__ import annotations

INTERVAL_MS = 250
"""Between probes."""
SILENT_MS = 2_500
"""Without hearing anything for so long, a neighbour is not heard."""
CALM_INTERVAL_MS = 1_000
"""Between probes of a transport that stands by for another one."""
CALM_SILENT_MS = 10_000
IDLE_INTERVAL_MS = 1_000
"""Between probes where nothing has been heard for `IDLE_AFTER_MS`: recovery is still noticed in time."""
IDLE_AFTER_MS = 30_000
HURRY_AFTER_INTERVALS = 3
"""Without hearing anything for so long, probes ask for an answer…"""
HURRY_INTERVAL_MS = 125
"""…and follow one another so fast."""
ANSWER_MIN_MS = 100
"""Between answers: nobody makes us send more than ten a second."""
GAP_MAX_MS = 1_500
"""Between two probes that count as following one another."""
HEARD_FIRST = 2
"""Probes heard before a neighbour is heard the first time…"""
HEARD_AGAIN = 6
"""…and after it has been silent: what carries frames meanwhile is not left for something that comes and goes…"""
HEARD_AGAIN_LAST = 3
"""…but there is nothing to leave when it is the last resort."""


class Liveness:
    """One transport to one neighbour."""

    def __init__(self, now_ms: int, heard_again: int = HEARD_AGAIN) -> None:
        self._heard_again = heard_again
        self.hears = False
        """We hear the neighbour; told in every probe."""
        self.is_heard = False
        """The neighbour says that it hears us."""
        self.due_ms = now_ms
        """When the next probe should be sent."""
        self._heard_ms = now_ms
        self._sent_ms = now_ms - ANSWER_MIN_MS
        self._count = 0
        self._needed = HEARD_FIRST
        self._is_calm = False
        self._interval_ms = INTERVAL_MS

    @property
    def is_up(self) -> bool:
        """Frames get through both ways."""
        return self.hears and self.is_heard

    @property
    def asks(self) -> bool:
        """Whether the next probe should ask for an answer."""
        return self.hears and self._interval_ms == HURRY_INTERVAL_MS

    def heard(self, now_ms: int, *, hears_us: bool, asks: bool) -> None:
        """Note a probe of the neighbour."""
        gap_ms = now_ms - self._heard_ms
        self._heard_ms = now_ms
        self.is_heard = hears_us
        if not self.hears:
            self._count = self._count + 1 if gap_ms <= GAP_MAX_MS else 1
            if self._count >= self._needed:
                self.hears = True
                self.due_ms = now_ms
        if asks:
            self.due_ms = min(self.due_ms, max(now_ms, self._sent_ms + ANSWER_MIN_MS))

    def saw_traffic(self, now_ms: int) -> None:
        """Note that something else came from the neighbour: as good as a probe for who hears it already."""
        if self.hears:
            self._heard_ms = now_ms

    def be_calm(self, now_ms: int, *, is_calm: bool) -> None:
        """Probe seldom, because nothing depends on it now, or often."""
        if is_calm == self._is_calm:
            return
        self._is_calm = is_calm
        if not is_calm:
            # What was not heard at the slower pace is no sign of silence at the faster one.
            self._heard_ms = now_ms if self.hears else self._heard_ms
            self.due_ms = now_ms

    def tick(self, now_ms: int) -> None:
        """Let time pass."""
        silent_ms = now_ms - self._heard_ms
        if self.hears and silent_ms > (CALM_SILENT_MS if self._is_calm else SILENT_MS):
            self.hears = self.is_heard = False
            self._count, self._needed = 0, self._heard_again
            self.due_ms = now_ms
        interval_ms = CALM_INTERVAL_MS if self._is_calm else INTERVAL_MS
        if self.hears and silent_ms > HURRY_AFTER_INTERVALS * interval_ms:
            interval_ms = HURRY_INTERVAL_MS
        elif not self.hears and silent_ms > IDLE_AFTER_MS:
            interval_ms = IDLE_INTERVAL_MS
        self._interval_ms = interval_ms
        self.due_ms = min(self.due_ms, self._sent_ms + interval_ms)

    def sent(self, now_ms: int) -> None:
        """Note that a probe was sent."""
        self._sent_ms = now_ms
        self.due_ms = now_ms + self._interval_ms
