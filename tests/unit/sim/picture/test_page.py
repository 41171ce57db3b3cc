"""Pictures of stories: well-formed, alone, bounded, the same every time, and nothing in them covers a caption."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from drawings import SVG, area, flags, having, poles, root, strips, titles
from stories import HOSTS, PARTED, long, parted, stormy

from sim import cli
from sim.narrator import tell
from sim.picture import page
from sim.picture.page import SIZE_MAX_BYTES, html_page
from sim.picture.sheet import HOSTS_MAX, STRIPS_MAX, WIDTH, TooManyHosts, sheet_of, svg_file, title_of
from sim.scenario import dump
from sim.story import Performed, Story

ROOT = Path(__file__).parents[4]
GOLDEN = Path(__file__).parents[1] / "golden" / "split.json"
VIOLATION = "I2: 10.32.0.1 was given to <c2> on host 0; c1 on host 1 has it"
VIOLATION = "I2: 10.32.0.1 was given to <c2> on host 0; c1 on host 1 has it"
LONG = 19
"""A run of four minutes with hundreds of steps."""
SEEDS = (8, 26, LONG)
"""Partitions of five hosts; splits, crashes between effects and power cuts all at once; and a long one."""


Tell = Callable[[], Story]
TELLERS = pytest.mark.parametrize("teller", [parted, stormy, long])


@cache
def page_of(teller: Tell) -> str:
    return html_page(teller())


def broken(story: Story) -> Story:
    return replace(story, report=replace(story.report, violation=VIOLATION))


@TELLERS
def test_a_page_is_well_formed_bounded_and_needs_nothing_else(teller: Tell) -> None:
    text = page_of(teller)
    assert root(text).find(".//main") is not None
    assert len(text.encode()) < 2_000_000
    assert not re.search(r"<script|<link|<img|@import|url\(|src=|href=", text)
    assert 1 <= len(strips(root(text))) <= STRIPS_MAX


@TELLERS
def test_no_caption_covers_another_or_its_pole(teller: Tell) -> None:
    for strip in strips(root(page_of(teller))):
        found = flags(strip)
        for place, one in enumerate(found):
            assert one.left >= 0
            assert one.right <= WIDTH
            assert not any(one.overlaps(other) for other in found[:place])
        for pole in poles(strip):
            inside = [flag for flag in found if flag.left < pole.left < flag.right]
            assert not any(
                flag.overlaps(replace(pole, left=pole.left - 0.1, right=pole.right + 0.1)) for flag in inside
            )


@TELLERS
def test_counts_of_bursts_keep_clear_of_captions_and_of_each_other(teller: Tell) -> None:
    for strip in strips(root(page_of(teller))):
        counts = [area(rect) for rect in having(strip, "rect", "count")]
        assert not any(count.overlaps(flag) for count in counts for flag in flags(strip))
        assert not any(one.overlaps(other) for place, one in enumerate(counts) for other in counts[:place])


def test_the_violation_is_on_top_and_marked() -> None:
    text = html_page(broken(parted()))
    sentence = escape(VIOLATION.partition(": ")[2])
    assert f"<p>{sentence}</p>" in text
    assert "Promise I2 was broken at" in text
    assert "The promise: no address is given to two containers" in text
    last = strips(root(text))[-1]
    assert len(list(having(last, "path", "broken"))) == 2, "a rule, and the pole of its flag"
    assert sentence in svg_file(broken(parted()))


def test_a_good_end_is_said_too() -> None:
    assert "All promises kept; converged in" in html_page(parted())
    [rule] = [
        path
        for path in having(strips(root(html_page(parted())))[-1], "path", "rule")
        if "kept" in path.get("class", "")
    ]
    assert rule is not None


def test_everything_that_happens_is_in_the_picture() -> None:
    text = html_page(parted())
    tree = root(text)
    told = "\n".join(title for strip in strips(tree) for title in titles(strip))
    assert "ash: attach web" in told
    assert "split cedar | ash birch" in told
    assert "cedar cut off from ash, birch" in told
    assert "birch: no power" in told
    assert "ash gives 10.32.0.1 to web" in told
    assert "on disk after" in told
    assert "+ endpoint web ethwe" in told
    assert re.search(r"ash → birch at [\d.]+ s: Deltas, arrived after", told)
    assert re.search(r"sent while there was no path", told)
    for style in ("down", "cut", "answer", "fsync", "batch", "arrow", "held"):
        assert f'class="{style}"' in text, style


def test_a_title_may_hold_anything() -> None:
    text = html_page(parted())
    assert f"<h1>{escape(PARTED.title)}</h1>" in text
    odd = tell(
        replace(PARTED, title="a\x00b\ud800c", hosts=(replace(HOSTS[0], nickname="<&\x01>"), *HOSTS[1:]), steps=())
    )
    assert root(html_page(odd)).find(".//h1").text == "a\ufffdb\ufffdc"  # type: ignore[union-attr]
    assert root(svg_file(odd)) is not None


def test_a_story_without_title_has_the_name_of_its_seed() -> None:
    assert title_of(stormy()) == "Seed 3: five hosts"
    assert title_of(tell(replace(PARTED, title="", hosts=HOSTS[:1], steps=()))) == "Seed 3: one host"


def test_what_is_left_out_is_said() -> None:
    story = long()
    text = page_of(long)
    shown = re.search(r"Shown is the time from 0 s to ([\d.]+) s of ([\d.]+) s\. (\d+) of (\d+) steps", text)
    assert shown is not None
    later = [item for item in story.all(Performed) if item.at_us > float(shown[1]) * 1_000_000]
    assert int(shown[3]) == pytest.approx(len(later), abs=1)
    assert "messages that told nothing new" in text
    assert "Shown is the time" not in html_page(parted())


def test_of_a_long_story_that_fails_the_end_is_shown() -> None:
    story = broken(long())
    found = sheet_of(story)
    assert len(found.strips) == STRIPS_MAX
    assert found.strips[-1].axis.end_us == story.end_us
    assert sheet_of(long()).strips[0].axis.begin_us == 0


def test_a_part_is_what_happens_in_it() -> None:
    text = html_page(parted(), from_us=2_000_000, until_us=3_000_000)
    told = "\n".join(title for strip in strips(root(text)) for title in titles(strip))
    assert "attach cache" in told
    assert "attach web" not in told
    assert "Shown is the time from 2 s to 3 s" in text
    silent = re.compile(r"([\d,]+) messages that told nothing new")
    counts = [int(found[1]) for found in map(silent.search, (text, page_of(parted))) if found is not None]
    assert counts[0] < counts[1]


def test_a_page_that_would_be_too_long_shows_less(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = page_of(long)
    assert len(whole.encode()) < SIZE_MAX_BYTES
    monkeypatch.setattr(page, "SIZE_MAX_BYTES", len(whole.encode()) - 1)
    less = html_page(long())
    assert len(strips(root(less))) == STRIPS_MAX // 2
    assert len(less.encode()) < len(whole.encode())


def test_too_many_hosts_are_no_picture() -> None:
    story = parted()
    scenario = replace(story.report.scenario, hosts=HOSTS[:1] * (HOSTS_MAX + 1))
    with pytest.raises(TooManyHosts, match=f"room for {HOSTS_MAX} hosts, and this scenario has {HOSTS_MAX + 1}"):
        html_page(replace(story, report=replace(story.report, scenario=scenario)))


def test_a_drawing_stands_alone() -> None:
    tree = root(svg_file(parted()))
    assert tree.tag == f"{SVG}svg"
    assert "prefers-color-scheme" in tree.findtext(f"{SVG}style", "")
    assert tree.get("width") == "1280"
    whole = area(next(having(tree, "rect", "paper")))
    assert whole.bottom == float(tree.get("height", ""))


def test_the_same_scenario_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sim.cli import main;"
        "out = Path(sys.argv[2]); main(['timeline', sys.argv[1], '--html', f'{out}.html', '--svg', f'{out}.svg']);"
        "main(['timeline', sys.argv[1]])"
    )
    made = []
    for number in ("1", "4242"):
        command = [sys.executable, "-c", program, str(GOLDEN), str(tmp_path / number)]
        environment = {**os.environ, "PYTHONHASHSEED": number}
        text = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True).stdout
        made.append((text, *((tmp_path / f"{number}.{kind}").read_bytes() for kind in ("html", "svg"))))
    assert made[0] == made[1]
    assert all(made[0])


def test_the_command_writes_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, svg = tmp_path / "out.html", tmp_path / "out.svg"
    assert cli.main(["timeline", str(GOLDEN), "--html", str(html), "--svg", str(svg)]) == 0
    assert capsys.readouterr().out == ""
    assert html.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert svg.read_text("utf-8").startswith("<svg")
    assert cli.main(["timeline", str(GOLDEN), "--from", "1.0", "--until", "1.01"]) == 0
    assert "attach web" in capsys.readouterr().out


def test_the_command_prints_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "odd.json"
    file.write_text(dump(replace(PARTED, title="a", steps=())).replace('"a"', r'"a\ud800b"'), encoding="utf-8")
    assert cli.main(["timeline", str(file)]) == 0
    assert capsys.readouterr().out.startswith("a?b\n")


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.json"
    assert cli.main(["timeline", str(file)]) == 1
    assert "bad.json: " in capsys.readouterr().err
    file.write_text('{"format": 1, "seed": 5}', encoding="utf-8")
    assert cli.main(["timeline", str(file)]) == 1
    assert "field 'seed': expected a text" in capsys.readouterr().err
