"""What the fake kernel of the simulator and the real one have in common, so that the fake can be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import pytest
from datapath_world import PORT, Host, Namespace, devices, endpoint

from core.reconcile.objects import (
    Again,
    AlreadySo,
    Bridge,
    Done,
    Endpoint,
    EndpointAddress,
    EndpointRoute,
    EndpointUp,
    Hop,
    Identity,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Tree,
    Verb,
    VxlanPort,
)
from core.reconcile.plan import creation_order, plan
from core.types import ShortId
from sim.kernel import FakeKernel

NUMBER = 7


class Subject:
    """One kernel under test, with two containers."""

    def __init__(
        self,
        execute: Callable[[Op], OpResult],
        observe: Callable[[], tuple[KernelObject, ...]],
        containers: tuple[tuple[str, str], tuple[str, str]],
        meddler: Meddler,
    ) -> None:
        self.execute = execute
        self.meddler = meddler
        self._observe = observe
        self._containers = containers

    def run(self, *desired: KernelObject) -> None:
        """Bring about what is desired; nothing may fail."""
        for op in plan(desired, self.observe(), may_remove=True):
            result = self.execute(op)
            assert not isinstance(result, Again | Refused), f"{op}: {result}"
        assert self.observe() == tuple(sorted(desired, key=creation_order))

    def observe(self) -> tuple[KernelObject, ...]:
        return tuple(sorted(self._observe(), key=creation_order))

    def create(self, item: KernelObject) -> OpResult:
        return self.execute(Op(Verb.CREATE, item))

    def remove(self, item: KernelObject) -> OpResult:
        return self.execute(Op(Verb.REMOVE, item))

    def parts(self, index: int) -> tuple[KernelObject, ...]:
        """Return what attaches one of the containers."""
        name, path = self._containers[index]
        place = type("Place", (), {"name": name, "path": path})()
        return endpoint(place, NUMBER + index, f"10.32.0.{NUMBER + index}/12")

    def whole(self) -> tuple[KernelObject, ...]:
        """Return a host with everything."""
        one = ShortId(1)
        routes = (Hop(one, one, "198.18.0.1", PORT), Tree(ShortId(NUMBER), None, ((one, "198.18.0.1"),)))
        return tuple(sorted((*devices(NUMBER), *routes, *self.parts(0), *self.parts(1)), key=creation_order))


class Meddler(Protocol):
    """Somebody who works on the same machine."""

    def lose(self, item: KernelObject) -> None:
        """Delete an object of ours."""

    def unplug(self, pair: Endpoint) -> None:
        """Take a pair out of the bridge."""

    def squat(self, item: Bridge | VxlanPort | Endpoint) -> None:
        """Delete an object of ours, if it is there, and make another device of its name."""

    def clear_away(self) -> None:
        """Delete what was made in the place of ours."""

    def is_left_alone(self) -> bool:
        """Say whether nobody has touched it."""

    def replace_agent(self) -> None:
        """Let the agent die, and the overlay port with it, before another agent starts."""


class FakeMeddler:
    """Works on the fake."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self.lose = kernel.lose
        self.unplug = kernel.unplug
        self.squat = kernel.squat
        self._made: tuple[KernelObject, ...] = ()

    def clear_away(self) -> None:
        self._kernel.foreign = ()

    def is_left_alone(self) -> bool:
        return len(self._kernel.foreign) == 1

    def replace_agent(self) -> None:
        self._kernel.lose(next(item for item in self._kernel.observe() if isinstance(item, VxlanPort)), is_held=False)


