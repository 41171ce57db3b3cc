"""A worker process: reads seeds, a line each, runs them and writes what it found, a line each.

    python -m sim.campaign.worker PROFILE

It says `ready` before the first. It ends when its input does, so that none outlives the process that started it by
more than a seed.
"""

from __future__ import annotations

import os
import sys

from sim.campaign.result import find
from sim.campaign.wire import text_of

READY = "ready"


def main(profile: str) -> None:
    """Work until there is no more."""
    # What the code under test might print must not mix with answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(READY, file=answers, flush=True)
    for line in sys.stdin:
        print(text_of(find(int(line), profile)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
