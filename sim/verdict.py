"""How a run ended, in words: every promise kept, or which one was broken, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sim import checks
from sim.story import Story
from sim.words import Words

SENTENCE_SIZE_MAX = 400
"""Characters of what went wrong; evidence can be long."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a story."""

    is_kept: bool
    """Nothing went wrong."""
    short: str
    """A few words: `I2 broken`, `all is well`."""
    headline: str
    """What came of it, and when."""
    sentence: str
    """What went wrong; empty if nothing did."""
    promise: str
    """The promise that was broken, as `checks` words it; empty if none was."""


def verdict_of(story: Story) -> Verdict:
    """Return how a story ended."""
    violation = story.report.violation
    at = f"at {story.end_us / 1_000_000:.3f} s"
    if not violation:
        took = f"{(story.end_us - story.calm_us) / 1_000_000:.1f} s"
        return Verdict(True, "all is well", f"All promises kept; converged in {took}", "", "")
    text = Words(story.report.scenario).plain(violation)
    if text.startswith("crash:"):
        return Verdict(False, "a bug ended the run", f"The simulated agent failed {at}", _last_line(text), "")
    number, _, sentence = text.partition(": ")
    if not re.fullmatch(r"I\d+", number):
        return Verdict(False, "broken", f"A promise was broken {at}", _shortened(text), "")
    return Verdict(
        False, f"{number} broken", f"Promise {number} was broken {at}", _shortened(sentence), promise_of(number)
    )


def promise_of(number: str) -> str:
    """Return what an invariant promises, in the words of the list on top of `checks`; empty if it is not there."""
    found = re.search(rf"^{number}  (.*(?:\n {{4}}.*)*)", checks.__doc__ or "", re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _last_line(text: str) -> str:
    return _shortened(text.strip().rpartition("\n")[2])


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SENTENCE_SIZE_MAX else text[: SENTENCE_SIZE_MAX - 1] + "…"
