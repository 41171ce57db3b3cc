"""Facts, messages, requests and operations in words: by nicknames, and total."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from stories import PARTED, parted, stormy

from core import kinds
from core.effects import Ok, Refusal
from core.events import (
    Allocate,
    AttachAsked,
    Claim,
    Commanded,
    Connect,
    Forget,
    Free,
    Leave,
    Prime,
    RemovePeers,
)
from core.kinds import RingClaim
from core.messages import Deltas, Heartbeat, Routed, SpaceAsk, SpaceRefused
from core.reconcile.objects import Again, Done, Hop, Op, Refused, Verb
from core.types import PeerName, RequestId, ShortId, address_of
from crdt.fact import Change, Delta, Fact, Origin, StreamHead
from sim.names import peer_name
from sim.story import Asked, Sent, Wrote
from sim.words import Words

WORDS = Words(PARTED)
ASH, BIRCH, CEDAR = (peer_name(index) for index in range(3))
ME = Origin(ASH, 1)
LO, HI = address_of("10.32.0.64"), address_of("10.32.0.128")
PEER_NAME = re.compile("02:00:00:00")


def said(change: Change) -> str:
    return WORDS.fact(ME, Fact(7, change.key, change.kind, change.body))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (kinds.put("peer/self", kinds.PeerRecord("ash", "0.1.0", 6783, 0)), "ash is there, version 0.1.0"),
        (
            kinds.put("peer/self", kinds.PeerRecord("ash", "0.1.0", 6783, 2)),
            "ash is there, version 0.1.0 and stands by what it said in its life 2",
        ),
        (kinds.put(f"link/{BIRCH}", kinds.LinkRecord("a:1", True, True, "fastdp")), "ash is connected to birch"),
        (kinds.put(f"link/{BIRCH}", kinds.LinkRecord("a:1", True, False, "fastdp")), "ash is connecting to birch"),
        (kinds.gone(f"link/{BIRCH}", kinds.LinkRecord), "ash has no connection to birch any more"),
        (kinds.put("id/self", kinds.ShortIdRecord(17)), "ash has number 17 in the datapath"),
        (
            kinds.put("ring/r/1", RingClaim(LO, HI, 0, 2, BIRCH, 6, f"given by {ASH}", 0)),
            "ash gives 10.32.0.64-10.32.0.127 to birch",
        ),
        (
            kinds.put("ring/r/1", RingClaim(LO, HI, 0, 1, ASH, 6, f"taken over from {BIRCH}", 0)),
            "ash owns 10.32.0.64-10.32.0.127 (taken over from birch)",
        ),
        (kinds.put("seed/promise/10.32.0.0/12", kinds.SeedPromise(3, BIRCH)), "ash promises ballot 3 to birch"),
        (
            kinds.put("seed/accepted/10.32.0.0/12", kinds.SeedAccepted(3, BIRCH, (ASH, CEDAR))),
            "ash accepts ballot 3 of birch: ash, cedar share the range",
        ),
        (
            kinds.put("seed/decided/10.32.0.0/12", kinds.SeedAccepted(0, ASH, (ASH, CEDAR))),
            "ash knows the decision: ash, cedar share the range",
        ),
        (kinds.put("seed/proposal/10.32.0.0/12", kinds.SeedProposal(0, ())), "ash needs the range to be shared out"),
        (kinds.put("seed/proposal/10.32.0.0/12", kinds.SeedProposal(3, ())), "ash asks for promises for ballot 3"),
        (
            kinds.put("seed/proposal/10.32.0.0/12", kinds.SeedProposal(3, (ASH,))),
            "ash proposes in ballot 3 that ash share the range",
        ),
        (kinds.gone("seed/proposal/10.32.0.0/12", kinds.SeedProposal), "ash ends its proposal"),
        (kinds.put(f"ip/web/{LO:x}", kinds.AddressRecord(LO, 24, "allocate", 0)), "ash gives 10.32.0.64 to web"),
        (kinds.gone(f"ip/web/{LO:x}", kinds.AddressRecord), "ash takes back 10.32.0.64 from web"),
        (kinds.gone("ip/web/no address", kinds.AddressRecord), "ash deletes ip/web/no address"),
        (
            kinds.put("att/web/ethwe", kinds.AttachmentRecord("aa", ("10.32.0.64/24",), "/n", True, "attach", 0)),
            "ash attaches web with 10.32.0.64/24",
        ),
        (kinds.gone("att/web/ethwe", kinds.AttachmentRecord), "ash detaches web"),
        (
            kinds.put("dns/web.weave.local./web/1", kinds.NameRecord("web", "Web.weave.local.", LO, -1, "attach", 0)),
            "ash names 10.32.0.64 of web Web.weave.local.",
        ),
        (kinds.gone("dns/web.weave.local./web/1", kinds.NameRecord), "ash takes back web.weave.local. from web"),
        (
            kinds.put("srv/a", kinds.PortRecord("web", "web.weave.local.", "_http._tcp", 80, 0, 0, -1, 0)),
            "ash says that web serves _http._tcp at web.weave.local. on port 80",
        ),
        (
            kinds.put("txt/web.weave.local./web", kinds.TextRecord("web", "web.weave.local.", ("a", "b"), -1, 0)),
            "ash says of web.weave.local.: a; b",
        ),
        (kinds.put("target/10.0.0.2", kinds.TargetRecord("10.0.0.2")), "ash is to dial birch"),
        (kinds.gone("target/10.0.0.2", kinds.TargetRecord), "ash forgets birch"),
        (kinds.put(f"retired/{BIRCH}", kinds.RetiredRecord(1, 7, 0, ())), "ash has removed birch"),
        (
            kinds.put(f"retired/{BIRCH}", kinds.RetiredRecord(1, 7, 0, (CEDAR,))),
            "ash has removed birch without an answer from cedar",
        ),
        (
            kinds.put("takeover/self", kinds.TakeoverRecord((BIRCH,), 1, "b", True, 0)),
            "ash wants to take over from birch and asks all for fences, whoever answers",
        ),
        (kinds.gone("takeover/self", kinds.TakeoverRecord), "ash ends its takeover"),
        (
            kinds.put(f"fence/{BIRCH}", kinds.FenceRecord(CEDAR, 1, "b", (1, 2), (7, 9))),
            "ash fences birch for cedar, and holds 7 of life 1, 9 of life 2",
        ),
        (kinds.gone(f"fence/{BIRCH}", kinds.FenceRecord), "ash lifts its fence around birch"),
        (kinds.gone(f"retired/{BIRCH}", kinds.RetiredRecord), "ash takes birch for alive again"),
        (Change(f"new/{BIRCH}", "new.9", b"\xc0"), "ash writes new/birch (new.9, which this version cannot read)"),
    ],
)
def test_a_fact_is_a_sentence(change: Change, words: str) -> None:
    assert said(change) == words


def body_of(kind: type[Any]) -> Any:
    values: dict[str, Any] = {"int": 1, "str": "word", "bool": True, "tuple[str, ...]": ("a",), "tuple[int, ...]": (1,)}
    return kind(**{field.name: values[str(field.type)] for field in fields(kind)})


@pytest.mark.parametrize("kind", kinds.KINDS.values())
def test_every_kind_of_fact_is_a_sentence_about_its_host(kind: type[Any]) -> None:
    assert said(kinds.put("some/key/else", body_of(kind))).startswith("ash ")
    assert said(kinds.gone("some/key/else", kind)) == "ash deletes some/key/else"


def test_messages_are_their_facts() -> None:
    change = kinds.put("id/self", kinds.ShortIdRecord(17))
    facts = (Fact(1, change.key, change.kind, change.body),)
    assert WORDS.facts_of(Deltas((Delta(ME, 0, StreamHead(1, 0, 0), facts),))) == ("ash has number 17 in the datapath",)
    ask = Routed(PeerName(ASH), PeerName(BIRCH), 64, SpaceAsk(LO, HI, False))
    assert WORDS.facts_of(ask) == ("ash asks birch for some of 10.32.0.64-10.32.0.127",)
    refused = Routed(PeerName(BIRCH), PeerName(ASH), 64, SpaceRefused(LO, HI, "full"))
    assert WORDS.facts_of(refused) == ("birch has nothing of 10.32.0.64-10.32.0.127 to give: full",)
    assert WORDS.facts_of(Heartbeat()) == ()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Allocate("web", ""), "an address for web"),
        (Claim("web", "10.32.0.1/24"), "web claims 10.32.0.1/24"),
        (Free("web", ""), "web gives back its addresses"),
        (Connect(("10.0.0.2",), False), "connect birch"),
        (Forget(("10.0.0.2:6783",)), "forget birch"),
        (RemovePeers((BIRCH, CEDAR), True), "rmpeer --force birch cedar"),
        (Leave(), "reset"),
        (Prime(), "prime"),
    ],
)
def test_a_command_is_what_was_typed(command: Any, words: str) -> None:
    assert WORDS.question(Commanded(RequestId(1), command)) == words


def test_an_answer_tells_what_came_of_a_request() -> None:
    question = AttachAsked(RequestId(1), "web", "ethwe", "/n", (), True)
    for reply, words in (
        (Ok("10.32.0.1/24"), "attach web: 10.32.0.1/24"),
        (Ok(""), "attach web: done"),
        (Refusal(f"{BIRCH} has it"), "attach web: refused, birch has it"),
        (None, "attach web: never answered"),
    ):
        assert WORDS.answer(Asked(0, 0, question, 1, reply)) == words


def test_an_operation_is_its_key_and_what_went_wrong() -> None:
    hop = Hop(ShortId(5), ShortId(5), "10.0.0.2", 6784)
    assert [WORDS.op(Op(verb, hop)) for verb in Verb] == ["+ hop 5", "~ hop 5", "− hop 5"]
    assert WORDS.op_result(Done()) == ""
    assert WORDS.op_result(Again(5, "busy")) == "not now: busy"
    assert WORDS.op_result(Refused("no", "help")) == "refused: no"


def test_no_peer_name_shows_in_a_whole_run() -> None:
    for story in (parted(), stormy()):
        words = Words(story.report.scenario)
        texts = [words.fact(item.origin, fact) for item in story.all(Wrote) for fact in item.facts]
        texts += [fact for item in story.all(Sent) for fact in words.facts_of(item.message)]
        assert texts
        assert not [text for text in texts if PEER_NAME.search(text)]
