"""Why an address is where it is: who holds it, who held it, and how its range came to the host that gave it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from core.board import Board
from core.ipam.held import ident_of
from core.ipam.homes import decided_key, ring_id_of
from core.ipam.ring import Ring, is_sound, rank_of
from core.ipam.universe import Universe
from core.kinds import NOBODY, AddressRecord, AttachmentRecord, RetiredRecord, RingClaim, SeedAccepted
from core.types import Address, address_text, cidr_of
from core.why.scene import Said, Scene, Step, cited, place_of, span_text
from crdt.fact import Origin

WITNESSES_MAX = 3
"""Hosts that are shown to have written the division down; as a rule there are no more."""
EARLIER_MAX = 20
"""Earlier holders that are shown, the newest."""


def address_steps(scene: Scene, address: Address) -> tuple[str, tuple[Step, ...]]:
    """Return a headline and the chain behind an address."""
    text = address_text(address)
    holders = [said for said in scene.live(AddressRecord) if said.body.address == address]
    users = [said for said in scene.live(AttachmentRecord) if _carries(said.body, address)]
    places = dict.fromkeys([*map(_holder, holders), *map(_user, users)])
    names = [f"{ident} on {scene.of(peer)}" for peer, ident in places]
    if not names:
        headline = f"{text} is held by nobody"
    elif len(names) == 1:
        headline = f"{text} is held by {names[0]}"
    else:
        headline = f"{text} is in CONFLICT: it is used by {' and '.join(names)}"
    steps = (
        *(step for said in holders for step in _given(scene, said)),
        *(step for said in users for step in _attached(scene, said)),
        *_conflicts(scene, text),
        *_earlier(scene, address),
        *_range(scene, address),
    )
    return headline, steps


def _holder(said: Said[AddressRecord]) -> tuple[str, str]:
    return said.peer, ident_of(said.key)


def _user(said: Said[AttachmentRecord]) -> tuple[str, str]:
    return said.peer, place_of(said.key)[0]


def _carries(record: AttachmentRecord, address: Address) -> bool:
    return any(_address_in(text) == address for text in record.addresses)


def _address_in(cidr: str) -> Address | None:
    try:
        return cidr_of(cidr).address
    except ValueError:
        # What a peer writes need not be one.
        return None


def _given(scene: Scene, said: Said[AddressRecord]) -> Iterator[Step]:
    record, host = said.body, scene.of(said.peer)
    yield Step(
        f"{host} gave it to {ident_of(said.key)} ({scene.plain(record.why)}{scene.heard(said, record.at_ms)})",
        record.at_ms,
        said.cited,
    )
    if said.peer in scene.dead:
        yield Step(f"{host} was removed and has said nothing since: what it used is free", depth=1)


def _attached(scene: Scene, said: Said[AttachmentRecord]) -> Iterator[Step]:
    container, ifname = place_of(said.key)
    record = said.body
    yield Step(
        f"{container} has it on {ifname}, MAC {record.mac}, on {scene.of(said.peer)} ({record.why})",
        record.at_ms,
        said.cited,
    )


def _conflicts(scene: Scene, text: str) -> Iterator[Step]:
    ipam = scene.past.describe().ipam
    for line in () if ipam is None else ipam.conflicts:
        if line.startswith((f"{text} ", f"{text}-")):
            yield Step(line)


def _earlier(scene: Scene, address: Address) -> Iterator[Step]:
    """Yield who had it before, newest first."""
    found = []
    for said in scene.replaced(AddressRecord):
        if said.body.address == address:
            text = f"before, {scene.of(said.peer)} had given it to {ident_of(said.key)} ({scene.plain(said.body.why)})"
            found.append(Step(text, said.body.at_ms, said.cited, 1))
    end = f"/{address:x}"
    for one in scene.deletions(lambda key: key.startswith("ip/") and key.endswith(end)):
        text = f"{scene.of(one.origin.peer)} took it back from {ident_of(one.fact.key)}"
        found.append(Step(text, one.at_ms, cited(one.origin, one.fact.seq), 1))
    yield from sorted(found, key=lambda step: -step.at_ms)[:EARLIER_MAX]
    if scene.trouble:
        yield Step(f"who had it before is not known: {scene.trouble}", depth=1)


def _range(scene: Scene, address: Address) -> Iterator[Step]:
    """Yield how its range came to where it is."""
    seed = scene.past.seed
    universe = scene.past.context.config.universe
    if seed is None or universe is None:
        yield Step("this host allocates nothing: it was launched with an empty --ipalloc-range")
        return
    if address not in universe:
        yield Step(f"it lies outside {universe}, which is all that weave gives addresses from")
        return
    if seed.ring is None:
        yield Step(f"{universe} has not been divided among the hosts yet")
        return
    ring = seed.ring
    for run in ring.view().between(address, Address(address + 1)):
        whole = next(other for other in ring.view().runs if other.lo <= run.lo < other.hi)
        owner = "nobody" if run.owner == NOBODY else scene.of(run.owner)
        yield Step(f"its range {span_text(whole.lo, whole.hi)} belongs to {owner}")
    yield from _claims(scene, ring, address)
    yield from _beginning(scene, ring, universe, address)


def _claims(scene: Scene, ring: Ring, address: Address) -> Iterator[Step]:
    """Yield every claim about it, the one that counts first."""
    prefix = f"ring/{ring.ring_id}/"
    newest: dict[tuple[str, int, int, str, str], Said[RingClaim]] = {}
    for said in (*scene.standing(RingClaim), *scene.replaced(RingClaim)):
        claim = said.body
        if said.key.startswith(prefix) and claim.lo <= address < claim.hi and is_sound(claim, ring.universe):
            # One claim is written anew whenever much of it is given away; once is enough.
            newest.setdefault((said.peer, claim.generation, claim.epoch, claim.owner, claim.why), said)
    chain = sorted(newest.values(), key=lambda said: (rank_of(said.body), said.peer == said.body.owner), reverse=True)
    for said in chain:
        yield Step(_claim_text(scene, said), said.body.at_ms, said.cited, 1)
        if said.body.generation:
            yield from _removals(scene, said)


def _claim_text(scene: Scene, said: Said[RingClaim]) -> str:
    claim, writer = said.body, scene.of(said.peer)
    span, why = span_text(claim.lo, claim.hi), scene.plain(claim.why)
    if why == "seed":
        why = "its share when the range was divided"
    if claim.owner == NOBODY:
        text = f"{writer} noted that {span} is no longer its own: {why}"
    elif claim.owner == said.peer:
        text = f"{writer} said that {span} is its own: {why}"
    else:
        text = f"{writer} said that {span} is {scene.of(claim.owner)}'s: {why}"
    return text + scene.heard(said, claim.at_ms) + ("" if said.is_live else " (replaced since)")


def _removals(scene: Scene, said: Said[RingClaim]) -> Iterator[Step]:
    for removal in scene.live(RetiredRecord):
        target = removal.key.removeprefix("retired/")
        if removal.peer == said.body.owner and target in said.body.why:
            forced = f" with --force, without an answer of {', '.join(map(scene.of, removal.body.missing))}"
            how = forced if removal.body.missing else ""
            text = f"{scene.of(removal.peer)} removed {scene.of(target)}{how}"
            yield Step(text, removal.body.at_ms, removal.cited, 2)


def _beginning(scene: Scene, ring: Ring, universe: Universe, address: Address) -> Iterator[Step]:
    """Yield whose it was when the range was divided, and who says so."""
    first = ring.on(Board(Origin(scene.me, 1))).view()
    owner = first.owner_at(address)
    names = tuple(first.shares())
    share = next(run for run in first.runs if run.lo <= address < run.hi)
    yield Step(
        f"in the beginning {span_text(share.lo, share.hi)} was {scene.of(owner or NOBODY)}'s: {universe} was divided "
        f"among {scene.listed(names)}",
        depth=1,
    )
    decisions = (said for said in scene.live(SeedAccepted) if said.key == decided_key(universe))
    same = (said for said in decisions if ring_id_of(universe, said.body.value) == ring.ring_id)
    for said in itertools.islice(same, WITNESSES_MAX):
        heard = "" if said.peer == scene.me else " (this is when it was heard here)"
        text = f"{scene.of(said.peer)} wrote that decision down{heard if said.heard_ms else ''}"
        yield Step(text, said.heard_ms, said.cited, 2)
