"""A run as data: hosts, ranges, paths that never were, and what happens when. Read from and written to JSON.

A scenario and nothing else fixes a run: replayed anywhere it gives the same trace. A file that was written by another
version or edited by hand is checked field by field; what is wrong is named with the place where it stands.

    {"format": 1, "title": "…", "seed": "17", "universe": "10.32.0.0/24", "ring": "consensus", "hosts": [{"name": …}],
     "walls": [[0, 2]], "steps": [{"at_ms": 10, "do": "cut", "source": 0, "target": 1}, …], "until_ms": 60000,
     "expect": [{"at_ms": 60000, "hosts": [1], "part": "pending", "shows": "web 10.32.0.0/24: … unreachable"}]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from core.config import Config, SeedMode
from core.ipam.universe import Universe, universe_of
from sim.actions import Action, HostIndex, Relaunch, Upgrade
from sim.expectation import PARTS, Expectation
from sim.names import NEXT, TODAY, address_of, peer_name

FORMAT = 1
HOSTS_MAX = 4096
STEPS_MAX = 1_000_000
ALLOWANCES = ("amnesia", "false-death", "lying-fsync", "two-rings")
"""What goes beyond the promises: losing what nobody else holds; removing a host that lives; losing what was synced;
launching hosts that are to share different ranges, or one range in different ways."""
EVERYWHERE = ("0.0.0.0/0",)
"""What a host trusts that trusts all."""
RINGS = ("consensus", "seed", "observer")
"""How a host can be told that the range is divided."""


class ScenarioError(Exception):
    """A text that is not a scenario; says what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One host."""

    nickname: str
    """What people and pictures call it."""
    targets: tuple[HostIndex, ...] = ()
    """Whom it dials from the start."""
    universe: str = ""
    """Its own `--ipalloc-range`; empty for that of the scenario, `none` for a host that allocates nothing."""
    starts: bool = True
    """Whether it is there from the beginning."""
    behind_nat: bool = False
    """Nobody can call it, and others see the NAT's address instead of its own."""
    release: str = ""
    """Version of its software, of `releases`; empty for today's."""
    ring: str = ""
    """Its own `--ipalloc-init`, of `RINGS`; empty for that of the scenario."""
    among: tuple[HostIndex, ...] = ()
    """With it: whom `seed` names, or how many `consensus` expects; empty for all hosts."""
    fastdp: bool = True
    """VXLAN may carry its frames."""
    esp: bool = False
    """Its kernel can encrypt VXLAN."""
    trusts: bool = False
    """It trusts the whole network: where others do, too, frames need no encryption."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done at a time."""

    at_ms: int
    """Virtual milliseconds from the beginning."""
    action: Action
    """What."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run."""

    seed: str
    """Names all streams of randomness: latencies, the time a disk takes, what agents draw."""
    hosts: tuple[HostSpec, ...]
    """Who is there."""
    universe: str
    """CIDR of the range that is shared, or one of each family with a comma between."""
    ring: str
    """How it is divided, of `RINGS`; `consensus` expects all hosts, `seed` names them."""
    until_ms: int
    """When trouble ends and all must come right."""
    steps: tuple[Step, ...] = ()
    """What happens, ascending in time."""
    walls: tuple[tuple[HostIndex, HostIndex], ...] = ()
    """From whom to whom there never is a path."""
    core: tuple[HostIndex, ...] = ()
    """Who must come right in the end; the others stay as they are. Empty for all."""
    allow: tuple[str, ...] = ()
    """What may go beyond the promises, of `ALLOWANCES`."""
    kernels: bool = True
    """Whether hosts have kernels, and containers can be attached; else they only gossip and give addresses."""
    password: bool = False
    """All have the same password, and encrypt."""
    rotate_ms: int = 3_600_000
    """How long a key serves that encrypts VXLAN."""
    rotate_bytes: int = 1 << 36
    """How much such a key carries."""
    firewalls: tuple[tuple[HostIndex, HostIndex], ...] = ()
    """From whom to whom VXLAN never passes, while connections and the sleeve do."""
    title: str = ""
    """What the story is, in a line."""
    expect: tuple[Expectation, ...] = ()
    """What must be seen on the way and at the end, ascending in time."""

    def configs(self) -> tuple[Config, ...]:
        """Return the settings of the hosts."""
        return tuple(
            Config(
                peer=peer_name(index),
                nickname=host.nickname,
                targets=tuple(address_of(target) for target in host.targets),
                universe=self.shared_by(host.universe),
                seed=self.seed_of(host.ring, host.among),
                datapath=self.kernels,
                fastdp=host.fastdp,
                has_password=self.password,
                trusted=EVERYWHERE if host.trusts else (),
                esp=host.esp,
                rotate_ms=self.rotate_ms,
                rotate_bytes=self.rotate_bytes,
            )
            for index, host in enumerate(self.hosts)
        )

    def shared_by(self, universe: str) -> Universe | None:
        """Return what a host shares that was told so; empty for what the scenario says."""
        return None if universe == "none" else universe_of(universe or self.universe)

    def seed_of(self, ring: str, among: tuple[HostIndex, ...]) -> SeedMode:
        """Return how a host divides that was told so; empty for what the scenario says."""
        mode = ring or self.ring
        names = tuple(peer_name(index) for index in among or range(len(self.hosts)))
        if mode == "consensus":
            return SeedMode(mode, (), len(names))
        return SeedMode(mode, names if mode == "seed" else ())

    def members(self) -> tuple[HostIndex, ...]:
        """Return who must come right in the end."""
        return self.core or tuple(HostIndex(index) for index in range(len(self.hosts)))


