"""A cluster at a moment, in words."""

from __future__ import annotations

from sim.actions import Attach, CutPower, FillDisk, HostIndex, Kill, Split, Take
from sim.run import Run
from sim.scenario import HostSpec, Scenario, Step
from sim.summary import SHOWN_MAX, summary

A, B, C = HostIndex(0), HostIndex(1), HostIndex(2)


def lines_at(until_ms: int, *steps: Step) -> list[str]:
    hosts = (HostSpec("ann"), HostSpec("bob", (A,)), HostSpec("eve", (A,)))
    run = Run(Scenario("1", hosts, "10.32.0.0/24", "seed", 600_000, steps))
    run.until(until_ms)
    return list(summary(run.world))


def test_every_host_says_how_it_stands() -> None:
    lines = lines_at(20_000, Step(5_000, Take(A, ("c1",))), Step(5_000, Attach(B, "c2")))
    text = "\n".join(lines)
    assert text.count("up, process 1") == 3
    digests = [line.split("digest ")[1].split(",")[0] for line in lines if "digest" in line]
    assert len(set(digests)) == 1, "all agree"
    assert "links: ann established, eve established" in text
    assert "owners: ann 128, bob 64, eve 64" in text
    assert "given here: c1 10.32.0.1/24" in text


def test_trouble_is_told() -> None:
    text = "\n".join(
        lines_at(
            120_000,
            Step(20_000, Kill(A)),
            Step(20_000, CutPower(B)),
            Step(20_000, FillDisk(C)),
            Step(30_000, Take(C, tuple(f"c{index}" for index in range(100)))),
        )
    )
    assert "ann  02:00:00:00:00:01  down\n" in text
    assert "bob  02:00:00:00:00:02  without power\n" in text
    assert "disk: full" in text
    assert "out of reach: ann, bob" in text
    assert "ALARM: nothing can be saved" in text


def test_long_lists_are_cut() -> None:
    idents = tuple(f"c{index:02}" for index in range(SHOWN_MAX + 3))
    text = "\n".join(lines_at(20_000, Step(5_000, Take(A, idents))))
    assert f"c{SHOWN_MAX - 1:02} " in text
    assert ", and 3 more" in text


def test_who_waits_says_for_what() -> None:
    idents = tuple(f"c{index}" for index in range(70))
    text = "\n".join(lines_at(60_000, Step(10_000, Split((C,))), Step(50_000, Take(C, idents))))
    assert "waiting: c" in text
    assert "2 unreachable" in text
