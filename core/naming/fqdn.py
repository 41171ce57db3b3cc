"""Names as people type them, as they are kept, and as they are compared.

A name is kept as it was registered, absolute, and compared in lower case. Source: RFC 1035 §2.3.4; underscores as in
RFC 8552, for services.
"""

from __future__ import annotations

import re

NAME_SIZE_MAX = 253
"""Bytes of an absolute name with its last dot, so that it fits into 255 on the wire."""
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class BadName(ValueError):
    """A text is no name, or none of ours; the text says why."""


def absolute(text: str, domain: str) -> str:
    """Return an absolute name of a domain, case kept. A single label is completed. Raises: BadName."""
    name = text if text.endswith(".") else f"{text}."
    if name.count(".") == 1:
        name = f"{name}{domain}"
    problem = problem_of(name)
    if problem:
        raise BadName(problem)
    if not is_within(name, domain):
        raise BadName(f"{text} is not in the domain {domain.rstrip('.')}: names elsewhere are not ours to give")
    return name


def problem_of(name: str) -> str:
    """Say why an absolute name cannot be one; empty when it can."""
    if not 1 < len(name) <= NAME_SIZE_MAX or not name.endswith("."):
        return f"a name has 1 to {NAME_SIZE_MAX - 1} characters: {name[:64]!r}"
    for label in name[:-1].split("."):
        if not _LABEL.fullmatch(label):
            return (
                f"{name[:NAME_SIZE_MAX]!r} is no name: between its dots are 1 to 63 letters, digits, '-' or '_', "
                "and no '-' at either end"
            )
    return ""


def is_within(name: str, domain: str) -> bool:
    """Say whether an absolute name lies in a domain, in either case."""
    return name.lower().endswith(f".{domain.lower()}")


def key_of(name: str) -> str:
    """Return what a name is compared by."""
    return name.lower()