def dump(scenario: Scenario) -> str:
    """Write a scenario as JSON, a step a line."""
    record = _plain(scenario)
    steps = record.pop("steps")
    head = json.dumps({"format": FORMAT, **record}, indent=1, ensure_ascii=False)
    lines = ",\n".join(f"  {json.dumps(step, ensure_ascii=False)}" for step in steps)
    return f'{head[:-2]},\n "steps": [\n{lines}\n ]\n}}\n'


def load(text: str) -> Scenario:
    """Read a scenario. Raises: ScenarioError."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ScenarioError("not a scenario: expected an object with 'format', 'hosts' and 'steps'")
    number = record.pop("format", None)
    if number != FORMAT:
        raise ScenarioError(f"field 'format': this version reads format {FORMAT}, found {number!r}: record it anew")
    scenario = _read(Scenario, record, "")
    assert isinstance(scenario, Scenario)
    check(scenario)
    return scenario


def action_name(action: Action | type[Action]) -> str:
    """Return what scenario files call an action: `step-clock`."""
    kind = action if isinstance(action, type) else type(action)
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


ACTIONS: dict[str, type[Action]] = {action_name(kind): kind for kind in get_args(Action)}


def check(scenario: Scenario) -> None:
    """Check what the types do not say. Raises: ScenarioError."""
    count = len(scenario.hosts)
    if not 1 <= count <= HOSTS_MAX:
        raise ScenarioError(f"field 'hosts': expected 1 to {HOSTS_MAX} hosts, found {count}")
    _check_settings(scenario)
    for name in scenario.allow:
        if name not in ALLOWANCES:
            raise ScenarioError(f"field 'allow': expected some of {', '.join(ALLOWANCES)}, found {name!r}")
    if len(scenario.steps) > STEPS_MAX:
        raise ScenarioError(f"field 'steps': at most {STEPS_MAX}, found {len(scenario.steps)}")
    if scenario.until_ms < 0:
        raise ScenarioError(f"field 'until_ms': expected a number from 0 on, found {scenario.until_ms}")
    last_ms = 0
    for index, step in enumerate(scenario.steps):
        if step.at_ms < last_ms:
            raise ScenarioError(f"field 'steps[{index}].at_ms': {step.at_ms} comes after {last_ms}")
        last_ms = step.at_ms
    last_ms = 0
    for index, expectation in enumerate(scenario.expect):
        if expectation.part not in PARTS:
            known = ", ".join(PARTS)
            raise ScenarioError(f"field 'expect[{index}].part': expected one of {known}, found {expectation.part!r}")
        if expectation.at_ms < last_ms:
            raise ScenarioError(f"field 'expect[{index}].at_ms': {expectation.at_ms} comes after {last_ms}")
        last_ms = expectation.at_ms
    for place, host in _host_numbers(scenario):
        if not 0 <= host < count:
            raise ScenarioError(f"field '{place}': expected a host from 0 to {count - 1}, found {host}")


def _check_settings(scenario: Scenario) -> None:
    """Check ranges and how they are divided, of the scenario, of hosts, and of hosts that are launched anew."""
    told: list[tuple[str, HostSpec | Relaunch]] = [(f"hosts[{n}].", host) for n, host in enumerate(scenario.hosts)]
    for index, step in enumerate(scenario.steps):
        if isinstance(step.action, Relaunch):
            told.append((f"steps[{index}].", step.action))
    rings = [("ring", scenario.ring), *((f"{place}ring", one.ring) for place, one in told)]
    for place, ring in rings:
        if ring not in RINGS and (ring or place == "ring"):
            raise ScenarioError(f"field '{place}': expected one of {', '.join(RINGS)}, found {ring!r}")
    releases = [(f"hosts[{index}].release", host.release) for index, host in enumerate(scenario.hosts)]
    releases += [
        (f"steps[{index}].release", step.action.release)
        for index, step in enumerate(scenario.steps)
        if isinstance(step.action, Upgrade)
    ]
    for place, release in releases:
        if release not in (TODAY, NEXT):
            raise ScenarioError(f"field '{place}': expected '{NEXT}' or nothing for today's, found {release!r}")
    universes = [("universe", scenario.universe), *((f"{place}universe", one.universe) for place, one in told)]
    for place, text in universes:
        if text in ("", "none") and place != "universe":
            continue
        try:
            universe_of(text)
        except ValueError as error:
            raise ScenarioError(f"field '{place}': {error}") from error


def _host_numbers(scenario: Scenario) -> Iterator[tuple[str, int]]:
    """Yield every number that must be that of a host, and where it stands."""
    yield from _numbers_in(scenario, "")
    for index, spec in enumerate(scenario.hosts):
        yield from _numbers_in(spec, f"hosts[{index}].")
    for index, step in enumerate(scenario.steps):
        yield from _numbers_in(step.action, f"steps[{index}].")
    for index, expectation in enumerate(scenario.expect):
        yield from _numbers_in(expectation, f"expect[{index}].")


def _numbers_in(record: Any, place: str) -> Iterator[tuple[str, int]]:
    for name, hint in hints_of(type(record)).items():
        value = getattr(record, name)
        if hint is HostIndex:
            yield f"{place}{name}", value
        elif HostIndex in get_args(hint):
            yield from ((f"{place}{name}[{index}]", number) for index, number in enumerate(value))
        elif name in ("walls", "firewalls"):
            yield from ((f"{place}{name}[{index}]", number) for index, pair in enumerate(value) for number in pair)


_HINTS: dict[type, dict[str, Any]] = {}


def hints_of(kind: type) -> dict[str, Any]:
    """Return what a dataclass' fields hold. Any: a type may be anything."""
    if kind not in _HINTS:
        _HINTS[kind] = get_type_hints(kind)
    return _HINTS[kind]


