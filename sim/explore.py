"""Runs seeds: a phase of trouble in which nothing may go wrong for good, then a phase in which all must come right.

    python -m sim.explore FIRST:LAST

prints one line per seed and, of a seed that fails, what was violated and the end of its trace. One seed is one run:
the same on every machine and in every process.

Source: TigerBeetle's VOPR (safety phase, then liveness phase).
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from core.config import Config, Recovered, SeedMode
from core.replica import Replica
from core.types import PeerName, subnet_of
from core.wire import decode, encode
from sim.checks import Checks
from sim.faults import Faults
from sim.workload import Violation, Workload
from sim.world import World, address_of

TROUBLES_US = (60_000_000, 60_000_000, 240_000_000)
"""Length of the first phase: short for many bursts of trouble, long enough that links are given up for lost."""
SNAPSHOT_US = 1_000_000
"""Between two looks at whole stores."""
SETTLE_US = 900_000_000
"""Time to converge: back-off of up to 6 minutes, then held links, retries and rounds of gossip."""
STEP_US = 5_000_000
UNIVERSES = ("10.32.0.0/22", "10.32.0.0/24")
"""Small enough that space runs short and has to be passed on."""
TAIL_SHOWN = 60

MakeReplica = Callable[[Config, Recovered, random.Random], Replica]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    """Which."""
    hosts: int
    """How many."""
    faults: tuple[str, ...]
    """Kinds of trouble it had."""
    proof: str
    """Hash of the whole trace."""
    events: int
    """Lines of it."""
    answers: int
    """Requests that were answered well."""
    converged_ms: int
    """Virtual time from the end of trouble until all was well."""
    violation: str
    """What went wrong; empty if nothing did."""
    tail: tuple[str, ...]
    """The end of the trace, if something did."""


def run_seed(seed: int, make: MakeReplica = Replica) -> Outcome:
    """Run one seed."""
    name = str(seed)
    entropy = random.Random(f"{name}/shape")
    configs = draw_hosts(entropy)
    world = World(name, configs, make, codec=lambda message: decode(encode(message)))
    if len(configs) > 2 and entropy.random() < 0.4:
        _line(world)
    workload = Workload(world, name)
    checks = Checks(world, workload)
    world.watcher = checks
    faults = Faults(world, name)
    converged_us = 0
    violation = ""
    try:
        _live_through(world, workload, checks, faults)
        converged_us = _settle(world, checks)
    except Violation as found:
        violation = str(found)
    except Exception:
        # A bug in the heart is a finding like any other, and its seed must be told.
        violation = f"crash of the replica: {traceback.format_exc()}"
    return Outcome(
        seed=seed,
        hosts=len(configs),
        faults=faults.kinds,
        proof=world.trace.value,
        events=world.trace.line_count,
        answers=workload.answers,
        converged_ms=converged_us // 1000,
        violation=violation,
        tail=tuple(world.trace.tail) if violation else (),
    )


def draw_hosts(entropy: random.Random) -> tuple[Config, ...]:
    """Draw the settings of a cluster."""
    count = entropy.choice((1, 2, 3, 3, 4, 5))
    names = tuple(PeerName(f"02:00:00:00:00:{index + 1:02x}") for index in range(count))
    mode = entropy.choice((SeedMode("seed", names), SeedMode("consensus", (), count), SeedMode("consensus", (), count)))
    knows_all = entropy.random() < 0.5
    universe = subnet_of(entropy.choice(UNIVERSES))
    return tuple(
        Config(
            peer=name,
            nickname=f"h{index}",
            targets=tuple(
                address_of(other) for other in range(count) if other < index or (knows_all and other > index)
            ),
            universe=universe,
            default_subnet=None,
            seed=mode,
        )
        for index, name in enumerate(names)
    )


def _line(world: World) -> None:
    """Leave only the paths between neighbours in a line."""
    count = len(world.hosts)
    for one in range(count):
        for other in range(one + 2, count):
            world.network.wall(one, other)


def _live_through(world: World, workload: Workload, checks: Checks, faults: Faults) -> None:
    for host in world.hosts:
        world.start(host)
    workload.begin()
    faults.begin()
    until_us = random.Random(f"{world.seed}/length").choice(TROUBLES_US)
    while world.now_us < until_us:
        world.run(world.now_us + SNAPSHOT_US)
        checks.snapshot()
    faults.end()
    workload.end()


def _settle(world: World, checks: Checks) -> int:
    """Wait until all is well; return how long it took, in virtual microseconds. Raises: Violation."""
    begin_us = world.now_us
    problems = ["nothing was looked at"]
    while problems:
        if world.now_us - begin_us > SETTLE_US:
            raise Violation("I8: " + "; ".join(problems))
        world.run(world.now_us + STEP_US)
        checks.snapshot()
        problems = checks.unfinished()
    checks.promises()
    return world.now_us - begin_us


def main(arguments: list[str]) -> int:
    """Run a range of seeds; return 1 if any fails."""
    first, _, last = (arguments[0] if arguments else "0:10").partition(":")
    failed = 0
    for seed in range(int(first), int(last or int(first) + 1)):
        outcome = run_seed(seed)
        print(
            f"seed {seed:5}  {outcome.hosts} hosts  {outcome.events:6} events  {outcome.answers:4} answers  "
            f"converged in {outcome.converged_ms / 1000:3.0f} s  {outcome.proof}  {','.join(outcome.faults)}",
            flush=True,
        )
        if outcome.violation:
            failed += 1
            print("\n".join(outcome.tail[-TAIL_SHOWN:]))
            print(f"seed {seed} FAILED: {outcome.violation}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
