"""The known failures of Weave Net, and what becomes of them here: each is a story in `scenarios`, named by its issue.

A story is played like any run: no promise may break on the way, and in the end all must come right. Beyond that it says
what people must see at which moment, on which hosts: the reason of a trouble, who is concerned, and what to do.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.run import play
from sim.scenario import load

HERE = Path(__file__).parent / "scenarios"
STORIES = {path.stem: load(path.read_text("utf-8")) for path in sorted(HERE.glob("*.json"))}
NUMBER = re.compile(r"weave-(t?\d+)-")


@pytest.mark.parametrize("name", STORIES)
def test_a_known_failure_does_no_harm_and_is_told(name: str) -> None:
    story = STORIES[name]
    report = play(story)
    assert not report.violation, f"see: python -m sim timeline tests/sim/scenarios/{name}.json"
    assert report.scenario.steps == story.steps, "everything took place"


@pytest.mark.parametrize("name", STORIES)
def test_a_story_says_which_failure_it_is_about_and_what_must_be_seen(name: str) -> None:
    story = STORIES[name]
    number = NUMBER.match(name)
    assert number is not None
    assert re.search(rf"(^|[ #(]){number[1]}\b", story.title), "its number is in the title"
    assert story.expect


@pytest.mark.parametrize(
    ("trouble", "numbers"),
    [
        ("the ring contradicts itself", "1962 3632 3310 3693 3165 3392"),
        ("all ranges belong to the dead", "3600 2797 3384 3602"),
        ("hosts were seeded by different peers", "3902 3427 1463"),
        ("addresses leak", "3643 3587"),
        ("addresses are given twice", "1949 3003 3793"),
    ],
)
def test_no_known_failure_is_left_out(trouble: str, numbers: str) -> None:
    for number in numbers.split():
        assert any(re.search(rf"#{number}\b", story.title) for story in STORIES.values()), f"{trouble}: #{number}"
