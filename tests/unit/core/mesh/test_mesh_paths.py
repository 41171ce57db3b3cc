"""Which transport carries frames to a neighbour, when a link counts, and what people are told about it."""

from __future__ import annotations

from playbook import HIGH, ME, Playbook, config, hello, of, sent

from core.config import Config
from core.effects import Effect, SetTimer
from core.events import KernelDumped, LinkUp, PathDown, PathUp
from core.kinds import LinkRecord, PeerRecord, ShortIdRecord, link_key, peer_key, put
from core.mesh.paths import BELIEVED_MS, TIMER
from core.mesh.sessions import HOLD
from core.mesh.status import ConnectionStatus
from core.messages import Deltas, Digest, Hello
from core.reconcile.objects import FASTDP, SLEEVE, Guard, Hop, KernelObject, Tap, Tree, Trust, Tunnel
from core.types import HostPort, LinkId
from crdt.fact import Delta, Origin
from crdt.store import Store

SESSION = "0011223344556677"
NEXT = "8899aabbccddeeff"
FAR_ID = 77


class Frames(Playbook):
    """A host with a kernel and one neighbour."""

    def __init__(self, wanted: Config | None = None, streams: tuple[Delta, ...] = (), incarnation: int = 1) -> None:
        super().__init__(wanted or config(datapath=True), streams, incarnation)
        self.start()

    def opens(self, number: int, session: str = SESSION, *, is_sealed: bool = False, **changes: object) -> None:
        """Let the neighbour call and greet."""
        self.happens(LinkUp(LinkId(number), False, HostPort("10.0.0.9", 40_000), None, session, is_sealed))
        self.hears(number, hello(HIGH, uid=number, **changes))  # type: ignore[arg-type]  # as in the playbook

    def learns(self, number: int) -> None:
        """Let the neighbour say who it is, its number, and that it has a link to us."""
        changes = (
            put(peer_key(), PeerRecord("n9", "", 6783, 0)),
            put("id/self", ShortIdRecord(FAR_ID)),
            put(link_key(ME), LinkRecord("10.0.0.5:6783", True, True, FASTDP)),
        )
        self.hears(number, Deltas((Store().write(Origin(HIGH, 1), changes),)))
        self.hears(number, Digest(self.replica.store.digest.root))
        self.passes(1_000)
        self.fires("mesh/routes")

    def goes_up(self, transport: str, session: str = SESSION, address: str = "10.0.0.9:6784") -> list[Effect]:
        return self.happens(PathUp(session, transport, 1376, address))

    def goes_down(self, transport: str, why: str = "no answer", session: str = SESSION) -> list[Effect]:
        return self.happens(PathDown(session, transport, why))

    @property
    def link_fact(self) -> LinkRecord:
        record = self.replica.board.get(ME, link_key(HIGH), LinkRecord)
        assert record is not None
        return record

    @property
    def choice(self) -> tuple[bool, str]:
        return self.link_fact.established, self.link_fact.transport

    @property
    def line(self) -> ConnectionStatus:
        return self.replica.mesh.describe().connections[0]

    def wants(self, *kinds: type[KernelObject]) -> list[KernelObject]:
        return [item for item in self.replica.desired() if isinstance(item, kinds)]


def test_a_link_counts_when_a_transport_is_up_and_the_fast_one_is_preferred() -> None:
    book = Frames()
    book.opens(1)
    assert book.choice == (False, "")
    assert (book.line.state, book.line.info) == ("pending", f"unencrypted none   {HIGH}(n9)")
    assert book.line.why == "fastdp: no answer to probes yet; sleeve: no answer to probes yet"
    book.goes_up(SLEEVE)
    assert book.choice == (True, SLEEVE)
    assert book.line.why == "fastdp: no answer to probes yet"
    book.goes_up(FASTDP)
    assert book.choice == (True, FASTDP)
    assert (book.line.state, book.line.info, book.line.why) == ("established", f"unencrypted fastdp {HIGH}(n9)", "")
    book.goes_down(FASTDP, "nothing heard for 2.5 s")
    assert book.choice == (True, SLEEVE)
    assert book.line.why == "fastdp: nothing heard for 2.5 s"
    assert dict(book.line.attributes)["name"] == SLEEVE
    book.goes_down(SLEEVE)
    assert book.choice == (False, "")
    assert book.line.state == "pending"
    book.goes_up(FASTDP)
    assert book.choice == (True, FASTDP)


def test_letters_go_where_no_frames_get_through() -> None:
    book = Frames()
    book.opens(1)
    book.learns(1)
    assert book.replica.mesh.reachable(HIGH)
    assert not book.replica.mesh.next_hops
    book.goes_up(SLEEVE)
    book.fires("mesh/routes")
    assert book.replica.mesh.next_hops == {HIGH: HIGH}


