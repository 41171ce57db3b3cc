"""The checks of frames bite: each planted fault in a kernel is found, and named with hosts, endpoint and reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from watched import THREE, A, B, C, Watched

from core.reconcile.objects import Endpoint, EndpointAddress, EndpointUp, Hop, Op, Tree, Verb
from sim.actions import Attach, HostIndex, LoseObject, Squat
from sim.books import Violation
from sim.host import Host
from sim.scenario import HostSpec

LINE = ((A, C), (C, A))
"""The walls that leave A–B–C."""
HIDDEN = (HostSpec("a"), HostSpec("b", (A,), behind_nat=True))


@pytest.fixture
def line() -> Watched:
    """Return three hosts in a line with a container each, all well."""
    watched = Watched(THREE, walls=LINE)
    watched.perform(Attach(A, "web"), Attach(B, "relay"), Attach(C, "db"))
    watched.wait(3_000)
    assert unreachable(watched) == []
    return watched


def unreachable(watched: Watched) -> list[str]:
    return watched.run.checks._reach.unreachable()


def own(host: Host, kind: type, **fields: object) -> Hop | Tree:
    """Return an object of a kernel."""
    return next(
        item
        for item in host.kernel.observe()
        if isinstance(item, kind) and all(getattr(item, name) == value for name, value in fields.items())
    )


def number(watched: Watched, host: HostIndex) -> int:
    return watched.world.hosts[host].kernel.tables().number


def test_a_missing_hop_is_named_with_the_host_that_lacks_it(line: Watched) -> None:
    relay = line.world.hosts[B]
    relay.kernel.lose(own(relay, Hop, destination=number(line, C)))
    reason = f"db/ethwe on c: dropped at b, no_hop: to number {number(line, C)}"
    # Who has no hop to a neighbour takes nothing from it either.
    back = "dropped at b, stranger: 10.0.0.3 is no neighbour"
    assert [problem.partition(" (way")[0] for problem in unreachable(line)] == [
        f"I9: web/ethwe on a does not reach {reason}",
        f"I9: relay/ethwe on b does not reach {reason}",
        f"I9: db/ethwe on c does not reach web/ethwe on a: {back}",
        f"I9: db/ethwe on c does not reach relay/ethwe on b: {back}",
    ]


def test_a_wrong_tree_is_named_with_who_is_missed(line: Watched) -> None:
    relay = line.world.hosts[B]
    tree = own(relay, Tree, source=number(line, A))
    relay.kernel.execute(Op(Verb.CHANGE, replace(tree, children=())))
    assert unreachable(line)[0].startswith("I9: what a sends to everybody does not come to c, db/ethwe on c")


def test_copies_that_nobody_takes_are_waste(line: Watched) -> None:
    relay = line.world.hosts[B]
    tree = own(relay, Tree, source=number(line, A))
    back = (*tree.children, (number(line, A), tree.parent))
    relay.kernel.execute(Op(Verb.CHANGE, replace(tree, children=back)))
    assert "sent where nobody takes it: dropped at a, loop" in unreachable(line)[0]


def test_a_cut_is_a_reason(line: Watched) -> None:
    line.world.network.cut(B, C)
    assert any("dropped at b, cut: to 10.0.0.3" in problem for problem in unreachable(line))


def test_what_a_nat_keeps_out_is_excused() -> None:
    watched = Watched(HIDDEN)
    watched.perform(Attach(A, "web"), Attach(B, "db"))
    watched.wait(3_000)
    assert len(watched.world.traffic.plugs(watched.world.hosts[B])) == 1
    assert unreachable(watched) == []


def test_a_frame_that_comes_twice_is_a_violation(line: Watched) -> None:
    relay, far = line.world.hosts[B], line.world.hosts[C]
    tree = own(relay, Tree, source=number(line, A))
    relay.kernel.execute(Op(Verb.CHANGE, replace(tree, children=(*tree.children, *tree.children))))
    assert len(far.kernel.tables().plugs) == 1
    with pytest.raises(Violation, match=r"I5: a frame of .* came to c 2 times, over a>b b>c b>c"):
        unreachable(line)


def open_up(watched: Watched, verb: Verb, kind: type) -> None:
    """Do one operation too many or too few on the endpoint of A, as an agent with a wrong plan would."""
    host = watched.world.hosts[A]
    op = Op(verb, own(host, kind))
    result = host.kernel.execute(op)
    watched.run.checks.operated(host, op, result)


def test_an_endpoint_that_is_up_without_an_address_is_a_violation(line: Watched) -> None:
    with pytest.raises(Violation, match="I5: web/ethwe on a is up without an address"):
        open_up(line, Verb.REMOVE, EndpointAddress)


def test_an_address_that_was_not_granted_is_a_violation(line: Watched) -> None:
    host = line.world.hosts[A]
    pair = own(host, Endpoint)
    op = Op(Verb.CREATE, EndpointAddress("web", "ethwe", pair.netns, "10.32.0.200/24"))
    with pytest.raises(Violation, match=r"is up with 10.32.0.200/24, which it was not granted; it was granted \('10"):
        line.run.checks.operated(host, op, host.kernel.execute(op))


def test_what_others_do_is_excused_until_the_agent_has_seen_it_and_makes_something(line: Watched) -> None:
    host = line.world.hosts[A]
    host.kernel.lose(own(host, EndpointAddress))
    line.run.checks.snapshot()
    host.kernel.dump()
    line.run.checks.snapshot()
    with pytest.raises(Violation, match="up without an address"):
        open_up(line, Verb.CREATE, EndpointUp)


def test_a_usurper_that_status_does_not_name_is_a_violation(line: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.reconcile.reconciler.Reconciler.failures", ())
    line.perform(Squat(A, "vxlan vxlan-6784"))
    with pytest.raises(Violation, match="something that is not ours is called vxlan vxlan-6784 on a"):
        line.wait(20_000)


def test_a_kernel_that_stays_as_it_is_not_wanted_is_a_violation(line: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.reconcile.reconciler.SWEEP_MS", 10**9)
    for host in line.world.hosts:
        host.heart.reconciler._is_busy = True  # type: ignore[union-attr]  # an agent that has lost an answer
    line.perform(LoseObject(B, f"hop {number(line, A)}"))
    with pytest.raises(Violation, match=r"I8: kernel of b: missing \['hop .* for 80 s"):
        line.settle()


def test_hosts_without_kernels_are_asked_for_no_frames() -> None:
    assert unreachable(Watched(THREE, kernels=False)) == []
