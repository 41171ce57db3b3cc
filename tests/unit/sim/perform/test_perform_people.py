"""What people do takes place when it makes sense, and as they would type it."""

from __future__ import annotations

import pytest
from watched import THREE, A, B, C, Watched

from core.effects import Answer, Ok
from core.events import Commanded, ContainerGone
from core.events import RemovePeers as RemoveCommand
from core.ipam.universe import universe_of
from sim.actions import (
    Attach,
    ClaimAddress,
    CutPower,
    EndContainer,
    Kill,
    Relaunch,
    RemovePeers,
    ResetHost,
    Start,
    Take,
)
from sim.books import User, Violation

OTHER = "10.9.0.0/24"


def test_a_host_is_launched_with_another_range() -> None:
    watched = Watched(allow=("two-rings",))
    host = watched.world.hosts[B]
    assert watched.perform(Relaunch(B, OTHER)) == [True]
    assert host.config.universe == universe_of(OTHER)
    assert host.life == 3, "killed and started"
    assert watched.perform(Relaunch(B)) == [True]
    assert host.config == watched.run.scenario.configs()[B]


def test_a_host_is_launched_with_other_names() -> None:
    watched = Watched(allow=("two-rings",))
    host = watched.world.hosts[B]
    watched.perform(Kill(B), Relaunch(B, ring="seed", among=(B,)))
    assert host.heart is not None
    assert host.config.seed.names == (host.config.peer,)


def test_other_settings_go_beyond_the_promises() -> None:
    watched = Watched()
    assert watched.perform(Relaunch(B, OTHER), Relaunch(B)) == [False, True]


def test_a_container_ends_while_no_agent_looks() -> None:
    watched = Watched()
    watched.perform(Attach(A, "web"))
    watched.wait(1_000)
    watched.perform(Kill(A))
    assert watched.perform(EndContainer(A, "web"), EndContainer(A, "web")) == [True, False]
    assert watched.perform(Start(A)) == [True]
    assert [event.container for event in watched.events(A, ContainerGone)] == ["web"]


def test_a_container_ends_before_it_is_attached() -> None:
    watched = Watched()
    watched.perform(Attach(A, "web"))
    assert watched.perform(EndContainer(A, "web")) == [True]
    watched.wait(1_000)
    assert list(watched.stage.books.replies[A]) == ["no attach web: web has ended"]
    assert watched.perform(Attach(A, "web")) == [True], "the name is free"


def test_operators_call_hosts_by_their_nicknames() -> None:
    watched = Watched(THREE)
    watched.perform(CutPower(C))
    watched.wait(60_000)
    assert watched.perform(RemovePeers(A, (C,), False)) == [True]
    commands = [event.command for event in watched.events(A, Commanded)]
    assert commands == [RemoveCommand(("c",), False)]


def test_containers_that_outlive_a_reset_do_not_come_back_with_what_others_have_by_then() -> None:
    watched = Watched()
    watched.perform(Attach(B, "db"), Take(B, ("name",)))
    watched.wait(3_000)
    host = watched.world.hosts[B]
    assert len(watched.world.traffic.plugs(host)) == 1
    assert watched.perform(ResetHost(B)) == [True]
    watched.wait(5_000)
    assert host.heart is None
    assert "/run/netns/db" in host.netns
    watched.perform(Start(B))
    watched.wait(20_000)
    assert watched.world.traffic.plugs(host) == ()
    assert host.heart.describe(host.clock.at(watched.world.now_us)).attachments == ()  # type: ignore[union-attr]
    assert host.heart.allocator.held("name") == ()  # type: ignore[union-attr]


def test_an_address_of_somebody_else_is_claimed_and_refused_and_who_wanted_it_goes_away() -> None:
    watched = Watched()
    assert watched.perform(Take(A, ("c1",)))
    watched.wait(1_000)
    address = watched.stage.books.users[A]["c1"].addresses[0]
    assert watched.perform(ClaimAddress(B, "c2", address)) == [True]
    watched.wait(1_000)
    assert watched.stage.books.refusals == {"claim-address": 1}
    assert "c2" not in watched.stage.books.users[B]


def test_a_free_address_is_claimed_and_relied_on_wherever_it_was() -> None:
    watched = Watched()
    assert watched.perform(ClaimAddress(B, "c1", "10.32.0.9")) == [True]
    watched.wait(2_000)
    assert watched.stage.books.users[B]["c1"].addresses == ("10.32.0.9",)
    with pytest.raises(Violation, match=r"I2: 10.32.0.9 was given to c2 on host 0; c1 on host 1 has it"):
        give(watched, "10.32.0.9")


def give(watched: Watched, address: str) -> None:
    """Answer a claim well that nobody else has seen."""
    books = watched.stage.books
    books.users[A]["c2"] = User("c2", False)
    request = watched.stage.asking(watched.world.hosts[A], "c2", "claim-address", address)
    books.answered(A, "a", Answer(request, Ok("")), ring=books.ring_of(B, "c1", address), is_unaware=False)


@pytest.mark.parametrize("address", ["10.33.0.1", "nonsense", ""])
def test_what_is_no_address_of_the_range_is_not_claimed(address: str) -> None:
    assert Watched().perform(ClaimAddress(B, "c1", address)) == [False]
