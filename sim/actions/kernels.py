"""What is done to kernels, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sim.actions.host import HostIndex


@dataclass(frozen=True, slots=True)
class KernelTrouble:
    """Kernel operations fail for a while each, with what is worth another try."""

    host: HostIndex
    """Whose."""
    percent: int
    """Chance of failure; 0 ends it."""


@dataclass(frozen=True, slots=True)
class LoseObject:
    """Somebody deletes a kernel object of ours behind the agent's back."""

    host: HostIndex
    """Where."""
    key: str
    """Its key, words joined by spaces: `hop 17`."""


KernelAction = KernelTrouble | LoseObject
