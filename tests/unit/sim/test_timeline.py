"""Pictures of runs as notebooks and scripts have them."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from stories import PARTED

from core.replica import Replica
from sim.run import play
from sim.timeline import show


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    picture = show(PARTED)
    shown = picture._repr_html_()
    found = re.fullmatch(r'<iframe srcdoc="([^"]*)" width="100%" height="\d+" frameborder="0"></iframe>', shown)
    assert found is not None
    assert html.unescape(found[1]) == picture.html
    assert picture.html.startswith("<!DOCTYPE html>")


def test_text_page_and_drawing_are_saved_by_the_end_of_the_name(tmp_path: Path) -> None:
    picture = show(PARTED, from_s=1.0, until_s=2.0)
    for name, content in (("a.txt", str(picture)), ("a.html", picture.html), ("a.svg", picture.svg)):
        picture.save(tmp_path / name)
        assert (tmp_path / name).read_text("utf-8") == content
    with pytest.raises(ValueError, match=r"ends in \.html, \.svg, \.txt"):
        picture.save(tmp_path / "a.png")


def test_only_what_happens_between_two_times_is_shown() -> None:
    assert len(str(show(PARTED, from_s=1.0, until_s=1.01))) < len(str(show(PARTED)))


def test_a_report_a_scenario_and_a_seed_can_be_shown() -> None:
    report = play(PARTED)
    assert str(show(report)) == str(show(PARTED))
    assert show(3).story.report.scenario.seed == "3"


def test_another_replica_can_be_shown() -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("planted")

    assert "planted" in show(PARTED, make=broken).story.report.violation
    assert not show(PARTED, make=Replica).story.report.violation