def _plain(value: Any) -> Any:
    """Return what JSON can hold. Any in and out: JSON has no better type."""
    if isinstance(value, Step):
        return {"at_ms": value.at_ms, "do": action_name(value.action), **_plain(value.action)}
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _read(hint: Any, value: Any, place: str) -> Any:
    """Read a value of the type `hint`; `place` names it in errors. Any: both may be anything."""
    kind = getattr(hint, "__supertype__", hint)
    if kind is Step:
        return _read_step(value, place)
    if hasattr(kind, "__dataclass_fields__"):
        return _read_record(kind, value, place)
    if get_origin(kind) is tuple:
        return _read_tuple(get_args(kind), value, place)
    assert get_origin(kind) not in (Union, UnionType), "only actions have alternatives"
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ScenarioError(f"field '{place}': expected {_NAMES[kind]}, found {json.dumps(value)[:60]}")
    return value


def _read_tuple(kinds: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ScenarioError(f"field '{place}': expected a list, found {json.dumps(value)[:60]}")
    if kinds[1:] != (Ellipsis,):
        if len(value) != len(kinds):
            raise ScenarioError(f"field '{place}': expected {len(kinds)} items, found {len(value)}")
        return tuple(
            _read(kind, item, f"{place}[{index}]") for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
        )
    return tuple(_read(kinds[0], item, f"{place}[{index}]") for index, item in enumerate(value))


def _read_record(kind: type, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise ScenarioError(f"field '{place or 'scenario'}': expected an object, found {json.dumps(value)[:60]}")
    hints, prefix = hints_of(kind), f"{place}." if place else ""
    for name in value:
        if name not in hints:
            raise ScenarioError(f"field '{prefix}{name}': unknown; expected one of {', '.join(hints)}")
    arguments = {}
    for field in fields(kind):
        if field.name in value:
            arguments[field.name] = _read(hints[field.name], value[field.name], prefix + field.name)
        elif field.default is MISSING:
            raise ScenarioError(f"field '{prefix}{field.name}': missing")
    return kind(**arguments)


def _read_step(value: Any, place: str) -> Step:
    if not isinstance(value, dict):
        raise ScenarioError(f"field '{place}': expected an object, found {json.dumps(value)[:60]}")
    rest = dict(value)
    at_ms, name = rest.pop("at_ms", None), rest.pop("do", None)
    if not isinstance(at_ms, int) or isinstance(at_ms, bool) or at_ms < 0:
        raise ScenarioError(f"field '{place}.at_ms': expected a number from 0 on, found {json.dumps(at_ms)}")
    kind = ACTIONS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ScenarioError(f"field '{place}.do': expected one of {', '.join(ACTIONS)}, found {json.dumps(name)[:60]}")
    return Step(at_ms, _read_record(kind, rest, place))


_NAMES = {int: "a number", str: "a text", bool: "true or false"}
