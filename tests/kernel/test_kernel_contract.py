"""What the fake kernel of the simulator and the real one have in common, so that the fake can be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from datapath_world import PORT, Host, Namespace, devices, endpoint

from core.reconcile.objects import (
    Again,
    AlreadySo,
    Bridge,
    Done,
    Endpoint,
    Hop,
    KernelObject,
    Op,
    OpResult,
    Refused,
    Tree,
    Verb,
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
    ) -> None:
        self.execute = execute
        self._observe = observe
        self._containers = containers

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


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "fake":
        kernel = FakeKernel()
        yield Subject(kernel.execute, kernel.observe, (("c0", "/run/netns/c0"), ("c1", "/run/netns/c1")))
        return
    if os.geteuid() != 0:
        pytest.skip("the real kernel needs root")
    host = Host(NUMBER)
    made = (Namespace(), Namespace())
    host.containers += made
    places = ((made[0].name, made[0].path), (made[1].name, made[1].path))
    yield Subject(lambda op: host.run(lambda: host.driver.execute(op)), host.observe, places)
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
