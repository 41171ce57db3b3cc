"""What goes wrong, and when: each seed draws which kinds of trouble there are, and how often.

Most runs have two to four kinds, some none: faults that always come together hide what each alone would show. Trouble
stays within what the system promises to survive: a disk loses its tail but not what was synced; a host is wiped only
when somebody else holds all it has said. The kinds themselves are in `choose`, a topic a file.

Source: swarm testing (Groce et al., 2012); TigerBeetle's VOPR.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

from sim.agenda import Agenda
from sim.choose import kernels, machines, network, people
from sim.chooser import PAUSE_MS, Chooser, Kind, starting
from sim.stage import Stage

KINDS: dict[str, Kind] = {**network.KINDS, **machines.KINDS, **kernels.KINDS, **people.KINDS}
"""Every kind of trouble, chosen again and again."""
BEGIN: dict[str, Kind] = {**network.BEGIN, **machines.BEGIN, **kernels.BEGIN}
"""What some kinds do once, at the beginning."""
LOSSY = 0.3
"""Share of runs whose paths lose messages all the time."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How much trouble the runs of a profile have."""

    counts: tuple[int, ...] = (0, 1, 2, 3, 3, 4, 5, 6)
    """How many kinds, one of these."""
    pause_ms: tuple[int, int] = PAUSE_MS
    """Between two troubles of one kind."""
    forgetful: float = 0.2
    """Share of runs in which hosts lose their memory."""


MIXES: dict[str, Mix] = {
    # Most of the time removals shall succeed.
    "takeover": Mix((0, 0, 1, 1, 2, 3), (5_000, 60_000), 0.0),
    # Some trouble in every second: it is all that an agreement takes.
    "agreement": Mix((1, 2, 2, 3), (20, 1_500), 0.4),
}
"""Of the profiles that are not like others."""
LATE_MS = (0, 4_000)
"""When those start who are not there from the beginning."""

FORGETTING = ("wipes", "rollbacks", "leavers")
ISOLATING = (
    *("cuts", "distances", "noise", "slow-lines", "clogs", "garbage", "black-holes", "nat"),
    *("kills", "power", "gaps", "upgrades", "pauses", "disk", "slow-disk", "read-only", "operators", "leftovers"),
)
"""A host without memory must find somebody who remembers for it."""


class Faults:
    """Chooses trouble."""

    def __init__(self, stage: Stage, agenda: Agenda, seed: str, profile: str) -> None:
        entropy = random.Random(f"{seed}/faults")
        chooser = Chooser(stage, agenda, entropy)
        mix = MIXES.get(profile, Mix())
        forgets = mix.forgetful > 0 and entropy.random() < mix.forgetful
        pool = [name for name in KINDS if name not in (ISOLATING if forgets else FORGETTING)]
        drawn = entropy.sample(pool, min(len(pool), entropy.choice(mix.counts)))
        for host in stage.world.hosts:
            if not stage.scenario.hosts[host.index].starts:
                agenda.plan(entropy.randint(*LATE_MS), starting(host))
        if profile == "takeover":
            agenda.every(0, people.BURIALS_MS, entropy, partial(people.bury_any, chooser))
        if profile == "agreement":
            agenda.plan(0, partial(machines.slow_down, chooser))
        if profile == "rings":
            agenda.every(0, people.RELAUNCHES_MS, entropy, partial(people.relaunch_any, chooser))
        self.kinds = tuple(sorted(drawn))
        """What goes wrong in this run."""
        if entropy.random() < LOSSY and not forgets:
            agenda.plan(0, partial(network.lose, chooser))
        for name in self.kinds:
            if name in BEGIN:
                agenda.plan(0, partial(BEGIN[name], chooser))
        if "lying-fsync" in stage.scenario.allow:
            agenda.every(0, PAUSE_MS, entropy, partial(machines.lie, chooser))
        for name in self.kinds:
            agenda.every(0, mix.pause_ms, entropy, partial(KINDS[name], chooser))
