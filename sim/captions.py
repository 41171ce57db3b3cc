"""Short captions of actions, as they stand beside a mark in a picture, and the sentence that a whole scenario makes.

An action without a row here is shown by its name and its fields, so that a new kind of action needs nothing of this
file to be seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, get_args, get_type_hints

from sim import actions
from sim.actions import Action, HostIndex
from sim.scenario import Scenario, Step, action_name

PHRASES_MAX = 6
"""Kinds of action that a sentence tells of; the rest are counted."""
NAMES_SHOWN = 3
"""Of a longer list of names only so many are written out."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


class Tone(Enum):
    """What sort of thing an action is."""

    USE = "use"
    """What people and scripts want."""
    TROUBLE = "trouble"
    """What goes wrong."""
    REPAIR = "repair"
    """What puts it right."""


@dataclass(frozen=True, slots=True)
class Caption:
    """How an action is shown."""

    text: str
    """A few words; the host that it happens to is not among them."""
    tone: Tone
    """What sort of thing it is."""
    host: int | None
    """To which host it happens; None when to the network, or to several."""


def caption_of(action: Action, names: tuple[str, ...]) -> Caption:
    """Return how an action is shown; `names` are those of the hosts."""
    host = getattr(action, "host", None)
    row = _ROWS.get(type(action))
    if row is None:
        return Caption(_spelled(action, names), Tone.TROUBLE, host)
    return Caption(row.text(action, names), row.tone, host)


def summary(scenario: Scenario, span_ms: int) -> str:
    """Say in a sentence what a scenario is about: who is there, and what happens."""
    count = len(scenario.hosts)
    walled = " without paths between some of them" if scenario.walls else ""
    hosts = f"{number_word(count).capitalize()} host{'' if count == 1 else 's'}{walled}"
    if not scenario.steps:
        return f"{hosts}; nothing is done to them for {span_ms / 1000:g} s."
    tallies: dict[type[Action], list[Action]] = {}
    for step in scenario.steps:
        tallies.setdefault(type(step.action), []).append(step.action)
    phrases = [_phrase(kind, _weight(found)) for kind, found in list(tallies.items())[:PHRASES_MAX]]
    rest = sum(len(found) for found in list(tallies.values())[PHRASES_MAX:])
    if rest:
        phrases.append(f"{number_word(rest)} other thing{'s happen' if rest > 1 else ' happens'}")
    said = ", ".join(phrases[:-1]) + (" and " if len(phrases) > 1 else "") + phrases[-1]
    return f"{hosts}; {_span(scenario.steps)}{said}."


def number_word(number: int) -> str:
    """Write small numbers as words."""
    return NUMBERS[number] if number < len(NUMBERS) else f"{number:,}"


def listed(items: tuple[str, ...]) -> str:
    """Join names; of many only the first and how many there are besides."""
    if len(items) <= NAMES_SHOWN:
        return ", ".join(items)
    return f"{', '.join(items[: NAMES_SHOWN - 1])} and {len(items) - NAMES_SHOWN + 1} more"


def _span(steps: tuple[Step, ...]) -> str:
    span_ms = steps[-1].at_ms - steps[0].at_ms
    if not span_ms:
        return ""
    return f"within {span_ms} ms " if span_ms < 1000 else f"within {span_ms / 1000:.3g} s "


def _weight(found: list[Action]) -> int:
    """Count what actions of one kind do: taking three addresses is three things."""
    return sum(len(getattr(action, "idents", ("",))) for action in found)


def _phrase(kind: type[Action], count: int) -> str:
    row = _ROWS.get(kind)
    if row is None:
        return f"{action_name(kind)} {number_word(count)} time{'s' if count > 1 else ''}"
    if count == 1:
        return row.one
    return row.many.format(number_word(count))


def _spelled(action: Action, names: tuple[str, ...]) -> str:
    """Spell an action out: its name and what it is done with."""
    hints = get_type_hints(type(action))
    words = [action_name(action).replace("-", " ")]
    for field in fields(action):
        value, hint = getattr(action, field.name), hints[field.name]
        if field.name == "host":
            continue
        if hint is HostIndex:
            words.append(f"{field.name} {names[value]}")
        elif HostIndex in get_args(hint):
            words.append(f"{field.name} {' '.join(names[index] for index in value)}")
        elif isinstance(value, tuple):
            words.append(f"{field.name} {listed(tuple(map(str, value)))}")
        else:
            words.append(f"{field.name} {value}")
    return re.sub(r"\s+", " ", " ".join(words))


