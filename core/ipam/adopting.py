"""Says again what earlier lives of this host have said of ring and addresses, before they are forgotten.

Whoever lost its disk finds its past with the others. What it owned, had given away and had let containers use still
counts, in whichever ring; and the ring in which it lived is the one to which it returns, unless it was reset.
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.ipam.earlier import earlier_facts
from core.ipam.held import Held, ident_of
from core.ipam.homes import is_decided_key
from core.ipam.seed import Seed
from core.ipam.steward import Steward
from core.kinds import AddressRecord, HomeRecord, RingClaim, SeedAccepted, put
from core.types import Address, Cidr

ADOPTED = ", adopted"
"""Ends the reason of an address that was given by an earlier life."""


def adopt(context: Context, held: Held, seed: Seed | None, make_steward: Callable[[], Steward | None]) -> bool:
    """Say it again, and say whether that was all: claims wait until the ring that they belong to is known."""
    bodies = tuple(earlier_facts(context))
    if seed is not None:
        _find_home(context, seed, bodies)
    for key, body in bodies:
        if isinstance(body, AddressRecord) and held.at(Address(body.address)) is None:
            why = body.why if body.why.endswith(ADOPTED) else body.why + ADOPTED
            held.take(ident_of(key), Cidr(Address(body.address), body.prefix), why, body.at_ms)
    claims = {key: body for key, body in bodies if isinstance(body, RingClaim)}
    steward = make_steward()
    if claims and seed is not None and steward is None:
        return False
    prefix = None if seed is None or seed.ring is None else f"ring/{seed.ring.ring_id}/"
    ours = {key: claim for key, claim in claims.items() if prefix is not None and key.startswith(prefix)}
    if steward is not None and ours:
        context.mark("ipam.adopted-earlier-life")
        steward.space.adopt(ours.values())
    for key, claim in claims.items():
        # Of other rings, in which this host may live again: as they are, for there nothing was said since.
        if key not in ours and context.board.get(context.me, key, RingClaim) is None:
            context.write(put(key, claim))
    return True


def _find_home(context: Context, seed: Seed, bodies: tuple[tuple[str, object], ...]) -> None:
    """Return to the ring of the earlier lives, if there is none yet."""
    for key, body in bodies:
        if isinstance(body, HomeRecord):
            seed.homes.former = body.ring
        elif isinstance(body, SeedAccepted) and key == seed.decided_key:
            seed.recall(body)
        elif isinstance(body, SeedAccepted) and is_decided_key(key) and _is_unsaid(context, key):
            # Of another range, which this host may be told again.
            context.write(put(key, body))
    seed.step()


def _is_unsaid(context: Context, key: str) -> bool:
    return context.board.get(context.me, key, SeedAccepted) is None
