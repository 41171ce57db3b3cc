"""What a narrator remembers of a run: who did what, what was sent and written, and what became of it."""

from __future__ import annotations

import pytest
from stories import stormy

from core.effects import Send
from core.events import Received, TimerFired
from core.messages import Digest
from sim import narrator
from sim.actions import Attach, CutPower, Detach, Doom, Heal, HostIndex, Kill, Split, Start
from sim.draw import draw
from sim.explore import run_seed
from sim.narrator import Narrator, tell
from sim.run import Run, play
from sim.scenario import HostSpec, Scenario, Step
from sim.story import Asked, Began, Ended, Fate, Operated, PathsCut, Performed, Sent, Story, Wrote

A, B = HostIndex(0), HostIndex(1)
HOSTS = (HostSpec("a", ()), HostSpec("b", (A,)))
WRITTEN_MS = 510
"""When a host that attaches at 500 ms has asked the network and writes."""


def story_of(*steps: Step) -> Story:
    return tell(Scenario("5", HOSTS, "10.32.0.0/24", "seed", 6_000, steps))


def test_looking_on_changes_nothing() -> None:
    for seed in (4, 17, 26):
        assert tell(draw(seed), profile="all").report == run_seed(seed)


def test_happenings_come_in_order_with_their_hosts() -> None:
    story = story_of(Step(500, Attach(A, "web")), Step(1_000, Detach(A, "web")))
    times = [happening.at_us for happening in story.happenings]
    assert times == sorted(times)
    assert story.names == ("a", "b")
    assert [item for item in story.happenings if isinstance(item, Performed)] == [
        Performed(500_000, Attach(A, "web")),
        Performed(1_000_000, Detach(A, "web")),
    ]
    assert [item.host for item in story.happenings if isinstance(item, Began)] == [0, 1]
    assert story.calm_us == 6_000_000 <= story.end_us
    assert not story.left_out


def test_a_request_is_remembered_with_its_answer_and_what_it_changed() -> None:
    story = story_of(Step(500, Attach(A, "web")))
    [asked] = [item for item in story.happenings if isinstance(item, Asked) and item.at_us == 500_000]
    assert asked.reply is not None
    assert asked.done_us > asked.at_us
    operations = [item for item in story.happenings if isinstance(item, Operated) and item.host == 0]
    assert any(item.at_us > 500_000 and item.op.object.key == ("endpoint", "web", "ethwe") for item in operations)
    writes = [item for item in story.happenings if isinstance(item, Wrote) and item.at_us >= 500_000]
    [wrote] = [item for item in writes if any(fact.key.startswith("ip/") for fact in item.facts)]
    assert (wrote.host, wrote.fate) == (0, Fate.ARRIVED)
    assert {fact.key.split("/")[0] for fact in wrote.facts} == {"att", "dns", "ip"}


def test_what_is_sent_into_a_cut_waits_for_the_heal() -> None:
    story = story_of(Step(1_000, Split((B,))), Step(1_500, Attach(A, "web")), Step(3_000, Heal()))
    cuts = [item for item in story.happenings if isinstance(item, PathsCut)]
    assert cuts == [PathsCut(1_000_000, ((0, 1), (1, 0))), PathsCut(3_000_000, ())]
    waiting = [item for item in story.happenings if isinstance(item, Sent) and item.was_cut]
    assert waiting
    for item in waiting:
        assert item.fate is Fate.ARRIVED
        assert item.at_us < 3_000_000 < item.done_us


def test_a_cut_that_nobody_heals_ends_with_the_trouble() -> None:
    cuts = [item for item in story_of(Step(1_000, Split((B,)))).happenings if isinstance(item, PathsCut)]
    assert cuts[-1] == PathsCut(6_000_000, ())


def test_what_a_dead_host_had_begun_is_lost() -> None:
    story = story_of(
        Step(500, Attach(A, "web")), Step(WRITTEN_MS, CutPower(A)), Step(1_000, Kill(B)), Step(2_000, Start(A))
    )
    assert [item for item in story.happenings if isinstance(item, Ended)] == [
        Ended(WRITTEN_MS * 1000, 0, True),
        Ended(1_000_000, 1, False),
    ]
    assert [item.host for item in story.happenings if isinstance(item, Began)] == [0, 1, 0, 1]
    lost = [item for item in story.happenings if isinstance(item, Wrote) and item.fate is Fate.LOST]
    assert [(item.at_us, item.done_us) for item in lost] == [(WRITTEN_MS * 1000, WRITTEN_MS * 1000)]
    [asked] = [item for item in story.happenings if isinstance(item, Asked) and item.at_us == 500_000]
    assert asked.reply is None


def test_effects_after_a_crash_are_not_told() -> None:
    whole = story_of(Step(500, Attach(A, "web")))
    cut_short = story_of(Step(499, Doom(A, 0, False)), Step(500, Attach(A, "web")))
    assert any(isinstance(item, Wrote) and item.at_us == WRITTEN_MS * 1000 for item in whole.happenings)
    assert not any(isinstance(item, Wrote) and item.at_us == WRITTEN_MS * 1000 for item in cut_short.happenings)


def test_messages_find_their_arrival_in_all_trouble() -> None:
    story = stormy()
    sent = [item for item in story.happenings if isinstance(item, Sent)]
    assert all(item.at_us <= item.done_us for item in sent)
    fates = {item.fate for item in sent}
    assert {Fate.ARRIVED, Fate.LOST} <= fates


def test_the_oldest_of_too_many_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario("5", HOSTS, "10.32.0.0/24", "seed", 6_000, (Step(500, Attach(A, "web")),))
    before = tell(scenario)
    monkeypatch.setattr(narrator, "OFTEN_MAX", 20)
    story = tell(scenario)
    assert story.left_out == len(before.happenings) - len(story.happenings) > 0
    assert sum(isinstance(item, Performed) for item in story.happenings) == 1
    assert play(scenario).proof == story.report.proof


def test_what_a_later_message_has_overtaken_is_lost() -> None:
    run = Run(Scenario("5", HOSTS, "10.32.0.0/24", "seed", 6_000))
    teller = Narrator(run)
    run.until(1_000)
    source, target = run.world.hosts
    [(link, (connection, _))] = source.links.items()
    first, second = Digest(1), Digest(2)
    teller.applied(source, TimerFired("x"), (Send(link, first), Send(link, second)))
    teller.applied(target, Received(connection.far_end(source.index).link, second), ())
    sent = {item.message: item.fate for item in teller.story(run.play()).all(Sent)}
    assert (sent[first], sent[second]) == (Fate.LOST, Fate.ARRIVED)
