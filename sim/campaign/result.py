"""What came of one seed, as a line of a campaign's file.

A line is a function of the seed, the profile and the code, and of nothing else but `cpu_ms`: campaigns can be killed,
taken up again and merged. What has no such answer, a seed whose worker died, is told and has no line.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields

from core.replica import Replica
from sim.campaign.code import code_id
from sim.run import MakeReplica
from sim.scenario import dump
from sim.seeds import run_seed

CRASH = "crash:"
"""How the violation begins that is a traceback."""
HEADLINE_SIZE_MAX = 200
"""Characters of a violation on one line."""


class ResultError(Exception):
    """A line that is no result; says what is wrong."""


@dataclass(frozen=True, slots=True)
class Result:
    """One seed."""

    seed: int
    """Which."""
    profile: str
    """What its swarm looked at."""
    code: str
    """Which code ran it."""
    hosts: int
    """Their count."""
    proof: str
    """Hash of the trace."""
    virtual_ms: int
    """How long it took in its world."""
    cpu_ms: int
    """How long it took here."""
    events: int
    """Lines of the trace."""
    converged_ms: int
    """Virtual time from the end of trouble until all was well."""
    violation: str
    """What went wrong; empty if nothing did."""
    marks: dict[str, int]
    """How often each marked place was passed."""
    actions: dict[str, int]
    """How often each kind of action took place."""
    outcomes: dict[str, int]
    """Answers by kind of request, those with no as `no <kind>`."""

    @property
    def invariant(self) -> str:
        """Return the name of what was violated: `I2`, `crash`; empty if nothing was."""
        return self.violation.partition(":")[0]

    @property
    def headline(self) -> str:
        """Return the violation in one line; of a crash, which is a traceback, the exception."""
        return headline(self.violation)


@dataclass(frozen=True, slots=True)
class Finding:
    """A result, and of a seed that failed its scenario."""

    result: Result
    """The line."""
    scenario: str
    """All that happened, as a scenario's text; empty if nothing went wrong."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A seed without a result."""

    seed: int
    """Which."""
    why: str
    """What happened to its worker."""


def find(seed: int, profile: str, make: MakeReplica = Replica) -> Finding:
    """Run a seed here and now."""
    # Of this thread: in a cluster's worker others run, too.
    begin_s = time.thread_time()
    report = run_seed(seed, make, profile=profile)
    result = Result(
        seed=seed,
        profile=profile,
        code=code_id(),
        hosts=len(report.scenario.hosts),
        proof=report.proof,
        virtual_ms=report.virtual_ms,
        cpu_ms=round((time.thread_time() - begin_s) * 1000),
        events=report.events,
        converged_ms=report.converged_ms,
        violation=report.violation,
        marks=report.marks,
        actions=report.actions,
        outcomes=report.outcomes,
    )
    return Finding(result, dump(report.scenario) if report.violation else "")


def headline(violation: str) -> str:
    """Return a violation in one line that people can read."""
    if violation.startswith(CRASH):
        violation = f"{CRASH} {violation.strip().splitlines()[-1]}"
    return " ".join(violation.split())[:HEADLINE_SIZE_MAX]


def line_of(result: Result) -> str:
    """Write a result as JSON on one line."""
    return json.dumps(asdict(result), ensure_ascii=False, separators=(",", ":"))


def result_of(line: str) -> Result:
    """Read a line. Raises: ResultError naming the field."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ResultError("expected an object")
    for field in fields(Result):
        if field.name not in record:
            raise ResultError(f"field '{field.name}': missing")
        if not _KINDS[str(field.type)](record[field.name]):
            raise ResultError(f"field '{field.name}': expected {_NAMES[str(field.type)]}")
    for name in record:
        if name not in Result.__dataclass_fields__:
            raise ResultError(f"field '{name}': unknown")
    return Result(**record)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(_is_number(count) for count in value.values())


_KINDS = {"int": _is_number, "str": lambda value: isinstance(value, str), "dict[str, int]": _is_counts}
_NAMES = {"int": "a number", "str": "a text", "dict[str, int]": "an object of numbers"}
