"""Every life in a simulated cluster can be recorded and lived again: nothing but events enters a replica."""

from __future__ import annotations

import platform
import random

import pytest

from core.config import Config, Recovered
from core.effects import Effect
from core.events import Event
from core.records import MAGIC, Begun, Found, Told, decisions_of, encode
from core.replica import Replica
from core.types import Instant
from sim.explore import run_seed
from sim.recording import Replay

ASKED_EVERY = 7
"""Replayed steps between two looks at the replica, which the recorded one was spared."""


class Recorded(Replica):
    """A replica that keeps what it lives through."""

    lives: list[Recorded]

    def __init__(self, config: Config, recovered: Recovered, entropy: random.Random) -> None:
        seed = entropy.getrandbits(128)
        begun = Begun(config, recovered.origin, len(recovered.streams), seed, platform.python_version())
        self.recording = [MAGIC, encode(begun), *(encode(Found(stream)) for stream in recovered.streams)]
        self.lives.append(self)
        super().__init__(config, recovered, random.Random(seed))

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        self.recording.append(encode(Told(at, event)))
        effects = super().apply(event, at)
        self.recording.append(encode(decisions_of(effects)))
        return effects


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_every_life_of_a_cluster_in_trouble_replays(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorded, "lives", [], raising=False)
    assert not run_seed(seed, Recorded).violation
    assert len(Recorded.lives) > 1
    for life in Recorded.lives:
        replay = Replay(b"".join(life.recording))
        for count, step in enumerate(replay.steps()):
            assert not step.difference, step
            if count % ASKED_EVERY == 0:
                replay.replica.describe(step.at)
        assert replay.replica.store.digest.root == life.store.digest.root
