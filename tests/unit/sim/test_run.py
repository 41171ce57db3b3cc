"""What came of a run, in a few words."""

from __future__ import annotations

from dataclasses import replace

from sim.run import play
from sim.scenario import HostSpec, Scenario

REPORT = play(Scenario("1", (HostSpec("a"),), "10.32.0.0/24", "seed", 1_000))


def test_a_report_says_how_it_went() -> None:
    lines = str(REPORT).splitlines()
    assert lines[0].startswith("hosts: 1, steps: 0, ")
    assert lines[1:] == [f"proof {REPORT.proof}", "all is well, 0.1 s after the end of trouble"]


def test_a_report_says_what_was_violated_also_to_a_notebook() -> None:
    broken = replace(REPORT, violation="I2: <twice>")
    assert str(broken).endswith("\nVIOLATED: I2: <twice>")
    assert broken._repr_html_().startswith("<pre>hosts: 1")
    assert broken._repr_html_().endswith("VIOLATED: I2: &lt;twice&gt;</pre>")
