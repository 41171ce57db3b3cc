"""What may be asked of a world before something is done to it."""

from __future__ import annotations

from watched import THREE, B, C, Watched

from sim.actions import ResetHost, Start, Wipe


def test_two_hosts_do_not_forget_at_once() -> None:
    watched = Watched(THREE)
    assert watched.perform(ResetHost(B)) == [True]
    assert watched.perform(Wipe(C), ResetHost(C)) == [False, False], "the first is about to forget"
    watched.wait(10_000)
    assert watched.world.hosts[B].heart is None, "it has been reset"
    assert watched.perform(Wipe(C), Start(B)) == [False, True]
    watched.wait(30_000)
    assert watched.perform(Wipe(C)) == [True]
