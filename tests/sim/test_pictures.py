"""The picture of a planted bug names the promise that it broke, and shows the moment."""

from __future__ import annotations

from itertools import count
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import planted

from sim.draw import draw
from sim.narrator import tell
from sim.picture.page import html_page
from sim.story import Story
from sim.transcript import transcript


def first_failure() -> Story:
    """Return the first run in which something is said before it is on disk; `test_mutants` shows that there is one."""
    stories = (tell(draw(seed), profile="all") for seed in count())
    return next(story for story in stories if story.report.violation.startswith("I1: "))


def test_a_planted_bug_is_seen() -> None:
    with planted.publish_before_durable():
        story = first_failure()
    sentence = story.report.violation.removeprefix("I1: ")
    page = html_page(story)
    assert escape(sentence) in page
    assert "nothing is said before it is durable" in page
    tree = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    drawn = [element.get("class", "") for element in tree.iter() if element.get("class")]
    assert "unsaved" in drawn, "the write that was not on disk yet"
    assert "rule broken" in drawn
    assert "I1 broken" in transcript(story)
