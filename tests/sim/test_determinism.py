"""A seed is a run: the same in another process, under another order of hashes."""

from __future__ import annotations

import os
import subprocess
import sys

SEEDS = (3, 8, 20, 24)
PROGRAM = "import sys; from sim.explore import run_seed; print(*(run_seed(int(s)).proof for s in sys.argv[1:]))"


def proofs(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", PROGRAM, *map(str, SEEDS)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_two_processes_agree_on_every_event() -> None:
    first, second = proofs("1"), proofs("4242")
    assert len(set(first)) == len(SEEDS), "different seeds, different runs"
    assert first == second
