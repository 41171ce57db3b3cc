"""The words of `weave ipam gc`: gives back addresses of containers that are gone, where that is certain.

What an interface has lost is freed by the agent itself; here it is about what scripts and plugins asked for and never
gave back. The agent cannot know who they are; this host can often tell: a process id, a namespace, a container that
Docker knows. Whatever cannot be told is kept, and shown, until somebody names it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapters.control.words import Failure, Misuse, ask_or_fail, docker_state, quoted

YOUNG_S = 60
"""Who has held an address for a shorter time may be about to use it: image pulled, container created, not started."""
DOCKER_ID = re.compile(r"[0-9a-f]{64}")
OVER = ("exited", "dead")
"""States of a Docker container in which it has no namespace; `created` is one that may come up any moment."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of who holds addresses."""

    is_gone: bool
    """Certainly."""
    why: str
    """For people."""


def gc(words: list[str]) -> str:
    """Free what is held for nothing, and return a line for each holder without an interface. Raises: Failure."""
    is_dry = "--dry-run" in words
    named = [word for word in words if word != "--dry-run"]
    if any(word.startswith("-") for word in named):
        raise Misuse
    idle = json.loads(ask_or_fail("GET", "/ipam/idle"))
    unknown = [name for name in named if not any(entry["Ident"] == name for entry in idle)]
    if unknown:
        raise Failure(f"{', '.join(unknown)}: no addresses without an interface; see 'weave ipam gc --dry-run'")
    lines = []
    for entry in idle:
        ident = entry["Ident"]
        if named and ident not in named:
            continue
        verdict = Verdict(True, "named by you") if named else judge(entry, time.time())
        outcome = "kept"
        if verdict.is_gone:
            outcome = "would be freed" if is_dry else "freed"
            if not is_dry:
                ask_or_fail("DELETE", f"/ipam/idle/{quoted(ident)}")
        lines.append(f"{ident} {' '.join(entry['CIDRs'])} {outcome}: {verdict.why}\n")
    return "".join(lines)


def judge(entry: dict[str, object], now_s: float, look: Callable[[str], Verdict] | None = None) -> Verdict:
    """Say whether who holds addresses is gone; `entry` is as `/ipam/idle` shows it."""
    age_s = int(now_s - int(str(entry["SinceMS"])) / 1000)
    if entry["Left"] == entry["CIDRs"]:
        return Verdict(False, "its interface is gone; the agent frees it within 30 s")
    if age_s < YOUNG_S:
        return Verdict(False, f"given {max(age_s, 0)} s ago, it may be about to be used")
    return (look or look_for)(str(entry["Ident"]))


def look_for(ident: str) -> Verdict:
    """Look for a holder on this host, as `weave attach` names containers."""
    if os.path.exists(f"/run/netns/{ident}"):
        return Verdict(False, f"namespace /run/netns/{ident} exists")
    process = re.fullmatch(r"pid-(\d+)|(\d+)", ident)
    if process:
        number = process[1] or process[2]
        if Path(f"/proc/{number}").exists():
            return Verdict(False, f"process {number} exists")
        return Verdict(True, f"there is no process {number} any more")
    if DOCKER_ID.fullmatch(ident):
        return _look_at_docker(ident)
    return Verdict(False, f"nothing here tells what it is; if it is gone, run 'weave ipam gc {ident}'")


def _look_at_docker(ident: str) -> Verdict:
    state, trouble = docker_state(ident)
    if trouble:
        return Verdict(False, f"Docker cannot be asked about it ({trouble})")
    if state in OVER:
        return Verdict(True, f"its Docker container is {state}")
    if state:
        return Verdict(False, f"its Docker container is {state}")
    if any(ident in text for text in _cgroups()):
        # Another runtime's, with ids of the same form.
        return Verdict(False, "Docker does not know it, but processes run in a control group of that name")
    return Verdict(True, "Docker knows no such container, and no process runs in one")


def _cgroups() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            found.append(path.read_text("utf-8", "replace"))
        except OSError:
            # The process has ended meanwhile.
            continue
    return found
