"""Simpler scenarios: without a host, without a container, with plainer numbers. Whether they fail is asked elsewhere.

Nothing here knows single actions: numbers, switches, lists and hosts are found by the types of fields, so that what
scenarios get to hold later becomes simpler, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, get_args

from sim.actions import Action, HostIndex
from sim.scenario import Scenario, hints_of

CONTAINER = re.compile(r"c\d+")
"""What workloads call containers."""
ROUND_TO = (10_000, 1_000, 100, 10)
"""What numbers, times in milliseconds among them, are rounded down to; the roundest first."""
_GONE = object()
"""What named a host that is left out."""


def without_host(scenario: Scenario, gone: int) -> Scenario:
    """Return a scenario without a host and whatever is about it; the hosts after it get new numbers."""
    hosts = tuple(host for index, host in enumerate(scenario.hosts) if index != gone)
    numbers = {index: index - (index > gone) for index in range(len(scenario.hosts)) if index != gone}
    found = _renumbered(Scenario, replace(scenario, hosts=hosts), numbers)
    assert isinstance(found, Scenario), "a scenario is not about one host"
    return found


def with_one_host_for_two(scenario: Scenario, gone: int, other: int) -> Scenario:
    """Return a scenario in which what was done to one host is done to another one, too."""
    assert gone != other
    hosts = tuple(
        replace(host, targets=tuple(target for target in host.targets if (index, target) != (other, gone)))
        for index, host in enumerate(scenario.hosts)
    )
    numbers = {index: other if index == gone else index for index in range(len(scenario.hosts))}
    found = _renumbered(Scenario, replace(scenario, hosts=hosts), numbers)
    assert isinstance(found, Scenario), "every host has a number"
    return without_host(found, gone)


def without_containers(scenario: Scenario, names: Iterable[str]) -> Scenario:
    """Return a scenario without what is done to some containers."""
    gone = dict.fromkeys(names)
    steps = []
    for step in scenario.steps:
        changes: dict[str, Any] = {}
        is_needed = True
        for name, value in values_of(step.action):
            if isinstance(value, tuple):
                changes[name] = tuple(item for item in value if item not in gone)
                is_needed = is_needed and bool(changes[name] or not value)
            elif isinstance(value, str) and any(word in gone for word in value.split(" ")):
                is_needed = False
        if is_needed:
            steps.append(replace(step, action=replace(step.action, **changes)))
    return replace(scenario, steps=tuple(steps))


def hangs_together(scenario: Scenario) -> bool:
    """Say whether those who must come right can all get to know each other, by calls among themselves."""
    members = scenario.members()
    walls = dict.fromkeys(scenario.walls)
    links: dict[HostIndex, list[HostIndex]] = {index: [] for index in members}
    for index in members:
        for target in scenario.hosts[index].targets:
            is_open = (index, target) not in walls and (target, index) not in walls
            if target in links and is_open and not scenario.hosts[target].behind_nat:
                links[index].append(target)
                links[target].append(index)
    reached: dict[HostIndex, None] = {}
    todo = [*members[:1]]
    while todo:
        index = todo.pop()
        if index not in reached:
            reached[index] = None
            todo.extend(links[index])
    return len(reached) == len(links)


def containers_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of all containers in the steps, in the order in which they come."""
    found: dict[str, None] = {}
    for step in scenario.steps:
        for _, value in values_of(step.action):
            texts = value if isinstance(value, tuple) else (value,)
            words = [word for text in texts if isinstance(text, str) for word in text.split(" ")]
            found.update((word, None) for word in words if CONTAINER.fullmatch(word))
    return tuple(found)


def renamed(action: Action, names: dict[str, str]) -> Action:
    """Return an action with the words in its texts replaced."""

    def new(text: object) -> object:
        return " ".join(names.get(word, word) for word in text.split(" ")) if isinstance(text, str) else text

    changes: dict[str, Any] = {
        name: tuple(new(item) for item in value) if isinstance(value, tuple) else new(value)
        for name, value in values_of(action)
    }
    return replace(action, **changes)


def values_of(action: Action) -> Iterator[tuple[str, object]]:
    """Yield the fields of an action with their values."""
    return ((field.name, getattr(action, field.name)) for field in fields(action))


def simpler(record: Any, skipped: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Yield changes of single fields that make a dataclass simpler, the simplest first. Any: it may be any."""
    hints = hints_of(type(record))
    for field in fields(record):
        name, value = field.name, getattr(record, field.name)
        if name in skipped or value == field.default:
            continue
        if hints[name] is HostIndex:
            # What needs two hosts may do with one.
            yield from ({name: HostIndex(other)} for other in range(value))
            continue
        if field.default is not MISSING:
            yield {name: field.default}
        for other in _simpler_values(value):
            yield {name: other}


def _simpler_values(value: Any) -> Iterator[Any]:
    """Yield simpler values of the same kind. Any: it may be any."""
    if isinstance(value, bool):
        if value:
            yield False
    elif isinstance(value, int):
        # Towards nothing: at once, by half, to round numbers.
        sign, size = (-1 if value < 0 else 1), abs(value)
        sizes = (0, 1, size // 2, *(size // unit * unit for unit in ROUND_TO))
        yield from dict.fromkeys(sign * other for other in sizes if other < size)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield (*value[:index], *value[index + 1 :])
            for other in _simpler_values(item) if is_dataclass(item) else ():
                yield (*value[:index], other, *value[index + 1 :])
    elif is_dataclass(value) and not isinstance(value, type):
        for changes in simpler(value):
            yield replace(value, **changes)


def _renumbered(hint: Any, value: Any, numbers: dict[int, int]) -> Any:
    """Return a value with the hosts in it renumbered; `_GONE` if it needs one without number. Any: it may be any."""
    if hint is HostIndex:
        return HostIndex(numbers[value]) if value in numbers else _GONE
    if isinstance(value, tuple):
        kinds = get_args(hint)
        is_list = kinds[1:] == (Ellipsis,)
        items = [_renumbered(kinds[0 if is_list else index], item, numbers) for index, item in enumerate(value)]
        if is_list:
            kept = (item for item in items if item is not _GONE)
            return tuple(dict.fromkeys(kept) if kinds[0] is HostIndex else kept)
        return _GONE if any(item is _GONE for item in items) else tuple(items)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {
            name: _renumbered(kind, getattr(value, name), numbers) for name, kind in hints_of(type(value)).items()
        }
        return _GONE if any(item is _GONE for item in changes.values()) else replace(value, **changes)
    return value
