"""What is done to agents, machines, disks and clocks is felt as in reality, and ends with the trouble."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from watched import THREE, A, B, C, Watched

from core.effects import Answer, Ok
from core.events import LinkDown, Persisted, PersistFailed, Received, TimerFired
from sim.actions import (
    Action,
    Attach,
    Clone,
    CutPower,
    Detach,
    Doom,
    DriftClock,
    HostIndex,
    Kill,
    LieAboutSync,
    MountReadOnly,
    MountWritable,
    Pause,
    SlowDisk,
    Start,
    StepClock,
    Take,
    Wipe,
)
from sim.perform.machines import PAUSE_MAX_MS, STEP_MAX_MS
from sim.run import Run
from sim.scenario import Scenario, Step

FINGERPRINT = re.compile(r"(?<=\]|=)[0-9a-f]{8,}")


def answers(watched: Watched, host: HostIndex) -> list[tuple[int, str]]:
    """Return when requests were answered, and how, of a host."""
    return [
        (at_ms, effect.reply.text if isinstance(effect.reply, Ok) else effect.reply.why)
        for at_ms, index, _, effects in watched.told
        if index == host
        for effect in effects
        if isinstance(effect, Answer)
    ]


def test_a_paused_agent_learns_of_everything_at_once_and_in_order() -> None:
    watched = Watched()
    watched.perform(Pause(B, 20_000), Attach(A, "web"), Take(B, ("x",)))
    watched.forget()
    watched.wait(19_900)
    assert not any(index == B for _, index, _, _ in watched.told)
    watched.wait(200)
    told = [(at_ms, event) for at_ms, index, event, _ in watched.told if index == B and at_ms == 21_000]
    kinds = {type(event) for _, event in told}
    assert {Received, TimerFired} <= kinds, "messages and late timers"
    watched.wait(5_000)
    assert watched.are_equal()
    assert not watched.events(A, LinkDown)


def test_an_agent_that_is_paused_for_too_long_is_given_up_and_comes_back() -> None:
    watched = Watched()
    watched.perform(Pause(B, 50_000))
    watched.forget()
    watched.wait(49_000)
    assert watched.links(A) == 0
    watched.wait(60_000)
    assert watched.links(A) == watched.links(B) == 1


def test_a_paused_agent_can_be_killed_and_what_it_missed_stays_missed() -> None:
    watched = Watched()
    watched.perform(Pause(B, 5_000), Take(B, ("x",)))
    watched.wait(1_000)
    assert watched.perform(Kill(B), Start(B)) == [True, True]
    watched.forget()
    watched.wait(10_000)
    assert answers(watched, B) == []
    assert watched.events(B, TimerFired)


def test_pauses_add_up_to_the_longest() -> None:
    watched = Watched()
    watched.perform(Pause(B, 3_000), Pause(B, 1_000), Take(B, ("x",)))
    watched.forget()
    watched.wait(2_900)
    assert not any(index == B for _, index, _, _ in watched.told)
    watched.wait(200)
    assert any(index == B for _, index, _, _ in watched.told)


def test_a_slow_disk_delays_answers_and_nothing_else() -> None:
    watched = Watched()
    watched.perform(SlowDisk(A, 4_000))
    watched.forget()
    watched.perform(Take(A, ("x", "y", "z")))
    watched.wait(30_000)
    times = [at_ms for at_ms, _ in answers(watched, A)]
    assert len(times) == 3
    assert times[-1] > 1_200
    assert len(set(times)) < 3, "what waits goes into one transaction"
    assert not watched.events(A, LinkDown)


def test_a_read_only_disk_refuses_commits_and_starts() -> None:
    watched = Watched()
    watched.perform(MountReadOnly(A), Take(A, ("x",)))
    watched.wait(1_000)
    assert watched.events(A, PersistFailed)[0].reason == "attempt to write a readonly database"
    assert "readonly" in answers(watched, A)[0][1]
    assert watched.perform(Kill(A), Start(A), MountWritable(A), Start(A)) == [True, False, True, True]
    watched.settle()


def test_a_disk_may_lie_only_where_that_is_allowed() -> None:
    assert Watched().perform(LieAboutSync(A, True)) == [False]


def test_a_host_whose_disk_has_lied_learns_from_others_that_it_has_forgotten() -> None:
    lost = 0
    for seed in range(8):
        watched = Watched(THREE, seed=str(seed), allow=("lying-fsync",))
        watched.perform(LieAboutSync(B, True))
        for number in range(5):
            watched.perform(Take(B, (f"c{number}",)))
            watched.wait(300)
        before = watched.world.hosts[B].disk.synced.copy()
        assert len(watched.events(B, Persisted)) > 5
        watched.perform(CutPower(B))
        lost += watched.world.hosts[B].disk.synced != before
        watched.wait(100)
        assert watched.perform(Start(B)) == [True]
        watched.wait(30_000)
        watched.settle()
        assert watched.are_equal()
    assert lost > 4


def test_a_doomed_agent_carries_out_so_many_effects_of_its_event_and_no_more() -> None:
    watched = Watched()
    watched.perform(Doom(A, 1, False, 2))
    watched.forget()
    watched.wait(20_000)
    acted = [effects for _, index, _, effects in watched.told if index == A and effects]
    assert [len(effects) for effects in acted[2:]] == [1], "two events pass, and one effect of the third"
    assert watched.world.hosts[A].heart is None


def test_a_host_that_is_down_may_be_doomed_and_crashes_as_it_starts() -> None:
    watched = Watched()
    watched.perform(Kill(A), Doom(A, 0, True), Start(A))
    assert watched.world.hosts[A].heart is None
    assert watched.world.hosts[A].is_dark


def test_timers_follow_a_clock_whose_speed_changes() -> None:
    watched = Watched()
    watched.perform(DriftClock(A, 50_000), DriftClock(B, -50_000))
    watched.forget()
    watched.wait(200_000)
    beats = dict.fromkeys((A, B), 0)
    for _, index, event, _ in watched.told:
        if event == TimerFired("mesh/heartbeat"):
            beats[HostIndex(index)] += 1
    assert (beats[A], beats[B]) == (21, 19)
    assert not watched.events(A, LinkDown)


def test_no_timer_fires_early_when_its_clock_slows_down() -> None:
    watched = Watched()
    watched.wait(4_000)
    watched.perform(DriftClock(A, -50_000))
    watched.forget()
    watched.wait(30_000)
    clock = watched.world.hosts[A].clock
    first = next(
        at_ms for at_ms, index, event, _ in watched.told if event == TimerFired("mesh/heartbeat") and index == A
    )
    assert clock.at(first * 1000 + 1000).mono_ms >= 10_000


def events_of(steps: tuple[Step, ...]) -> list[str]:
    """Play a story and return what all hosts were told and decided.

    Facts say, for people, when they came to be; so fingerprints and digests are another matter.
    """
    run = Run(Scenario("9", THREE, "10.32.0.0/24", "consensus", 60_000, steps))
    lines: list[str] = []
    add = run.world.trace.add

    def keep(now_us: int, who: str, what: str) -> None:
        lines.append(f"{now_us} {who} {what}")
        add(now_us, who, what)

    run.world.trace.add = keep  # type: ignore[method-assign]
    report = run.play()
    assert not report.violation
    return [FINGERPRINT.sub("…", line) for line in lines if " stage " not in line]


def test_the_wall_clock_decides_nothing() -> None:
    story = (
        Step(2_000, Attach(A, "web")),
        Step(5_000, Kill(B)),
        Step(6_000, Start(B)),
        Step(8_000, Attach(B, "db")),
        Step(9_000, Detach(A, "web")),
    )
    steps = [
        Step(at_ms, StepClock(HostIndex(at_ms % 3), by_ms))
        for at_ms, by_ms in (
            (1_000, STEP_MAX_MS),
            (4_001, -STEP_MAX_MS),
            (5_500, -7_200_000),
            (7_000, 86_400_000),
            (30_000, -1),
            (40_001, 1),
        )
    ]
    disturbed = tuple(sorted((*story, *steps), key=lambda step: step.at_ms))
    assert events_of(disturbed) == events_of(story)


@pytest.mark.parametrize(
    "action",
    [
        Pause(A, 0),
        SlowDisk(A, -1),
        StepClock(A, STEP_MAX_MS + 1),
        Doom(A, -1, False),
        Doom(A, 0, False, -1),
        Start(A),
        Wipe(A),
        Clone(B, A),
    ],
)
def test_what_makes_no_sense_does_not_take_place(action: Action) -> None:
    watched = Watched()
    watched.perform(Attach(A, "web"))
    assert watched.perform(action) == [False]


def test_nothing_that_is_down_can_be_paused_and_no_pause_is_for_ever() -> None:
    watched = Watched()
    assert watched.perform(Kill(A), Pause(A, 1_000), Pause(B, 10 * PAUSE_MAX_MS)) == [True, False, True]
    assert watched.world.hosts[B].paused_until_us == watched.world.now_us + PAUSE_MAX_MS * 1_000


def test_all_trouble_ends() -> None:
    watched = Watched(THREE)
    for host in (A, B):
        watched.perform(SlowDisk(host, 4_000), DriftClock(host, 50_000), Doom(host, 2, True, 50), MountReadOnly(host))
    watched.perform(Pause(A, 100_000))
    begin_ms = watched.now_ms
    watched.settle()
    assert watched.are_equal()
    assert watched.now_ms - begin_ms < 50_000, "no pause outlives the trouble"


def test_a_copy_has_the_disk_and_the_name_of_another_and_its_own_place() -> None:
    watched = Watched((*THREE[:2], replace(THREE[2], starts=False)), core=(A, B))
    assert watched.perform(Clone(B, C), Clone(C, A), Clone(C, A)) == [False, True, False]
    one, copy = watched.world.hosts[A], watched.world.hosts[C]
    assert copy.config == replace(one.config, nickname=copy.name)
    assert copy.disk.synced == one.disk.synced
    assert copy.disk.synced is not one.disk.synced
