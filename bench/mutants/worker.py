"""Runs seeds of one profile until one fails, in a process of its own: `worker.py PROFILE FIRST LAST`.

The simulator it imports is the one on the path: a copy of the code with a mutant in it. The last line it prints is an
`Outcome` of `trial`, as JSON.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from types import FrameType

from sim.seeds import run_seed

SEED_CPU_MAX_S = 10.0
"""Many times what a seed takes."""
MEMORY_MAX = 2 << 30
"""Bytes. A mutant that writes for ever must not take the machine with it."""


class Stuck(Exception):
    """A seed does not come to its end."""


def main(profile: str, first: int, last: int) -> None:
    """Run seeds in `[first, last)` and print what came of them."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    signal.signal(signal.SIGPROF, _give_up)
    seed, violation = first, ""
    while seed < last and not violation:
        signal.setitimer(signal.ITIMER_PROF, SEED_CPU_MAX_S)
        # Whatever the heart raises is in the report, and so is being stuck.
        violation = run_seed(seed, profile=profile).violation
        seed += 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    outcome = {"seed": seed - 1, "count": seed - first, "violation": violation}
    print(json.dumps({**outcome, "cpu_s": usage.ru_utime + usage.ru_stime}))


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    raise Stuck(f"one seed takes more than {SEED_CPU_MAX_S:.0f} CPU seconds")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
