"""The words of `weave at` and `weave why`; when no agent runs, the history is read directly."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from adapters.control.client import NotRunning, Refused
from adapters.control.ps import ps_lines

Ask = Callable[[str, str], str]
Settings = Callable[[], Any]
"""Returns `adapters.settings.Settings` of the last run; imported only when needed."""


class BadWords(Exception):
    """The words make no sense."""


class NoAnswer(Exception):
    """There is none; the text says why."""


def at(words: list[str], ask: Ask, settings: Settings) -> str:
    """Return the answer to `at TIME status|report|ps|why …`. Raises: BadWords, NoAnswer."""
    if words[1:2] == ["ago"] or (len(words) > 1 and re.fullmatch(r"\d\d?:\d\d(:\d\d)?", words[1])):
        words = [f"{words[0]} {words[1]}", *words[2:]]
    if len(words) < 2:
        raise BadWords
    when, what, *rest = words
    if what == "ps":
        argument, containers = "", rest
    elif what == "report" and len(rest) == 2 and rest[0] == "-f":
        argument, containers = rest[1], []
    elif (what == "status" and len(rest) <= 1) or (what == "report" and not rest) or (what == "why" and len(rest) == 1):
        argument, containers = "".join(rest), []
    else:
        raise BadWords
    query = {"time": when, "what": what, "argument": argument}

    def read() -> str:
        from adapters.clock import now
        from adapters.control import looking_back

        found = settings()
        try:
            return looking_back.at(found.config, _history(found), now().wall_ms, when, what, argument)
        except looking_back.LookError as error:
            raise NoAnswer(str(error)) from None

    answer = _answer(ask, f"/at?{urlencode(query)}", read)
    return "".join(f"{line}\n" for line in ps_lines(answer, containers)) if what == "ps" else answer


def why(words: list[str], ask: Ask, settings: Settings) -> str:
    """Return the answer to `why [--json] ADDRESS|NAME|PEER|CONTAINER`. Raises: BadWords, NoAnswer."""
    is_json = "--json" in words
    rest = [word for word in words if word != "--json"]
    if len(rest) != 1 or rest[0].startswith("-"):
        raise BadWords
    query = {"what": rest[0], "format": "json" if is_json else ""}

    def read() -> str:
        from adapters.clock import now
        from adapters.control import looking_back

        found = settings()
        try:
            answer = looking_back.why(found.config, _history(found), now().wall_ms, None, rest[0])
        except looking_back.LookError as error:
            raise NoAnswer(str(error)) from None
        return looking_back.why_json(answer) if is_json else looking_back.why_text(answer)

    return _answer(ask, f"/why?{urlencode(query)}", read)


VERBS: dict[str, Callable[[list[str], Ask, Settings], str]] = {"at": at, "why": why}


def _answer(ask: Ask, path: str, read: Callable[[], str]) -> str:
    try:
        return ask("GET", path)
    except Refused as error:
        raise NoAnswer(str(error)) from None
    except NotRunning:
        return read()


def _history(settings: Any) -> Path:
    from adapters.journal import HISTORY_FILE

    return Path(settings.data / HISTORY_FILE)
