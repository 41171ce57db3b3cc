"""What is done to kernels is made up for by agents, sooner where there is news of it, and ends with the trouble."""

from __future__ import annotations

import pytest
from watched import TWO, A, B, Watched

from core.reconcile.objects import Bridge, Endpoint
from sim.actions import (
    Action,
    Attach,
    ClearAway,
    Heal,
    HostIndex,
    KernelTrouble,
    Kill,
    LeaveBehind,
    LoseObject,
    MuteKernel,
    Split,
    Squat,
    Start,
    UnmuteKernel,
    Unplug,
)
from sim.netlink import TROUBLES

SOON_MS = 1_000
SWEEP_MS = 62_000
ADDRESS = "address web ethwe 10.32.0.1/24"


@pytest.fixture
def watched() -> Watched:
    """Return two hosts with a container each."""
    made = Watched(TWO)
    made.perform(Attach(A, "web"), Attach(B, "db"))
    made.wait(3_000)
    assert has(made, A, ADDRESS)
    return made


def has(watched: Watched, host: HostIndex, key: str) -> bool:
    return key in [" ".join(item.key) for item in watched.world.hosts[host].kernel.observe()]


def is_well(watched: Watched, host: HostIndex) -> bool:
    """Say whether a kernel is as wanted."""
    heart = watched.world.hosts[host].heart
    return set(watched.world.hosts[host].kernel.observe()) == set(heart.desired())  # type: ignore[union-attr]


@pytest.mark.parametrize("key", ["bridge weave", "vxlan vxlan-6784", "endpoint web ethwe", "up web ethwe"])
def test_a_lost_link_is_news_and_back_soon(watched: Watched, key: str) -> None:
    assert watched.perform(LoseObject(A, key)) == [True]
    assert not is_well(watched, A)
    watched.wait(SOON_MS)
    assert is_well(watched, A)


def test_what_there_is_no_news_of_is_found_by_the_sweep(watched: Watched) -> None:
    watched.perform(LoseObject(A, ADDRESS))
    watched.wait(SOON_MS)
    assert not has(watched, A, ADDRESS)
    watched.wait(SWEEP_MS)
    assert is_well(watched, A)


def test_a_mute_kernel_loses_news_for_good(watched: Watched) -> None:
    watched.perform(MuteKernel(A), LoseObject(A, "up web ethwe"), UnmuteKernel(A))
    watched.wait(SOON_MS)
    assert not is_well(watched, A)
    watched.wait(SWEEP_MS)
    assert is_well(watched, A)


def test_an_interface_out_of_the_bridge_is_put_back_and_keeps_its_place(watched: Watched) -> None:
    kernel = watched.world.hosts[A].kernel
    (before,) = kernel.tables().plugs
    assert watched.perform(Unplug(A, "endpoint web ethwe"), Unplug(A, ADDRESS)) == [True, False]
    watched.wait(SOON_MS)
    assert is_well(watched, A)
    assert list(kernel.tables().plugs) == [before], "the same interface"


def test_a_usurper_is_named_and_left_alone_until_it_goes(watched: Watched) -> None:
    host = watched.world.hosts[A]
    assert watched.perform(Squat(A, "bridge weave"), Squat(A, "vxlan vxlan-6784")) == [True, False]
    watched.wait(SOON_MS)
    assert [item.key for item in host.kernel.foreign] == [("bridge", "weave")]
    assert not any(isinstance(item, Bridge) for item in host.kernel.observe())
    status = host.heart.describe(host.clock.at(watched.world.now_us))  # type: ignore[union-attr]
    assert [trouble.what for trouble in status.kernel if "not ours" in trouble.why] == ["create bridge weave"]
    assert watched.perform(ClearAway(A), ClearAway(A)) == [True, False]
    watched.wait(12_000)
    assert is_well(watched, A)


def test_leftovers_stay_until_it_is_certain_that_nobody_needs_them(watched: Watched) -> None:
    number = watched.world.hosts[A].kernel.tables().number
    assert watched.perform(LeaveBehind(B, "old", number, False)) == [False], "the agent is there"
    watched.perform(Kill(B), Split((B,)))
    assert watched.perform(LeaveBehind(B, "old", number, True), LeaveBehind(B, "old", 1, True)) == [True, False]
    watched.perform(Start(B))
    watched.wait(SOON_MS)
    assert has(watched, B, "endpoint old ethwe"), "A might know more of us than we do"
    watched.perform(Heal())
    watched.wait(20_000)
    assert is_well(watched, B)
    assert has(watched, B, "endpoint db ethwe")


@pytest.mark.parametrize("kind", TROUBLES)
def test_containers_get_attached_through_every_kind_of_trouble(watched: Watched, kind: str) -> None:
    watched.perform(KernelTrouble(A, 40, kind))
    for index in range(5):
        watched.perform(Attach(A, f"c{index}"))
    watched.settle()
    pairs = [item for item in watched.world.hosts[A].kernel.observe() if isinstance(item, Endpoint)]
    assert len(pairs) == 6 or kind == "refused"


def test_trouble_of_no_kind_does_not_take_place(watched: Watched) -> None:
    assert watched.perform(KernelTrouble(A, 40, "bad luck")) == [False]


def test_all_trouble_ends() -> None:
    watched = Watched(TWO)
    trouble: list[Action] = [KernelTrouble(A, 95, kind) for kind in TROUBLES]
    watched.perform(*trouble, MuteKernel(A), Squat(B, "bridge weave"), Attach(A, "web"))
    watched.settle()
    assert watched.world.hosts[B].kernel.foreign == ()
    assert not watched.world.hosts[A].netlink.is_mute


def test_nothing_is_left_behind_where_there_is_no_kernel() -> None:
    watched = Watched(kernels=False)
    assert watched.perform(Kill(B), LeaveBehind(B, "old", 7, False)) == [True, False]
