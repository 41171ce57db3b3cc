"""`make mutants`: plants each mutant in a copy of the code, runs seeds on it, and prints which seed caught it, and how.

    python -m bench.mutants [--only NAME]... [--seeds MAX] [--jobs N]

The exit status is 1 when one survives that should not, or is caught though its entry says that it survives.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.mutants.mutant import Mutant, Outdated, mutants
from bench.mutants.trial import Broken, Control, Verdict, attempt

VIOLATION_SHOWN = 70
FEW = 1000
"""Seeds: what most mutants should not survive."""


def main(arguments: list[str]) -> int:
    """Try mutants and print a table; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        chosen = _chosen(mutants(), options.only)
        verdicts = list(_shown(_verdicts(chosen, options.jobs, options.seeds)))
    except (Outdated, Broken) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    print(_summary(verdicts))
    return 0 if all(verdict.is_as_listed for verdict in verdicts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description="Plant mistakes; see who finds them.")
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="try this mutant; may be repeated")
    parser.add_argument("--seeds", metavar="MAX", type=int, help="seeds per mutant, instead of what its entry says")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="mutants to try at once, each in a process")
    return parser


def _chosen(every: tuple[Mutant, ...], names: list[str]) -> tuple[Mutant, ...]:
    """Return the mutants of these names, or all. Raises: Outdated."""
    unknown = [name for name in names if all(mutant.name != name for mutant in every)]
    if unknown:
        raise Outdated(f"no mutant is called {', '.join(unknown)}; there are: {', '.join(one.name for one in every)}")
    return tuple(mutant for mutant in every if mutant.name in names) if names else every


def _verdicts(chosen: tuple[Mutant, ...], jobs: int, seeds_max: int | None) -> Iterator[Verdict]:
    """Yield what came of each, in their order, as soon as it is known."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        control = Control(Path(folder))
        yield from pool.map(lambda mutant: attempt(mutant, control, seeds_max), chosen)


def _shown(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """Print verdicts as rows while they pass."""
    print(f"{'mutant':36} {'profile':9} {'seed':>5} {'seeds':>6} {'CPU s':>7}  violation", flush=True)
    for verdict in verdicts:
        mutant = verdict.mutant
        seed = str(verdict.seed) if verdict.violation else "-"
        row = f"{mutant.name:36} {mutant.profile:9} {seed:>5} {verdict.count:6} {verdict.cpu_s:7.1f}"
        print(f"{row}  {_found(verdict)}", flush=True)
        yield verdict


def _found(verdict: Verdict) -> str:
    mutant = verdict.mutant
    if not verdict.violation:
        return f"survives: {mutant.survives}" if mutant.survives else f"SURVIVES: {mutant.mistake}"
    lines = verdict.violation.splitlines()
    # Of a crash the last line says what it was.
    text = f"crash: {lines[-1]}" if verdict.kind == "crash" else lines[0]
    text = text if len(text) <= VIOLATION_SHOWN else text[:VIOLATION_SHOWN] + "…"
    if mutant.survives:
        return f"{text} (its entry says that it survives)"
    return text if verdict.kind in mutant.by else f"{text} (its entry expects {', '.join(mutant.by)})"


def _summary(verdicts: list[Verdict]) -> str:
    caught = [verdict for verdict in verdicts if verdict.violation]
    soon = sum(verdict.seed < FEW for verdict in caught)
    known = sum(bool(verdict.mutant.survives) for verdict in verdicts if not verdict.violation)
    survivors = len(verdicts) - len(caught) - known
    cpu_s = sum(verdict.cpu_s for verdict in verdicts)
    return (
        f"{len(verdicts)} mutants in {cpu_s:.0f} CPU seconds: {len(caught)} caught, {soon} of them within {FEW} seeds; "
        f"{survivors} survived unexpectedly, {known} as explained"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
