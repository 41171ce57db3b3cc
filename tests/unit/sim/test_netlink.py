"""Each way in which a request to a kernel goes wrong, and what is in the kernel then."""

from __future__ import annotations

import random

import pytest

from core.reconcile.objects import (
    Again,
    AlreadySo,
    Bridge,
    Done,
    Endpoint,
    EndpointAddress,
    EndpointUp,
    Hop,
    Op,
    Refused,
    Verb,
)
from core.types import ShortId
from sim.kernel import FakeKernel
from sim.netlink import SLOW_US, Netlink, is_news

BRIDGE = Bridge("weave", "02:00:00:00:00:01", 1376)
PAIR = Endpoint("c", "ethwe", "vethwepl0000001", "/run/netns/c", "02:00:00:00:01:01", 1376)


def netlink(kind: str) -> Netlink:
    """Return a way to the kernel on which something always goes wrong."""
    made = Netlink(random.Random(1))
    made.trouble(kind, 100)
    return made


def create(kind: str, kernel: FakeKernel, item: Bridge | Endpoint) -> object:
    return netlink(kind).execute(kernel, Op(Verb.CREATE, item))


def test_a_busy_kernel_has_done_nothing() -> None:
    kernel = FakeKernel()
    assert isinstance(create("busy", kernel, BRIDGE), Again)
    assert kernel.observe() == ()


def test_a_lost_answer_hides_what_was_done_and_doing_it_again_shows_so() -> None:
    kernel = FakeKernel()
    assert isinstance(create("answer", kernel, BRIDGE), Again)
    assert kernel.observe() == (BRIDGE,)
    assert kernel.execute(Op(Verb.CREATE, BRIDGE)) == AlreadySo()


def test_a_half_made_pair_carries_nothing_and_is_made_whole_by_trying_again() -> None:
    kernel = FakeKernel()
    kernel.execute(Op(Verb.CREATE, BRIDGE))
    assert isinstance(create("half", kernel, PAIR), Again)
    (found,) = (item for item in kernel.observe() if isinstance(item, Endpoint))
    assert not found.is_whole
    (plug,) = kernel.tables().plugs.values()
    assert (plug.is_up, plug.is_plugged, plug.has_program) == (False, False, False)
    assert kernel.execute(Op(Verb.CREATE, PAIR)) == Done()
    assert PAIR in kernel.observe()


def test_only_pairs_can_be_half_made() -> None:
    kernel = FakeKernel()
    assert create("half", kernel, BRIDGE) == Done()


def test_a_refusal_is_no_passing_trouble() -> None:
    kernel = FakeKernel()
    assert isinstance(create("refused", kernel, BRIDGE), Refused)
    assert kernel.observe() == ()


def test_a_slow_kernel_takes_its_time() -> None:
    usual = (50, 1_000)
    assert netlink("slow").delay_us(usual) >= SLOW_US[0]
    assert netlink("busy").delay_us(usual) <= usual[1]


def test_trouble_ends() -> None:
    way = netlink("busy")
    way.trouble("busy", 0)
    assert way.execute(FakeKernel(), Op(Verb.CREATE, BRIDGE)) == Done()
    way.trouble("refused", 100)
    way.end_trouble()
    assert way.execute(FakeKernel(), Op(Verb.CREATE, BRIDGE)) == Done()


@pytest.mark.parametrize(
    ("item", "is_told"),
    [
        (BRIDGE, True),
        (PAIR, True),
        (EndpointUp("c", "ethwe", "/run/netns/c"), True),
        (EndpointAddress("c", "ethwe", "/run/netns/c", "10.32.0.1/12"), False),
        (Hop(ShortId(1), ShortId(1), "10.0.0.1", 6784), False),
    ],
)
def test_the_kernel_tells_of_links_only(item: Bridge, is_told: bool) -> None:
    assert is_news(item) is is_told
