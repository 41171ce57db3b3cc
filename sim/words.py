"""Words for what happens in a run: facts, messages, requests and kernel operations as people would say them.

Hosts are called by their nicknames everywhere; peer names and underlay addresses never show. What is not known here
(a kind of fact of a newer version) is shown by its key and fields, so that nothing is ever missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from core import events
from core.effects import Ok
from core.ipam.homes import is_decided_key
from core.kinds import (
    AddressRecord,
    AttachmentRecord,
    Body,
    FenceRecord,
    HomeRecord,
    LinkRecord,
    NameRecord,
    PeerRecord,
    PortRecord,
    RetiredRecord,
    RingClaim,
    SeedAccepted,
    SeedPromise,
    SeedProposal,
    ShortIdRecord,
    TakeoverRecord,
    TargetRecord,
    TextRecord,
    parse,
)
from core.messages import Deltas, Message, Routed, SpaceAsk
from core.reconcile.objects import Again, AlreadySo, Done, Op, OpResult, Verb
from core.types import Address, address_text
from crdt.fact import Fact, Origin
from sim.names import address_of, peer_name
from sim.scenario import Scenario
from sim.story import Asked

PEER_NAME = re.compile(r"02:00:00:00(:[0-9a-f]{2}){2}")
HEX = re.compile(r"[0-9a-f]{1,32}")
SIGNS = {Verb.CREATE: "+", Verb.CHANGE: "~", Verb.REMOVE: "−"}


class Words:
    """Knows what the hosts of a scenario are called."""

    def __init__(self, scenario: Scenario) -> None:
        self.names = tuple(host.nickname for host in scenario.hosts)
        self._by_peer = {str(peer_name(index)): name for index, name in enumerate(self.names)}
        self._by_address = {address_of(index): name for index, name in enumerate(self.names)}

    def plain(self, text: str) -> str:
        """Return a text with nicknames in place of peer names."""
        return PEER_NAME.sub(lambda found: self.peer(found[0]), text)

    def peer(self, name: str) -> str:
        """Return what a peer is called."""
        return self._by_peer.get(name, name)

    def target(self, text: str) -> str:
        """Return who is meant by an underlay address, with or without a port."""
        return self._by_address.get(text.partition(":")[0], text)

    def fact(self, origin: Origin, fact: Fact) -> str:
        """Say what a fact says: `h1 gives c3 10.32.0.9`."""
        who = self.peer(origin.peer)
        if fact.body is None:
            return self._deletion(who, fact.key)
        body = parse(fact.kind, fact.body)
        if body is None:
            return f"{who} writes {self.plain(fact.key)} ({fact.kind}, which this version cannot read)"
        say = _FACTS.get(type(body))
        return say(self, who, fact.key, body) if say is not None else self._record(who, fact.key, body)

    def facts_of(self, message: Message) -> tuple[str, ...]:
        """Say what a message tells, fact by fact; requests for space count as one."""
        if isinstance(message, Deltas):
            return tuple(self.fact(delta.origin, fact) for delta in message.deltas for fact in delta.facts)
        if isinstance(message, Routed):
            body = message.body
            span = range_text(body.lo, body.hi)
            if isinstance(body, SpaceAsk):
                part = "all" if body.exact else "some"
                return (f"{self.peer(message.source)} asks {self.peer(message.destination)} for {part} of {span}",)
            return (f"{self.peer(message.source)} has nothing of {span} to give: {self.plain(body.why)}",)
        return ()

    def question(self, question: events.Commanded | events.AttachAsked | events.DetachAsked) -> str:
        """Say what was asked."""
        if isinstance(question, events.AttachAsked):
            return f"attach {question.container}"
        if isinstance(question, events.DetachAsked):
            return f"detach {question.container}"
        match question.command:
            case events.Allocate(ident, _):
                return f"an address for {ident}"
            case events.Claim(ident, cidr):
                return f"{ident} claims {cidr}"
            case events.Free(ident, _):
                return f"{ident} gives back its addresses"
            case events.Connect(peers, _):
                return f"connect {' '.join(self.target(peer) for peer in peers)}"
            case events.Forget(peers):
                return f"forget {' '.join(self.target(peer) for peer in peers)}"
            case events.RemovePeers(peers, force):
                return f"rmpeer {'--force ' if force else ''}{' '.join(self.peer(peer) for peer in peers)}"
            case events.NameAdd(container, name, _):
                return f"dns-add {container} {name}"
            case events.NameRemove(container, name, _):
                return f"dns-remove {container} {name}"
            case events.FreeIdle(ident):
                return f"free what {ident} holds and no interface has"
            case events.NameLookup(name):
                return f"dns-lookup {name}"
            case events.Leave():
                return "reset"
            case _:
                return type(question.command).__name__.lower()

    def answer(self, asked: Asked) -> str:
        """Say what was asked and what came of it."""
        what = self.question(asked.question)
        if asked.reply is None:
            return f"{what}: never answered"
        if isinstance(asked.reply, Ok):
            text = self.plain(asked.reply.text).strip().replace("\n", "; ")
            return f"{what}: {text or 'done'}"
        return f"{what}: refused, {self.plain(asked.reply.why)}"

    def op(self, op: Op) -> str:
        """Say what a kernel operation does: `+ endpoint c3 ethwe`."""
        return f"{SIGNS[op.verb]} {' '.join(op.object.key)}"

    def op_result(self, result: OpResult) -> str:
        """Say what came of a kernel operation; nothing if it worked."""
        if isinstance(result, Done | AlreadySo):
            return ""
        return f"{'not now' if isinstance(result, Again) else 'refused'}: {self.plain(result.why)}"

    def _deletion(self, who: str, key: str) -> str:
        prefix, _, rest = key.partition("/")
        first, _, second = rest.partition("/")
        match prefix:
            case "link":
                return f"{who} has no connection to {self.peer(rest)} any more"
            case "ip" if HEX.fullmatch(second):
                return f"{who} takes back {address_text(Address(int(second, 16)))} from {first}"
            case "att":
                return f"{who} detaches {first}"
            case "dns" | "srv" | "txt" if second:
                return f"{who} takes back {first} from {second.partition('/')[0]}"
            case "target":
                return f"{who} forgets {self.target(rest)}"
            case "seed":
                return f"{who} ends its {first}"
            case "takeover":
                return f"{who} ends its takeover"
            case "home":
                return f"{who} shares no range any more"
            case "fence":
                return f"{who} lifts its fence around {self.peer(rest)}"
            case "retired":
                return f"{who} takes {self.peer(rest)} for alive again"
            case _:
                return f"{who} deletes {self.plain(key)}"

    def _record(self, who: str, key: str, body: Body) -> str:
        values = (f"{field.name} {_value(getattr(body, field.name))}" for field in fields(body))
        return self.plain(f"{who} writes {key}: {', '.join(values)}")


def range_text(lo: Address, hi: Address) -> str:
    """Write a range as people do, with its last address: `10.32.0.64-10.32.0.127`."""
    return f"{address_text(lo)}-{address_text(Address(hi - 1))}" if hi - lo > 1 else address_text(lo)


def _value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _peer(_words: Words, who: str, _key: str, body: PeerRecord) -> str:
    adopted = f" and stands by what it said in its life {body.adopts}" if body.adopts else ""
    return f"{who} is there, version {body.version}{adopted}"


def _link(words: Words, who: str, key: str, body: LinkRecord) -> str:
    state = "is connected to" if body.established else "is connecting to"
    return f"{who} {state} {words.peer(key.partition('/')[2])}"


def _short_id(_words: Words, who: str, _key: str, body: ShortIdRecord) -> str:
    return f"{who} has number {body.short_id} in the datapath"


def _ring(words: Words, who: str, _key: str, body: RingClaim) -> str:
    span = range_text(Address(body.lo), Address(body.hi))
    owner = words.peer(body.owner)
    if owner == who:
        return f"{who} owns {span} ({words.plain(body.why)})"
    return f"{who} gives {span} to {owner}"


def _home(_words: Words, who: str, _key: str, body: HomeRecord) -> str:
    if not body.universe:
        return f"{who} shares no range"
    return f"{who} shares {body.universe}{f' in ring {body.ring}' if body.ring else ', which is not divided yet'}"


def _promise(words: Words, who: str, _key: str, body: SeedPromise) -> str:
    return f"{who} promises ballot {body.round} to {words.peer(body.proposer)}"


def _accepted(words: Words, who: str, key: str, body: SeedAccepted) -> str:
    sharers = ", ".join(words.peer(name) for name in body.value)
    if is_decided_key(key):
        return f"{who} knows the decision: {sharers} share the range"
    return f"{who} accepts ballot {body.round} of {words.peer(body.proposer)}: {sharers} share the range"


def _proposal(words: Words, who: str, _key: str, body: SeedProposal) -> str:
    if not body.round:
        return f"{who} needs the range to be shared out"
    if not body.value:
        return f"{who} asks for promises for ballot {body.round}"
    return f"{who} proposes in ballot {body.round} that {', '.join(map(words.peer, body.value))} share the range"


def _address(_words: Words, who: str, key: str, body: AddressRecord) -> str:
    return f"{who} gives {address_text(Address(body.address))} to {key.split('/')[1]}"


def _attachment(_words: Words, who: str, key: str, body: AttachmentRecord) -> str:
    addresses = f" with {' '.join(body.addresses)}" if body.addresses else ""
    return f"{who} attaches {key.split('/')[1]}{addresses}"


def _name(_words: Words, who: str, _key: str, body: NameRecord) -> str:
    return f"{who} names {address_text(Address(body.address))} of {body.container} {body.name}"


def _port(_words: Words, who: str, _key: str, body: PortRecord) -> str:
    return f"{who} says that {body.container} serves {body.service} at {body.name} on port {body.port}"


def _text(words: Words, who: str, _key: str, body: TextRecord) -> str:
    return words.plain(f"{who} says of {body.name}: {'; '.join(body.texts)}")


def _target(words: Words, who: str, _key: str, body: TargetRecord) -> str:
    return f"{who} is to dial {words.target(body.name)}"


def _retired(words: Words, who: str, key: str, body: RetiredRecord) -> str:
    missing = f" without an answer from {', '.join(map(words.peer, body.missing))}" if body.missing else ""
    return f"{who} has removed {words.peer(key.partition('/')[2])}{missing}"


def _takeover(words: Words, who: str, _key: str, body: TakeoverRecord) -> str:
    dead = ", ".join(words.peer(name) for name in body.targets)
    forced = ", whoever answers" if body.force else ""
    return f"{who} wants to take over from {dead} and asks all for fences{forced}"


def _fence(words: Words, who: str, key: str, body: FenceRecord) -> str:
    held = ", ".join(f"{seq} of life {life}" for life, seq in zip(body.incarnations, body.seqs, strict=False))
    return (
        f"{who} fences {words.peer(key.partition('/')[2])} for {words.peer(body.taker)}, and holds {held or 'nothing'}"
    )


# Any: each takes the body that its key names; the table is the proof.
_FACTS: dict[type[Body], Callable[[Words, str, str, Any], str]] = {
    PeerRecord: _peer,
    LinkRecord: _link,
    ShortIdRecord: _short_id,
    RingClaim: _ring,
    HomeRecord: _home,
    SeedPromise: _promise,
    SeedAccepted: _accepted,
    SeedProposal: _proposal,
    AddressRecord: _address,
    AttachmentRecord: _attachment,
    TargetRecord: _target,
    RetiredRecord: _retired,
    TakeoverRecord: _takeover,
    FenceRecord: _fence,
    NameRecord: _name,
    PortRecord: _port,
    TextRecord: _text,
}
