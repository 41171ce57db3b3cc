"""Names: who may register which, what becomes of them, and what the name server is told."""

from __future__ import annotations

import pytest
from playbook import Playbook, config, of

from core.effects import Answer, Effect, Ok, Persist, Refusal, ServeNames
from core.events import (
    Allocate,
    AttachAsked,
    Commanded,
    ContainerGone,
    DetachAsked,
    Leave,
    NameAdd,
    NameLookup,
    NameRemove,
    NamesAsked,
    RequestCancelled,
)
from core.kinds import NameRecord, name_key
from core.naming.answers import HostAnswer, NameAnswers, ServiceAnswer, TextAnswer
from core.naming.registry import NAMES_MAX
from core.types import Instant, RequestId, address_of

A, B = address_of("10.32.0.1"), address_of("fd00::1")
WEB = "web.weave.local."


def told(effects: list[Effect]) -> dict[str, NameAnswers]:
    """Return what the name server was told."""
    return {name.key: name for serve in of(effects, ServeNames) for name in serve.names}


class Names(Playbook):
    """A host that serves names, asked again and again."""

    def __init__(self, **changes: object) -> None:
        super().__init__(config(**changes))
        self.start()
        self.happens(NamesAsked())
        self._last = 0

    def ask(self, command: NameAdd | NameRemove | NameLookup) -> tuple[Ok | Refusal, dict[str, NameAnswers]]:
        self._last += 1
        effects = self.happens(Commanded(RequestId(self._last), command))
        (answer,) = of(effects, Answer)
        return answer.reply, told(effects)


def test_a_name_is_told_to_the_server_and_found() -> None:
    names = Names()
    reply, news = names.ask(NameAdd("c1", "Web", ("10.32.0.1", "fd00::1")))
    assert reply == Ok("")
    hosts = (HostAnswer("Web.weave.local.", A, 1, 0), HostAnswer("Web.weave.local.", B, 1, 0))
    assert news == {WEB: NameAnswers(WEB, hosts)}
    assert names.ask(NameLookup("wEB")) == (Ok("10.32.0.1\nfd00::1"), {})
    assert names.ask(NameLookup("nobody")) == (Ok(""), {})


def test_nothing_is_said_before_it_is_durable() -> None:
    names = Names()
    names.is_disk_well = False
    effects = names.happens(Commanded(RequestId(9), NameAdd("c1", "web", ("10.32.0.1",))))
    assert not of(effects, Answer)


def test_the_same_again_changes_nothing() -> None:
    names = Names()
    names.ask(NameAdd("c1", "web", ("10.32.0.1",)))
    seq = names.replica.store.head(names.replica.board.me)
    names.wall_ms += 5_000
    assert names.ask(NameAdd("c1", "web", ("10.32.0.1",))) == (Ok(""), {})
    assert names.replica.store.head(names.replica.board.me) == seq


def test_ports_and_texts_have_answers_of_their_own() -> None:
    names = Names()
    _, news = names.ask(NameAdd("c1", "web", (), 30, ("_http._tcp=80,1,2", "_http._tcp=81"), ("v=1",)))
    key = f"_http._tcp.{WEB}"
    services = (ServiceAnswer(WEB, 81, 0, 0, 30, 0), ServiceAnswer(WEB, 80, 1, 2, 30, 0))
    assert news == {
        WEB: NameAnswers(WEB, texts=(TextAnswer("v=1", 30),)),
        key: NameAnswers(key, services=services),
    }


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (NameAdd("c1", "web.example.com", ("10.32.0.1",)), "not in the domain weave.local"),
        (NameAdd("c1", "weave.local", ("10.32.0.1",)), "not in the domain weave.local"),
        (NameAdd("c1", "-web", ("10.32.0.1",)), "no name"),
        (NameAdd("c1", "a..b.weave.local", ("10.32.0.1",)), "no name"),
        (NameAdd("c1", "a" * 64, ("10.32.0.1",)), "no name"),
        (NameAdd("c1", ".".join(["a" * 60] * 5), ("10.32.0.1",)), "characters"),
        (NameAdd("c1", "", ("10.32.0.1",)), "no name"),
        (NameAdd("c1", "web", ("10.32.0.300",)), "10.32.0.300"),
        (NameAdd("c1", "web", ()), "would answer nothing"),
        (NameAdd("c/1", "web", ("10.32.0.1",)), "no '/'"),
        (NameAdd("c1", "web", ("10.32.0.1",), 700_000), "time to live"),
        (NameAdd("c1", "web", (), -1, ("http=80",)), "no port"),
        (NameAdd("c1", "web", (), -1, ("_http._tcp=0",)), "no port"),
        (NameAdd("c1", "web", (), -1, ("_http._tcp=80,1,2,3",)), "no port"),
        (NameAdd("c1", "web", (), -1, (), ("x" * 256,)), "255 bytes"),
        (NameAdd("c1", "web", (), -1, (), ("x",) * 33), "32 texts"),
    ],
)
def test_what_is_no_name_of_ours_is_refused(command: NameAdd, why: str) -> None:
    names = Names()
    reply, news = names.ask(command)
    assert isinstance(reply, Refusal)
    assert why in reply.why
    assert not news


def test_a_host_has_so_many_names_and_no_more() -> None:
    names = Names()
    addresses = tuple(f"10.33.{number >> 8}.{number & 255}" for number in range(NAMES_MAX))
    for start in range(0, NAMES_MAX, 512):
        assert names.ask(NameAdd("c1", "web", addresses[start : start + 512]))[0] == Ok("")
    reply, _ = names.ask(NameAdd("c1", "web", ("10.34.0.0",)))
    assert isinstance(reply, Refusal)
    assert "dns-remove" in reply.why


