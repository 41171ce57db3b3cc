"""Laws of plans (P1 to P4), on kernels in any state, with operations that fail."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Config
from core.ipam.universe import universe_of
from core.kinds import AttachmentRecord
from core.reconcile.desired import desired
from core.reconcile.objects import (
    Again,
    Bridge,
    Endpoint,
    EndpointAddress,
    EndpointUp,
    KernelObject,
    Op,
    OpResult,
    Refused,
    VxlanPort,
)
from core.reconcile.plan import held_back, plan
from core.types import HostPort, PeerName, ShortId
from sim.kernel import FakeKernel

ME = PeerName("02:00:00:00:00:01")
PEERS = tuple(PeerName(f"02:00:00:00:00:{index:02x}") for index in range(2, 6))
CONFIG = Config(peer=ME, nickname="me", universe=universe_of("10.32.0.0/12"))

CIDRS = [*(f"10.32.0.{n}/12" for n in range(1, 5)), *(f"fd00::{n}/64" for n in range(1, 3))]
addresses = st.lists(st.sampled_from(CIDRS), min_size=1, max_size=3, unique=True)
records = st.builds(
    AttachmentRecord,
    mac=st.sampled_from(["02:00:00:00:01:01", "02:00:00:00:01:02"]),
    addresses=addresses.map(tuple),
    netns=st.sampled_from(["/run/netns/one", "/run/netns/two"]),
    multicast_route=st.booleans(),
    why=st.just("attach"),
    at_ms=st.integers(0, 3),
)
attachments = st.dictionaries(st.sampled_from(["c1", "c2", "c3"]), records, max_size=3)
neighbours = st.sets(st.sampled_from(PEERS), max_size=3)


@st.composite
def desires(draw: st.DrawFn) -> tuple[KernelObject, ...]:
    """Draw what a host may want: peers at some distance, and containers."""
    near = sorted(draw(neighbours))
    ids = {peer: ShortId(index + 2) for index, peer in enumerate(PEERS)}
    hops = {peer: draw(st.sampled_from(near)) for peer in PEERS} if near else {}
    hops.update({peer: peer for peer in near})
    places = {peer: HostPort(f"10.0.0.{ids[peer]}", 6784) for peer in near}
    trees = {ME: (None, tuple(near)), **{peer: (peer, ()) for peer in near}}
    wanted = [(name, "ethwe", record) for name, record in sorted(draw(attachments).items())]
    return desired(CONFIG, ShortId(1), ids, hops, places, trees, wanted)


def kernel_with(objects: tuple[KernelObject, ...]) -> FakeKernel:
    kernel = FakeKernel()
    run(kernel, plan(objects, (), may_remove=True))
    assert set(kernel.observe()) == set(objects)
    return kernel


def run(kernel: FakeKernel, ops: tuple[Op, ...]) -> None:
    done: list[tuple[Op, OpResult]] = []
    for op in ops:
        done.append((op, held_back(op, done) or kernel.execute(op)))
        check_closed(kernel)


def check_closed(kernel: FakeKernel) -> None:
    """P3: what is up has its pair, the devices it needs, and an address."""
    objects = kernel.observe()
    has_bridge = any(isinstance(item, Bridge) for item in objects)
    for item in objects:
        if isinstance(item, VxlanPort):
            assert has_bridge
        if isinstance(item, EndpointUp):
            mine = [
                other
                for other in objects
                if isinstance(other, Endpoint | EndpointAddress)
                and (other.container, other.ifname) == (item.container, item.ifname)
            ]
            assert any(isinstance(other, Endpoint) for other in mine), f"{item} without its pair"
            assert any(isinstance(other, EndpointAddress) for other in mine), f"{item} without an address"


@given(desires(), desires())
def test_a_plan_leads_from_any_state_to_the_desire_and_every_prefix_fails_closed(
    before: tuple[KernelObject, ...], after: tuple[KernelObject, ...]
) -> None:
    kernel = kernel_with(before)
    run(kernel, plan(after, kernel.observe(), may_remove=True))
    assert set(kernel.observe()) == set(after)


@given(desires())
def test_nothing_is_planned_when_all_is_as_desired(objects: tuple[KernelObject, ...]) -> None:
    assert plan(objects, objects, may_remove=True) == ()
    assert plan(objects, objects, may_remove=False) == ()


@given(desires(), desires())
def test_without_leave_nothing_goes_that_was_not_asked_for_in_another_form(
    before: tuple[KernelObject, ...], after: tuple[KernelObject, ...]
) -> None:
    kernel = kernel_with(before)
    strangers = {item.key for item in before} - {item.key for item in after}
    wanted_containers = {item.container for item in after if isinstance(item, Endpoint)}
    run(kernel, plan(after, kernel.observe(), may_remove=False))
    left = {item.key for item in kernel.observe()}
    for key in strangers:
        # Parts of an attachment that is wanted in another form may have to go with it.
        assert key in left or key[1] in wanted_containers


@settings(max_examples=60)
@given(desires(), desires(), st.integers(0, 1 << 32))
def test_operations_that_fail_are_made_up_for_by_planning_again(
    before: tuple[KernelObject, ...], after: tuple[KernelObject, ...], seed: int
) -> None:
    entropy = random.Random(seed)
    kernel = kernel_with(before)

    def fail(_op: Op) -> OpResult | None:
        return Again(100, "busy") if entropy.random() < 0.4 else None

    kernel.fail = fail
    for _ in range(3):
        run(kernel, plan(after, kernel.observe(), may_remove=True))
    kernel.fail = None
    run(kernel, plan(after, kernel.observe(), may_remove=True))
    run(kernel, plan(after, kernel.observe(), may_remove=True))
    assert set(kernel.observe()) == set(after)


@given(desires(), desires())
def test_a_crash_after_any_operation_leaves_a_state_from_which_the_rest_is_planned(
    before: tuple[KernelObject, ...], after: tuple[KernelObject, ...]
) -> None:
    for count in range(len(plan(after, before, may_remove=True)) + 1):
        kernel = kernel_with(before)
        run(kernel, plan(after, kernel.observe(), may_remove=True)[:count])
        run(kernel, plan(after, kernel.observe(), may_remove=True))
        assert set(kernel.observe()) == set(after)


@given(desires(), desires(), st.data())
def test_what_others_have_deleted_or_taken_apart_is_made_up_for(
    before: tuple[KernelObject, ...], after: tuple[KernelObject, ...], data: st.DataObject
) -> None:
    kernel = kernel_with(before)
    for item in data.draw(st.lists(st.sampled_from(before), max_size=4)):
        if isinstance(item, Endpoint) and data.draw(st.booleans()):
            kernel.unplug(item)
        else:
            kernel.lose(item, is_held=data.draw(st.booleans()))
    for op in plan(after, kernel.observe(), may_remove=True):
        assert not isinstance(kernel.execute(op), Again | Refused), op
    assert set(kernel.observe()) == set(after)


@pytest.mark.parametrize("may_remove", [True, False])
@given(objects=desires())
def test_what_is_foreign_is_never_touched(may_remove: bool, objects: tuple[KernelObject, ...]) -> None:
    foreign = Bridge("weave", "02:ff:ff:ff:ff:ff", 1500)
    kernel = FakeKernel(foreign=(foreign,))
    for op in plan(objects, kernel.observe(), may_remove=may_remove):
        kernel.execute(op)
    assert kernel.foreign == (foreign,)
    assert not any(isinstance(item, Bridge | VxlanPort | Endpoint) for item in kernel.observe())
