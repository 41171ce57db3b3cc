"""Who was called dead and lives is excused for what it gives before it can know, and for nothing later."""

from __future__ import annotations

from watched import THREE, A, C, Watched

from sim.actions import CutPower, Heal, RemovePeers, SlowDisk, Split, Start, Take

SLOW_MS = 60_000


def test_what_was_decided_in_ignorance_is_excused_though_it_is_said_later() -> None:
    watched = Watched(THREE, kernels=False)
    books, doubt = watched.stage.books, watched.run.checks._doubt
    watched.perform(CutPower(C))
    watched.wait(60_000)
    watched.perform(RemovePeers(A, (C,), False))
    watched.wait(5_000)
    assert books.done["remove"] == 1
    watched.perform(Split((C,)), Start(C))
    watched.wait(30_000)
    watched.perform(SlowDisk(C, SLOW_MS), Take(C, ("early",)), Heal())
    while doubt.is_unaware(watched.world.hosts[C]):
        watched.wait(100)
    assert not books.users[C]["early"].addresses, "it has heard of it before it has answered"
    watched.wait(SLOW_MS)
    (address,) = books.users[C]["early"].addresses
    assert address in books.doubtful
    watched.perform(SlowDisk(C, 0), Take(C, ("late",)))
    watched.wait(60_000)
    (address,) = books.users[C]["late"].addresses
    assert address not in books.doubtful
