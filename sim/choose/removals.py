"""Chooses what goes wrong around the removal of the dead: at the moments at which it matters most.

A gift is on its way for some tens of milliseconds, and a removal takes a tenth of a second where all are well. Left to
chance, hardly anything would ever happen meanwhile; so somebody dies just when he has given something away, and paths
are cut, agents stopped and the dead woken when some have answered a remover and others have not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.ipam.ring import rank_of
from core.kinds import NOBODY, TakeoverRecord, takeover_key
from core.replica import Replica
from core.types import Address
from sim import actions
from sim.actions import Action, HostIndex
from sim.chooser import DOWN_MS, Chooser, starting
from sim.host import Host

SOON_MS = (5, 400)
"""After the beginning of a removal."""
HEAL_MS = (5_000, 90_000)
AWAKE = 0.6
"""Chance that the dead wake up on the far side of a split."""
APART = 0.6
"""Chance that who got the last gift of the dead is cut off with it."""


def giver(chooser: Chooser) -> tuple[Host, Host] | None:
    """Return a host that has just given space to another, which has not said so yet, and that other."""
    by_name: dict[str, Host] = {host.config.peer: host for host in chooser.stage.up()}
    for host in by_name.values():
        ring = host.heart.allocator.ring if isinstance(host.heart, Replica) else None
        if ring is None:
            continue
        view = ring.view()
        for writer, claim in view.claims:
            if writer != host.config.peer or claim.owner in (writer, NOBODY) or claim.owner not in by_name:
                continue
            if any(run.rank == rank_of(claim) for run in view.between(Address(claim.lo), Address(claim.hi))):
                return host, by_name[claim.owner]
    return None


def part(chooser: Chooser, witness: Host) -> Iterator[Action]:
    """Cut off who alone may know something, mostly."""
    if chooser.entropy.random() < APART:
        yield actions.Split((HostIndex(witness.index),))
        chooser.later(HEAL_MS, lambda: iter((actions.Heal(),)))


def interrupt(chooser: Chooser) -> Iterator[Action]:
    """Let something happen in the middle of a removal, if one is under way."""
    removers = {host.index: targets for host in chooser.stage.up() if (targets := _targets(host))}
    if not removers:
        return
    remover = chooser.entropy.choice(list(removers))
    names = dict.fromkeys(removers[remover])
    dead = [host for host in chooser.stage.world.hosts if host.config.peer in names]
    others = [host for host in chooser.stage.up() if host.index != remover]
    if others:
        kinds: tuple[Interruption, ...] = (_split, _split, _stop, _stop, _compete)
        yield from chooser.entropy.choice(kinds)(chooser, chooser.stage.world.hosts[remover], others, dead)


Interruption = Callable[[Chooser, Host, list[Host], list[Host]], Iterator[Action]]
"""Decides what happens, given the remover, all others that are up, and the dead."""


def _split(chooser: Chooser, _remover: Host, others: list[Host], dead: list[Host]) -> Iterator[Action]:
    """Cut off some of those who are asked, and sometimes let the dead live among them."""
    apart = chooser.entropy.sample(others, chooser.entropy.randint(1, len(others)))
    yield actions.Split(tuple(sorted(HostIndex(host.index) for host in (*apart, *dead))))
    chooser.later(HEAL_MS, lambda: iter((actions.Heal(),)))
    if chooser.entropy.random() < AWAKE:
        for host in dead:
            yield actions.Start(HostIndex(host.index))


def _stop(chooser: Chooser, remover: Host, others: list[Host], _dead: list[Host]) -> Iterator[Action]:
    """Stop the remover or somebody who is asked."""
    host = chooser.entropy.choice((remover, chooser.entropy.choice(others)))
    kind = chooser.entropy.choice((actions.Kill, actions.CutPower))
    yield kind(HostIndex(host.index))
    chooser.later(DOWN_MS, starting(host))


def _compete(chooser: Chooser, _remover: Host, others: list[Host], dead: list[Host]) -> Iterator[Action]:
    """Let a second operator remove the same dead."""
    host = chooser.entropy.choice(others)
    yield actions.RemovePeers(HostIndex(host.index), tuple(HostIndex(one.index) for one in dead), False)


def _targets(host: Host) -> tuple[str, ...]:
    """Return whom a host is removing."""
    if not isinstance(host.heart, Replica):
        return ()
    record = host.heart.board.get(host.config.peer, takeover_key(), TakeoverRecord)
    return () if record is None else record.targets
