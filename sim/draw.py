"""Draws what a seed stands for: hosts, paths, ranges, how long there is trouble, and who must come right in the end."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import combinations

from sim.actions import HostIndex
from sim.names import NEXT, TODAY
from sim.scenario import RINGS, HostSpec, Scenario

SCARCE = ("10.32.0.0/24", "10.32.0.0/25", "10.32.0.0/26")
"""So small that hosts live on each other's gifts; what is taken can be given back in the end, while containers stay."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the scenarios of a profile look like."""

    counts: tuple[int, ...]
    """How many hosts there are, one of these."""
    rings: tuple[str, ...]
    """How the range is divided, one of these."""
    troubles_ms: tuple[int, ...]
    """Length of the first phase, one of these."""
    kernels: float = 1.0
    """Share of runs with kernels."""
    universes: tuple[str, ...] = ("10.32.0.0/22", "10.32.0.0/24")
    """Small enough that space runs short and has to be passed on; without kernels, `SCARCE`."""
    core: float = 0.25
    """Share of runs, of those with more than two hosts, in which some of them need not come right in the end."""
    late: float = 0.0
    """Share of hosts that are not there from the beginning."""


SHAPES: dict[str, Shape] = {
    # Short for many bursts of trouble, long enough that links are given up for lost.
    "all": Shape((1, 2, 3, 3, 4, 5), ("seed", "consensus", "consensus"), (60_000, 60_000, 240_000)),
    # The dead are believed dead only when their links have been silent for half a minute. A takeover does not touch
    # kernels, but what it leads to does.
    "takeover": Shape((3, 3, 4, 5, 5, 6), ("seed", "seed", "consensus"), (600_000,), kernels=0.2),
    "rings": Shape((2, 3, 3, 4, 5), ("seed", "consensus", "consensus"), (240_000,)),
    # Agreement takes less than a second where all are well.
    "agreement": Shape((3, 3, 4, 5, 5), ("consensus",), (20_000,), kernels=0.0, core=0.0, late=0.4),
}
"""What a swarm looks at: everything; or above all the removal of dead peers, hosts that share different ranges, and how
a range comes to be divided."""
PROFILES = tuple(SHAPES)

WALLED = 0.3
"""Share of runs in which some hosts, chosen at random, have no path to each other."""
WITH_IPV6 = 0.3
"""Share of runs whose range has IPv6, and of these, that with nothing else."""
NARROWER = (0, 0, 1, 2)
"""Bits by which the IPv6 part is smaller than the IPv4 part: one family runs short while the other has plenty."""
MIXED = 0.15
"""Share of runs in which some hosts run a later version of the software."""
HIDDEN = 0.2
"""Share of runs in which some hosts are behind NATs."""

SECRET = 0.35
"""Share of runs in which there is a password."""
TRUSTING = 0.3
"""Share of hosts, where there is one, that trust the whole network."""
ROTATES_MS = (3_600_000, 20_000)
"""Longer than any run, and so short that keys change often."""
ROTATES_BYTES = (1 << 36, 3 << 20)
"""More than any run carries, and as much as a kernel of the simulator carries in three looks."""
PICKY = 0.3
"""Share of runs in which VXLAN does not pass everywhere, or is switched off on some hosts."""
SLOW = 0.25
"""Share of hosts, and of directions, without VXLAN there."""

Pair = tuple[HostIndex, HostIndex]

APART = 0.3
"""Share of hosts that are launched with settings of their own."""
NARROWEST = 122
"""Prefix of a range that has room for what a host keeps which was called dead and lives: nobody gives that back."""
OTHER_UNIVERSES = ("", "", "10.32.0.0/25", "10.33.0.0/24", "none", "10.32.0.0/24,fd00::/120")
"""Some overlap the others' range, one does not."""


