"""What people were promised about names that they added and removed by hand: who was told that it is done.

Every name is added once, so that whoever answers it later must have it from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What is known of a name."""

    ASKED = "asked"
    """Nobody knows yet whether it is there."""
    THERE = "there"
    """Promised."""
    GOING = "going"
    """Nobody knows whether it is gone."""
    GONE = "gone"
    """Promised to be gone."""


@dataclass(slots=True)
class Added:
    """One name."""

    container: str
    """Whose."""
    answers: tuple[tuple[str, str], ...]
    """What it answers: names in lower case, with address, port or text."""
    state: State = State.ASKED
    """What is known."""


class NameBook:
    """Of all hosts."""

    def __init__(self, host_count: int) -> None:
        self._names: tuple[dict[str, Added], ...] = tuple({} for _ in range(host_count))
        self._used: dict[str, None] = {}

    def add(self, host: int, name: str, container: str, answers: tuple[tuple[str, str], ...]) -> bool:
        """Enter a request; say whether the name is new."""
        if name in self._used:
            return False
        self._used[name] = None
        self._names[host][name] = Added(container, answers)
        return True

    def remove(self, host: int, name: str) -> bool:
        """Enter a request; say whether there is such a name."""
        added = self._names[host].get(name)
        if added is None or added.state is not State.THERE:
            return False
        added.state = State.GOING
        return True

    def there(self, host: int) -> tuple[str, ...]:
        """Return the names that were promised."""
        return tuple(name for name, added in self._names[host].items() if added.state is State.THERE)

    def answered(self, host: int, name: str, *, is_done: bool) -> None:
        """Enter what came of a request; a refusal leaves open whether something was done."""
        added = self._names[host].get(name)
        if added is None:
            return
        if is_done and added.state in _AFTER:
            added.state = _AFTER[added.state]
        else:
            del self._names[host][name]

    def let_go(self, host: int, container: str) -> None:
        """A container has lost its names."""
        for name in [name for name, added in self._names[host].items() if added.container == container]:
            del self._names[host][name]

    def crashed(self, host: int) -> None:
        """Nobody hears what came of what was asked."""
        for name in [name for name, added in self._names[host].items() if added.state in _AFTER]:
            del self._names[host][name]

    def forget(self, host: int) -> None:
        """Nothing that a host has promised is relied on any more."""
        self._names[host].clear()

    def promised(self, host: int) -> tuple[tuple[str, str], ...]:
        """Return what is to be answered for a host."""
        return self._in(host, State.THERE)

    def removed(self, host: int) -> tuple[tuple[str, str], ...]:
        """Return what is to be answered by nobody."""
        return self._in(host, State.GONE)

    def _in(self, host: int, state: State) -> tuple[tuple[str, str], ...]:
        return tuple(said for added in self._names[host].values() if added.state is state for said in added.answers)


_AFTER = {State.ASKED: State.THERE, State.GOING: State.GONE}
