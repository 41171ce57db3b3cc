"""What the kernel holds and nobody remembers is claimed and kept, or taken away with a reason."""

from __future__ import annotations

import random

from core.board import Board
from core.config import Config
from core.context import Context
from core.effects import Note
from core.kinds import AttachmentRecord, attachment_key
from core.reconcile.objects import Endpoint, EndpointAddress, EndpointRoute, EndpointUp, KernelObject
from core.reconcile.strays import WHY, Callback, Strays
from core.types import Cidr, PeerName, cidr_of
from crdt.fact import Origin
from crdt.store import Store

MAC = "02:00:00:00:00:01"
ME = PeerName("02:00:00:00:00:aa")


def interface(container: str, *cidrs: str, mac: str = MAC, is_multicast: bool = False) -> tuple[KernelObject, ...]:
    place = (container, "ethwe", f"/run/netns/{container}")
    route = (EndpointRoute(*place, "224.0.0.0/4"),) if is_multicast else ()
    return (
        Endpoint(container, "ethwe", f"vethwepl{container}", place[2], mac, 1376),
        *(EndpointAddress(*place, cidr) for cidr in cidrs),
        EndpointUp(*place),
        *route,
    )


class Story:
    """Strays, and an allocator that answers when it is told to."""

    def __init__(self, *known: str, datapath: bool = True) -> None:
        self.context = Context(Config(ME, "h", datapath=datapath), Store(), Board(Origin(ME, 1)), random.Random("x"))
        self.wants: dict[str, tuple[str, tuple[Cidr, ...], Callback]] = {}
        self.cancelled: list[str] = []
        self.dirty = 0
        self.known = known
        self.strays = Strays(self.context, self, lambda _: MAC, lambda place: place[0] in self.known, self._dirtied)

    def want_back(self, key: str, ident: str, cidrs: tuple[Cidr, ...], callback: Callback, why: str) -> None:
        assert not self.strays.has_looked, "others could be given what the next one wants back"
        assert why == WHY
        self.wants[key] = (ident, cidrs, callback)

    def cancel_wait(self, key: str) -> None:
        self.cancelled.append(key)

    def answer(self, key: str, why: str = "") -> None:
        _, cidrs, callback = self.wants[key]
        callback(why or cidrs)

    def record(self, container: str) -> AttachmentRecord | None:
        return self.context.board.get(ME, attachment_key(container, "ethwe"), AttachmentRecord)

    def _dirtied(self) -> None:
        self.dirty += 1


def test_what_nobody_remembers_is_claimed_and_becomes_an_attachment() -> None:
    story, objects = Story(), interface("a", "10.32.0.1/12", "fd00::1/64", is_multicast=True)
    story.strays.kernel_dumped(objects)
    assert not story.strays.has_looked
    story.strays.look()
    assert story.wants["stray/a/ethwe"][:2] == ("a", (cidr_of("10.32.0.1/12"), cidr_of("fd00::1/64")))
    assert story.strays.objects() == objects, "it stays as it is meanwhile"
    story.answer("stray/a/ethwe")
    record = story.record("a")
    assert record == AttachmentRecord(MAC, ("10.32.0.1/12", "fd00::1/64"), "/run/netns/a", True, WHY, 0)
    assert story.strays.objects() == objects, "until that is on disk"
    story.strays.saved([("a", "ethwe")])
    assert story.strays.objects() == ()


def test_what_belongs_to_somebody_else_by_now_is_taken_away_and_told() -> None:
    story = Story()
    story.strays.kernel_dumped(interface("a", "10.32.0.1/12"))
    story.strays.look()
    story.answer("stray/a/ethwe", "address 10.32.0.1 is already owned by b")
    assert (story.record("a"), story.strays.objects(), story.dirty) == (None, (), 1)
    notes = [effect.text for effect in story.context.effects if isinstance(effect, Note)]
    assert "ethwe of a with 10.32.0.1/12" in notes[0]
    assert "already owned by b" in notes[0]
    assert story.context.marks["strays.refused"] == 1


def test_what_is_known_or_was_made_under_another_name_is_left_to_others() -> None:
    story = Story("a")
    made = (*interface("a", "10.32.0.1/12"), *interface("b", "10.32.0.2/12", mac="02:77:00:00:00:01"), *interface("c"))
    story.strays.kernel_dumped(made)
    story.strays.look()
    assert (story.wants, story.strays.objects(), story.strays.has_looked) == ({}, (), True)


def test_only_the_first_dump_shows_what_was_lost_and_later_ones_what_has_ended() -> None:
    story = Story()
    story.strays.kernel_dumped((*interface("a", "10.32.0.1/12"), *interface("b", "10.32.0.2/12")))
    story.strays.look()
    story.strays.kernel_dumped((*interface("a", "10.32.0.1/12"), *interface("c", "10.32.0.3/12")))
    assert (list(story.wants), story.cancelled) == (["stray/a/ethwe", "stray/b/ethwe"], ["stray/b/ethwe"])
    assert story.strays.objects() == interface("a", "10.32.0.1/12")


def test_without_a_kernel_there_is_nothing_to_wait_for() -> None:
    assert Story(datapath=False).strays.has_looked
