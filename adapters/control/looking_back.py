"""`weave at` and `weave why`: answers from the history and from facts as text.

Blocks for as long as the file takes: an agent calls this on a thread of its own, the command line calls it by itself
when no agent runs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from adapters.control import text
from adapters.control.moment import moment
from adapters.control.report import report
from adapters.control.template import TemplateError, render
from adapters.history_reader import HistoryError, learnt, past
from adapters.history_reader import Past as Found
from core.config import Config
from core.counters import Counters
from core.past import Past
from core.status import Status
from core.types import utc_text
from core.why.explain import Explanation, explain, needles
from core.why.history import Learnt
from crdt.fact import Delta

UNKNOWN = {
    "": "tries to connect, waiting requests and the kernel are no facts",
    "connections": "only links that stood are facts; tries and their errors are not known",
    "ipam": "requests that waited are no facts",
}
"""What each part cannot say of the past."""
PARTS: dict[str, Callable[[Status], str]] = {
    "": text.status_text,
    "targets": text.targets_text,
    "connections": text.connections_text,
    "peers": text.peers_text,
    "dns": text.dns_text,
    "ipam": text.ipam_text,
}


class LookError(Exception):
    """There is no answer; the text says why."""


class NoSuchPart(LookError):
    """That is nothing one can ask for."""


def ps_text(status: Status) -> str:
    """Return each interface of a container with its addresses, as `weave ps` has them from the agent."""
    lines = [f"weave:expose {status.config.peer}\n"]
    lines += [f"{item.container} {item.mac} {' '.join(item.addresses)}\n" for item in status.attachments]
    return "".join(lines)


def at(config: Config, history: Path, now_ms: int, when: str, what: str, argument: str) -> str:
    """Answer `weave at WHEN WHAT [ARGUMENT]`. Raises: LookError."""
    try:
        found = past(history, moment(when, now_ms))
        then = Past(config, found.streams, found.asked_ms, random.Random(0))
        if what == "why":
            told = learnt(history, needles(argument, then), until=found.number)
            return _headline(found, "") + why_text(explain(argument, then, told))
        status = then.describe()
        if what == "status" and argument in PARTS:
            return _headline(found, UNKNOWN.get(argument, "")) + PARTS[argument](status)
        if what == "ps":
            return _headline(found, "whether the kernel carried them is not known") + ps_text(status)
        if what == "report":
            return _report(found, status, argument)
    except (ValueError, HistoryError, TemplateError) as error:
        raise LookError(str(error)) from None
    raise NoSuchPart(f"there is no '{what} {argument}'".rstrip())


def why(config: Config, history: Path | None, now_ms: int, streams: Iterable[Delta] | None, what: str) -> Explanation:
    """Answer `weave why WHAT` from facts as they are, or as the history has them last. Raises: LookError."""
    try:
        if streams is None:
            assert history is not None, "one of the two is there"
            streams = past(history, now_ms).streams
        now = Past(config, streams, now_ms, random.Random(0))
        told: tuple[Learnt, ...] = ()
        trouble = ""
        try:
            if history is not None:
                told = learnt(history, needles(what, now))
        except HistoryError as error:
            # What is true now can be told all the same.
            trouble = str(error)
        return explain(what, now, told, trouble)
    except HistoryError as error:
        raise LookError(str(error)) from None


def why_text(found: Explanation) -> str:
    """Write a chain for people: what, when by its writer's clock, and by which fact."""
    lines = [found.headline]
    for step in found.steps:
        when = utc_text(step.at_ms) if step.at_ms else ""
        cited = f"  [{step.fact}]" if step.fact else ""
        lines.append(f"  {when:<19}  {'  ' * step.depth}{step.text}{cited}")
    # What peers write may hold anything; a terminal gets what can be printed.
    shown = ("".join(sign if sign.isprintable() else "?" for sign in line.rstrip()) for line in lines)
    return "".join(f"{line}\n" for line in shown)


def why_json(found: Explanation) -> str:
    """Write a chain for scripts."""
    steps = [
        {"text": step.text, "at_ms": step.at_ms or None, "depth": step.depth, "fact": step.fact or None}
        for step in found.steps
    ]
    answer = {"subject": found.subject, "kind": found.kind, "headline": found.headline, "steps": steps}
    return json.dumps(answer, indent=4) + "\n"


def _headline(found: Found, unknown: str) -> str:
    notes = [f"as of {utc_text(found.asked_ms)} UTC on this host; it had learnt the last of it at "]
    notes[0] += f"{utc_text(found.entry_ms)}"
    if found.is_stepped:
        notes.append(
            "the clock was set back: earlier entries bear later times, and this is the last state at that time"
        )
    if found.gap:
        notes.append(f"{found.gap}: changes in between are not known")
    if unknown:
        notes.append(unknown)
    return "".join(f"# {note}\n" for note in notes)


def _report(found: Found, status: Status, template: str) -> str:
    answer: dict[str, Any] = report(status, Counters())
    answer["AsOf"] = {
        "AskedMS": found.asked_ms,
        "LearntMS": found.entry_ms,
        "Entry": found.number,
        "ClockWasSetBack": found.is_stepped,
        "Gap": found.gap,
    }
    return render(template, answer) if template else json.dumps(answer, indent=4)