class RealMeddler:
    """Works with `ip`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._name = ""

    def lose(self, item: KernelObject) -> None:
        match item:
            case Bridge(name) | VxlanPort(name):
                self._ip("link", "del", name)
            case Endpoint():
                self._ip("link", "del", item.host_ifname)
            case EndpointAddress():
                self._ip("addr", "del", item.cidr, "dev", item.ifname, inside=item.netns)
            case EndpointUp():
                self._ip("link", "set", item.ifname, "down", inside=item.netns)
            case EndpointRoute():
                self._ip("route", "del", item.destination, "dev", item.ifname, inside=item.netns)
            case _:
                self._host.execute(Verb.REMOVE, item)

    def unplug(self, pair: Endpoint) -> None:
        self._ip("link", "set", pair.host_ifname, "nomaster")

    def squat(self, item: Bridge | VxlanPort | Endpoint) -> None:
        self._name = item.host_ifname if isinstance(item, Endpoint) else item.name
        self._host.sh("ip", "link", "del", self._name)
        self._ip("link", "add", self._name, "type", "veth", "peer", "name", "other")
        self._ip("link", "set", self._name, "alias", "somebody else")

    def clear_away(self) -> None:
        self._ip("link", "del", self._name)

    def is_left_alone(self) -> bool:
        shown = self._host.sh("ip", "-d", "link", "show", self._name).stdout
        return "somebody else" in shown and "master" not in shown and "state DOWN" in shown

    def replace_agent(self) -> None:
        self._host.run(self._host.driver.close)
        self._ip("link", "del", f"vxlan-{PORT}")
        self._host.restart()

    def _ip(self, *words: str, inside: str = "") -> None:
        place = ("nsenter", f"--net={inside}") if inside else ()
        done = self._host.sh(*place, "ip", *words)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "fake":
        kernel = FakeKernel()
        places = (("c0", "/run/netns/c0"), ("c1", "/run/netns/c1"))
        yield Subject(kernel.execute, kernel.observe, places, FakeMeddler(kernel))
        return
    if os.geteuid() != 0:
        pytest.skip("the real kernel needs root")
    host = Host(NUMBER)
    made = (Namespace(), Namespace())
    host.containers += made
    places = ((made[0].name, made[0].path), (made[1].name, made[1].path))
    yield Subject(lambda op: host.run(lambda: host.driver.execute(op)), host.observe, places, RealMeddler(host))
    host.remove()


def test_what_is_created_in_order_is_observed_and_removed_in_reverse(subject: Subject) -> None:
    for item in subject.whole():
        assert subject.create(item) == Done(), item
    assert subject.observe() == subject.whole()
    for item in reversed(subject.whole()):
        assert subject.remove(item) in (Done(), AlreadySo()), item
    assert subject.observe() == ()


def test_doing_it_again_changes_nothing(subject: Subject) -> None:
    for item in subject.whole():
        subject.create(item)
    for item in subject.whole():
        assert subject.create(item) in (Done(), AlreadySo()), item
    assert subject.observe() == subject.whole()


def test_removing_what_is_not_there_is_no_failure(subject: Subject) -> None:
    for item in devices(NUMBER)[:1]:
        subject.create(item)
    for item in (*subject.parts(0), Hop(ShortId(9), ShortId(9), "198.18.0.9", PORT)):
        assert subject.remove(item) == AlreadySo(), item


def test_what_needs_something_else_first_is_tried_again_later(subject: Subject) -> None:
    bridge, port, _ = devices(NUMBER)
    assert isinstance(subject.create(port), Again)
    assert isinstance(subject.create(subject.parts(0)[0]), Again)
    assert subject.create(bridge) == Done()
    for item in subject.parts(0)[1:]:
        assert isinstance(subject.create(item), Again), item


def test_with_a_pair_all_its_parts_go(subject: Subject) -> None:
    for item in subject.whole():
        subject.create(item)
    pair = next(item for item in subject.parts(0) if isinstance(item, Endpoint))
    assert subject.remove(pair) == Done()
    assert subject.observe() == tuple(item for item in subject.whole() if item not in subject.parts(0))


def test_routes_and_trees_change_in_place(subject: Subject) -> None:
    for item in subject.whole():
        subject.create(item)
    hop = Hop(ShortId(1), ShortId(2), "198.18.0.2", PORT)
    tree = Tree(ShortId(NUMBER), None, ((ShortId(2), "198.18.0.2"), (ShortId(3), "198.18.0.3")))
    for item in (hop, tree):
        assert subject.execute(Op(Verb.CHANGE, item)) == Done()
        assert item in subject.observe()


def test_plans_lead_from_one_state_to_another(subject: Subject) -> None:
    for desired in (subject.whole(), devices(NUMBER), (*devices(NUMBER), *subject.parts(1)), ()):
        for op in plan(desired, subject.observe(), may_remove=True):
            assert not isinstance(subject.execute(op), Again | Refused), op
        assert subject.observe() == tuple(sorted(desired, key=creation_order))


def test_a_bridge_changes_in_place(subject: Subject) -> None:
    for item in subject.whole():
        subject.create(item)
    bridge = Bridge("weave", "02:00:00:00:01:aa", 1400)
    assert subject.execute(Op(Verb.CHANGE, bridge)) == Done()
    assert bridge in subject.observe()
    assert len(subject.observe()) == len(subject.whole())


def test_with_the_bridge_all_that_was_in_it_is_taken_apart_and_made_whole_again_in_place(subject: Subject) -> None:
    subject.run(*subject.whole())
    subject.meddler.lose(devices(NUMBER)[0])
    expected = [
        replace(item, is_whole=False)
        if isinstance(item, Endpoint)
        else replace(item, bridge="")
        if isinstance(item, VxlanPort)
        else item
        for item in subject.whole()
        if not isinstance(item, Bridge)
    ]
    assert subject.observe() == tuple(expected)
    assert isinstance(subject.create(subject.parts(0)[0]), Again)
    verbs = [op.verb for op in plan(subject.whole(), subject.observe(), may_remove=True)]
    assert Verb.REMOVE not in verbs, "the containers keep their interfaces"
    subject.run(*subject.whole())


def test_a_pair_that_is_not_whole_and_not_wanted_any_more_goes(subject: Subject) -> None:
    subject.run(*subject.whole())
    pair = subject.parts(0)[0]
    assert isinstance(pair, Endpoint)
    subject.meddler.unplug(pair)
    assert replace(pair, is_whole=False) in subject.observe()
    subject.run(*(item for item in subject.whole() if item not in subject.parts(0)))


def test_a_pair_that_is_not_whole_is_made_so_with_other_addresses(subject: Subject) -> None:
    subject.run(*subject.whole())
    pair, address, up, route = subject.parts(0)
    assert isinstance(pair, Endpoint)
    assert isinstance(address, EndpointAddress)
    subject.meddler.unplug(pair)
    subject.run(*devices(NUMBER), pair, replace(address, cidr="10.32.0.99/12"), up, route)


def test_the_maps_outlive_the_port_while_an_agent_holds_them(subject: Subject) -> None:
    subject.run(*subject.whole())
    port = devices(NUMBER)[1]
    subject.meddler.lose(port)
    assert subject.observe() == tuple(item for item in subject.whole() if item != port)
    subject.run(*subject.whole())


def test_the_maps_go_with_the_port_while_no_agent_runs_and_pairs_get_programs_on_the_new_ones(
    subject: Subject,
) -> None:
    subject.run(*subject.whole())
    subject.meddler.replace_agent()
    expected = [
        replace(item, is_whole=False) if isinstance(item, Endpoint) else item
        for item in subject.whole()
        if not isinstance(item, VxlanPort | Identity | Hop | Tree)
    ]
    assert subject.observe() == tuple(expected)
    verbs = [op.verb for op in plan(subject.whole(), subject.observe(), may_remove=True)]
    assert Verb.REMOVE not in verbs, "the containers keep their interfaces"
    subject.run(*subject.whole())


@pytest.mark.parametrize("index", [0, 1, 3])
def test_who_took_a_name_of_ours_is_refused_left_alone_and_made_up_for_once_gone(subject: Subject, index: int) -> None:
    wanted = (*devices(NUMBER), *subject.parts(0))
    item = wanted[index]
    assert isinstance(item, Bridge | VxlanPort | Endpoint)
    subject.run(*wanted)
    subject.meddler.squat(item)
    assert item.key not in {found.key for found in subject.observe()}
    for verb in (Verb.CREATE, Verb.CHANGE, Verb.REMOVE):
        assert isinstance(subject.execute(Op(verb, item)), Refused), verb
    for op in plan(wanted, subject.observe(), may_remove=True):
        assert isinstance(subject.execute(op), AlreadySo | Done | Again | Refused)
    assert subject.meddler.is_left_alone()
    subject.meddler.clear_away()
    subject.run(*wanted)


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_lost_part_takes_with_it_what_rests_on_it(subject: Subject, index: int) -> None:
    subject.run(*subject.whole())
    part = subject.parts(0)[index]
    subject.meddler.lose(part)
    goes = {0: (0, 1, 2, 3), 1: (1, 3), 2: (2, 3), 3: (3,)}[index]
    lost = [subject.parts(0)[number] for number in goes]
    assert subject.observe() == tuple(item for item in subject.whole() if item not in lost)
    subject.run(*subject.whole())


def test_creating_and_changing_bring_about_the_form_asked_for_whatever_was_there(subject: Subject) -> None:
    bridge, _, _ = devices(NUMBER)
    assert isinstance(bridge, Bridge)
    assert subject.execute(Op(Verb.CHANGE, bridge)) == Done()
    assert subject.create(replace(bridge, mtu=1400)) == Done()
    subject.run(*subject.whole())
    pair = subject.parts(0)[0]
    assert isinstance(pair, Endpoint)
    other = replace(pair, mac="02:00:00:00:02:99")
    assert subject.create(other) == Done()
    assert [item for item in subject.observe() if item.key[1:] == other.key[1:]] == [other]


@pytest.mark.parametrize("number", [7, 101, 102])
def test_of_several_addresses_one_may_go_without_the_others(subject: Subject, number: int) -> None:
    pair, first, up, route = subject.parts(0)
    assert isinstance(first, EndpointAddress)
    addresses = {host: replace(first, cidr=f"10.32.0.{host}/12") for host in (7, 101, 102)}
    whole = (*devices(NUMBER), pair, *addresses.values(), up, route)
    subject.run(*whole)
    assert subject.remove(addresses[number]) == Done()
    left = (item for item in whole if item != addresses[number])
    assert subject.observe() == tuple(sorted(left, key=creation_order))


def test_only_the_last_address_of_ipv4_takes_the_route_along_and_ipv6_outlives_a_link_that_is_down(
    subject: Subject,
) -> None:
    pair, four, up, route = subject.parts(0)
    assert isinstance(four, EndpointAddress)
    six = replace(four, cidr="fd00:10:32::7/64")
    whole = tuple(sorted((*devices(NUMBER), pair, four, six, up, route), key=creation_order))
    for lost, goes in ((six, (six,)), (four, (four, route)), (up, (up, route))):
        subject.run(*whole)
        assert subject.remove(lost) == Done()
        assert subject.observe() == tuple(item for item in whole if item not in goes)
    subject.run(*whole)
    # Another address of one family while that of the other stays.
    subject.run(*devices(NUMBER), pair, replace(four, cidr="10.32.0.99/12"), six, up, route)
    subject.run(*devices(NUMBER), pair, six, up)
