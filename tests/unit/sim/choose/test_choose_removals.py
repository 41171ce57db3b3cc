"""What goes wrong around removals is chosen at the moments at which it matters."""

from __future__ import annotations

import random

from watched import THREE, A, B, C, Watched

from sim.actions import Action, CutPower, Kill, RemovePeers, Split, Start, Take
from sim.agenda import Agenda
from sim.choose.people import bury_any
from sim.choose.removals import giver, interrupt
from sim.chooser import Chooser

LONELY_MS = 60_000
NAMES = tuple(f"c{number}" for number in range(80))


def chooser(watched: Watched, seed: int = 5) -> Chooser:
    return Chooser(watched.stage, Agenda(), random.Random(seed))


def test_a_giver_is_found_while_its_gift_is_on_its_way() -> None:
    watched = Watched(THREE, kernels=False, universe="10.32.0.0/25")
    assert giver(chooser(watched)) is None, "nobody has given anything"
    watched.perform(Take(A, NAMES))
    while giver(chooser(watched)) is None:
        watched.wait(1)
    found = giver(chooser(watched))
    assert found is not None
    assert (found[1].index, found[0].index in (B, C)) == (A, True)
    watched.wait(5_000)
    assert giver(chooser(watched)) is None, "it has been asserted"


def test_a_giver_dies_with_its_gift_on_its_way() -> None:
    watched = Watched(THREE, kernels=False, universe="10.32.0.0/25")
    choosing = chooser(watched, 1)
    done = list(bury_any(choosing))
    assert not done, "it waits for a gift"
    watched.perform(Take(A, NAMES))
    while not any(isinstance(action, CutPower) for action in done):
        watched.wait((choosing.agenda.next_ms() or 0) - watched.now_ms)
        done += [action for action in choosing.agenda.take() if watched.stage.perform(action)]
    assert next(action.host for action in done if isinstance(action, CutPower)) in (B, C)


def test_a_removal_is_interrupted_only_while_it_is_under_way() -> None:
    kinds: dict[type[Action], None] = {}
    for seed in range(20):
        watched = Watched(THREE, kernels=False)
        watched.perform(CutPower(C))
        watched.wait(LONELY_MS)
        assert list(interrupt(chooser(watched, seed))) == []
        # Who is cut off cannot answer, so there is time.
        watched.perform(Split((B,)), RemovePeers(A, (C,), False))
        kinds.update((type(action), None) for action in interrupt(chooser(watched, seed)))
    assert set(kinds) == {Split, Start, Kill, CutPower, RemovePeers}