@dataclass(frozen=True, slots=True)
class _Row:
    """What there is to say about a kind of action."""

    tone: Tone
    """What sort of thing it is."""
    one: str
    """What a sentence says when it happens once."""
    many: str
    """What a sentence says when it happens more often, with `{}` for the number."""
    text: Callable[[Any, tuple[str, ...]], str]
    """Makes a caption of an action and the hosts' names. Any: the action is of the kind that the table says."""


def _split(action: actions.Split, names: tuple[str, ...]) -> str:
    one = [names[index] for index in dict.fromkeys(action.side)]
    other = [name for index, name in enumerate(names) if HostIndex(index) not in action.side]
    fewer, more = sorted((one, other), key=len)
    return f"split {' '.join(fewer)} | {' '.join(more) if len(more) <= NAMES_SHOWN else 'the others'}"


def _path(action: Any, names: tuple[str, ...]) -> str:
    """Name a direction between two hosts. Any: whatever action has a source and a target."""
    return f"{names[action.source]} → {names[action.target]}"


def _rate(bytes_per_s: int) -> str:
    return f"{bytes_per_s / 1000:g} kB/s" if bytes_per_s else "full speed"


def _hole(size_max: int) -> str:
    return f"at most {size_max} B" if size_max else "any size"


def _remove(action: actions.RemovePeers, names: tuple[str, ...]) -> str:
    return f"rmpeer {'--force ' if action.force else ''}{' '.join(names[index] for index in action.peers)}"


def _relaunch(action: actions.Relaunch, names: tuple[str, ...]) -> str:
    sharers = " ".join(names[index] for index in action.among) or "all"
    given = (
        f"range {action.universe}" if action.universe else "",
        f"{action.ring} of {sharers}" if action.ring else "",
    )
    return f"launch {', '.join(filter(None, given)) or 'as at first'}"


