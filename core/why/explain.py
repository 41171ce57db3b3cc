"""`weave why`: what an address, a name, a peer or a container is, and the chain of facts that made it so.

Pure: a function of the facts of one host at one time, and of what its history tells of facts that were replaced. One
word may mean several things, a container and a name, say; then all of them are explained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from core.ipam.held import ident_of
from core.kinds import AddressRecord, AttachmentRecord, PeerRecord
from core.past import Past
from core.types import Address, PeerName, address_of, cidr_of
from core.why.address import address_steps
from core.why.history import Learnt
from core.why.names import absolute, name_steps, names
from core.why.peers import peer_steps
from core.why.scene import Scene, Step, place_of

QUESTION_SIZE_MAX = 300
"""Characters; nothing that can be asked for is longer."""
PREFIX_MIN = 6
"""Characters of a container's identity that stand for it, if no other begins so."""
ADDRESSES_MAX = 8
"""Addresses of one container that are explained."""
CANDIDATES_MAX = 20_000
"""Names among which the nearest are looked for."""
GUESSES_MAX = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `weave why` answers."""

    subject: str
    """As asked."""
    kind: str
    """`address`, `peer`, `container`, `name`, joined by `+` where it is several; `unknown`."""
    headline: str
    """How it is."""
    steps: tuple[Step, ...]
    """How it came so, nearest first."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a word may mean."""

    address: Address | None
    """An address."""
    peers: tuple[PeerName, ...]
    """Peers with that name or nickname."""
    containers: tuple[str, ...]
    """Identities that are it or begin so."""
    name: str
    """A name that is registered; empty when it is none."""


def needles(what: str, past: Past) -> tuple[str, ...]:
    """Return what the keys of facts contain that an explanation may need from the history."""
    meaning = _meaning(what, Scene(past, (), ""))
    found: dict[str, None] = {}
    if meaning.address is not None:
        found.update(dict.fromkeys((f"/{meaning.address:x}", "ring/", "att/", "seed/", "retired/")))
    if meaning.peers:
        found.update(dict.fromkeys(("peer/self", "retired/", "fence/", "takeover/", "link/")))
    for container in meaning.containers:
        found.update(dict.fromkeys((f"/{container}/", "ring/", "seed/", "retired/")))
    if not meaning.peers and meaning.address is None:
        found[f"/{absolute(what, past.context.config.domain)}/"] = None
        found[f"/{what}/"] = None
    return tuple(found)


def explain(what: str, past: Past, told: tuple[Learnt, ...], trouble: str = "") -> Explanation:
    """Explain a word. `told` is what the history says under `needles`, `trouble` why it says nothing. O(all facts)."""
    scene = Scene(past, told, trouble)
    meaning = _meaning(what, scene)
    parts: list[tuple[str, str, tuple[Step, ...]]] = []
    if meaning.address is not None:
        parts.append(("address", *address_steps(scene, meaning.address)))
    parts += [("peer", *peer_steps(scene, peer)) for peer in meaning.peers]
    parts += [("container", *_container_steps(scene, container)) for container in meaning.containers]
    if meaning.name:
        parts.append(("name", *name_steps(scene, meaning.name)))
    if not parts:
        return _unknown(what, scene)
    kind = "+".join(dict.fromkeys(kind for kind, _, _ in parts))
    steps = list(parts[0][2])
    for _, headline, more in parts[1:]:
        steps += [Step(headline), *(step.deeper() for step in more)]
    return Explanation(what, kind, parts[0][1], tuple(steps))


def _meaning(what: str, scene: Scene) -> _Meaning:
    if not 0 < len(what) <= QUESTION_SIZE_MAX:
        return _Meaning(None, (), (), "")
    board = scene.past.context.board
    named = [peer for peer in board.peers() if peer == what]
    if not named:
        named = [said.peer for said in scene.live(PeerRecord) if said.body.nickname == what]
    name = absolute(what, scene.past.context.config.domain)
    return _Meaning(
        address=_address(what),
        peers=tuple(named),
        containers=_containers(what, scene),
        name=name if name in names(scene) else "",
    )


def _address(what: str) -> Address | None:
    for read in (address_of, _address_of_cidr):
        try:
            return read(what)
        except ValueError:
            continue
    return None


def _address_of_cidr(what: str) -> Address:
    return cidr_of(what).address


def _idents(scene: Scene) -> tuple[str, ...]:
    found = dict.fromkeys(place_of(said.key)[0] for said in scene.live(AttachmentRecord))
    found.update(dict.fromkeys(ident_of(said.key) for said in scene.live(AddressRecord)))
    return tuple(found)


def _containers(what: str, scene: Scene) -> tuple[str, ...]:
    every = _idents(scene)
    if what in every:
        return (what,)
    begun = [ident for ident in every if ident.startswith(what)] if len(what) >= PREFIX_MIN else []
    if begun:
        return tuple(begun) if len(begun) == 1 else ()
    # It may have been one; the history knows.
    gone = (one.fact.key.split("/") for one in scene.told())
    return (what,) if any(parts[0] in ("ip", "att") and parts[1:2] == [what] for parts in gone) else ()


def _container_steps(scene: Scene, ident: str) -> tuple[str, tuple[Step, ...]]:
    steps: list[Step] = []
    hosts: dict[str, None] = {}
    found: dict[Address, None] = {}
    for said in scene.live(AttachmentRecord):
        container, ifname = place_of(said.key)
        if container == ident:
            hosts[scene.of(said.peer)] = None
            shown = " ".join(said.body.addresses)
            text = f"{scene.of(said.peer)} has it on the network with {ifname} {shown} ({said.body.why})"
            steps.append(Step(text, said.body.at_ms, said.cited))
            found.update(dict.fromkeys(filter(None, map(_address, said.body.addresses))))
    for given in scene.live(AddressRecord):
        if ident_of(given.key) == ident:
            hosts[scene.of(given.peer)] = None
            found[Address(given.body.address)] = None
    is_here = bool(hosts)
    for one in () if is_here else scene.deletions(lambda key: key.startswith((f"att/{ident}/", f"ip/{ident}/"))):
        steps.append(Step(f"{scene.of(one.origin.peer)} took back {one.fact.key}", one.at_ms))
    for address in tuple(found)[:ADDRESSES_MAX]:
        headline, chain = address_steps(scene, address)
        steps += [Step(headline), *(step.deeper() for step in chain)]
    place = f"is on {', '.join(hosts)}" if is_here else "has nothing from weave any more"
    return f"container {ident} {place}", tuple(steps)


def _unknown(what: str, scene: Scene) -> Explanation:
    shown = what[:QUESTION_SIZE_MAX]
    peers = {said.body.nickname or said.peer: None for said in scene.live(PeerRecord)}
    searched: tuple[tuple[str, Callable[[], tuple[str, ...]]], ...] = (
        ("peer", lambda: tuple(peers)),
        ("container", lambda: _idents(scene)),
        ("name", lambda: names(scene)),
    )
    steps = []
    for kind, every in searched:
        candidates = every()[:CANDIDATES_MAX]
        near = (
            get_close_matches(shown, candidates, GUESSES_MAX)
            or [candidate for candidate in candidates if candidate.startswith(shown)][:GUESSES_MAX]
        )
        guess = f"; near are {', '.join(near)}" if near else ""
        steps.append(Step(f"no {kind} among {len(candidates)} is called so{guess}"))
    return Explanation(
        what, "unknown", f"{shown} is no address, peer, container or name that this host knows", tuple(steps)
    )
