"""Writes the parts of the reference that follow from the code: `python docs/reference/make.py`."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import fields
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SIM = (
    "Exit status: 0 if all went well, 1 if anything failed or a word or file was wrong, 130 after Ctrl-C. A campaign "
    "writes a\nJSON object per seed: `seed`, `profile`, `hosts`, `proof` (hash of the trace), `virtual_ms`, `cpu_ms`, "
    "`events`,\n`converged_ms`, `violation` (empty if all is well), `marks`, `actions` and `outcomes` (counts by name)."
)
sys.path.insert(0, str(ROOT))


def facts() -> str:
    """Return `facts.md`."""
    from core.kinds import KINDS

    described = _described(ROOT / "core" / "kinds.py")
    lines = [
        "# Facts",
        "",
        "Every kind of fact that hosts write, with key, meaning and the fields of its body, a MessagePack map. The",
        "number in a kind's name is its schema. Kinds and fields that a host does not know are kept and passed on.",
    ]
    for kind, shape in KINDS.items():
        title, notes = described[shape.__name__]
        lines += ["", f"## {kind}", "", title, "", "| Field | Type | Meaning |", "|---|---|---|"]
        lines += [f"| `{field.name}` | {field.type} | {notes[field.name]} |" for field in fields(shape)]
    return "\n".join(lines) + "\n"


def cli() -> str:
    """Return `cli.md`."""
    from adapters.control.cli import USAGE
    from adapters.settings import help_text
    from sim.cli import help_text as sim_help_text

    # Else the width of whose terminal this is would show.
    os.environ["COLUMNS"] = "100"

    return (
        "# Command line\n\n"
        "Exit status: 0 if all went well, 1 if not (the reason is on standard error), 3 from `launch` if weave runs\n"
        "already. "
        "`WEAVE_RUNTIME_DIR` (`/var/run/weave`) says which agent is meant, if several run on one machine.\n\n"
        f"```\n{USAGE}```\n\n## Options of `launch` and `agent`\n\n```\n{help_text()}```\n"
        f"\n## `weave sim`\n\n{SIM}\n\n```\n{sim_help_text()}```\n"
    )


def _described(path: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the docstring of each class and of its fields."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        notes: dict[str, str] = {}
        last = ""
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                last = item.target.id
            elif isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and last:
                notes[last] = str(item.value.value)
        found[node.name] = (ast.get_docstring(node) or "", notes)
    return found


if __name__ == "__main__":
    (HERE / "facts.md").write_text(facts())
    (HERE / "cli.md").write_text(cli())
