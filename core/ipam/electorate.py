"""Who must be asked before a peer's addresses may change hands without its consent: everybody that may own any.

That is everybody heard of, named as an owner in a claim, or named when the ring was divided, except for those being
removed and those removed before that have said nothing since. It is a function of facts alone, so hosts that hold the
same facts have the same idea of it; the ballot of a takeover lets them find out whether they do.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from core.context import Context
from core.ipam.retired import departed
from core.kinds import NOBODY, RingClaim, SeedAccepted
from core.types import PeerName


def electorate(context: Context, targets: Iterable[str]) -> tuple[PeerName, ...]:
    """Return who must answer before `targets` may be removed, the remover included, ascending."""
    board = context.board
    known: dict[str, None] = dict.fromkeys(board.peers())
    for _, _, claim in board.all(RingClaim):
        known[claim.owner] = None
    for _, _, vote in board.all(SeedAccepted):
        known.update(dict.fromkeys(vote.value))
    absent = {**dict.fromkeys(targets), **departed(context), NOBODY: None}
    return tuple(PeerName(peer) for peer in sorted(known) if peer not in absent)


def ballot_of(nonce: int, targets: Iterable[str], voters: Iterable[str]) -> str:
    """Name one attempt to remove `targets` with the consent of `voters`."""
    text = f"{nonce}\0{','.join(sorted(targets))}\0{','.join(sorted(voters))}"
    return blake2b(text.encode(), digest_size=8).hexdigest()
