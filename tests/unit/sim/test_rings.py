"""Several rings are found, wherever they are not allowed; and where they are, whatever passes from one to another."""

from __future__ import annotations

import pytest
from watched import A, B, Watched

from core.kinds import RingClaim, put, ring_key
from core.replica import Replica
from core.types import address_of
from sim.actions import Take
from sim.books import Violation
from sim.rings import ring_of
from sim.scenario import HostSpec

APART = (HostSpec("a", (B,)), HostSpec("b", (A,), ring="seed", among=(B,)))


def test_several_rings_are_a_violation_unless_hosts_were_told_so() -> None:
    with pytest.raises(Violation, match="I3: there are several rings"):
        Watched(APART)
    Watched(APART, allow=("two-rings",)).settle()


def test_an_address_in_use_in_two_rings_is_double_use_that_must_be_shown() -> None:
    watched = Watched(APART, allow=("two-rings",))
    watched.perform(Take(A, ("web",)), Take(B, ("db",)))
    watched.wait(1_000)
    assert list(watched.stage.books.shared) == ["10.32.0.1"]
    watched.settle()


def test_what_passes_from_one_ring_to_another_is_a_violation() -> None:
    watched = Watched(APART, allow=("two-rings",))
    host, other = watched.world.hosts[A], watched.world.hosts[B]
    ring = ring_of(host)
    assert ring is not None
    assert isinstance(host.heart, Replica)
    lo = address_of("10.32.0.8")
    claim = RingClaim(lo, lo + 8, 0, 1, other.config.peer, 3, "given by mistake", 0)
    host.heart.allocator._context.write(put(ring_key(ring.ring_id, lo), claim))
    with pytest.raises(Violation, match=f"I3: {other.config.peer} was given .* where it has never been"):
        watched.wait(20_000)


def test_rings_that_are_not_told_of_are_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(APART, allow=("two-rings",))
    watched.wait(20_000)
    monkeypatch.setattr("core.ipam.homes.Homes.alarm", lambda self: "")
    with pytest.raises(Violation, match=r"I3: b lives in ring .*, a in .*, and a does not show it"):
        watched.settle()
