"""A story as text: a golden transcript, and what must hold of every other.

When what an agent decides or what a run does has changed for a reason, the golden file changes with it. Write it anew,

    python -m sim timeline tests/unit/sim/golden/split.json > tests/unit/sim/golden/split.txt

and read the difference before it is committed: it says what the change means for a cluster. The proof is not compared.

Source: etcd/raft's interaction tests (`raft/testdata`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from stories import parted, stormy

from sim.narrator import tell
from sim.scenario import load
from sim.transcript import TIME_WIDTH, heading, time_text, transcript

GOLDEN = Path(__file__).parent / "golden"
REWRITE = "python -m sim timeline tests/unit/sim/golden/split.json > tests/unit/sim/golden/split.txt"
PROOF = re.compile("proof [0-9a-f]+")


def test_a_small_story_reads_as_it_always_did() -> None:
    text = transcript(tell(load((GOLDEN / "split.json").read_text("utf-8"))))
    golden = (GOLDEN / "split.txt").read_text("utf-8")
    assert PROOF.sub("", text) == PROOF.sub("", golden), f"if the change is meant: {REWRITE}"


def rows(text: str) -> list[str]:
    return text.split("what happens\n")[1].splitlines()


def seconds(row: str) -> float:
    return float(row[:TIME_WIDTH].strip().rstrip("s"))


def test_lines_are_in_order_and_a_part_is_what_happens_in_it() -> None:
    story = parted()
    times = [seconds(row) for row in rows(transcript(story))]
    assert times == sorted(times)
    part = rows(transcript(story, from_us=2_000_000, until_us=3_000_000))
    assert part == [row for row in rows(transcript(story)) if 2 <= seconds(row) <= 3]
    assert 0 < len(part) < len(times)


def test_a_burst_between_two_hosts_is_one_line() -> None:
    assert " messages, " in transcript(stormy())


def test_of_too_many_lines_the_newest_are_kept_and_the_rest_is_counted() -> None:
    story = parted()
    whole, part = rows(transcript(story)), rows(transcript(story, lines_max=10))
    assert part[0].strip() == f"({len(whole) - 10} earlier lines are left out)"
    assert part[1:] == whole[-10:]


def test_columns_stand_under_their_hosts() -> None:
    text = transcript(parted())
    [head] = [line for line in text.splitlines() if line.endswith("what happens")]
    [attach] = [line for line in text.splitlines() if line.endswith("attach cache")]
    assert attach.index("attach") == head.index("cedar")
    [power] = [line for line in text.splitlines() if line.endswith("power cut")]
    assert power.index("power") == head.index("birch")


def test_the_heading_tells_the_end() -> None:
    story = parted()
    assert heading(story)[-1] == f"All promises kept; converged in {story.report.converged_ms / 1000:.1f} s."
    broken = replace(story, report=replace(story.report, violation="I2: 10.32.0.1 is on two interfaces"))
    told = heading(broken)
    assert any(line.endswith("s: 10.32.0.1 is on two interfaces") for line in told)
    assert told[-1].startswith("The promise: no address is given to two containers")
    assert "I2 broken" in transcript(broken)


def test_times_are_seconds_to_the_millisecond() -> None:
    assert [time_text(at_us) for at_us in (0, 999, 1_000, 12_345_678)] == ["0.000 s", "0.000 s", "0.001 s", "12.345 s"]
