"""The lists of mutants keep up with the code: what they replace is there, and what they put in its place is Python."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.mutants.mutant import Edit, Mutant, Outdated, changed, mutants, plant
from sim.seeds import PROFILES

COUNT_MIN = 20
INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "crash")


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_still_fits_the_code_and_is_python(mutant: Mutant) -> None:
    for path, text in changed(mutant):
        assert path.startswith(("core/", "crdt/"))
        ast.parse(text, path)


def test_the_lists_are_long_and_say_what_can_be() -> None:
    found = mutants()
    assert sum(not mutant.survives for mutant in found) >= COUNT_MIN
    for mutant in found:
        assert mutant.profile in PROFILES
        assert all(kind in INVARIANTS for kind in mutant.by)


@pytest.mark.parametrize(("old", "count"), [("quorum", 0), ("x = 1\n", 2)])
def test_text_that_does_not_occur_once_is_named_with_its_place(tmp_path: Path, old: str, count: int) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.py").write_text("x = 1\nx = 1\n")
    mutant = Mutant("off-by-one", "One too many.", (Edit("core/a.py", old, ""),), "ring")
    with pytest.raises(Outdated, match=f"off-by-one: its old text occurs {count} times in core/a.py.*ring.toml"):
        list(changed(mutant, tmp_path))


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ('name = "a"\nmistake = "Oh."\nby = ["I1"]\n', "a needs an edit"),
        ('name = "a"\nmistake = "Oh."\n[[mutant.edit]]\nfile = "f"\nold = "o"\nnew = "n"\n', "who may catch it"),
        ('name = "a"\nmistake = "Oh."\ncolour = 3\n', "unexpected keyword argument 'colour'"),
        ('mistake = "Oh."\n', "an entry without a name"),
        ('name = "a"\nmistake = "Oh."\n[[mutant.edit]]\nfile = "f"\n', "missing 2 required"),
    ],
)
def test_an_entry_that_is_none_is_refused(tmp_path: Path, entry: str, complaint: str) -> None:
    (tmp_path / "odd.toml").write_text("[[mutant]]\n" + entry)
    with pytest.raises(Outdated, match=f"odd.toml: .*{complaint}"):
        mutants(tmp_path)


def test_two_mutants_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = '[[mutant]]\nname = "a"\nmistake = "Oh."\nby = ["I1"]\n[[mutant.edit]]\nfile = "f"\nold = "o"\nnew = "n"\n'
    (tmp_path / "one.toml").write_text(entry)
    (tmp_path / "two.toml").write_text(entry)
    with pytest.raises(Outdated, match=r"two.toml: there are two mutants called a"):
        mutants(tmp_path)


def test_a_planted_copy_differs_in_the_mutant_alone(tmp_path: Path) -> None:
    mutant = mutants()[0]
    plant(None, tmp_path / "as-is")
    plant(mutant, tmp_path / "mutated")
    different = [
        path.relative_to(tmp_path / "as-is").as_posix()
        for path in sorted((tmp_path / "as-is").rglob("*.py"))
        if path.read_bytes() != (tmp_path / "mutated" / path.relative_to(tmp_path / "as-is")).read_bytes()
    ]
    assert different == sorted({edit.file for edit in mutant.edits})
