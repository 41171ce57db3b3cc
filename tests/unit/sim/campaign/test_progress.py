"""Progress is one line that is written over on a terminal, and few lines elsewhere."""

from __future__ import annotations

from io import StringIO

import pytest
from results import bad, good

from sim.campaign.progress import PLAIN_EVERY_S, TERMINAL_EVERY_S, Progress
from sim.campaign.tally import Tally


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Watch:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Watch:
    return Watch()


def tally_of(count: int) -> Tally:
    tally = Tally()
    for seed in range(count):
        tally.add(good(seed))
    return tally


def test_a_log_gets_few_lines(clock: Watch) -> None:
    stream, tally = StringIO(), Tally()
    progress = Progress(100, stream, clock)
    progress.begin(tally)
    for seed in range(100):
        clock.now_s += PLAIN_EVERY_S / 50
        tally.add(good(seed))
        progress.step(tally)
    progress.end(tally)
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == [f"{n}/100 seeds" for n in (0, 50, 100, 100)]
    assert "\r" not in stream.getvalue()


def test_a_terminal_has_a_bar_that_is_written_over(clock: Watch) -> None:
    stream = Terminal()
    progress = Progress(4, stream, clock)
    progress.begin(Tally())
    clock.now_s += TERMINAL_EVERY_S
    progress.step(tally_of(2))
    progress.step(tally_of(3))
    assert stream.getvalue().count("\r") == 2, "the third came too soon to be seen"
    assert "[############............] 2/4 seeds" in stream.getvalue()
    assert "\n" not in stream.getvalue()
    progress.say("look")
    assert stream.getvalue().endswith("\r\033[Klook\n")
    progress.end(tally_of(4))
    assert stream.getvalue().endswith("\n")


def test_a_line_says_how_fast_and_how_long(clock: Watch) -> None:
    progress = Progress(1_000, StringIO(), clock)
    tally = Tally()
    progress.begin(tally)
    clock.now_s = 10.0
    for seed in range(50):
        tally.add(good(seed))
    tally.add(bad(50))
    line = progress.line(tally)
    assert line == "51/1,000 seeds, 1 failed, 5.1 seeds/s, 600 virtual s per CPU s, 3 min left"


def test_what_was_there_already_says_nothing_about_speed(clock: Watch) -> None:
    progress = Progress(1_000, StringIO(), clock)
    progress.begin(tally_of(900))
    assert "seeds/s" in progress.line(tally_of(900))
    clock.now_s = 10.0
    line = progress.line(tally_of(910))
    assert "1.0 seeds/s" in line
    assert "90 s left" in line


def test_nothing_to_do_is_done(clock: Watch) -> None:
    stream = Terminal()
    progress = Progress(0, stream, clock)
    progress.begin(Tally())
    assert "[########################] 0/0 seeds" in stream.getvalue()
