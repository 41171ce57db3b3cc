"""Stories that lead to rarely reached places, each to one: what seeds meet once in hundreds of runs, or never.

Each takes several seeds, which only change how long things take, so that no other change of code makes it miss.
"""

from __future__ import annotations

from dataclasses import replace

from sim.actions import (
    Action,
    Attach,
    BlackHole,
    ClaimAddress,
    Clone,
    Cut,
    CutPower,
    EndContainer,
    Expel,
    FillDisk,
    Heal,
    HostIndex,
    Intrude,
    KernelTrouble,
    Kill,
    RemovePeers,
    ResetHost,
    SlowDisk,
    Split,
    Start,
    Take,
    Wipe,
)
from sim.scenario import HostSpec, Scenario, Step

A, B, C, D = (HostIndex(index) for index in range(4))
SEEDS = tuple(str(number) for number in range(1, 9))
"""Tried in turn."""

UNIT: dict[str, str] = {
    "gossip.corrupt-replaced": "core/mesh/test_gossip.py",
    "gossip.equivocation": "core/mesh/test_gossip.py",
    "gossip.gap": "core/mesh/test_gossip.py",
    "ipam.note-denies": "core/ipam/test_space.py",
    "shortids.clash-lost": "core/mesh/test_shortids.py",
    "strays.refused": "core/reconcile/test_strays.py",
}
"""Passed in a test of their own: no honest peer leads there, or, the last one, only one in thousands."""


def hosts(count: int, absent: tuple[HostIndex, ...] = ()) -> tuple[HostSpec, ...]:
    """Return hosts that dial each other, of whom some come later."""
    indexes = tuple(HostIndex(index) for index in range(count))
    return tuple(
        HostSpec(f"h{index}", tuple(other for other in indexes if other != index), starts=index not in absent)
        for index in indexes
    )


def story(
    count: int,
    until_s: int,
    *steps: tuple[int, Action],
    ring: str = "seed",
    universe: str = "10.32.0.0/24",
    absent: tuple[HostIndex, ...] = (),
    allow: tuple[str, ...] = (),
) -> Scenario:
    """Tell what happens when, in milliseconds."""
    return Scenario(
        seed=SEEDS[0],
        hosts=hosts(count, absent),
        universe=universe,
        ring=ring,
        until_ms=until_s * 1_000,
        steps=tuple(Step(at_ms, action) for at_ms, action in steps),
        allow=allow,
    )


FORGETFUL_PROPOSER = story(
    4,
    120,
    # It gets one promise, not a quorum, and then forgets all about it.
    (5_000, Split((A,))),
    (5_000, Split((D,))),
    (6_000, Take(C, ("c1",))),
    (8_000, Take(A, ("c2",))),
    (9_000, Wipe(C)),
    (9_500, Start(C)),
    (9_600, Heal()),
    ring="consensus",
    allow=("amnesia",),
)

RARE: dict[str, Scenario] = {
    "attachments.settled-within": story(
        # The kernel refuses several at once: undoing one settles the next.
        2,
        60,
        (5_000, KernelTrouble(B, 50, "refused")),
        *((6_000, Attach(B, f"c{number}")) for number in range(6)),
        (20_000, KernelTrouble(B, 0, "refused")),
    ),
    "commits.retry-too-early": story(
        2, 60, (5_000, SlowDisk(A, 10_000)), (5_000, FillDisk(A)), (5_010, Take(A, ("c1",))), (6_000, Take(A, ("c2",)))
    ),
    "fences.split": story(
        4, 120, (5_000, CutPower(C)), (50_000, RemovePeers(A, (C,), False)), (50_000, RemovePeers(B, (C,), False))
    ),
    "fences.switched": story(
        4,
        150,
        (5_000, CutPower(D)),
        # C answers, and is not heard; then whoever asked dies.
        (49_000, Cut(C, A)),
        (49_000, Cut(C, B)),
        (50_000, RemovePeers(A, (D,), False)),
        (55_000, CutPower(A)),
        (55_000, Heal()),
        (95_000, RemovePeers(B, (A, D), False)),
    ),
    "ipam.asked-twice": story(2, 60, (5_000, Cut(A, B)), (5_010, ClaimAddress(B, "c1", "10.32.0.20"))),
    "ipam.joined-notes": story(
        # Two hosts claim every other address of a third, until its notes are too many.
        3,
        240,
        *(
            (5_000 + 1_500 * number, ClaimAddress((B, C)[number % 2], f"c{number}", f"10.32.0.{number + 1}"))
            for number in range(132)
        ),
        universe="10.32.0.0/23",
    ),
    "ipam.left-behind": story(
        # The agent dies after a container and before its address is free again.
        2,
        60,
        (5_000, Attach(B, "c1")),
        (8_000, EndContainer(B, "c1")),
        (9_000, Kill(B)),
        (10_000, Start(B)),
    ),
    "leaving.heir-silent": story(2, 60, (10_000, Kill(A)), (11_000, ResetHost(B))),
    "leaving.no-heir": story(2, 120, (5_000, CutPower(B)), (60_000, ResetHost(A))),
    "mesh.neighbour-slow-to-tell": story(2, 60, (10_000, BlackHole(A, B, 200)), (10_000, Start(B)), absent=(B,)),
    "probes.claim-refused": story(
        2, 60, (5_000, Intrude(A, "10.32.0.9")), (11_000, ClaimAddress(A, "c1", "10.32.0.9")), (30_000, Expel(A))
    ),
    "seed.adopted-vote": story(
        # C writes its value down, and nobody hears of it before somebody else has outbid it.
        3,
        60,
        (5_000, Take(C, ("c1",))),
        (5_060, SlowDisk(C, 4_000)),
        (5_600, Cut(C, A)),
        (5_600, Take(A, ("c2",))),
        (20_000, Heal()),
        ring="consensus",
        absent=(B,),
    ),
    "seed.no-vote-after-amnesia": FORGETFUL_PROPOSER,
    "seed.old-ballot-refused": FORGETFUL_PROPOSER,
    "sessions.namesake-refused": replace(story(3, 60, (5_000, Clone(C, A)), absent=(C,)), core=(A, B)),
    "sessions.no-hello": story(2, 60, (0, BlackHole(A, B, 10))),
    "strays.found": story(
        2,
        60,
        (5_000, Attach(A, "c1")),
        (10_000, CutPower(B)),
        (20_000, Wipe(A)),
        (21_000, Start(A)),
        allow=("amnesia",),
    ),
    "takeover.forced": story(3, 700, (5_000, CutPower(B)), (5_000, CutPower(C)), (60_000, RemovePeers(A, (B,), True))),
    "takeover.voters-changed": story(
        4,
        100,
        (3_000, CutPower(A)),
        (40_100, RemovePeers(B, (A,), False)),
        (40_500, CutPower(D)),
        (40_500, Start(A)),
        (40_500, CutPower(C)),
        (80_600, RemovePeers(A, (C,), False)),
    ),
}
"""By mark."""