# fmt: off
_ROWS: dict[type[Action], _Row] = {
    actions.Cut: _Row(Tone.TROUBLE, "one direction is cut", "directions are cut {} times",
                      lambda action, names: f"cut {_path(action, names)}"),
    actions.Split: _Row(Tone.TROUBLE, "the network splits", "the network splits {} times", _split),
    actions.Heal: _Row(Tone.REPAIR, "it heals", "it heals {} times", lambda action, names: "heal"),
    actions.Reset: _Row(Tone.TROUBLE, "connections break once", "connections break {} times",
                        lambda action, names: f"reset {names[action.one]} – {names[action.other]}"),
    actions.Lose: _Row(Tone.TROUBLE, "messages get lost", "loss of messages changes {} times",
                       lambda action, names: f"lose {action.percent} %" if action.percent else "lose nothing"),
    actions.Delay: _Row(Tone.TROUBLE, "a path takes another time", "paths take another time {} times",
                        lambda action, names: f"{_path(action, names)} takes {action.least_us / 1000:.3g} ms"),
    actions.Disturb: _Row(Tone.TROUBLE, "a path gets noisy", "paths get noisy {} times",
                          lambda action, names: f"noise {_path(action, names)}"),
    actions.Throttle: _Row(Tone.TROUBLE, "a line gets slow", "lines get slow {} times",
                           lambda action, names: f"{_path(action, names)}: {_rate(action.bytes_per_s)}"),
    actions.Clog: _Row(Tone.TROUBLE, "a path is clogged", "paths are clogged {} times",
                       lambda action, names: f"clog {_path(action, names)} {action.for_ms / 1000:g} s"),
    actions.Corrupt: _Row(Tone.TROUBLE, "a path garbles messages", "paths garble messages {} times",
                          lambda action, names: f"garble {_path(action, names)} {action.percent} %"),
    actions.BlackHole: _Row(Tone.TROUBLE, "a path swallows large messages", "paths swallow large messages {} times",
                            lambda action, names: f"{_path(action, names)}: {_hole(action.size_max)}"),
    actions.Sever: _Row(Tone.TROUBLE, "connections are left half-open", "connections are left half-open {} times",
                        lambda action, names: f"half-open to {names[action.other]}"),
    actions.Block: _Row(Tone.TROUBLE, "a firewall blocks a transport", "firewalls block transports {} times",
                        lambda action, names: f"block {action.transport} {_path(action, names)}"),
    actions.Unblock: _Row(Tone.REPAIR, "it passes again", "they pass again {} times",
                          lambda action, names: f"let {action.transport} pass {_path(action, names)}"),
    actions.ForgetIdle: _Row(Tone.TROUBLE, "a NAT forgets what is idle", "NATs forget what is idle {} times",
                             lambda action, names: f"NAT forgets after {action.after_ms / 1000:g} s"),
    actions.RestartNat: _Row(Tone.TROUBLE, "a NAT restarts", "NATs restart {} times",
                             lambda action, names: "NAT restarts"),
    actions.Kill: _Row(Tone.TROUBLE, "an agent is killed", "agents are killed {} times",
                       lambda action, names: "kill"),
    actions.CutPower: _Row(Tone.TROUBLE, "a machine loses power", "machines lose power {} times",
                           lambda action, names: "power cut"),
    actions.Doom: _Row(Tone.TROUBLE, "an agent crashes in the middle of a decision",
                       "agents crash {} times in the middle of a decision",
                       lambda action, names: f"{'power cut' if action.power else 'crash'} soon (gap {action.gap})"),
    actions.Start: _Row(Tone.REPAIR, "an agent starts", "agents start {} times", lambda action, names: "start"),
    actions.Upgrade: _Row(Tone.USE, "a host gets another version of the software",
                          "hosts get another version of the software {} times",
                          lambda action, names: f"install {action.release or 'today'}"),
    actions.Pause: _Row(Tone.TROUBLE, "an agent stands still", "agents stand still {} times",
                        lambda action, names: f"pause {action.for_ms / 1000:g} s"),
    actions.RestartNames: _Row(Tone.TROUBLE, "a name server restarts", "name servers restart {} times",
                               lambda action, names: "name server restarts"),
    actions.FillDisk: _Row(Tone.TROUBLE, "a disk is full", "disks are full {} times",
                           lambda action, names: "disk full"),
    actions.EmptyDisk: _Row(Tone.REPAIR, "it has space again", "disks have space again {} times",
                            lambda action, names: "disk has space"),
    actions.SlowDisk: _Row(Tone.TROUBLE, "a disk gets slow", "disks get slow {} times",
                           lambda action, names: f"disk {action.by_ms / 1000:g} s slower"),
    actions.MountReadOnly: _Row(Tone.TROUBLE, "a disk becomes read-only", "disks become read-only {} times",
                                lambda action, names: "disk read-only"),
    actions.MountWritable: _Row(Tone.REPAIR, "it can be written again", "disks can be written again {} times",
                                lambda action, names: "disk writable"),
    actions.LieAboutSync: _Row(Tone.TROUBLE, "a disk lies about what is safe", "disks lie, or stop to, {} times",
                               lambda action, names: "disk lies" if action.is_lying else "disk is honest"),
    actions.BackUp: _Row(Tone.USE, "a disk is copied", "disks are copied {} times",
                         lambda action, names: "copy disk"),
    actions.RollBack: _Row(Tone.TROUBLE, "a disk is set back to its copy", "disks are set back {} times",
                           lambda action, names: "set disk back"),
    actions.Wipe: _Row(Tone.TROUBLE, "a disk is wiped", "disks are wiped {} times", lambda action, names: "wipe disk"),
    actions.Clone: _Row(Tone.TROUBLE, "a host is started as a copy of another", "copies of hosts are started {} times",
                        lambda action, names: f"copy of {names[action.source]}"),
    actions.StepClock: _Row(Tone.TROUBLE, "a clock jumps", "clocks jump {} times",
                            lambda action, names: f"clock {action.by_ms / 1000:+.0f} s"),
    actions.DriftClock: _Row(Tone.TROUBLE, "a clock runs at another speed", "clocks change their speed {} times",
                             lambda action, names: f"clock drifts {action.ppm:+} ppm"),
    actions.KernelTrouble: _Row(Tone.TROUBLE, "a kernel fails now and then", "kernels fail now and then",
                                lambda action, names: f"kernel fails {action.percent} %: {action.kind}"),
    actions.MuteKernel: _Row(Tone.TROUBLE, "a kernel's news gets lost", "kernels' news gets lost {} times",
                             lambda action, names: "kernel falls silent"),
    actions.UnmuteKernel: _Row(Tone.REPAIR, "it arrives again", "kernels' news arrives again {} times",
                               lambda action, names: "kernel tells again"),
    actions.LoseObject: _Row(Tone.TROUBLE, "a kernel object is deleted", "{} kernel objects are deleted",
                             lambda action, names: f"delete {action.key}"),
    actions.EndSleeve: _Row(Tone.TROUBLE, "the sleeve of a host ends", "sleeves of hosts end {} times",
                            lambda action, names: "sleeve ends"),
    actions.Unplug: _Row(Tone.TROUBLE, "an interface is taken out of the bridge",
                         "{} interfaces are taken out of the bridge",
                         lambda action, names: f"unplug {action.key.removeprefix('endpoint ')}"),
    actions.Squat: _Row(Tone.TROUBLE, "somebody else takes a name of ours", "others take names of ours {} times",
                        lambda action, names: f"usurp {action.key}"),
    actions.ClearAway: _Row(Tone.REPAIR, "the name is free again", "names are free again {} times",
                            lambda action, names: "usurper goes"),
    actions.LeaveBehind: _Row(Tone.TROUBLE, "an agent of long ago has left things behind",
                              "agents of long ago have left things behind {} times",
                              lambda action, names: f"find leftovers of {action.container}"),
    actions.Intrude: _Row(Tone.TROUBLE, "a stranger comes with an address", "strangers come with {} addresses",
                          lambda action, names: f"a stranger has {action.address}"),
    actions.Expel: _Row(Tone.REPAIR, "the stranger goes", "strangers go {} times",
                        lambda action, names: "strangers go"),
    actions.Attach: _Row(Tone.USE, "a container is attached", "{} containers are attached",
                         lambda action, names: f"attach {action.container}"),
    actions.Detach: _Row(Tone.USE, "one is detached", "{} are detached",
                         lambda action, names: f"detach {action.container}"),
    actions.EndContainer: _Row(Tone.USE, "a container ends", "{} containers end",
                               lambda action, names: f"end {action.container}"),
    actions.Take: _Row(Tone.USE, "an address is taken", "{} addresses are taken",
                       lambda action, names: f"take {listed(action.idents)}"),
    actions.ClaimAgain: _Row(Tone.USE, "an address is claimed again", "addresses are claimed again {} times",
                             lambda action, names: f"claim {action.ident}"),
    actions.ClaimAddress: _Row(Tone.USE, "a certain address is claimed", "{} certain addresses are claimed",
                               lambda action, names: f"claim {action.address} for {action.ident}"),
    actions.GiveBack: _Row(Tone.USE, "one is given back", "{} are given back",
                           lambda action, names: f"give back {listed(action.idents)}"),
    actions.AddName: _Row(Tone.USE, "a name is added", "{} names are added",
                          lambda action, names: f"name {action.container} {action.name}"),
    actions.RemoveName: _Row(Tone.USE, "a name is removed", "{} names are removed",
                             lambda action, names: f"remove name {action.name}"),
    actions.ConnectTo: _Row(Tone.USE, "a host is told to connect", "hosts are told to connect {} times",
                            lambda action, names: f"connect {names[action.target]}"),
    actions.ForgetTarget: _Row(Tone.USE, "a host is told to forget another", "hosts are told to forget {} times",
                               lambda action, names: f"forget {names[action.target]}"),
    actions.RemovePeers: _Row(Tone.USE, "an operator removes a peer", "an operator removes peers {} times", _remove),
    actions.ResetHost: _Row(Tone.USE, "a host is reset", "hosts are reset {} times", lambda action, names: "reset"),
    actions.Relaunch: _Row(Tone.USE, "a host is launched with other settings",
                           "hosts are launched with other settings {} times", _relaunch),
}
# fmt: on
