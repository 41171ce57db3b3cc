"""Pieces of frames that wait for the others.

Bounded in memory and time: whoever sends first pieces only pushes out the oldest, its own or another's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from datapath.sleeve.frame import FRAME_SIZE_MAX

HELD_MAX = 4 << 20
"""Bytes of pieces held, of all neighbours together."""
FRAMES_MAX = 256
"""Frames that wait at one time."""
AGE_MAX_MS = 2_000
"""How long the first piece waits for the last."""


@dataclass(slots=True)
class _Waiting:
    since_ms: int
    total: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


class Reassembly:
    """All frames of which pieces are missing."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int], _Waiting] = {}
        """By receiver and the counter of the first piece, oldest first."""
        self.held = 0
        """Bytes."""
        self.given_up = 0
        """Frames of which too little came, too late."""

    def add(self, key: tuple[int, int], index: int, total: int, piece: bytes, now_ms: int) -> bytes | None:
        """Add a piece that never came before; return the frame when it was the last. Cost: O(pieces)."""
        frame = self._waiting.get(key)
        if frame is None:
            frame = self._waiting[key] = _Waiting(now_ms, total)
        if total != frame.total or index >= total or index in frame.pieces:
            self._drop(key)
            return None
        frame.pieces[index] = piece
        frame.size += len(piece)
        self.held += len(piece)
        if frame.size > FRAME_SIZE_MAX:
            self._drop(key)
        elif len(frame.pieces) == total:
            del self._waiting[key]
            self.held -= frame.size
            return b"".join(frame.pieces[place] for place in range(total))
        while self.held > HELD_MAX or len(self._waiting) > FRAMES_MAX:
            self._drop(next(iter(self._waiting)))
        return None

    def expire(self, now_ms: int) -> None:
        """Give up what is too old."""
        while self._waiting:
            key, frame = next(iter(self._waiting.items()))
            if now_ms - frame.since_ms <= AGE_MAX_MS:
                return
            self._drop(key)

    def forget(self, receiver: int) -> None:
        """Give up everything of one tunnel."""
        for key in [key for key in self._waiting if key[0] == receiver]:
            self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        self.held -= self._waiting.pop(key).size
        self.given_up += 1
