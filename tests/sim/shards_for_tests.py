"""Tasks for a cluster's workers, which import them by name."""

from __future__ import annotations

import os
import signal

from sim.campaign.shards import run_shard

DEADLY = 5
"""The seed that no worker survives."""


def deadly(seeds: tuple[int, ...], profile: str, code: str) -> list[str]:
    """Run seeds, but for one."""
    if DEADLY in seeds:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_shard(seeds, profile, code)
