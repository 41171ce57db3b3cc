"""What this host has given to whom: kept step by step, and the same as read from the facts."""

from __future__ import annotations

import random

from playbook import ME, config

from core.board import Board
from core.context import Context
from core.ipam.held import Held
from core.kinds import AddressRecord, address_key, put
from core.types import Address, Cidr, Instant, PeerName
from crdt.fact import Fact, Origin
from crdt.store import Store

IDENTS = ("c1", "c2", "c3")


def context() -> Context:
    return Context(config(), Store(), Board(Origin(ME, 1)), random.Random(1))


def seen(held: Held) -> tuple[object, ...]:
    """Return all that can be asked of it."""
    at = tuple(held.at(Address(number)) for number in range(12))
    return held.items(), held.between(3, 9), at, tuple(held.of(ident) for ident in IDENTS)


def test_what_is_kept_step_by_step_equals_what_the_facts_say() -> None:
    where, entropy = context(), random.Random(7)
    held = Held(where)
    for _ in range(300):
        address, ident = Address(entropy.randrange(12)), entropy.choice(IDENTS)
        holder = held.at(address)
        if holder is None:
            held.take(ident, Cidr(address, entropy.choice((120, 124))), "claim")
        elif entropy.random() < 0.7:
            held.drop(holder, address)
        else:
            held.drop(ident, address)
        assert seen(held) == seen(Held(where))


def test_two_facts_about_one_address_are_read_from_the_facts_alone() -> None:
    where = context()
    where.write(put(address_key("c2", Address(5)), AddressRecord(5, 120, "allocate", 0)))
    where.write(put(address_key("c1", Address(5)), AddressRecord(5, 120, "allocate", 0)))
    held = Held(where)
    assert held.at(Address(5)) == "c2"
    held.drop("c2", Address(5))
    assert held.at(Address(5)) == "c1"
    assert seen(held) == seen(Held(where))


def test_the_addresses_of_others_are_none_of_ours() -> None:
    where = context()
    held = Held(where)
    held.take("c1", Cidr(Address(5), 120), "claim")
    theirs = put(address_key("c2", Address(6)), AddressRecord(6, 120, "allocate", 0))
    where.board.absorb(Origin(PeerName("other"), 1), (Fact(1, theirs.key, theirs.kind, theirs.body),))
    assert held.items() == ((Address(5), "c1"),)


def test_an_address_keeps_the_time_and_the_reason_of_when_it_was_first_given() -> None:
    where = context()
    where.at = Instant(0, 1_000)
    held = Held(where)
    held.take("c1", Cidr(Address(5), 120), "allocate")
    where.at = Instant(0, 2_000)
    held.take("c1", Cidr(Address(5), 120), "claim")
    assert [record for _, record in where.board.of(ME, AddressRecord)] == [AddressRecord(5, 120, "allocate", 1_000)]
    assert len(where.changes) == 1
