"""Times as people type them: `2026-11-25T10:15:00Z`, `10:15[:30]` of today, `-5m`, `5m ago`, seconds since 1970.

Without a zone a time is UTC, as everything is that weave prints.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
WALL_MAX_MS = 253_402_300_799_999
"""The end of the year 9999."""
_AGO = re.compile(r"-((?:\d{1,6}[smhd])+)|((?:\d{1,6}[smhd])+)\s+ago")
_PART = re.compile(r"(\d+)([smhd])")
_TODAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
FORMS = "a time is 2026-11-25T10:15:00Z, 10:15 or 10:15:30 (today, UTC), -5m, '5m ago', or seconds since 1970"


def moment(text: str, now_ms: int) -> int:
    """Return the wall clock's milliseconds that a text means; of times without milliseconds, the last.

    Who asks for 10:15:30 means all of that second. Raises: ValueError with a text for people.
    """
    found = _read(text.strip(), now_ms)
    if found is None or not 0 <= found <= WALL_MAX_MS:
        raise ValueError(f"{text[:60]!r} is no time: {FORMS}")
    if found > now_ms + 999:
        raise ValueError(f"{text[:60]} is in the future")
    return min(found, now_ms)


def _read(text: str, now_ms: int) -> int | None:
    if not text.isascii():
        # Other digits are digits to Python.
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        parts = _PART.findall(ago[1] or ago[2])
        return now_ms - 1000 * sum(int(number) * SECONDS[unit] for number, unit in parts)
    today = _TODAY.fullmatch(text)
    if today is not None:
        hours, minutes, seconds = (int(part or 0) for part in today.groups())
        return now_ms - now_ms % 86_400_000 + (hours * 3_600 + minutes * 60 + seconds) * 1000 + 999
    if re.fullmatch(r"\d{9,11}(\.\d{1,9})?", text):
        return int(float(text) * 1000) + (0 if "." in text else 999)
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    if read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    return int(read.timestamp() * 1000) + (0 if read.microsecond else 999)