def test_names_are_removed_by_container_name_and_address() -> None:
    names = Names()
    for container, name in (("c1", "web"), ("c1", "api"), ("c2", "web")):
        names.ask(NameAdd(container, name, ("10.32.0.1", "10.32.0.2")))
    _, news = names.ask(NameRemove("c1", "WEB", ("10.32.0.1",)))
    assert not news, "c2 has the same name and address"
    _, news = names.ask(NameRemove("c1", "api", ()))
    assert news == {"api.weave.local.": NameAnswers("api.weave.local.")}
    names.ask(NameRemove("", "", ("10.32.0.1",)))
    assert names.ask(NameLookup("web"))[0] == Ok("10.32.0.2")
    names.ask(NameRemove("", "", ()))
    assert names.replica.describe(Instant(names.now_ms, 0)).names == ()


def test_an_attached_container_has_its_names_and_an_ended_one_none() -> None:
    names = Names()
    wanted = ("c1.weave.local", "elsewhere.example.com", "shared.weave.local")
    effects = names.happens(AttachAsked(RequestId(1), "c1", "ethwe", "/n", (), True, wanted))
    assert sorted(told(effects)) == ["c1.weave.local.", "shared.weave.local."]
    effects = names.happens(ContainerGone("c1"))
    assert told(effects) == {key: NameAnswers(key) for key in ("c1.weave.local.", "shared.weave.local.")}
    names.happens(AttachAsked(RequestId(2), "c1", "ethwe", "/n", (), True, wanted))
    assert names.ask(NameLookup("c1"))[0] == Ok("10.32.0.1"), "back with the same address, once"


def test_a_detached_address_has_no_name() -> None:
    names = Names()
    names.happens(AttachAsked(RequestId(1), "c1", "ethwe", "/n", ("10.5.0.1/24", "10.6.0.1/24"), True, ("web",)))
    effects = names.happens(DetachAsked(RequestId(2), "c1", "ethwe", ("10.5.0.1/24",)))
    (left,) = told(effects)[WEB].hosts
    assert left.address == address_of("10.6.0.1")


def test_a_new_server_is_told_everything_and_an_absent_one_nothing() -> None:
    names = Names()
    names.ask(NameAdd("c1", "web", ("10.32.0.1",)))
    (serve,) = of(names.happens(NamesAsked()), ServeNames)
    assert serve == ServeNames((NameAnswers(WEB, (HostAnswer(WEB, A, 1, 0),)),), is_whole=True)
    silent = Names(dns=False)
    assert silent.ask(NameAdd("c1", "web", ("10.32.0.1",)))[1] == {}
    assert not of(silent.happens(NamesAsked()), ServeNames)


def test_a_key_of_any_length_fits() -> None:
    names = Names()
    long = ".".join(["a" * 60] * 3)
    assert names.ask(NameAdd("c" * 128, f"{long}.weave.local", ("10.32.0.1",)))[0] == Ok("")
    key = name_key("c" * 128, f"{long}.weave.local.", A)
    assert names.replica.board.get(names.replica.board.peers()[0], key, NameRecord) is not None
    assert key != name_key("c" * 127, f"{long}.weave.local.", A)


def test_ports_and_texts_go_with_the_last_interface() -> None:
    names = Names()
    for number, ifname in enumerate(("ethwe", "eth1"), start=1):
        asked = AttachAsked(RequestId(number), "c1", ifname, "/n", (f"10.5.0.{number}/24",), True, ("web",))
        names.happens(asked)
    names.ask(NameAdd("c1", "web", (), -1, ("_http._tcp=80",), ("t",)))
    service = f"_http._tcp.{WEB}"
    names.happens(DetachAsked(RequestId(3), "c1", "ethwe", ("10.5.0.1/24",)))
    left = names.replica.zone.answers(WEB)
    assert left is not None
    assert [host.address for host in left.hosts] == [address_of("10.5.0.2")]
    assert left.texts
    assert names.replica.zone.answers(service) is not None, "one interface is left"
    news = told(names.happens(DetachAsked(RequestId(4), "c1", "eth1", ("10.5.0.2/24",))))
    assert news == {key: NameAnswers(key) for key in (WEB, service)}


def test_names_are_in_the_same_commit_as_their_attachment() -> None:
    names = Names()
    effects = names.happens(AttachAsked(RequestId(1), "c1", "ethwe", "/n", ("10.5.0.1/24",), True, ("web",)))
    (persist,) = of(effects, Persist)
    kinds = [fact.kind.partition(".")[0] for delta in persist.deltas for fact in delta.facts]
    assert kinds == ["att", "dns"]


def test_an_attachment_that_does_not_come_about_leaves_the_names_as_they_were() -> None:
    names = Names(datapath=True)
    names.ask(NameAdd("c1", "api", ("10.5.0.1",), 30))
    asked = AttachAsked(RequestId(90), "c1", "ethwe", "/n", ("10.5.0.1/24",), True, ("web", "api"))
    assert WEB in told(names.happens(asked)), "the kernel is still at it"
    news = told(names.happens(RequestCancelled(RequestId(90))))
    assert news == {WEB: NameAnswers(WEB)}
    assert names.ask(NameLookup("api"))[0] == Ok("10.5.0.1")


def test_a_reset_that_is_refused_leaves_the_names() -> None:
    before = Names()
    before.happens(Commanded(RequestId(70), Allocate("c1", "")))
    before.ask(NameAdd("c1", "web", ("10.32.0.1",)))
    stream = before.replica.store.delta_for(before.replica.board.me, 0)
    book = Playbook(config(targets=("10.0.0.9",)), (stream,))
    book.start()
    (answer,) = of(book.happens(Commanded(RequestId(80), Leave())), Answer)
    assert isinstance(answer.reply, Refusal)
    assert book.replica.zone.answers(WEB) is not None
