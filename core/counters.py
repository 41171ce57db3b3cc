"""What this host's data path has dropped, and why, for whoever asks why something does not arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading. None of these ever falls, but all begin anew with what counts them."""

    programs: Mapping[str, int] = field(default_factory=dict)
    """Frames dropped by our programs, by reason, since the overlay device was made."""
    guard: Mapping[str, int] = field(default_factory=dict)
    """VXLAN packets dropped by the guard, by hook (`input`, `output`), since its rules were made; empty without one."""
    sleeve: Mapping[str, int] = field(default_factory=dict)
    """What the sleeve's worker dropped or did out of turn, in its words, since it was started; some seconds old."""
    sleeve_deaths: int = 0
    """Workers of the sleeve that died, since the agent was started."""
    trouble: str = ""
    """Why something is missing here; empty when nothing is."""
