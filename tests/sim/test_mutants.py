"""The simulator finds planted bugs, each by an invariant that stands against it; `make mutants` tries many more."""

from __future__ import annotations

import pytest

from bench.mutants.mutant import Edit, Mutant, mutants
from bench.mutants.trial import Broken, Control, attempt

SEEDS_MAX = 60
QUICK = (
    "publish-before-durable",
    "answer-before-durable",
    "patch-where-it-must-replace",
    "address-freed-while-on-interface",
    "take-over-on-own-view",
)
"""Of the lists, those that die within few seeds."""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Control:
    return Control(tmp_path_factory.mktemp("control"))


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name: str, control: Control) -> None:
    mutant = next(mutant for mutant in mutants() if mutant.name == name)
    verdict = attempt(mutant, control, SEEDS_MAX)
    assert verdict.kind in mutant.by, verdict


def test_a_seed_that_the_code_itself_fails_says_nothing_about_a_mutant(control: Control) -> None:
    mutant = next(mutant for mutant in mutants() if mutant.name == QUICK[0])
    before = attempt(mutant, control, SEEDS_MAX)
    control.found[mutant.profile, before.seed] = "I8: it is like this anyway", 0.0
    after = attempt(mutant, control, SEEDS_MAX)
    assert after.seed > before.seed
    assert after.kind in mutant.by
    survivor = attempt(mutant, control, before.seed + 1)
    assert (survivor.seed, survivor.violation, survivor.count) == (-1, "", before.seed + 1)


def test_a_mutant_that_does_not_start_is_named(control: Control) -> None:
    nonsense = Edit("core/types.py", "from __future__ import annotations", "import nothing")
    with pytest.raises(Broken, match=r"mutant nonsense: ended with status 1:(?s:.*)No module named 'nothing'"):
        attempt(Mutant("nonsense", "No such module.", (nonsense,), "none"), control, 1)
