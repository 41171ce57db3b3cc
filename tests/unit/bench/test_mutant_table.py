"""What `make mutants` prints and returns."""

from __future__ import annotations

import pytest

from bench.mutants import __main__ as command
from bench.mutants.mutant import Edit, Mutant
from bench.mutants.trial import Verdict

MUTANT = Mutant("off-by-one", "One too many.", (Edit("core/a.py", "1", "2"),), "ring", by=("I2",))
SURVIVOR = Mutant("slow", "Twice the work.", (Edit("core/a.py", "1", "2"),), "ring", survives="only slower")
CRASH = "crash: Traceback (most recent call last):\n  File\nAssertionError: two of them\n"


@pytest.mark.parametrize(
    ("verdict", "shown", "is_as_listed"),
    [
        (Verdict(MUTANT, 7, "I2: two of them", 8, 1.0), "I2: two of them", True),
        (Verdict(MUTANT, 7, "I3: no owner", 8, 1.0), "I3: no owner (its entry expects I2)", True),
        (Verdict(MUTANT, 7, CRASH, 8, 1.0), "crash: AssertionError: two of them (its entry expects I2)", True),
        (Verdict(MUTANT, -1, "", 60, 1.0), "SURVIVES: One too many.", False),
        (Verdict(SURVIVOR, -1, "", 60, 1.0), "survives: only slower", True),
        (Verdict(SURVIVOR, 7, "I2: two of them", 8, 1.0), "I2: two of them (its entry says that it survives)", False),
    ],
)
def test_a_row_says_what_came_of_a_mutant(verdict: Verdict, shown: str, is_as_listed: bool) -> None:
    assert (command._found(verdict), verdict.is_as_listed) == (shown, is_as_listed)


def test_the_last_line_counts() -> None:
    verdicts = [
        Verdict(MUTANT, 7, "I2: two of them", 8, 1.2),
        Verdict(MUTANT, 1200, "I2: two of them", 1201, 100.0),
        Verdict(MUTANT, -1, "", 60, 1.0),
        Verdict(SURVIVOR, -1, "", 60, 1.0),
    ]
    text = (
        "4 mutants in 103 CPU seconds: 2 caught, 1 of them within 1000 seeds; 1 survived unexpectedly, 1 as explained"
    )
    assert command._summary(verdicts) == text


def test_a_name_that_is_in_no_list_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "of-by-one"]) == 1
    assert "no mutant is called of-by-one; there are: " in capsys.readouterr().err
