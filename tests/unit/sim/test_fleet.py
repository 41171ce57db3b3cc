"""The mesh of a fleet, and what tells that it has converged."""

from __future__ import annotations

import random

import pytest

from core.mesh.routing import Graph
from core.types import PeerName
from sim.fleet import Fleet, half_of, mesh_of
from sim.names import peer_name


@pytest.mark.parametrize("size", [2, 3, 7, 50])
def test_either_half_of_a_mesh_is_connected(size: int) -> None:
    for number in range(20):
        calls = mesh_of(size, 2, random.Random(number))
        assert all(len(targets) <= 2 and all(other < index for other in targets) for index, targets in enumerate(calls))
        for half in (0, 1):
            members = [index for index in range(size) if half_of(index, size) == half]
            names = [PeerName(peer_name(index)) for index in members]
            links = [
                (peer_name(index), peer_name(other)) for index in members for other in calls[index] if other in members
            ]
            assert len(Graph.of(names, links).reachable(names[0])) == len(members)


def test_a_fleet_has_converged_when_all_run_hold_the_same_and_reach_each_other() -> None:
    fleet = Fleet(4)
    assert not fleet.is_converged(), "nobody runs"
    fleet.form()
    assert fleet.is_converged()
    assert len(fleet.stores) == 4
    fleet.split()
    fleet.write(4, over_us=1_000_000)
    assert not fleet.is_converged()
    with pytest.raises(AssertionError, match="have not converged within 1 s"):
        fleet.settle(1_000_000)
    fleet.heal()
    fleet.settle()


def test_a_seed_fixes_a_fleet() -> None:
    def tale(seed: str) -> tuple[object, ...]:
        fleet = Fleet(6, seed=seed)
        fleet.form()
        fleet.write(5, over_us=1_000_000)
        return fleet.settle(), dict(fleet.gauge.messages), list(fleet.gauge.delays_us), fleet.stores[0].digest.root

    assert tale("one") == tale("one")
    assert tale("one") != tale("two")
