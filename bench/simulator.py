"""How fast the simulator is: virtual seconds for each second of processor time, and what a gate of seeds costs.

python -m bench.simulator
"""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace

from sim.draw import draw
from sim.run import Report, play

HOSTS = 5
SEEDS_SEARCHED = 400
RATE_SEEDS = 40
"""Seeds of five hosts that the rate is the mean over: some are ten times busier than others."""
GATE_SEEDS = 300
GATE_MS = 60_000


def simulator_speed() -> dict[str, float]:
    """Return virtual seconds per processor second for five hosts with faults, and seconds for the gate of seeds."""
    figures = dict(rate())
    figures.update(gate())
    return figures


def rate() -> dict[str, float]:
    """Play seeds of five hosts that have at least one kind of fault, one after the other."""
    virtual_s = cpu_s = events = 0.0
    count = 0
    for seed in range(SEEDS_SEARCHED):
        scenario = draw(seed)
        if len(scenario.hosts) != HOSTS or count == RATE_SEEDS:
            continue
        begin = time.process_time()
        report = play(scenario, profile="all")
        spent = time.process_time() - begin
        if has_faults(report):
            count += 1
            virtual_s += report.virtual_ms / 1000
            events += report.events
            cpu_s += spent
    return {
        "simulator_virtual_seconds_per_cpu_second": virtual_s / cpu_s,
        "simulator_events_per_cpu_second": events / cpu_s,
    }


def gate() -> dict[str, float]:
    """Play the seeds of a gate, a minute of trouble each, on all processors."""
    begin = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        spent = pool.map(_minute, range(GATE_SEEDS), chunksize=5)
    return {
        "simulator_gate_wall_seconds": time.monotonic() - begin,
        "simulator_gate_cpu_seconds": sum(spent),
    }


def has_faults(report: Report) -> bool:
    """Say whether anything but the users' wishes took place."""
    users = {"attach", "detach", "end-container", "take", "claim-again", "give-back"}
    return any(name not in users for name in report.actions)


def _minute(seed: int) -> float:
    begin = time.process_time()
    report = play(replace(draw(seed), until_ms=GATE_MS), profile="all")
    assert not report.violation, f"seed {seed}: {report.violation}"
    return time.process_time() - begin


if __name__ == "__main__":
    for name, value in simulator_speed().items():
        print(f"{name:45} {value:10.1f}")
