"""Why a peer counts as it does: its lives, its links, the way to it, and who removed or fences it."""

from __future__ import annotations

from collections.abc import Iterator

from core.kinds import FenceRecord, LinkRecord, PeerRecord, RetiredRecord, TakeoverRecord
from core.mesh.topology import LINK_PREFIX
from core.types import PeerName
from core.why.scene import Scene, Step, cited
from crdt.fact import Origin

LINKS_MAX = 50
"""Connections that are shown; a full mesh of hundreds says nothing more."""


def peer_steps(scene: Scene, peer: PeerName) -> tuple[str, tuple[Step, ...]]:
    """Return a headline and the chain behind a peer."""
    label = scene.of(peer)
    name = peer if label == peer else f"{label} ({peer})"
    if peer == scene.me:
        headline = f"{name} is this host"
    elif scene.past.reachable(peer):
        headline = f"{name} can be reached"
    else:
        headline = f"{name} cannot be reached from here"
    return headline, (
        *_route(scene, peer),
        *_removed(scene, peer),
        *_fenced(scene, peer),
        *_lives(scene, peer),
        *_links(scene, peer),
        *_owned(scene, peer),
    )


def _route(scene: Scene, peer: PeerName) -> Iterator[Step]:
    hop = scene.past.topology.next_hops.get(peer)
    if hop == peer:
        yield Step("frames go there directly")
    elif hop is not None:
        yield Step(f"frames go there through {scene.of(hop)}")
    elif peer != scene.me:
        yield Step("no path of links that stand at both ends leads there for frames")


def _removed(scene: Scene, peer: PeerName) -> Iterator[Step]:
    for said in scene.live(RetiredRecord):
        if said.key == f"retired/{peer}":
            missing = ", ".join(map(scene.of, said.body.missing))
            how = f" with --force, without an answer of {missing}" if missing else ""
            yield Step(f"{scene.of(said.peer)} removed it (rmpeer){how}", said.body.at_ms, said.cited)
            if peer in scene.dead:
                yield Step("it has said nothing since: it counts as dead", depth=1)
            else:
                yield Step("it has said more than its remover knew: it counts as any other", depth=1)


def _fenced(scene: Scene, peer: PeerName) -> Iterator[Step]:
    for said in scene.live(TakeoverRecord):
        if peer in said.body.targets:
            yield Step(f"{scene.of(said.peer)} is removing it", said.body.since_ms, said.cited)
    for fence in scene.live(FenceRecord):
        if fence.key == f"fence/{peer}":
            text = (
                f"{scene.of(fence.peer)} takes in no more claims of it, for {scene.of(fence.body.taker)} is removing it"
            )
            yield Step(text, fence.heard_ms, fence.cited)


def _lives(scene: Scene, peer: PeerName) -> Iterator[Step]:
    first: dict[Origin, Step] = {}
    for one in scene.told():
        if one.origin.peer == peer and one.fact.key == "peer/self" and one.origin not in first:
            when = "known when the history of this host began" if one.is_older else "first heard of here"
            text = f"life {one.origin.incarnation} was {when}"
            first[one.origin] = Step(text, one.at_ms, cited(one.origin, one.fact.seq))
    for said in scene.standing(PeerRecord):
        if said.peer == peer and said.origin not in first:
            first[said.origin] = Step(f"life {said.origin.incarnation} is known", 0, said.cited)
    for origin in sorted(first, reverse=True):
        yield first[origin]
    for said in scene.live(PeerRecord):
        if said.peer == peer:
            yield Step(f"it runs version {said.body.version} and listens on port {said.body.port}", depth=1)
            if said.body.adopts:
                yield Step(f"it stands by what it said in its lives up to {said.body.adopts}", 0, said.cited, 1)


def _links(scene: Scene, peer: PeerName) -> Iterator[Step]:
    graph = scene.past.topology.graph
    near = dict.fromkeys(graph.neighbours(peer)) if peer in graph.indices else {}
    found = []
    for said in scene.live(LinkRecord):
        other = PeerName(said.key.removeprefix(LINK_PREFIX))
        if peer not in (said.peer, other):
            continue
        far = other if said.peer == peer else said.peer
        state = "stands at both ends" if far in near else "does not stand at both ends"
        where = f"{said.body.address} by {said.body.transport}" if said.body.transport else said.body.address
        text = f"{scene.of(said.peer)} has a connection to {scene.of(other)} at {where}, which {state}"
        found.append(Step(text, said.heard_ms, said.cited))
    yield from found[:LINKS_MAX]
    for one in scene.deletions(lambda key: key == f"link/{peer}"):
        text = f"{scene.of(one.origin.peer)} lost its connection to it"
        yield Step(text, one.at_ms, cited(one.origin, one.fact.seq), 1)
    if scene.trouble:
        yield Step(f"what was before is not known: {scene.trouble}", depth=1)


def _owned(scene: Scene, peer: PeerName) -> Iterator[Step]:
    seed = scene.past.seed
    if seed is not None and seed.ring is not None:
        yield Step(f"it owns {seed.ring.view().shares().get(peer, 0)} addresses of {seed.ring.universe}")
