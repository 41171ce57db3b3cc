"""Captions never cover each other, nor each other's poles, however many there are."""

from __future__ import annotations

import random

import pytest

from sim.picture.axis import Room, axes
from sim.picture.flags import GAP, WIDTH_MAX, placed, width_of
from sim.picture.matter import NETWORK, Flag
from sim.picture.metrics import BOLD, fitted, text_width, wrapped

RIGHT = 700.0


def flag(at_us: int, text: str, style: str = "use", lane: int = 0) -> Flag:
    return Flag(at_us, lane, text, style, (text,))


@pytest.mark.parametrize("seed", range(20))
def test_flags_and_poles_keep_clear_of_each_other(seed: int) -> None:
    entropy = random.Random(seed)
    times = sorted(entropy.randrange(800_000) for _ in range(40))
    [axis] = axes([0, *dict.fromkeys(times), 800_000], (), 50.0, 600.0)
    words = ("a", "kill", "attach c17", "give back c2, c3 and 38 more", "W" * 30)
    found = placed([flag(at_us, entropy.choice(words)) for at_us in times], axis, RIGHT)
    assert found
    for one in found:
        assert one.x + one.width <= RIGHT + 0.01
        for other in found:
            if other is one:
                continue
            if one.row == other.row:
                assert one.x + one.width + GAP <= other.x + 0.01 or other.x + other.width + GAP <= one.x + 0.01
            if one.row > other.row:
                assert not other.x < one.x < other.x + other.width, "a pole stands behind a lower flag"


def test_flags_that_an_axis_has_made_room_for_stand_in_one_row() -> None:
    flags = [flag(at_us, "take c17") for at_us in range(0, 200_000_000, 2_300_000)]
    rooms = [Room(one.at_us, 0, width_of(one) + GAP) for one in flags]
    for axis in axes([one.at_us for one in flags], rooms, 50.0, 900.0):
        found = placed([one for one in flags if axis.owns(one.at_us)], axis, 1_100.0)
        assert [one.row for one in found] == [0] * len(found)


def test_flags_at_one_place_are_one_flag_and_the_loudest_gives_the_colour() -> None:
    [axis] = axes([0, 1, 500_000], (), 50.0, 600.0)
    [one] = placed([flag(0, "a"), flag(0, "kill", "trouble"), flag(1, "a"), flag(1, "b")], axis, RIGHT)
    assert one.flag.text == "a, kill +1"
    assert one.flag.style == "trouble"
    assert one.flag.title == ("a", "kill", "a", "b")


def test_the_end_of_a_story_has_a_flag_of_its_own() -> None:
    [axis] = axes([0, 500_000], (), 50.0, 600.0)
    found = placed([flag(0, "a"), flag(0, "I2 broken", "broken")], axis, RIGHT)
    assert [(one.text, one.flag.style) for one in found] == [("a", "use"), ("I2 broken", "broken")]


def test_long_captions_are_cut_short_but_those_of_the_network_less() -> None:
    long = "split " + " ".join(f"host{number}" for number in range(9))
    assert width_of(flag(0, long)) == WIDTH_MAX
    assert width_of(flag(0, long, lane=NETWORK)) > WIDTH_MAX
    [axis] = axes([0, 500_000], (), 50.0, 600.0)
    [one] = placed([flag(0, long)], axis, RIGHT)
    assert one.text.endswith("…")
    assert text_width(one.text, 11) < WIDTH_MAX


def test_text_is_as_wide_as_its_letters() -> None:
    assert text_width("iii", 10) < text_width("mmm", 10) < text_width("mmm", 20)
    assert text_width("word", 10, is_bold=True) == pytest.approx(BOLD * text_width("word", 10))
    assert fitted("word", 10, text_width("word", 10)) == "word"
    assert fitted("word", 10, text_width("word", 10) - 1) == "w…"
    assert fitted("word", 10, 0) == "…"


def test_text_is_broken_at_spaces() -> None:
    rows = wrapped("one two three four five six", 10, 50)
    assert " ".join(rows) == "one two three four five six"
    assert all(text_width(row, 10) <= 50 for row in rows)
    assert len(rows) > 2
    assert wrapped("", 10, 50) == ()
    assert wrapped("incomprehensibilities", 10, 5) == ("incomprehensibilities",)
