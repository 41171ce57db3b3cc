"""What gossip costs and how fast it is, at a hundred simulated hosts and at a thousand, with the target of each figure.

    python -m bench.fleet          both sizes, as a table
    python -m bench.fleet SIZE     one size, as JSON

Bytes, copies and virtual times are the same on every machine; processor time and memory are not. Every size runs in a
process of its own, so that both are its own. Bytes are counted where it costs no more than minutes, at a hundred hosts.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

from sim.fleet import Fleet

SMALL, LARGE = 100, 1_000
WEIGHED_MAX = 200
"""Hosts up to which every message is encoded to count its bytes."""
SECOND_US = 1_000_000
QUIET_US = 15 * SECOND_US
IDLE_US = 60 * SECOND_US
CHANGES = 60
"""One at a time, a second apart."""
BURST_US = 10 * SECOND_US
"""In which as many writes take place as there are hosts."""
CUT_WRITES = 10
"""A tenth of the hosts' number, on both sides together."""
CUT_US = 60 * SECOND_US
"""Longer than TCP and heartbeats take to give up, so that every connection across has to be made anew."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is held against."""

    name: str
    """Name of the figure, without the size."""
    text: str
    """What it says, with a place for the value."""
    limit: float
    """No more than this."""
    sizes: tuple[int, ...]
    """For which numbers of hosts."""


TARGETS = (
    Target("cpu_minutes", "the whole run takes {:.1f} CPU minutes", 5, (LARGE,)),
    Target("resident_mb", "and {:.0f} MB", 1_000, (LARGE,)),
    Target("p99_ms", "99 % of deliveries within {:.0f} ms of the write", 1_000, (SMALL,)),
    Target("p99_ms", "99 % of deliveries within {:.0f} ms of the write", 2_000, (LARGE,)),
    Target("heal_ms", "all equal {:.0f} ms after a cut of 60 s ends", 2_000, (SMALL, LARGE)),
    Target("copies", "{:.4f} copies of each change to each host", 1, (SMALL, LARGE)),
    Target("change_bytes", "{:.0f} bytes per change and host, payload included", 320, (SMALL,)),
    Target("idle_bytes_per_s", "{:.1f} bytes per second and host when nothing happens", 10, (SMALL,)),
)


def fleet_figures() -> dict[str, float]:
    """Measure both sizes, each in a process of its own; names begin with the size."""
    figures: dict[str, float] = {}
    for size in (SMALL, LARGE):
        done = subprocess.run((sys.executable, "-m", "bench.fleet", str(size)), stdout=subprocess.PIPE, check=True)
        figures.update((f"fleet_{size}_{name}", value) for name, value in json.loads(done.stdout).items())
    return figures


def measure(size: int) -> dict[str, float]:
    """Let a fleet of that size live through everything."""
    fleet = Fleet(size, weighs=size <= WEIGHED_MAX)
    figures = {"form_ms": fleet.form() / 1_000}
    fleet.gauge.reset()
    fleet.write(size, over_us=BURST_US)
    fleet.settle()
    figures.update(p50_ms=fleet.gauge.delay_ms(50), p99_ms=fleet.gauge.delay_ms(99))
    figures["copies"] = fleet.gauge.copies / size / (size - 1)
    figures.update(_cost(fleet) if size <= WEIGHED_MAX else {})
    figures["heal_ms"] = _heal(fleet)
    figures["cpu_minutes"] = time.process_time() / 60
    figures["resident_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def lines(figures: dict[str, float]) -> list[str]:
    """Return what was measured for people, each with its target."""
    found = []
    for size in (SMALL, LARGE):
        for target in TARGETS:
            value = figures.get(f"fleet_{size}_{target.name}")
            if value is not None and size in target.sizes:
                found.append(f"gossip, {size} hosts: {target.text.format(value)} (target ≤ {target.limit})")
    return found


def _cost(fleet: Fleet) -> dict[str, float]:
    """Measure bytes: first of an idle fleet, then of changes one by one, less what an idle one would have sent."""
    gauge = fleet.gauge
    fleet.wait(QUIET_US)
    gauge.reset()
    fleet.wait(IDLE_US)
    idle_rate = gauge.size / IDLE_US
    gauge.reset()
    begin_us = fleet.world.now_us
    fleet.write(CHANGES, over_us=CHANGES * SECOND_US)
    fleet.settle()
    spent = gauge.size - idle_rate * (fleet.world.now_us - begin_us)
    return {
        "change_bytes": spent / CHANGES / fleet.size,
        "idle_bytes_per_s": idle_rate * SECOND_US / fleet.size,
    }


def _heal(fleet: Fleet) -> float:
    """Cut a fleet in two, write on both sides, and return how long it takes to agree after the cut, in milliseconds."""
    fleet.wait(QUIET_US)
    fleet.split()
    fleet.write(fleet.size // CUT_WRITES, over_us=CUT_US)
    fleet.heal()
    return fleet.settle() / 1_000


def main(arguments: list[str]) -> int:
    """Measure one size or all."""
    if arguments:
        print(json.dumps(measure(int(arguments[0]))))
    else:
        print("\n".join(lines(fleet_figures())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
