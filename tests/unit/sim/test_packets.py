"""Frames through tables, in the smallest worlds that show each rule; the kernel itself is asked in `tests/kernel`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.packets import EVERYBODY, JOURNEY_MAX, TTL, Branch, Exit, Frame, Journey, Place, Plug, Tables, send

A, B, C = 0, 1, 2


def mac(host: int) -> str:
    return f"02:00:00:00:00:{host + 1:02x}"


def address(host: int) -> str:
    return f"10.0.0.{host + 1}"


def wires(source: int, target: str) -> tuple[int, str] | None:
    return int(target.rpartition(".")[2]) - 1, address(source)


def table(host: int, hops: dict[int, int], trees: dict[int, tuple[int | None, tuple[int, ...]]]) -> Tables:
    """Return a host with one container; hosts are named by index, and their numbers are one more."""
    return Tables(
        number=host + 1,
        has_port=True,
        is_joined=True,
        hops={target + 1: Exit(address(via), via + 1) for target, via in hops.items()},
        trees={source + 1: branch(parent, children) for source, (parent, children) in trees.items()},
        plugs={7: Plug((f"c{host}", "ethwe"), mac(host), 7, True, True, True)},
        macs={},
    )


def branch(parent: int | None, children: tuple[int, ...]) -> Branch:
    exits = tuple(Exit(address(child), child + 1) for child in children)
    return Branch(None, exits) if parent is None else Branch(address(parent), exits, parent + 1)


def line() -> list[Tables]:
    """Return A–B–C."""
    return [
        table(A, {B: B, C: B}, {A: (None, (B,)), B: (B, ()), C: (B, ())}),
        table(B, {A: A, C: C}, {A: (A, (C,)), B: (None, (A, C)), C: (C, (A,))}),
        table(C, {A: B, B: B}, {A: (B, ()), B: (B, ()), C: (None, (B,))}),
    ]


def knowing(tables: list[Tables], host: int, **places: Place) -> list[Tables]:
    known = {mac("ABC".index(name)): place for name, place in places.items()}
    return [replace(item, macs=known) if index == host else item for index, item in enumerate(tables)]


def received(journey: Journey) -> dict[int, int]:
    return {host: count for (host, _), count in journey.copies.items()}


def whys(journey: Journey) -> list[tuple[int, str]]:
    return [(drop.host, drop.why) for drop in journey.drops]


def test_a_broadcast_follows_the_tree_and_everybody_learns_its_source() -> None:
    journey = send(line(), A, 7, Frame(mac(A), EVERYBODY), wires)
    assert received(journey) == {B: 1, C: 1}
    assert journey.arrivals == {B: 1, C: 1}
    assert journey.hops == ((A, B), (B, C))
    assert journey.learnt == ((A, mac(A), Place(0, 7)), (B, mac(A), Place(1, 0)), (C, mac(A), Place(1, 0)))


def test_known_unicast_is_relayed_without_entering_hosts_between() -> None:
    journey = send(knowing(line(), A, C=Place(3, 0)), A, 7, Frame(mac(A), mac(C)), wires)
    assert received(journey) == {C: 1}
    assert journey.hops == ((A, B), (B, C))
    assert {host for host, _, _ in journey.learnt} == {A, C}


def test_unknown_unicast_floods_and_only_its_owner_takes_it() -> None:
    journey = send(line(), A, 7, Frame(mac(A), mac(C)), wires)
    assert received(journey) == {C: 1}
    assert journey.arrivals == {B: 1, C: 1}


def test_a_triangle_of_trees_that_do_not_fit_loses_copies_and_doubles_none() -> None:
    everywhere = {A: (None, (B, C)), B: (B, (C,)), C: (C, (B,))}
    tables = [
        table(A, {}, everywhere),
        table(B, {}, {A: (A, (C,))}),
        table(C, {}, {A: (B, (B,))}),
    ]
    journey = send(tables, A, 7, Frame(mac(A), EVERYBODY), wires)
    assert received(journey) == {B: 1, C: 1}
    assert whys(journey) == [(C, "parent"), (B, "parent")]
    assert "10.0.0.1 is not our parent 10.0.0.2" in journey.drops[0].about


def circle_towards(nowhere: int) -> list[Tables]:
    """Return three hosts of which each sends to the next one what is for nowhere, and knows the one before and `3`."""
    return [
        replace(
            table(host, {}, {}),
            hops={nowhere: Exit(address((host + 1) % 3)), 7: Exit(address((host + 2) % 3)), 8: Exit(address(3))},
        )
        for host in (A, B, C)
    ]


def test_who_is_no_neighbour_is_not_heard() -> None:
    tables = knowing(line(), A, C=Place(3, 0))
    tables[B] = replace(tables[B], hops={3: tables[B].hops[3]})
    assert whys(send(tables, A, 7, Frame(mac(A), mac(C)), wires)) == [(B, "stranger")]
    tables[B] = replace(tables[B], hops={3: tables[B].hops[3], 9: Exit(address(A))})
    assert received(send(tables, A, 7, Frame(mac(A), mac(C)), wires)) == {C: 1}, "neighbours may send for anybody"


def test_hosts_that_send_to_each_other_in_circles_end_it_by_counting() -> None:
    nowhere = 9
    circle = circle_towards(nowhere)
    outside = replace(table(3, {}, {}), hops={nowhere: Exit(address(A))}, macs={mac(9): Place(nowhere, 0)})
    journey = send([*circle, outside], 3, 7, Frame(mac(3), mac(9)), wires)
    assert [why for _, why in whys(journey)] == ["ttl"]
    assert len(journey.hops) == TTL


def test_what_comes_back_to_its_source_ends_there() -> None:
    nowhere = 9
    circle = circle_towards(nowhere)
    circle[A] = replace(circle[A], macs={mac(9): Place(nowhere, 0)})
    assert whys(send(circle, A, 7, Frame(mac(A), mac(9)), wires)) == [(A, "loop")]


def test_back_to_where_it_came_from_it_does_not_go() -> None:
    tables = knowing(line(), A, C=Place(3, 0))
    tables[B] = replace(tables[B], hops={3: Exit(address(A))})
    assert whys(send(tables, A, 7, Frame(mac(A), mac(C)), wires)) == [(B, "loop")]


def test_each_thing_that_is_missing_has_its_name() -> None:
    tables, frame = line(), Frame(mac(A), EVERYBODY)

    def whys_with(host: int, **changes: object) -> list[tuple[int, str]]:
        changed = [replace(item, **changes) if index == host else item for index, item in enumerate(tables)]  # type: ignore[arg-type]  # any field
        return whys(send(changed, A, 7, frame, wires))

    plug = tables[A].plugs[7]
    assert whys_with(A, number=0) == [(A, "no_id")]
    assert whys_with(A, trees={}) == [(A, "no_tree")]
    assert whys_with(A, plugs={}) == [(A, "gone")]
    assert whys_with(A, plugs={7: replace(plug, is_up=False)}) == [(A, "down")]
    assert whys_with(A, plugs={7: replace(plug, is_plugged=False)}) == [(A, "unplugged")]
    assert whys_with(B, has_port=False) == [(B, "no_port")]
    assert whys_with(B, is_joined=False) == [(B, "unplugged")]
    assert whys(send(tables, A, 7, frame, lambda source, target: None)) == [(A, "cut")]
    known = knowing(line(), A, B=Place(2, 0))
    assert whys(send([replace(known[A], hops={}), *known[1:]], A, 7, Frame(mac(A), mac(B)), wires)) == [(A, "no_hop")]
    assert whys(send(knowing(line(), A, C=Place(0, 8)), A, 7, Frame(mac(A), mac(C)), wires)) == [(A, "gone")]
    assert whys(send(knowing(line(), A, C=Place(0, 8)), A, 0, Frame(mac(A), mac(C)), wires)) == [(A, "local")]


def test_two_containers_of_a_host_meet_in_its_bridge_and_then_past_it() -> None:
    tables = line()
    other = Plug(("d", "ethwe"), mac(9), 8, True, True, True)
    tables[A] = replace(tables[A], plugs={**tables[A].plugs, 8: other})
    assert received(send(tables, A, 7, Frame(mac(A), mac(9)), wires)) == {A: 1}
    tables[A] = replace(
        tables[A], macs={mac(9): Place(0, 8)}, plugs={7: tables[A].plugs[7], 8: replace(other, is_plugged=False)}
    )
    assert received(send(tables, A, 7, Frame(mac(A), mac(9)), wires)) == {A: 1}


def test_without_the_reverse_path_check_frames_would_multiply_and_still_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sim.packets.is_from_parent", lambda tree, remote, via: True)
    number = 9
    tables = [
        replace(table(host, {}, {}), trees={number: branch(None, tuple(o for o in (A, B, C) if o != host))})
        for host in (A, B, C)
    ]
    tables[A] = replace(tables[A], number=number)
    tables.append(replace(tables[B], number=4, trees={number: branch(None, (A, B, C))}))
    tables[B] = replace(tables[B], trees={number: branch(None, (B, C, 3))})
    journey = send(tables, A, 7, Frame(mac(A), EVERYBODY), wires)
    assert any(count > 1 for count in journey.copies.values())
    assert len(journey.hops) == JOURNEY_MAX
    assert "storm" in [why for _, why in whys(journey)]


def sleeves(source: int, number: int) -> tuple[int, int] | None:
    return number - 1, source + 1


def sleeved(tables: list[Tables], *links: tuple[int, int]) -> list[Tables]:
    """Let the sleeve carry frames between some hosts, and VXLAN between the others."""

    def exit_of(host: int, to: Exit) -> Exit:
        other = to.number - 1
        return to._replace(is_sleeved=(host, other) in links or (other, host) in links)

    return [
        replace(
            here,
            has_tap=True,
            hops={number: exit_of(host, to) for number, to in here.hops.items()},
            trees={
                number: replace(tree, children=tuple(exit_of(host, child) for child in tree.children))
                for number, tree in here.trees.items()
            },
        )
        for host, here in enumerate(tables)
    ]


@pytest.mark.parametrize("links", [((A, B),), ((B, C),), ((A, B), (B, C))])
def test_frames_pass_any_mix_of_transports(links: tuple[tuple[int, int], ...]) -> None:
    tables = sleeved(line(), *links)
    journey = send(tables, A, 7, Frame(mac(A), EVERYBODY), wires, sleeves)
    assert (received(journey), journey.drops) == ({B: 1, C: 1}, ())
    known = knowing(tables, A, C=Place(3, 0))
    assert received(send(known, A, 7, Frame(mac(A), mac(C)), wires, sleeves)) == {C: 1}


def test_the_sleeve_has_rules_of_its_own_for_where_a_frame_may_come_from_and_go_to() -> None:
    tables, frame = sleeved(line(), (A, B)), Frame(mac(A), EVERYBODY)
    tables[B] = replace(tables[B], trees={1: replace(tables[B].trees[1], parent_number=3)})
    assert whys(send(tables, A, 7, frame, wires, sleeves)) == [(B, "parent")]
    tables = knowing(sleeved(line(), (A, B)), A, C=Place(3, 0))
    tables[B] = replace(tables[B], hops={3: Exit(address(A), 1)})
    assert whys(send(tables, A, 7, Frame(mac(A), mac(C)), wires, sleeves)) == [(B, "loop")]


def test_what_the_sleeve_lacks_has_its_name() -> None:
    frame = Frame(mac(A), EVERYBODY)
    tables = sleeved(line(), (A, B))
    assert whys(send(tables, A, 7, frame, wires)) == [(A, "cut")]
    without = [replace(tables[A], has_tap=False), *tables[1:]]
    assert whys(send(without, A, 7, frame, wires, sleeves)) == [(A, "no_tap")]
    without = [tables[A], replace(tables[B], has_tap=False), tables[C]]
    assert whys(send(without, A, 7, frame, wires, sleeves)) == [(B, "no_tap")]
    without = [tables[A], replace(tables[B], has_port=False), tables[C]]
    assert whys(send(without, A, 7, frame, wires, sleeves)) == [(B, "no_port"), (B, "no_port")]
