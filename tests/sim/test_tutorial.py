"""The tutorial does what it says: its blocks run in order, and print what stands below them."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from sim.run import play
from sim.scenario import load

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def pattern(text: str) -> str:
    """Return what printed text must match; `…` stands for anything."""
    return ".*".join(re.escape(part) for part in text.strip().split("…"))


def test_every_block_runs_and_prints_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (TUTORIAL / "simulator.md").read_text("utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("```python")
    scope: dict[str, object] = {}
    for code, expected in blocks:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "simulator.md", "exec"), scope)
        assert re.fullmatch(pattern(expected), printed.getvalue().strip(), re.DOTALL), (
            f"{code}\nprints\n{printed.getvalue()}"
        )
    for name in ("partition.html", "nobody-is-asked.html"):
        assert (tmp_path / name).read_text("utf-8").startswith("<!DOCTYPE html>")


def test_the_picture_in_the_tutorial_is_that_of_its_scenario() -> None:
    scenario = load((TUTORIAL / "nobody-is-asked.json").read_text("utf-8"))
    assert len(scenario.steps) <= 6
    assert not play(scenario).violation
    asked = ("core.ipam.takeover.electorate", "core.ipam.fences.electorate")
    with patch(asked[0], lambda context, _: (context.me,)), patch(asked[1], lambda context, _: (context.me,)):
        violation = play(scenario).violation
    assert violation.startswith("I3: ")
    assert "Promise I3 was broken" in (TUTORIAL / "nobody-is-asked.svg").read_text("utf-8")
