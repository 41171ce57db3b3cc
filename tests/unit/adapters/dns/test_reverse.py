"""The first of an address's names, whatever comes and goes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dns.reverse import SLACK, Entry, Reverse

ADDRESS = bytes(16)
STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=4 * SLACK, max_size=8 * SLACK)


@settings(max_examples=25)
@given(STEPS)
def test_the_first_is_the_least_of_those_that_are_there(steps: list[tuple[int, int]]) -> None:
    reverse, there = Reverse(), dict[str, Entry]()
    for number, rank in steps:
        key = f"{number}.weave.local."
        if key in there:
            del there[key]
            first = reverse.remove(ADDRESS, key)
        else:
            there[key] = (rank, key, key, 1)
            first = reverse.add(ADDRESS, there[key])
        assert first == min(there.values(), default=None)