def test_a_host_without_kernel_and_a_neighbour_without_session_count_at_once() -> None:
    for book in (Frames(config()), Frames()):
        book.opens(1, "" if book.replica.desired() else SESSION)
        assert book.choice == (True, FASTDP)
        assert not book.wants(Tunnel)


def test_a_tunnel_is_wanted_once_both_numbers_are_known() -> None:
    book = Frames()
    assert book.wants(Tap) == [Tap("weave-sleeve", 1376, 6783)]
    book.opens(1, port=7000)
    assert not book.wants(Tunnel)
    book.learns(1)
    tunnel = Tunnel(HIGH, SESSION, False, FAR_ID, "10.0.0.9", 7000, False, True, 1376)  # type: ignore[arg-type]  # a number
    assert book.wants(Tunnel) == [tunnel]


def test_a_change_of_transport_changes_hops_and_trees_and_nothing_else() -> None:
    book = Frames()
    book.opens(1)
    book.learns(1)
    book.goes_up(FASTDP)
    book.passes(1000)
    book.fires("mesh/routes")
    graph = book.replica.mesh.graph
    fast = book.wants(Hop, Tree)
    assert [item.by for item in fast if isinstance(item, Hop)] == [FASTDP]
    book.goes_up(SLEEVE)
    book.goes_down(FASTDP)
    book.passes(1000)
    book.fires("mesh/routes")
    assert book.replica.mesh.graph is graph
    slow = book.wants(Hop, Tree)
    assert [item.key for item in slow] == [item.key for item in fast]
    assert [item.by for item in slow if isinstance(item, Hop)] == [SLEEVE]
    own = next(item for item in slow if isinstance(item, Tree) and item.parent is None)
    far = next(item for item in slow if isinstance(item, Tree) and item.parent is not None)
    assert (own.children, own.sleeved) == (((FAR_ID, "10.0.0.9"),), (FAR_ID,))
    assert (far.parent, far.parent_number) == ("10.0.0.9", FAR_ID)


def test_a_link_that_comes_back_keeps_its_transport_until_something_is_heard_of_it() -> None:
    book = Frames()
    book.opens(1)
    book.goes_up(FASTDP)
    book.loses(1)
    book.opens(2, NEXT)
    assert book.choice == (True, FASTDP)
    book.goes_up(SLEEVE, NEXT)
    assert book.choice == (True, FASTDP)
    book.goes_down(FASTDP, session=NEXT)
    assert book.choice == (True, SLEEVE)


def test_what_is_believed_is_not_believed_for_long() -> None:
    book = Frames()
    book.opens(1)
    book.goes_up(FASTDP)
    book.loses(1)
    book.opens(2, NEXT)
    book.goes_up(SLEEVE, NEXT)
    book.passes(BELIEVED_MS)
    book.fires(TIMER + HIGH)
    assert book.choice == (True, SLEEVE)


def test_a_link_of_which_nothing_is_heard_is_given_up_after_twice_as_long_and_comes_back() -> None:
    book = Frames()
    book.opens(1)
    book.goes_up(FASTDP)
    book.loses(1)
    book.opens(2, NEXT)
    book.passes(BELIEVED_MS)
    timers = [effect for effect in of(book.fires(TIMER + HIGH), SetTimer) if effect.name == TIMER + HIGH]
    assert book.choice == (True, FASTDP)
    assert timers[-1].due_ms == book.now_ms + BELIEVED_MS
    book.passes(BELIEVED_MS)
    book.fires(TIMER + HIGH)
    assert book.choice == (False, "")
    assert book.line.state == "pending"
    book.goes_up(SLEEVE, NEXT)
    assert book.choice == (True, SLEEVE)


def test_a_held_link_keeps_the_fast_transport_whatever_is_said_and_loses_the_sleeve() -> None:
    book = Frames()
    book.opens(1)
    book.goes_up(FASTDP)
    book.loses(1)
    book.goes_down(FASTDP, "nothing heard")
    assert book.choice == (True, FASTDP), "the kernel over there forwards without its agent"
    book.opens(2, NEXT)
    book.goes_down(FASTDP, session=NEXT)
    book.goes_up(SLEEVE, NEXT)
    book.loses(2)
    book.goes_down(SLEEVE, "nothing heard", NEXT)
    assert book.choice == (False, "")
    book.fires(HOLD + HIGH)
    assert book.replica.board.get(ME, link_key(HIGH), LinkRecord) is None
    assert not book.replica.mesh.lines


def test_reports_about_sessions_that_are_over_mean_nothing() -> None:
    book = Frames()
    book.opens(1)
    book.loses(1)
    book.opens(2, NEXT)
    book.goes_up(FASTDP, SESSION)
    book.goes_up("pigeon", NEXT)
    assert book.choice == (False, "")


