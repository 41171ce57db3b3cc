"""Every action has a caption, and a scenario makes a sentence."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

import pytest
from stories import PARTED, A, B, C

from sim import actions
from sim.actions import Cut, Heal, HostIndex, Kill, Relaunch, RemovePeers, Split, StepClock, Take
from sim.captions import Tone, caption_of, summary
from sim.scenario import ACTIONS, HostSpec, Scenario, Step

NAMES = ("ash", "birch", "cedar")


@dataclass(frozen=True, slots=True)
class Novelty:
    """An action that nobody has told captions of."""

    host: HostIndex
    """Where."""
    target: HostIndex
    """With whom."""
    others: tuple[HostIndex, ...]
    """With whom else."""
    words: tuple[str, ...]
    """What."""
    count: int
    """How often."""


def any_of(kind: type[Any]) -> Any:
    """Make an action of a kind."""
    made: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        plain = getattr(hint, "__supertype__", hint)
        made[name] = {int: 1, bool: True, str: "word"}.get(plain)
        if made[name] is None:
            made[name] = ("word",) if str in hint.__args__ else (A,)
    return kind(**made)


@pytest.mark.parametrize("kind", ACTIONS.values())
def test_every_action_has_a_caption_of_a_few_words(kind: type[Any]) -> None:
    action = any_of(kind)
    caption = caption_of(action, NAMES)
    assert 0 < len(caption.text) <= 40
    assert caption.host == getattr(action, "host", None)
    assert any(field.name == "host" for field in fields(kind)) == (caption.host is not None)


@pytest.mark.parametrize(
    ("action", "text", "tone"),
    [
        (Cut(A, B), "cut ash → birch", Tone.TROUBLE),
        (Split((A, C)), "split birch | ash cedar", Tone.TROUBLE),
        (Heal(), "heal", Tone.REPAIR),
        (RemovePeers(A, (B, C), False), "rmpeer birch cedar", Tone.USE),
        (StepClock(A, -3_600_000), "clock -3600 s", Tone.TROUBLE),
        (Relaunch(A, "10.9.0.0/24", "seed", (A, B)), "launch range 10.9.0.0/24, seed of ash birch", Tone.USE),
        (Relaunch(A), "launch as at first", Tone.USE),
        (Take(A, ("a", "b", "c")), "take a, b, c", Tone.USE),
        (Take(A, ("a", "b", "c", "d")), "take a, b and 2 more", Tone.USE),
    ],
)
def test_captions_read_well(action: Any, text: str, tone: Tone) -> None:
    caption = caption_of(action, NAMES)
    assert (caption.text, caption.tone) == (text, tone)


def test_a_split_of_many_names_the_smaller_side() -> None:
    names = tuple(f"h{index}" for index in range(6))
    assert caption_of(Split(tuple(map(HostIndex, (0, 1, 2, 3, 5)))), names).text == "split h4 | the others"


def test_an_action_unknown_here_is_spelled_out() -> None:
    caption = caption_of(Novelty(A, B, (B, C), ("x",), 3), NAMES)  # type: ignore[arg-type]
    assert caption.text == "novelty target birch others birch cedar words x count 3"
    assert caption.host == 0


def test_a_scenario_is_a_sentence() -> None:
    assert summary(PARTED, 6_100) == (
        "Three hosts; within 4.3 s two containers are attached, 40 addresses are taken, the network splits, one is "
        "detached, a machine loses power, an agent starts and one other thing happens."
    )


def test_a_scenario_without_steps_is_one_too() -> None:
    quiet = Scenario("1", (HostSpec("a"),), "10.32.0.0/24", "consensus", 0)
    assert summary(quiet, 2_500) == "One host; nothing is done to them for 2.5 s."
    walled = replace(quiet, hosts=quiet.hosts * 2, walls=((A, B),), steps=(Step(7, Kill(A)),))
    assert summary(walled, 9) == "Two hosts without paths between some of them; an agent is killed."


def test_all_actions_are_known_to_captions() -> None:
    unknown = [
        name for name, kind in ACTIONS.items() if caption_of(any_of(kind), NAMES).text.startswith(f"{name} host")
    ]
    assert unknown == []
    assert actions.Kill in ACTIONS.values()
