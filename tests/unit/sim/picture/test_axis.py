"""Time on paper: in order, to scale within scenes, with silences cut short, on strips that fit."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from sim.picture.axis import BREAK, BREAK_MAX, TICK_SIZE, Axis, Room, axes, duration_text, moment_text
from sim.picture.metrics import text_width

LEFT, WIDTH = 100.0, 1_000.0
MS, SECOND = 1_000, 1_000_000


def drawn(*moments: int, rooms: tuple[Room, ...] = ()) -> tuple[Axis, ...]:
    return axes(sorted(dict.fromkeys(moments)), rooms, LEFT, WIDTH)


def busy(seed: int, count: int) -> list[int]:
    """Draw moments as a run has them: bursts, and long silences between."""
    entropy, at_us, found = random.Random(seed), 0, []
    for _ in range(count):
        at_us += entropy.choice((1, 200, 5 * MS, 30 * MS, 400 * MS, 3 * SECOND, 40 * SECOND))
        found.append(at_us)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_all_of_time_is_there_once_in_order_and_fits(seed: int) -> None:
    moments = busy(seed, 150)
    found = drawn(*moments)
    assert found[0].begin_us == moments[0]
    assert found[-1].end_us == moments[-1]
    for axis, following in pairwise(found):
        assert axis.end_us == following.begin_us
    for axis in found:
        assert axis.left == LEFT
        assert axis.right <= LEFT + WIDTH + 0.01
        for span, after in pairwise(axis.spans):
            assert (span.end_us, span.right) == (after.begin_us, after.left)
            assert span.is_break != after.is_break or not span.is_break
    for at_us in moments:
        assert sum(axis.owns(at_us) for axis in found) == 1
        [axis] = [axis for axis in found if axis.owns(at_us)]
        assert any(span.begin_us <= at_us <= span.end_us for span in axis.scenes), "moments lie in scenes"


@pytest.mark.parametrize("seed", range(4))
def test_later_is_further_right(seed: int) -> None:
    moments = busy(seed, 60)
    for axis in drawn(*moments):
        places = [axis.x(at_us) for at_us in moments if axis.owns(at_us)]
        assert places == sorted(places)
        assert all(axis.left <= place <= axis.right for place in places)


def test_scenes_share_a_scale_and_breaks_a_size() -> None:
    [axis] = drawn(0, 50 * MS, 100 * MS, 10 * SECOND, 10 * SECOND + 50 * MS, 60 * SECOND)
    first, second, _ = axis.scenes
    assert (first.right - first.left) == pytest.approx(2 * (second.right - second.left))
    assert [span.right - span.left for span in axis.spans if span.is_break] == [pytest.approx(BREAK)] * 2


def test_a_short_story_has_neither_breaks_nor_an_empty_half() -> None:
    [axis] = drawn(*range(0, 200 * MS, 10 * MS))
    assert not any(span.is_break for span in axis.spans)
    assert axis.right - axis.left > WIDTH / 2


def test_a_story_that_fits_on_one_strip_is_on_one() -> None:
    assert len(drawn(*range(0, 2_400 * MS, 20 * MS))) == 1
    assert len(drawn(*range(0, 3_400 * MS, 20 * MS))) == 3


def test_breaks_grow_where_captions_need_room() -> None:
    moments = (0, 20 * SECOND, 40 * SECOND)
    rooms = tuple(Room(at_us, 0, 90.0) for at_us in moments)
    [axis] = drawn(*moments, rooms=rooms)
    places = [axis.x(at_us) for at_us in moments]
    assert all(later - earlier >= 90 for earlier, later in pairwise(places))
    wide = tuple(Room(at_us, 0, 500.0) for at_us in moments)
    [axis] = drawn(*moments, rooms=wide)
    assert max(span.right - span.left for span in axis.spans if span.is_break) == pytest.approx(BREAK_MAX)
    [axis] = drawn(*moments, rooms=(Room(0, 0, 90.0), Room(20 * SECOND, 1, 90.0)))
    assert max(span.right - span.left for span in axis.spans if span.is_break) == pytest.approx(BREAK), (
        "other lanes do not matter"
    )


def test_the_last_moment_of_a_scene_is_part_of_it() -> None:
    [axis] = drawn(0, 50 * MS, 9 * SECOND)
    assert axis.x(50 * MS) == axis.scenes[0].right
    assert axis.x(9 * SECOND) == axis.scenes[1].left


@pytest.mark.parametrize("seed", range(6))
def test_labels_never_touch_and_every_strip_has_one(seed: int) -> None:
    for axis in drawn(*busy(seed, 150)):
        edges = [
            (tick.x - text_width(tick.text, TICK_SIZE) / 2, tick.x + text_width(tick.text, TICK_SIZE) / 2)
            for tick in axis.ticks()
        ]
        assert edges
        assert all(right < left for (_, right), (left, _) in pairwise(edges))
        for tick in axis.breaks():
            assert text_width(tick.text, TICK_SIZE) < BREAK


def test_round_times_are_labelled() -> None:
    [axis] = drawn(*range(0, 900 * MS, 20 * MS))
    assert {"0 s", "0.2 s", "0.4 s"} <= {tick.text for tick in axis.ticks()}


def test_times_have_the_digits_that_they_need() -> None:
    assert [moment_text(at_us) for at_us in (0, 2_300_000, 12_345_999, 60 * SECOND)] == [
        "0 s",
        "2.3 s",
        "12.346 s",
        "60 s",
    ]
    assert [duration_text(us) for us in (120, 180_400, 2_440_000)] == ["0.1 ms", "180 ms", "2.4 s"]