def test_a_prober_that_was_lost_is_waited_for() -> None:
    book = Frames()
    book.opens(1)
    book.learns(1)
    book.goes_up(SLEEVE)
    book.goes_up(FASTDP)
    book.happens(KernelDumped(book.replica.desired()))
    book.goes_down(FASTDP)
    assert book.choice == (True, SLEEVE)
    book.goes_up(FASTDP)
    lost = tuple(item for item in book.replica.desired() if not isinstance(item, Tunnel))
    book.happens(KernelDumped(lost))
    assert book.choice == (True, FASTDP)
    book.passes(2 * BELIEVED_MS)
    book.fires(TIMER + HIGH)
    assert book.choice == (False, "")


def test_what_is_switched_off_is_neither_used_nor_tried() -> None:
    book = Frames(config(datapath=True, fastdp=False))
    greeting = sent(book.happens(LinkUp(LinkId(9), False, HostPort("10.0.0.1", 1), None, "", False)), Hello)[0]
    assert greeting.transports == SLEEVE
    book.opens(1)
    book.learns(1)
    book.goes_up(FASTDP)
    assert book.choice == (False, "")
    book.goes_up(SLEEVE)
    line = next(line for line in book.replica.mesh.describe().connections if line.peer == HIGH)
    assert line.why == "fastdp: switched off here"
    assert [item.tries_fastdp for item in book.wants(Tunnel) if isinstance(item, Tunnel)] == [False]

    book = Frames()
    book.opens(1, transports=SLEEVE)
    book.goes_up(SLEEVE)
    assert book.line.why == "fastdp: switched off there"


def test_without_a_sleeve_nobody_probes_and_the_fast_transport_is_taken_on_trust() -> None:
    book = Frames(config(datapath=True, sleeve=False))
    book.opens(1)
    book.learns(1)
    assert book.choice == (True, FASTDP)
    assert not book.wants(Tap, Tunnel)
    book = Frames()
    book.opens(1, transports=FASTDP)
    assert book.choice == (True, FASTDP)


def test_with_a_password_frames_are_sealed_unless_both_ends_trust() -> None:
    trusting = {"datapath": True, "has_password": True, "trusted": ("10.0.0.0/8",)}
    book = Frames(config(**trusting))
    greeting = sent(book.happens(LinkUp(LinkId(9), False, HostPort("10.0.0.1", 1), None, NEXT, True)), Hello)[0]
    assert greeting.trusts
    assert book.wants(Guard) == [Guard(6784)]
    book.opens(1, is_sealed=True, trusts=True)
    book.learns(1)
    assert book.wants(Trust) == [Trust("10.0.0.9")]
    assert [item.is_sealed for item in book.wants(Tunnel) if isinstance(item, Tunnel)] == [False]

    book = Frames(config(**trusting))
    book.opens(1, is_sealed=True, trusts=False)
    book.learns(1)
    assert not book.wants(Trust)
    assert [item.is_sealed for item in book.wants(Tunnel) if isinstance(item, Tunnel)] == [True]
    book.goes_up(FASTDP)
    assert book.choice == (False, ""), "no plain VXLAN"
    book.goes_up(SLEEVE)
    assert book.line.info == f"encrypted   sleeve {HIGH}(n9)"
    assert dict(book.line.attributes) == {"encrypted": True, "mtu": 1376, "name": SLEEVE}
    assert book.line.why == "fastdp: no ESP in this kernel"
    book = Frames(config(**trusting, esp=True))
    book.opens(1, is_sealed=True)
    assert book.line.why.startswith("fastdp: no ESP in its kernel; sleeve: ")


def test_a_connection_that_should_be_sealed_and_is_not_carries_nothing() -> None:
    book = Frames(config(datapath=True, has_password=True))
    book.opens(1, is_sealed=False)
    book.learns(1)
    book.goes_up(SLEEVE)
    assert book.choice == (False, "")
    assert not book.wants(Tunnel, Trust)


def test_a_restarted_agent_goes_on_with_what_its_links_say() -> None:
    book = Frames()
    book.opens(1)
    book.learns(1)
    book.goes_up(SLEEVE)
    store = book.replica.store
    streams = tuple(store.delta_for(origin, 0) for origin in store.origins())
    again = Frames(streams=streams)
    assert again.choice == (True, SLEEVE)
    assert [item.by for item in again.wants(Hop) if isinstance(item, Hop)] == [SLEEVE]
    again.opens(1, NEXT)
    assert again.choice == (True, SLEEVE)
    again.goes_up(FASTDP, NEXT)
    assert again.choice == (True, FASTDP)
