"""Lines of a campaign's file: what is written is read, and what is wrong is named."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from results import GOOD, bad

from sim.campaign.result import ResultError, find, line_of, result_of
from sim.scenario import load

CRASH = 'crash: Traceback (most recent call last):\n  File "core/x.py", line 3, in f\n    g()\nKeyError: 7\n'


def test_what_is_written_is_read() -> None:
    assert result_of(line_of(GOOD)) == GOOD
    assert "\n" not in line_of(bad(1, CRASH))


def spoil(**changes: Any) -> str:
    record = {**asdict(GOOD), **changes}
    return json.dumps({name: value for name, value in record.items() if value is not None})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "not JSON"),
        ('{"seed": 1', "not JSON"),
        ("[1]", "expected an object"),
        (spoil(seed="1"), "field 'seed': expected a number"),
        (spoil(seed=True), "field 'seed': expected a number"),
        (spoil(proof=None), "field 'proof': missing"),
        (spoil(violation=0), "field 'violation': expected a text"),
        (spoil(marks=[]), "field 'marks': expected an object of numbers"),
        (spoil(actions={"cut": "often"}), "field 'actions': expected an object of numbers"),
        (spoil(colour="red"), "field 'colour': unknown"),
    ],
)
def test_what_is_wrong_is_named(line: str, message: str) -> None:
    with pytest.raises(ResultError, match=message):
        result_of(line)


def test_a_violation_has_an_invariant_and_a_headline() -> None:
    assert bad(1).invariant == "I2"
    assert bad(1, CRASH).invariant == "crash"
    assert bad(1, CRASH).headline == "crash: KeyError: 7"
    assert bad(1, "I8: a\n  b").headline == "I8: a b"


def test_a_seed_is_found_out_here_and_its_scenario_is_kept_only_if_it_fails() -> None:
    finding = find(0, "all")
    assert finding.result.seed == 0
    assert finding.result.events
    assert finding.scenario == ""


def test_the_scenario_of_a_seed_that_fails_is_kept() -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("planted")

    finding = find(3, "all", broken)
    assert finding.result.headline == "crash: RuntimeError: planted"
    assert load(finding.scenario).seed == "3"
