"""Every way in which one crash can fall between the effects of an agent: all of them, one scenario each.

A crash between two effects of one `apply` is where promises of order break, and each event has only a few gaps. So a
small scenario can be played once for every gap there is, instead of hoping that some seed draws it:

    for case in gaps(scenario, host):
        assert not play(case).violation

Gaps are counted from the host's first event on, up to the end of trouble.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

from core.effects import Effect
from core.events import Event
from core.replica import Replica
from core.types import Instant
from sim.actions import Doom, HostIndex, Start
from sim.names import peer_name
from sim.run import Run
from sim.scenario import Scenario, Step

DOWN_MS = 400
"""How long the host stays down at most: a time for others to go on without it, and not to give it up."""


def gaps(scenario: Scenario, host: HostIndex) -> Iterator[Scenario]:
    """Yield the scenario with each crash that its host may suffer, of the agent and of the machine. Plays it once."""
    late = _begun_by_step(scenario, host)
    for spared, count in enumerate(effect_counts(late, host)):
        for gap in range(count + 1):
            for power in (False, True):
                doom = Step(0, Doom(host, gap, power, spared))
                restarts = [Step(at_ms, Start(host)) for at_ms in range(DOWN_MS, scenario.until_ms, DOWN_MS)]
                steps = heapq.merge([doom, *late.steps], restarts, key=lambda step: step.at_ms)
                what = "power cut" if power else "crash"
                title = f"{what} of {scenario.hosts[host].nickname} after {gap} effects of its event {spared}"
                yield replace(late, steps=tuple(steps), title=title)


def effect_counts(scenario: Scenario, host: HostIndex) -> tuple[int, ...]:
    """Return how many effects each event of a host has that has any, in order, up to the end of trouble."""
    counts: list[int] = []

    class Counted(Replica):
        def apply(self, event: Event, at: Instant) -> list[Effect]:
            effects = super().apply(event, at)
            if effects and self.board.me.peer == peer_name(host):
                counts.append(len(effects))
            return effects

    Run(scenario, Counted).until(scenario.until_ms)
    return tuple(counts)


def _begun_by_step(scenario: Scenario, host: HostIndex) -> Scenario:
    """Return the scenario with the start of a host as its first step, so that the host can be doomed before."""
    hosts = tuple(replace(spec, starts=spec.starts and index != host) for index, spec in enumerate(scenario.hosts))
    start = (Step(0, Start(host)),) if scenario.hosts[host].starts else ()
    return replace(scenario, hosts=hosts, steps=(*start, *scenario.steps))
