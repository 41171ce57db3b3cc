"""Times as people type them."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from adapters.control.moment import moment

NOW = datetime(2026, 11, 25, 15, 30, 20, 500_000, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("-5m", "2026-11-25T15:25:20.500"),
        ("5m ago", "2026-11-25T15:25:20.500"),
        ("-1h30m", "2026-11-25T14:00:20.500"),
        ("2d ago", "2026-11-23T15:30:20.500"),
        ("-0s", "2026-11-25T15:30:20.500"),
        ("10:15", "2026-11-25T10:15:00.999"),
        ("9:15:30", "2026-11-25T09:15:30.999"),
        ("2026-11-25T10:15:00Z", "2026-11-25T10:15:00.999"),
        ("2026-11-25 10:15:00", "2026-11-25T10:15:00.999"),
        ("2026-11-25T10:15:00.250Z", "2026-11-25T10:15:00.250"),
        ("2026-11-25T10:15:00+02:00", "2026-11-25T08:15:00.999"),
        ("2026-11-24", "2026-11-24T00:00:00.999"),
        ("1764000000", "2025-11-24T16:00:00.999"),
        ("1764000000.25", "2025-11-24T16:00:00.250"),
        ("1764000000.2500001", "2025-11-24T16:00:00.250"),
        ("15:30:20", "2026-11-25T15:30:20.500"),
    ],
)
def test_times_that_people_type(text: str, meant: str) -> None:
    expected = datetime.fromisoformat(meant).replace(tzinfo=UTC)
    assert datetime.fromtimestamp(moment(text, NOW_MS) / 1000, UTC) == expected


@pytest.mark.parametrize("text", ["15:31", "2099-01-01", "2026-11-25T15:30:22Z", "9999999999"])
def test_the_future_is_not_known(text: str) -> None:
    with pytest.raises(ValueError, match="is in the future"):
        moment(text, NOW_MS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "24:00",
        "10:60",
        "5",
        "m",
        "-5",
        "5m",
        "-999999d",
        "2026-13-01",
        "2026-02-30T10:00",
        "1" * 400,
        "٣:15",
    ],
)
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="a time is 2026-11-25T10:15:00Z"):
        moment(text, NOW_MS)


def test_any_text_is_a_time_or_refused() -> None:
    entropy = random.Random(3)
    for _ in range(3_000):
        text = "".join(entropy.choices("0123456789-:.TZ+ smhdago\0é", k=entropy.randrange(14)))
        try:
            assert 0 <= moment(text, NOW_MS) <= NOW_MS
        except ValueError as error:
            assert "time" in str(error) or "future" in str(error)  # noqa: PT017
