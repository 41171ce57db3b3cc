"""What there is to draw: who is down, who is cut off from whom, and which moments matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stories import HOSTS, PARTED, A, B, C, parted, stormy

from sim.actions import Cut, CutPower, Doom, Heal, Kill, Split, Start, Take
from sim.narrator import tell
from sim.picture import matter
from sim.picture.matter import NETWORK, Matter, State, Stretch, matter_of
from sim.scenario import Scenario, Step
from sim.story import Performed, Sent


def of(*steps: Step, hosts: int = 3) -> Matter:
    return matter_of(tell(replace(PARTED, hosts=HOSTS[:hosts], steps=steps)))


def cuts_of(found: Matter) -> dict[int, list[str]]:
    lanes: dict[int, list[str]] = {}
    for cut in found.cuts:
        lanes.setdefault(cut.lane, []).append(cut.text)
    return lanes


def test_the_smaller_side_of_a_split_is_the_isolated_one() -> None:
    found = of(Step(1_000, Split((A, B))), Step(2_000, Heal()))
    assert found.cuts == (
        Stretch(1_000_000, 2_000_000, NETWORK, "some paths are cut"),
        Stretch(1_000_000, 2_000_000, C, "cut off from ash, birch"),
    )


def test_of_two_hosts_both_are_isolated() -> None:
    assert cuts_of(of(Step(1_000, Split((A,))), hosts=2)) == {
        NETWORK: ["some paths are cut"],
        A: ["cut off from birch"],
        B: ["cut off from ash"],
    }


def test_a_cut_in_one_direction_says_who_does_not_hear_whom() -> None:
    assert cuts_of(of(Step(1_000, Cut(A, B)))) == {
        NETWORK: ["some paths are cut"],
        A: ["is not heard by birch"],
        B: ["does not hear ash"],
    }


def test_a_cut_that_grows_is_told_anew() -> None:
    found = of(Step(1_000, Cut(A, C)), Step(1_500, Cut(B, C)), Step(2_000, Heal()))
    assert cuts_of(found)[C] == ["does not hear ash", "does not hear ash, birch"]
    assert [(cut.begin_us, cut.end_us) for cut in found.cuts if cut.lane == NETWORK] == [(1_000_000, 2_000_000)]


def test_a_host_is_down_from_its_end_to_its_start() -> None:
    found = of(Step(1_000, Kill(B)), Step(1_500, CutPower(B)), Step(2_000, Start(B)), Step(3_000, CutPower(C)))
    assert found.downs == (
        Stretch(1_000_000, 1_500_000, B, "down", State.KILLED),
        Stretch(1_500_000, 2_000_000, B, "no power", State.DARK),
        Stretch(3_000_000, 6_000_000, C, "no power", State.DARK),
    )


def test_a_host_that_comes_late_is_absent_before() -> None:
    hosts = (HOSTS[0], replace(HOSTS[1], starts=False))
    story = tell(Scenario("1", hosts, "10.32.0.0/24", "seed", 2_000, (Step(700, Start(B)),)))
    assert matter_of(story).downs == (Stretch(0, 700_000, B, "not started", State.ABSENT),)


def captions(found: Matter, lane: int) -> list[tuple[int, str, str]]:
    return [(flag.at_us // 1_000, flag.text, flag.style) for flag in found.flags if flag.lane == lane]


def test_a_crash_that_no_step_names_has_a_caption() -> None:
    found = of(Step(1_000, Kill(C)), Step(1_495, Doom(B, 0, True)), Step(1_500, Take(B, ("x",))))
    assert captions(found, B)[:3] == [
        (1_495, "power cut soon (gap 0)", "trouble"),
        (1_500, "take x", "use"),
        (1_500, "loses power", "trouble"),
    ]
    assert captions(found, C) == [(1_000, "kill", "trouble")]


def test_the_end_has_a_caption_and_so_has_the_end_of_trouble() -> None:
    assert [flag.text for flag in matter_of(parted()).flags][-2:] == ["trouble ends", "all is well"]
    broken = replace(parted(), report=replace(parted().report, violation="I2: x"))
    assert [(flag.text, flag.style) for flag in matter_of(broken).flags][-1] == ("I2 broken", "broken")


def test_moments_are_those_at_which_something_is_seen() -> None:
    found = matter_of(parted())
    moments = found.moments()
    assert moments == sorted(dict.fromkeys(moments))
    assert {0, parted().calm_us, parted().end_us} <= set(moments)
    assert {item.at_us for item in parted().all(Performed)} <= set(moments)


def test_a_part_has_no_more_flights_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    story = stormy()
    whole = matter_of(story)
    most = len(whole.flights) * 2 // 3
    monkeypatch.setattr(matter, "FLIGHTS_MAX", most)
    part = whole.between(0, story.end_us)
    assert 0 < len(part.flights) <= most
    told = sum(len(flight.messages) for flight in part.flights)
    assert told == sum(len(flight.messages) for flight in whole.flights), "folded, not forgotten"
    assert len(story.all(Sent)) > told
