"""Mutants: mistakes that somebody could have made in `core` or `crdt`, as replacements of text.

They are listed by topic in the TOML files beside this one. An entry:

    [[mutant]]
    name = "answer-before-durable"      # unique
    mistake = "A request is answered before its fact is on disk."
    profile = "all"                     # of the simulator's swarms, see `sim.draw`; "all" if left out
    by = ["I2", "I8"]                   # what may catch it; "crash" stands for an assertion of the heart itself
    seeds = 100                         # how many it may take
    survives = "…"                      # only if no seed can catch it: why
    [[mutant.edit]]                     # one or more
    file = "core/context.py"
    old = '''…'''                       # occurs exactly once
    new = '''…'''

Source: DeMillo, Lipton & Sayward, "Hints on Test Data Selection" (1978).
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LISTS = Path(__file__).parent
ROOT = LISTS.parents[1]
PACKAGES = ("crdt", "core", "sim")
"""What a run needs; the first two are what may be changed."""
SEEDS = 1000


class Outdated(Exception):
    """An entry does not fit the code, or is no entry."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement."""

    file: str
    """Path within the repository."""
    old: str
    """Text that occurs once."""
    new: str
    """What stands there instead."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake."""

    name: str
    """Unique, with hyphens."""
    mistake: str
    """One sentence: the error it stands for."""
    edits: tuple[Edit, ...]
    """What makes it."""
    topic: str
    """Name of the list it is in."""
    profile: str = "all"
    """The swarm that shall find it."""
    by: tuple[str, ...] = ()
    """Invariants that may catch it, or `crash`."""
    seeds: int = SEEDS
    """How many it may take."""
    survives: str = ""
    """Why no seed can catch it; empty for one that must be caught."""


def mutants(folder: Path = LISTS) -> tuple[Mutant, ...]:
    """Read all lists, by topic. Raises: Outdated."""
    found: dict[str, Mutant] = {}
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text("utf-8")).get("mutant", ()):
            mutant = _read(entry, path.stem)
            if mutant.name in found:
                raise Outdated(f"{path.name}: there are two mutants called {mutant.name}; rename one")
            found[mutant.name] = mutant
    return tuple(found.values())


def changed(mutant: Mutant, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield path and new text of every file that a mutant changes. Raises: Outdated."""
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        text = texts[edit.file] if edit.file in texts else (root / edit.file).read_text("utf-8")
        count = text.count(edit.old)
        if count != 1:
            raise Outdated(
                f"mutant {mutant.name}: its old text occurs {count} times in {edit.file}, and must occur once; "
                f"the code has changed, so change bench/mutants/{mutant.topic}.toml:\n{edit.old}"
            )
        texts[edit.file] = text.replace(edit.old, edit.new)
    yield from texts.items()


def plant(mutant: Mutant | None, folder: Path, root: Path = ROOT) -> None:
    """Copy the code at `root` to a folder, with a mutant in it if one is given. Raises: Outdated."""
    texts = [] if mutant is None else list(changed(mutant, root))
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in texts:
        (folder / path).write_text(text, "utf-8")


def _read(entry: dict[str, Any], topic: str) -> Mutant:
    """Make a mutant of an entry; the names of its fields are those of `Mutant`, but for the edits. Any: TOML."""
    fields = {**entry, "by": tuple(entry.get("by", ())), "topic": topic}
    edits = fields.pop("edit", ())
    try:
        mutant = Mutant(**fields, edits=tuple(Edit(**edit) for edit in edits))
    except TypeError as error:
        raise Outdated(f"{topic}.toml: {entry.get('name', 'an entry without a name')}: {error}") from None
    if not mutant.edits or not (mutant.by or mutant.survives):
        raise Outdated(f"{topic}.toml: {mutant.name} needs an edit, and who may catch it or why it survives")
    return mutant
