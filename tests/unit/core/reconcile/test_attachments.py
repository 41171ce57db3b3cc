"""Attach and detach: what is written, what the kernel is asked for, when the caller hears of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import ME, Playbook, config, of

from core.effects import Answer, DumpKernel, Effect, Execute, Ok, Persist, Refusal
from core.events import (
    AttachAsked,
    Commanded,
    ContainerGone,
    DetachAsked,
    KernelDumped,
    Leave,
    OpsDone,
    Persisted,
    PersistFailed,
    RequestCancelled,
)
from core.kinds import AttachmentRecord, attachment_key
from core.reconcile.objects import Again, Endpoint, EndpointAddress, EndpointUp, Refused
from core.types import RequestId
from sim.kernel import FakeKernel

NETNS = "/run/netns/c1"


class Bench:
    """A Replica with a kernel."""

    def __init__(self) -> None:
        self.book = Playbook(config(datapath=True))
        self.kernel = FakeKernel()
        self.answers: list[Answer] = []
        self.take(self.book.start())
        self.settle()

    def take(self, effects: list[Effect]) -> None:
        self.answers += of(effects, Answer)
        for effect in effects:
            if isinstance(effect, DumpKernel):
                self.take(self.book.happens(KernelDumped(self.kernel.observe())))
            elif isinstance(effect, Execute):
                results = tuple((op, self.kernel.execute(op)) for op in effect.ops)
                self.take(self.book.happens(OpsDone(results)))

    def settle(self) -> None:
        self.book.passes(1_000)
        self.take(self.book.fires("reconcile"))

    def attach(self, *addresses: str, number: int = 1, container: str = "c1", netns: str = NETNS) -> None:
        asked = AttachAsked(RequestId(number), container, "ethwe", netns, addresses, multicast_route=True)
        self.take(self.book.happens(asked))
        self.settle()

    def detach(self, *addresses: str, number: int = 2) -> None:
        self.take(self.book.happens(DetachAsked(RequestId(number), "c1", "ethwe", addresses)))
        self.settle()

    @property
    def record(self) -> AttachmentRecord | None:
        return self.book.replica.board.get(ME, attachment_key("c1", "ethwe"), AttachmentRecord)

    def held(self) -> list[str]:
        return [str(cidr) for cidr in self.book.replica.allocator.held("c1")]


def replies(bench: Bench) -> list[str]:
    return [reply.text if isinstance(reply := answer.reply, Ok) else f"no: {reply.why}" for answer in bench.answers]


def test_an_interface_comes_up_with_an_address_and_then_the_caller_hears() -> None:
    bench = Bench()
    bench.attach()
    assert replies(bench) == ["10.32.0.1/24"]
    assert any(isinstance(item, EndpointUp) for item in bench.kernel.observe())
    assert bench.held() == ["10.32.0.1/24"]


def test_the_caller_hears_nothing_before_the_kernel_is_done() -> None:
    bench = Bench()
    asked = AttachAsked(RequestId(1), "c1", "ethwe", NETNS, (), multicast_route=True)
    bench.take(bench.book.happens(asked))
    assert replies(bench) == []
    bench.settle()
    assert replies(bench) == ["10.32.0.1/24"]


def test_attaching_again_says_the_same_and_adds_what_is_new() -> None:
    bench = Bench()
    bench.attach()
    bench.attach(number=2)
    bench.attach("192.168.7.7/24", number=3)
    assert replies(bench) == ["10.32.0.1/24", "10.32.0.1/24", "192.168.7.7/24"]
    assert bench.record is not None
    assert bench.record.addresses == ("10.32.0.1/24", "192.168.7.7/24")


def test_a_record_keeps_the_time_until_something_changes() -> None:
    bench = Bench()
    bench.book.wall_ms = 1_000
    bench.attach()
    bench.book.wall_ms = 2_000
    bench.attach(number=2)
    assert bench.record is not None
    assert (bench.record.why, bench.record.at_ms) == ("attach", 1_000)
    bench.attach("192.168.7.7/24", number=3)
    assert bench.record.at_ms == 2_000
    bench.book.wall_ms = 3_000
    bench.detach("ip:192.168.7.7/24", number=4)
    assert (bench.record.why, bench.record.at_ms) == ("detach", 3_000)


def test_detaching_takes_addresses_and_with_the_last_the_interface() -> None:
    bench = Bench()
    bench.attach("net:default", "192.168.7.7/24")
    bench.detach()
    assert replies(bench)[1:] == ["10.32.0.1/24"]
    assert bench.held() == []
    bench.detach("ip:192.168.7.7/24", number=3)
    assert replies(bench)[2:] == ["192.168.7.7/24"]
    assert bench.record is None
    assert not any(isinstance(item, Endpoint) for item in bench.kernel.observe())


def test_an_address_is_given_back_only_when_the_kernel_has_let_go_of_it() -> None:
    bench = Bench()
    bench.attach()
    bench.take(bench.book.happens(DetachAsked(RequestId(2), "c1", "ethwe", ())))
    assert bench.held() == ["10.32.0.1/24"]
    bench.settle()
    assert bench.held() == []


def test_what_the_kernel_refuses_is_undone_and_told_with_what_to_do() -> None:
    bench = Bench()
    refusal = Refused("endpoint: no such file or directory", "start the container first")
    bench.kernel.fail = lambda op: refusal if isinstance(op.object, Endpoint) else None
    bench.attach()
    bench.settle()
    assert replies(bench) == ["no: endpoint: no such file or directory; start the container first"]
    assert bench.record is None
    assert bench.held() == []


def test_two_refused_at_once_are_undone_one_after_the_other() -> None:
    bench = Bench()
    bench.kernel.fail = lambda op: (
        Refused("endpoint: no such file", "start it") if "endpoint" in op.object.key else None
    )
    for number, container in ((1, "c1"), (2, "c2")):
        asked = AttachAsked(RequestId(number), container, "ethwe", f"/run/netns/{container}", (), True)
        bench.take(bench.book.happens(asked))
    bench.settle()
    assert replies(bench) == ["no: endpoint: no such file; start it"] * 2
    assert bench.held() == []


def test_what_is_being_made_again_has_not_been_let_go_of() -> None:
    bench = Bench()
    bench.attach()
    lost = bench.book.happens(KernelDumped(()))
    assert of(lost, Execute), "the agent makes it again"
    asked = bench.book.happens(DetachAsked(RequestId(2), "c1", "ethwe", ()))
    assert of(asked, Answer) == []
    assert bench.held() == ["10.32.0.1/24"], "it is about to be on the interface"


def test_after_a_failure_the_kernel_is_looked_at() -> None:
    bench = Bench()
    asked = AttachAsked(RequestId(1), "c1", "ethwe", NETNS, (), True)
    bench.take(bench.book.happens(asked))
    bench.book.passes(1_000)
    ops = of(bench.book.fires("reconcile"), Execute)[0].ops
    for op in ops:
        bench.kernel.execute(op)
    results = tuple((op, Again(100, "no buffer space available")) for op in ops)
    effects = bench.book.happens(OpsDone(results))
    assert of(effects, Answer) == []
    assert of(effects, DumpKernel), "it may have been done all the same"
    bench.take(effects)
    assert replies(bench) == ["10.32.0.1/24"], "as it was"


def test_a_full_disk_is_told_at_once_and_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.book.is_disk_well = False
    asked = AttachAsked(RequestId(1), "c1", "ethwe", NETNS, (), multicast_route=True)
    effects = bench.book.happens(asked)
    (persist,) = of(effects, Persist)
    bench.take(bench.book.happens(PersistFailed(persist.ticket, "no space left on device; free some")))
    assert replies(bench) == ["no: cannot save: no space left on device; free some; then ask again"]
    assert bench.record is None
    assert bench.held() == []
    bench.attach(number=2)
    assert len(bench.answers) == 2, "nor does the next one wait"
    bench.book.is_disk_well = True
    bench.take(bench.book.fires("disk"))
    bench.attach(number=3)
    assert replies(bench)[2] == "10.32.0.1/24"


def test_who_goes_away_while_waiting_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.attach("net:10.32.0.0/30", number=7, container="c0")
    for number in range(8, 10):
        bench.attach("net:10.32.0.0/30", number=number, container=f"c{number}")
    waiting = AttachAsked(RequestId(1), "c1", "ethwe", NETNS, ("net:10.32.0.0/30",), multicast_route=True)
    bench.take(bench.book.happens(waiting))
    bench.take(bench.book.happens(RequestCancelled(RequestId(1))))
    bench.settle()
    assert bench.record is None
    assert bench.held() == []


def test_an_ended_container_is_forgotten_and_keeps_its_address_for_a_moment() -> None:
    bench = Bench()
    bench.attach()
    bench.take(bench.book.happens(ContainerGone("c1")))
    bench.settle()
    assert bench.record is None
    assert bench.held() == ["10.32.0.1/24"]
    bench.book.passes(30_000)
    bench.take(bench.book.fires("ipam/gone/c1"))
    assert bench.held() == []


@pytest.mark.parametrize(
    ("container", "netns", "addresses", "words"),
    [
        ("", NETNS, (), "a container's name"),
        ("a/b", NETNS, (), "a container's name"),
        ("c" * 200, NETNS, (), "a container's name"),
        ("c1", "relative", (), "absolute path"),
        ("c1", NETNS, ("nonsense",), "nonsense"),
        ("c1", NETNS, ("net:10.32.0.1/24",), "bits after network prefix"),
        ("c1", NETNS, ("net:172.16.0.0/24",), "out of bounds"),
        ("c1", NETNS, tuple(f"10.32.0.{n}/24" for n in range(65)), "more than the 64"),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    container: str, netns: str, addresses: tuple[str, ...], words: str
) -> None:
    bench = Bench()
    bench.attach(*addresses, container=container, netns=netns)
    assert len(bench.answers) == 1
    assert isinstance(bench.answers[0].reply, Refusal)
    assert words in bench.answers[0].reply.why
    assert bench.record is None


def test_what_is_not_attached_cannot_be_detached() -> None:
    bench = Bench()
    bench.detach()
    assert replies(bench)[0].startswith("no: c1 has no interface ethwe")


def test_a_container_that_comes_back_at_once_waits_for_its_new_record() -> None:
    bench = Bench()
    bench.attach()
    bench.book.is_disk_well = False
    persists = of(bench.book.happens(ContainerGone("c1")), Persist)
    bench.settle()
    asked = AttachAsked(RequestId(2), "c1", "ethwe", NETNS, (), multicast_route=True)
    persists += of(bench.book.happens(asked), Persist)
    assert len(persists) == 2, "first it is forgotten, then written anew"
    bench.settle()
    for persist, expected in zip(persists, (1, 2), strict=True):
        assert not any(isinstance(item, EndpointUp) for item in bench.kernel.observe()), "with the record of before"
        bench.take(bench.book.happens(Persisted(persist.ticket)))
        bench.settle()
        assert len(replies(bench)) == expected
    assert replies(bench) == ["10.32.0.1/24", "10.32.0.1/24"]
    assert any(isinstance(item, EndpointUp) for item in bench.kernel.observe())


def test_an_address_that_has_gone_does_not_come_back_while_the_disk_is_slow() -> None:
    bench = Bench()
    bench.attach("net:default", "192.168.7.7/24")
    bench.book.is_disk_well = False
    bench.detach()
    bench.settle()
    shown = [item.cidr for item in bench.kernel.observe() if isinstance(item, EndpointAddress)]
    assert shown == ["192.168.7.7/24"], "what the journal still says is no longer wanted"


def leave(bench: Bench, number: int = 7) -> None:
    bench.take(bench.book.happens(Commanded(RequestId(number), Leave())))


def farewell(bench: Bench) -> None:
    """Let the time pass in which neighbours would hear of the end."""
    bench.book.passes(10_000)
    bench.take(bench.book.fires("ipam/leave"))


def test_before_a_reset_all_interfaces_go_and_then_their_addresses() -> None:
    bench = Bench()
    bench.attach()
    leave(bench)
    assert bench.record is not None, "the kernel has not let go yet"
    assert bench.held() == ["10.32.0.1/24"]
    bench.settle()
    assert not any(isinstance(item, Endpoint) for item in bench.kernel.observe())
    assert bench.record is None
    assert bench.held() == []
    farewell(bench)
    assert replies(bench) == ["10.32.0.1/24", ""]


def test_a_kernel_that_does_not_let_go_holds_up_a_reset_and_is_named() -> None:
    bench = Bench()
    bench.attach()
    bench.kernel.fail = lambda _: Again(100, "busy")
    leave(bench)
    bench.settle()
    farewell(bench)
    (reply,) = replies(bench)[1:]
    assert reply.startswith("no: the kernel does not let go of all interfaces: see 'weave status'")
    assert bench.held() == ["10.32.0.1/24"], "nobody else may have it yet"


def test_what_is_under_way_is_refused_by_a_reset_and_so_is_what_comes_later() -> None:
    bench = Bench()
    bench.attach()
    asked = AttachAsked(RequestId(3), "c3", "ethwe", "/run/netns/c3", (), multicast_route=True)
    bench.take(bench.book.happens(asked))
    leave(bench)
    bench.take(bench.book.happens(replace(asked, request=RequestId(4))))
    assert replies(bench)[1:] == ["no: this host is being reset", "no: this host is being reset"]


def test_who_no_longer_wants_a_reset_can_attach_again() -> None:
    bench = Bench()
    bench.attach()
    leave(bench)
    bench.take(bench.book.happens(RequestCancelled(RequestId(7))))
    bench.settle()
    bench.attach(number=4, container="c4")
    assert replies(bench)[1:] == ["10.32.0.1/24"]
