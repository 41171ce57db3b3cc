"""What came of a run, in a few words."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from core.context import Context
from core.effects import Answer, Ok
from core.types import RequestId
from sim.actions import CutPower, HostIndex, Start, Take
from sim.run import play
from sim.scenario import HostSpec, Scenario, Step

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


def test_a_step_that_breaks_a_promise_at_once_is_recorded_too() -> None:
    def answered_at_once(self: Context, request: RequestId, text: str = "") -> None:
        self.emit(Answer(request, Ok(text)))

    host = HostIndex(0)
    steps = (
        Step(500, Take(host, ("c1",))),
        Step(500, CutPower(host)),
        Step(600, Start(host)),
        Step(800, Take(host, ("c2",))),
    )
    scenario = Scenario("1", (HostSpec("a"),), "10.32.0.0/24", "seed", 1_000, steps, kernels=False)
    with patch.object(Context, "answer", answered_at_once):
        broken = play(scenario)
        assert broken.violation.startswith("I2: 10.32.0.1 was given to c2")
        assert broken.scenario.steps == steps
        assert play(broken.scenario).proof == broken.proof
