"""Why a name answers what it answers: who registered it, when, and what is withheld."""

from __future__ import annotations

from collections.abc import Iterator

from core.kinds import NameRecord, PortRecord, TextRecord
from core.types import Address, PeerName, address_text
from core.why.scene import Said, Scene, Step, cited

EARLIER_MAX = 20
"""Earlier answers that are shown, the newest."""


def absolute(text: str, domain: str) -> str:
    """Return a name in lower case, absolute: relative ones belong to the domain."""
    lower = text.lower()
    if lower.endswith("."):
        return lower
    if f"{lower}.".endswith(f".{domain}"):
        return f"{lower}."
    return f"{lower}.{domain}"


def names(scene: Scene) -> tuple[str, ...]:
    """Return all names that anybody has registered, in lower case."""
    found = dict.fromkeys(said.body.name.lower() for said in scene.live(NameRecord))
    found.update(dict.fromkeys(said.body.name.lower() for said in scene.live(TextRecord)))
    found.update(dict.fromkeys(_service(said.body) for said in scene.live(PortRecord)))
    return tuple(found)


def name_steps(scene: Scene, name: str) -> tuple[str, tuple[Step, ...]]:
    """Return a headline and the chain behind a name."""
    hosts = [said for said in scene.live(NameRecord) if said.body.name.lower() == name]
    ports = [said for said in scene.live(PortRecord) if name in (said.body.name.lower(), _service(said.body))]
    texts = [said for said in scene.live(TextRecord) if said.body.name.lower() == name]
    shown = [address_text(Address(said.body.address)) for said in hosts if not _withheld(scene, said.peer)]
    withheld = len(hosts) - len(shown)
    headline = f"{name} leads to {', '.join(dict.fromkeys(shown)) or 'no address'}"
    if withheld:
        headline += f"; {withheld} withheld"
    steps: list[Step] = []
    for said in hosts:
        target = address_text(Address(said.body.address))
        why = said.body.why + scene.heard(said, said.body.at_ms)
        text = f"{scene.of(said.peer)} has it lead to {target} for {said.body.container} ({why})"
        steps += [Step(text, said.body.at_ms, said.cited), *_why_withheld(scene, said.peer)]
    for port in ports:
        record = port.body
        text = f"{scene.of(port.peer)} has {_service(record)} lead to port {record.port} of {record.name}"
        steps += [Step(text, record.at_ms, port.cited), *_why_withheld(scene, port.peer)]
    for one in texts:
        text = f"{scene.of(one.peer)} has it say {', '.join(one.body.texts)!r}"
        steps += [Step(text, one.body.at_ms, one.cited), *_why_withheld(scene, one.peer)]
    return headline, (*steps, *_earlier(scene, name))


def _service(record: PortRecord) -> str:
    return f"{record.service}.{record.name}".lower()


def _withheld(scene: Scene, peer: PeerName) -> str:
    """Say why what a peer registered is not answered; empty when it is."""
    if peer in scene.dead:
        return f"{scene.of(peer)} was removed and has said nothing since"
    if peer != scene.me and not scene.past.reachable(peer):
        return f"{scene.of(peer)} cannot be reached from here"
    return ""


def _why_withheld(scene: Scene, peer: PeerName) -> Iterator[Step]:
    why = _withheld(scene, peer)
    if why:
        yield Step(f"withheld: {why}", depth=1)


def _earlier(scene: Scene, name: str) -> Iterator[Step]:
    found = [
        Step(_earlier_text(scene, said), said.body.at_ms, said.cited, 1)
        for said in scene.replaced(NameRecord)
        if said.body.name.lower() == name
    ]
    for one in scene.deletions(lambda key: key.startswith(f"dns/{name}/")):
        text = f"{scene.of(one.origin.peer)} took it back from {_container(one.fact.key)}"
        found.append(Step(text, one.at_ms, cited(one.origin, one.fact.seq), 1))
    yield from sorted(found, key=lambda step: -step.at_ms)[:EARLIER_MAX]
    if scene.trouble:
        yield Step(f"what it led to before is not known: {scene.trouble}", depth=1)


def _earlier_text(scene: Scene, said: Said[NameRecord]) -> str:
    target = address_text(Address(said.body.address))
    return f"before, {scene.of(said.peer)} had it lead to {target} for {said.body.container} ({said.body.why})"


def _container(key: str) -> str:
    """Return the container in a key of a name; any key has one, for anybody may write any."""
    return key.removeprefix("dns/").partition("/")[2].rpartition("/")[0]
