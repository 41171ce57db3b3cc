"""Tries a mutant: runs seeds on a copy of the code that has it, until one fails which the code without it passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from bench.mutants.mutant import Mutant, plant

WORKER = Path(__file__).parent / "worker.py"
STDERR_SHOWN = 2000


class Broken(Exception):
    """A mutant does not even start, or takes its process with it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutant."""

    mutant: Mutant
    """Which."""
    seed: int
    """The seed that caught it; -1 if none did."""
    violation: str
    """What that seed found; empty if none did."""
    count: int
    """Seeds run."""
    cpu_s: float
    """Processor seconds spent, those of checking included."""

    @property
    def kind(self) -> str:
        """Return the invariant that was violated, or `crash`."""
        return self.violation.partition(":")[0]

    @property
    def is_as_listed(self) -> bool:
        """Say whether it was caught if it had to be, and only then."""
        return bool(self.violation) != bool(self.mutant.survives)


class Control:
    """The code as it is: a seed that it fails, too, says nothing about a mutant."""

    def __init__(self, folder: Path) -> None:
        """Keep a copy in `folder`, so that the code may be worked on meanwhile."""
        self.folder = folder
        self.found: dict[tuple[str, int], tuple[str, float]] = {}
        self._lock = Lock()
        plant(None, folder)

    def check(self, profile: str, seed: int) -> tuple[str, float]:
        """Return what the code itself violates in a seed, and the processor seconds that it took to see."""
        with self._lock:
            if (profile, seed) in self.found:
                return self.found[profile, seed][0], 0.0
        outcome = _run(self.folder, profile, seed, seed + 1)
        found = outcome["violation"], outcome["cpu_s"]
        with self._lock:
            self.found[profile, seed] = found
        return found


def attempt(mutant: Mutant, control: Control, seeds_max: int | None = None) -> Verdict:
    """Run seeds from 0 until one catches the mutant, at most `seeds_max` or what its entry allows.

    Raises: Outdated, Broken.
    """
    last = mutant.seeds if seeds_max is None else seeds_max
    first, cpu_s = 0, 0.0
    with TemporaryDirectory() as name:
        folder = Path(name)
        plant(mutant, folder, control.folder)
        while first < last:
            try:
                outcome = _run(folder, mutant.profile, first, last)
            except Broken as error:
                raise Broken(f"mutant {mutant.name}: {error}") from None
            cpu_s += outcome["cpu_s"]
            if not outcome["violation"]:
                break
            first = outcome["seed"] + 1
            own, spent_s = control.check(mutant.profile, outcome["seed"])
            cpu_s += spent_s
            if not own:
                return Verdict(mutant, outcome["seed"], outcome["violation"], first, cpu_s)
    return Verdict(mutant, -1, "", last, cpu_s)


def _run(folder: Path, profile: str, first: int, last: int) -> dict[str, Any]:
    """Let a process of its own run seeds. Any: JSON."""
    command = [sys.executable, "-P", str(WORKER), profile, str(first), str(last)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"ended with status {done.returncode}:\n{done.stderr[-STDERR_SHOWN:]}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome
