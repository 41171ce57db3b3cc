"""Coverage counts seeds, and says loudly what never happened."""

from __future__ import annotations

from results import bad, good

from core.marks import MARKS
from sim.campaign.tally import SCRIPTED, UNHEARD_OF, Tally
from sim.scenario import ACTIONS


def test_sums_are_over_seeds() -> None:
    tally = Tally()
    for result in (good(1), good(2), bad(3)):
        tally.add(result)
    assert (tally.seeds, tally.failed, tally.virtual_ms, tally.cpu_ms) == (3, 1, 180_000, 300)
    assert tally.marks["gossip.asked-again"] == 3, "seeds, not passes"
    assert tally.outcomes == {"take": 15, "no take": 3}
    assert tally.speed == 600.0


def test_what_never_happened_is_listed() -> None:
    tally = Tally()
    tally.add(good(1))
    assert set(tally.unmarked) == MARKS - {"gossip.asked-again", *UNHEARD_OF}
    assert set(tally.undone) == set(ACTIONS) - {"cut", *SCRIPTED}
    text = "\n".join(tally.lines())
    assert f"Marks: 1 of {len(MARKS) - len(UNHEARD_OF)} passed\n  NEVER PASSED: " in text
    assert f"Actions: 1 of {len(ACTIONS) - len(SCRIPTED)} kinds took place\n  NEVER TOOK PLACE: " in text


def test_nothing_is_said_to_be_missing_when_nothing_is() -> None:
    tally = Tally()
    tally.marks.update(MARKS)
    tally.actions.update(tuple(ACTIONS))
    assert "NEVER" not in "\n".join(tally.lines())


def test_a_campaign_without_seeds_has_no_speed() -> None:
    assert Tally().speed == 0
