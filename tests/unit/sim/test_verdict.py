"""How a run ended, in words."""

from __future__ import annotations

from dataclasses import replace

from stories import parted

from sim.names import peer_name
from sim.story import Story
from sim.verdict import SENTENCE_SIZE_MAX, promise_of, verdict_of


def ended(violation: str) -> Story:
    return replace(parted(), report=replace(parted().report, violation=violation), end_us=4_511_000)


def test_a_broken_promise_is_named_with_its_time_and_its_words() -> None:
    verdict = verdict_of(ended(f"I3: ash gave 10.32.0.1, which belongs to {peer_name(1)}"))
    assert not verdict.is_kept
    assert verdict.short == "I3 broken"
    assert verdict.headline == "Promise I3 was broken at 4.511 s"
    assert verdict.sentence == "ash gave 10.32.0.1, which belongs to birch"
    assert verdict.promise == promise_of("I3")


def test_every_promise_that_is_checked_has_words() -> None:
    for number in ("I1", "I2", "I3", "I4", "I8"):
        assert len(promise_of(number)) > 20
        assert "\n" not in promise_of(number)
    assert promise_of("I99") == ""


def test_a_bug_is_told_by_the_end_of_its_traceback() -> None:
    verdict = verdict_of(ended("crash: Traceback (most recent call last):\n  File x\nAssertionError: no\n"))
    assert verdict.headline == "The simulated agent failed at 4.511 s"
    assert verdict.sentence == "AssertionError: no"


def test_evidence_without_end_is_cut_short() -> None:
    assert len(verdict_of(ended("I1: " + "x" * 5_000)).sentence) == SENTENCE_SIZE_MAX
    assert verdict_of(ended("something else: y")).sentence == "something else: y"


def test_a_good_end_tells_how_long_it_took() -> None:
    verdict = verdict_of(parted())
    assert verdict.is_kept
    assert verdict.headline == f"All promises kept; converged in {parted().report.converged_ms / 1000:.1f} s"
    assert verdict.sentence == ""
