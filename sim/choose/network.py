"""Chooses what happens to paths and connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.reconcile.objects import FASTDP, SLEEVE
from sim import actions
from sim.actions import Action, HostIndex
from sim.chooser import REPAIR_MS, Chooser, Kind

LOSS_MAX_PERCENT = 20
SHUFFLE_MAX_PERCENT = 50
CORRUPT_MAX_PERCENT = 20
LAN_US, WAN_US, FAR_US = (50, 1_000), (5_000, 150_000), (1_000, 50_000)
"""Least time on the way in a rack, between continents, and on a path with a heavy tail."""
TAIL_PERCENT = (30, 60)
LINE_BYTES_PER_S = (4_000, 64_000)
"""From what a bad mobile connection carries on."""
QUEUE_SIZE = (4_096, 65_536)
CLOG_MS = (500, 24_000)
SWIZZLE_MS = (0, 3_000)
"""Between one host's clogging and the next one's."""
HOLE_SIZE = (600, 3_000)
IDLE_MS = (3_000, 8_000, 12_000, 15_000, 60_000)
"""How long NATs remember: less and more than the pause between heartbeats."""


def _cut(chooser: Chooser) -> Iterator[Action]:
    """Split the hosts in two, or stop one direction between two of them; some time later all cuts heal."""
    count = len(chooser.stage.world.hosts)
    if count < 2:
        return
    if chooser.entropy.random() < 0.3:
        source, target = chooser.entropy.sample(range(count), 2)
        yield actions.Cut(HostIndex(source), HostIndex(target))
    else:
        side = sorted(chooser.entropy.sample(range(count), chooser.entropy.randint(1, count - 1)))
        yield actions.Split(tuple(HostIndex(index) for index in side))
    chooser.later(chooser.entropy.choice(REPAIR_MS), lambda: iter((actions.Heal(),)))


def _reset(chooser: Chooser) -> Iterator[Action]:
    count = len(chooser.stage.world.hosts)
    if count > 1:
        one, other = chooser.entropy.sample(range(count), 2)
        yield actions.Reset(HostIndex(one), HostIndex(other))


def lose(chooser: Chooser) -> Iterator[Action]:
    """Let every path lose messages."""
    yield actions.Lose(chooser.entropy.randint(1, LOSS_MAX_PERCENT))


def _draw_distances(chooser: Chooser) -> Iterator[Action]:
    """Let every direction of every path have a length of its own."""
    count = len(chooser.stage.world.hosts)
    for source in range(count):
        for target in range(count):
            if source != target:
                yield _distance(chooser, HostIndex(source), HostIndex(target))


def _change_distance(chooser: Chooser) -> Iterator[Action]:
    """Let one direction take another route."""
    for source, target in _pair(chooser):
        yield _distance(chooser, source, target)


def _distance(chooser: Chooser, source: HostIndex, target: HostIndex) -> Action:
    draw = chooser.entropy.randint
    match chooser.entropy.choice(("lan", "wan", "far")):
        case "lan":
            return actions.Delay(source, target, draw(*LAN_US), draw(0, 500), 0)
        case "wan":
            return actions.Delay(source, target, draw(*WAN_US), draw(1_000, 30_000), 0)
        case _:
            return actions.Delay(source, target, draw(*FAR_US), draw(0, 10_000), draw(*TAIL_PERCENT))


def _disturb(chooser: Chooser) -> Iterator[Action]:
    draw = chooser.entropy.randint
    for source, target in _pair(chooser):
        yield actions.Disturb(
            source, target, draw(0, LOSS_MAX_PERCENT), draw(0, SHUFFLE_MAX_PERCENT), draw(0, SHUFFLE_MAX_PERCENT)
        )
        _repair(chooser, actions.Disturb(source, target, 0, 0, 0))


def _throttle(chooser: Chooser) -> Iterator[Action]:
    draw = chooser.entropy.randint
    for source, target in _pair(chooser):
        yield actions.Throttle(source, target, draw(*LINE_BYTES_PER_S), draw(*QUEUE_SIZE))
        _repair(chooser, actions.Throttle(source, target, 0, 0))


def _swizzle(chooser: Chooser) -> Iterator[Action]:
    """Clog some hosts, one after the other; they come free again in any order.

    Source: FoundationDB's swizzle-clogging.
    """
    count = len(chooser.stage.world.hosts)
    if count > 1:
        for host in chooser.entropy.sample(range(count), chooser.entropy.randint(1, count - 1)):
            chooser.later(SWIZZLE_MS, _clogging(chooser, HostIndex(host), chooser.entropy.randint(*CLOG_MS)))
    yield from ()


def _clogging(chooser: Chooser, host: HostIndex, for_ms: int) -> Callable[[], Iterator[Action]]:
    def clog() -> Iterator[Action]:
        for other in range(len(chooser.stage.world.hosts)):
            if other != host:
                yield actions.Clog(host, HostIndex(other), for_ms)
                yield actions.Clog(HostIndex(other), host, for_ms)

    return clog


def _corrupt(chooser: Chooser) -> Iterator[Action]:
    for source, target in _pair(chooser):
        yield actions.Corrupt(source, target, chooser.entropy.randint(1, CORRUPT_MAX_PERCENT))
        _repair(chooser, actions.Corrupt(source, target, 0))


def _dig(chooser: Chooser) -> Iterator[Action]:
    """Let large messages vanish."""
    for source, target in _pair(chooser):
        yield actions.BlackHole(source, target, chooser.entropy.randint(*HOLE_SIZE))
        _repair(chooser, actions.BlackHole(source, target, 0))


def _block(chooser: Chooser) -> Iterator[Action]:
    """Let a firewall swallow one transport or both, one way or both ways."""
    entropy = chooser.entropy
    for source, target in _pair(chooser):
        for transport in entropy.choice(((FASTDP,), (FASTDP,), (SLEEVE,), (FASTDP, SLEEVE))):
            for one, other in entropy.choice((((source, target),), ((source, target), (target, source)))):
                yield actions.Block(one, other, transport)
                _repair(chooser, actions.Unblock(one, other, transport))


def _sever(chooser: Chooser) -> Iterator[Action]:
    for host, other in _pair(chooser):
        yield actions.Sever(host, other)


def _meddle_with_nat(chooser: Chooser) -> Iterator[Action]:
    """Let a NAT be restarted, or forget what is idle sooner than before."""
    network = chooser.stage.world.network
    hidden = [host.index for host in chooser.stage.world.hosts if network.nat(host.index) is not None]
    if not hidden:
        return
    host = HostIndex(chooser.entropy.choice(hidden))
    if chooser.entropy.random() < 0.3:
        yield actions.RestartNat(host)
    else:
        yield actions.ForgetIdle(host, chooser.entropy.choice(IDLE_MS))
        _repair(chooser, actions.ForgetIdle(host, 0))


def _pair(chooser: Chooser) -> Iterator[tuple[HostIndex, HostIndex]]:
    """Draw two hosts; none when there are not so many."""
    count = len(chooser.stage.world.hosts)
    if count > 1:
        source, target = chooser.entropy.sample(range(count), 2)
        yield HostIndex(source), HostIndex(target)


def _repair(chooser: Chooser, action: Action) -> None:
    """Let a trouble end by itself."""
    chooser.later(chooser.entropy.choice(REPAIR_MS), lambda: iter((action,)))


BEGIN: dict[str, Kind] = {"distances": _draw_distances}
KINDS: dict[str, Kind] = {
    "cuts": _cut,
    "resets": _reset,
    "distances": _change_distance,
    "noise": _disturb,
    "slow-lines": _throttle,
    "clogs": _swizzle,
    "garbage": _corrupt,
    "black-holes": _dig,
    "half-open": _sever,
    "firewalls": _block,
    "nat": _meddle_with_nat,
}
