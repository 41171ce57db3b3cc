"""The list of marks and the places in the source that pass them are the same."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from core.marks import MARKS

CORE = Path(__file__).parents[3] / "core"


def marked() -> Iterator[str]:
    """Yield the name of every call of `….mark("name")`; a name that is not a literal counts as none."""
    for path in sorted(CORE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "mark":
                argument = node.args[0]
                yield str(argument.value) if isinstance(argument, ast.Constant) else f"{path.name}:{node.lineno}"


def test_every_mark_stands_exactly_once_in_the_source_and_the_source_has_no_other() -> None:
    assert Counter(marked()) == Counter(MARKS)