def draw(seed: int | str, profile: str = "all") -> Scenario:
    """Return the scenario of a seed, without steps: its choosers make them while it is played."""
    entropy, shape = random.Random(f"{seed}/shape"), SHAPES[profile]
    count, ring = entropy.choice(shape.counts), entropy.choice(shape.rings)
    knows_all = entropy.random() < 0.5
    kernels = shape.kernels == 1.0 or entropy.random() < shape.kernels
    universe = entropy.choice(shape.universes if kernels else SCARCE)
    hosts = tuple(
        HostSpec(
            f"h{index}",
            tuple(HostIndex(other) for other in range(count) if other < index or (knows_all and other > index)),
        )
        for index in range(count)
    )
    is_line = count > 2 and entropy.random() < 0.4
    until_ms = entropy.choice(shape.troubles_ms)
    core: tuple[HostIndex, ...] = ()
    if count > 2 and entropy.random() < shape.core:
        # Each host has a path to one before it, so the first ones are connected without the others.
        core = tuple(HostIndex(index) for index in range(entropy.randint(count // 2 + 1, count - 1)))
    walls = _line(count) if is_line else ()
    if count > 2 and not is_line and entropy.random() < WALLED:
        walls = _graph(entropy, count)
    if entropy.random() < HIDDEN:
        hosts = _hide(entropy, hosts, walls)
    if entropy.random() < MIXED:
        hosts = tuple(replace(host, release=entropy.choice((TODAY, NEXT))) for host in hosts)
    hosts = tuple(replace(host, starts=not shape.late or entropy.random() >= shape.late) for host in hosts)
    if profile == "rings":
        told = [settings(entropy, count) if entropy.random() < APART else Settings() for _ in hosts]
        hosts = tuple(
            replace(host, universe=one.universe, ring=one.ring, among=one.among)
            for host, one in zip(hosts, told, strict=True)
        )
    universe = _families(random.Random(f"{seed}/families"), universe, kernels=kernels)
    frames = random.Random(f"{seed}/frames")
    hosts, is_secret, firewalls = _frames(frames, hosts)
    return Scenario(
        seed=str(seed),
        hosts=hosts,
        universe=universe,
        ring=ring,
        until_ms=until_ms,
        walls=walls,
        core=core,
        kernels=kernels,
        password=is_secret,
        rotate_ms=frames.choice(ROTATES_MS),
        rotate_bytes=frames.choice(ROTATES_BYTES),
        firewalls=firewalls,
        allow=("two-rings",) if profile == "rings" else (),
    )


def _families(entropy: random.Random, universe: str, *, kernels: bool) -> str:
    """Draw whether a range has IPv6 beside its IPv4, or instead of it."""
    if entropy.random() >= WITH_IPV6:
        return universe
    # With kernels, containers stay to the end, and all of them need room.
    narrower = 0 if kernels else entropy.choice(NARROWER)
    prefix = min(int(universe.rpartition("/")[2]) + 96 + narrower, NARROWEST)
    six = f"fd00::/{prefix}"
    return six if entropy.random() < WITH_IPV6 else f"{universe},{six}"


def _frames(entropy: random.Random, hosts: tuple[HostSpec, ...]) -> tuple[tuple[HostSpec, ...], bool, tuple[Pair, ...]]:
    """Draw what decides how frames travel: who may use VXLAN, whether there is a password, and who can or need not
    encrypt."""
    is_secret = entropy.random() < SECRET
    slow = SLOW if entropy.random() < PICKY else 0.0
    share = entropy.choice((0.0, 0.6, 1.0))
    specs = tuple(
        replace(
            host,
            fastdp=entropy.random() >= slow,
            esp=is_secret and entropy.random() < share,
            trusts=is_secret and entropy.random() < TRUSTING,
        )
        for host in hosts
    )
    pairs = [(one, other) for one in range(len(hosts)) for other in range(len(hosts)) if one != other]
    barred = [pair for pair in pairs if entropy.random() < slow]
    return specs, is_secret, tuple((HostIndex(one), HostIndex(other)) for one, other in barred)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a host is told of its range; empty for what the scenario says."""

    universe: str = ""
    """`--ipalloc-range`."""
    ring: str = ""
    """`--ipalloc-init`."""
    among: tuple[HostIndex, ...] = ()
    """Whom `seed` names, or how many `consensus` expects."""


def settings(entropy: random.Random, count: int) -> Settings:
    """Draw what one of so many hosts might be told."""
    among = tuple(HostIndex(index) for index in sorted(entropy.sample(range(count), entropy.randint(1, count))))
    return Settings(entropy.choice(OTHER_UNIVERSES), entropy.choice(("", "", *RINGS)), among)


def _line(count: int) -> tuple[Pair, ...]:
    """Return the walls that leave only the paths between neighbours in a line."""
    pairs = ((one, other) for one in range(count) for other in range(count) if abs(one - other) > 1)
    return tuple((HostIndex(one), HostIndex(other)) for one, other in pairs)


def _graph(entropy: random.Random, count: int) -> tuple[Pair, ...]:
    """Return walls that leave every host a path to one before it, and few others."""
    open_pairs = {(entropy.randrange(host), host): None for host in range(1, count)}
    for one, other in combinations(range(count), 2):
        if entropy.random() < 0.3:
            open_pairs[one, other] = None
    pairs = ((one, other) for one in range(count) for other in range(count) if one != other)
    return tuple(
        (HostIndex(one), HostIndex(other))
        for one, other in pairs
        if (min(one, other), max(one, other)) not in open_pairs
    )


def _hide(entropy: random.Random, hosts: tuple[HostSpec, ...], walls: tuple[Pair, ...]) -> tuple[HostSpec, ...]:
    """Put some hosts behind NATs, each of which can still be connected with one before it."""
    blocked = dict.fromkeys(walls)
    hidden: dict[int, None] = {}
    for index in range(1, len(hosts)):
        before = [HostIndex(other) for other in range(index) if (other, index) not in blocked]
        calls = any(other not in hidden for other in before)
        is_called = any(HostIndex(index) in hosts[other].targets for other in before)
        if not calls and not is_called:
            # Whoever is before it is hidden and does not know it: nobody could begin.
            return hosts
        if calls and entropy.random() < 0.5:
            hidden[index] = None
    return tuple(replace(spec, behind_nat=index in hidden) for index, spec in enumerate(hosts))
