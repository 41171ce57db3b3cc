"""Runs seeds.

    python -m sim.explore FIRST:LAST

prints one line per seed and, of a seed that fails, what was violated and the end of its trace. One seed is one run:
the same on every machine and in every process.
"""

from __future__ import annotations

import sys

from core.replica import Replica
from sim.draw import draw
from sim.run import MakeReplica, Report, play

TAIL_SHOWN = 60


def run_seed(seed: int, make: MakeReplica = Replica) -> Report:
    """Run one seed."""
    return play(draw(seed), make, profile="all")


def main(arguments: list[str]) -> int:
    """Run a range of seeds; return 1 if any fails."""
    first, _, last = (arguments[0] if arguments else "0:10").partition(":")
    failed = 0
    for seed in range(int(first), int(last or int(first) + 1)):
        report = run_seed(seed)
        print(
            f"seed {seed:5}  {len(report.scenario.hosts)} hosts  {report.events:6} events  {report.answers:4} answers  "
            f"converged in {report.converged_ms / 1000:5.1f} s  {report.proof}",
            flush=True,
        )
        if report.violation:
            failed += 1
            print("\n".join(report.tail[-TAIL_SHOWN:]))
            print(f"seed {seed} FAILED: {report.violation}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
