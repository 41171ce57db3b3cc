"""Keys for VXLAN inside ESP: offered once they are there, used once offered, replaced without a gap, never twice."""

from __future__ import annotations

from dataclasses import replace

from playbook import HIGH, of, sent
from test_mesh_paths import NEXT, SESSION, Frames, config

from core.effects import DumpKernel, Effect, Execute, SetTimer
from core.events import KernelDumped, OpsDone
from core.mesh.seals import RENEW_MIN_MS, RETIRE_MS, TIMER
from core.messages import EspOffer, EspTaken, Hello
from core.reconcile.objects import Association, Guard, KernelObject, Refused, Seal, Tunnel, Verb
from core.reconcile.reconciler import RUN_TIMER
from sim.kernel import FakeKernel

SPI = 0xABCDEF01


class Sealed(Frames):
    """A host whose kernel does what it is told, and a neighbour with the same password."""

    def __init__(self, **changes: object) -> None:
        self.kernel = FakeKernel()
        super().__init__(config(datapath=True, has_password=True, esp=True, **changes))
        self.works(self.happens(KernelDumped(())))

    def works(self, effects: list[Effect]) -> list[Effect]:
        """Let the kernel do what was decided and is still to be decided; return everything."""
        found = list(effects)
        for _ in range(20):
            done = False
            for effect in tuple(effects):
                if isinstance(effect, Execute):
                    effects = self.happens(OpsDone(tuple((op, self.kernel.execute(op)) for op in effect.ops)))
                    done = True
                elif isinstance(effect, DumpKernel):
                    effects = self.happens(KernelDumped(self.kernel.dump()))
                    done = True
            if not done:
                self.passes(10)
                effects = self.fires(RUN_TIMER)
                if not of(effects, Execute):
                    return [*found, *effects]
            found += effects
        return found

    def meets(self, number: int = 1, session: str = SESSION) -> list[Effect]:
        self.opens(number, session, is_sealed=True, esp=True)
        self.learns(number)
        return self.works([])

    def holds(self, *kinds: type[KernelObject]) -> list[KernelObject]:
        return [item for item in self.kernel.observe() if isinstance(item, kinds)]

    def associations(self) -> list[Association]:
        return [item for item in self.kernel.observe() if isinstance(item, Association)]

    def with_load(self, *, is_inbound: bool, size_bytes: int) -> list[KernelObject]:
        """Return what the kernel holds after its associations of one direction have carried this much."""
        return [
            replace(item, size_bytes=size_bytes if item.is_inbound == is_inbound else 0)
            if isinstance(item, Association)
            else item
            for item in self.kernel.observe()
        ]

    def seal(self) -> Seal:
        (found,) = self.holds(Seal)
        assert isinstance(found, Seal)
        return found


def test_greetings_say_what_the_kernel_can_do() -> None:
    book = Sealed()
    assert sent(book.link(9), Hello)[0].esp


def test_until_there_are_keys_nothing_leaves() -> None:
    book = Sealed()
    offer = sent(book.meets(), EspOffer)[0]
    assert book.holds(Guard) == [Guard(6784)]
    assert book.seal() == Seal("10.0.0.9", 6784, 0)
    (inbound,) = book.associations()
    assert inbound == Association("10.0.0.9", True, offer.spi, 6784, SESSION, 0, from_dialler=True)
    assert offer.epoch == 0
    assert [item.tries_fastdp for item in book.wants(Tunnel) if isinstance(item, Tunnel)] == [True]


def test_an_association_is_offered_only_once_it_is_there() -> None:
    book = Sealed()
    book.kernel.fail = lambda op: Refused("no", "none") if isinstance(op.object, Association) else None
    assert sent(book.meets(), EspOffer) == []
    book.kernel.fail = None
    book.passes(RENEW_MIN_MS)
    offers = sent(book.works(book.fires(TIMER + HIGH)), EspOffer)
    assert [offer.epoch for offer in offers] == [1], "one that was refused is not tried again"


def test_what_is_offered_is_used_and_said_to_be() -> None:
    book = Sealed()
    book.meets()
    effects = book.works(book.hears(1, EspOffer(0, SPI)))
    assert [message.epoch for message in sent(effects, EspTaken)] == [0]
    assert book.seal().spi == SPI
    out = Association("10.0.0.9", False, SPI, 6784, SESSION, 0, from_dialler=False)
    assert [item for item in book.associations() if not item.is_inbound] == [out]
    assert not sent(book.works(book.hears(1, EspOffer(0, SPI + 1))), EspTaken), "an epoch is offered once"
    assert book.seal().spi == SPI


def test_a_key_is_replaced_in_time_and_the_one_before_goes_after_the_new_one_is_used() -> None:
    book = Sealed()
    book.meets()
    first = book.associations()
    timers = [effect for effect in of(book.hears(1, EspTaken(0)), SetTimer) if effect.name == TIMER + HIGH]
    assert timers[-1].due_ms == book.now_ms + RETIRE_MS
    book.passes(RETIRE_MS)
    book.works(book.fires(TIMER + HIGH))
    assert book.associations() == first
    book.passes(3_600_000)
    offer = sent(book.works(book.fires(TIMER + HIGH)), EspOffer)[0]
    assert offer.epoch == 1
    assert len(book.associations()) == 2, "both serve"
    book.hears(1, EspTaken(1))
    book.passes(RETIRE_MS)
    book.works(book.fires(TIMER + HIGH))
    assert [item.epoch for item in book.associations()] == [1]


def test_a_key_is_replaced_when_it_has_carried_enough_and_not_before() -> None:
    book = Sealed(rotate_bytes=1000)
    book.meets()
    book.hears(1, EspTaken(0))
    book.passes(RENEW_MIN_MS)
    carried: dict[int, list[int]] = {}
    for size in (999, 1000):
        effects = book.happens(KernelDumped(tuple(book.with_load(is_inbound=True, size_bytes=size))))
        book.passes(1)
        due = [effect for effect in of(effects, SetTimer) if effect.name == TIMER + HIGH]
        effects = book.works(effects) + (book.works(book.fires(TIMER + HIGH)) if due else [])
        assert not [op for effect in of(effects, Execute) for op in effect.ops if op.verb is not Verb.CREATE]
        carried[size] = [offer.epoch for offer in sent(effects, EspOffer)]
    assert carried == {999: [], 1000: [1]}


def test_who_has_sent_much_more_than_enough_asks_for_another_key_once() -> None:
    book = Sealed(rotate_bytes=1000)
    book.meets()
    book.works(book.hears(1, EspOffer(0, SPI)))
    asked = [
        [message.epoch for message in sent(book.happens(KernelDumped(tuple(objects))), EspTaken)]
        for size in (1999, 2000, 2001)
        for objects in [book.with_load(is_inbound=False, size_bytes=size)]
    ]
    assert asked == [[], [-1], []]


def test_the_neighbours_next_key_is_used_before_its_last_one_goes() -> None:
    book = Sealed()
    book.meets()
    book.works(book.hears(1, EspOffer(0, SPI)))
    effects = book.works(book.hears(1, EspOffer(1, SPI + 1)))
    steps = [
        (op.verb, op.object.spi)
        for effect in of(effects, Execute)
        for op in effect.ops
        if isinstance(op.object, Association | Seal)
    ]
    assert steps == [(Verb.CREATE, SPI + 1), (Verb.CHANGE, SPI + 1), (Verb.REMOVE, SPI)]
    assert [message.epoch for message in sent(effects, EspTaken)] == [1]


def test_what_is_lost_is_not_made_again_but_followed_by_the_next() -> None:
    book = Sealed()
    book.meets()
    book.works(book.hears(1, EspOffer(0, SPI)))
    for item in book.associations():
        book.kernel.lose(item)
    effects = book.works(book.happens(KernelDumped(book.kernel.dump())))
    assert [message.epoch for message in sent(effects, EspTaken)] == [-1], "the neighbour is asked for another"
    assert book.seal().spi == 0, "and meanwhile nothing leaves"
    assert book.associations() == []
    book.passes(RENEW_MIN_MS)
    assert [offer.epoch for offer in sent(book.works(book.fires(TIMER + HIGH)), EspOffer)] == [1]
    book.works(book.hears(1, EspOffer(1, SPI + 1)))
    assert book.seal().spi == SPI + 1


def test_who_has_lost_its_own_gets_another() -> None:
    book = Sealed()
    book.meets()
    book.hears(1, EspTaken(-1))
    book.passes(RENEW_MIN_MS)
    assert [offer.epoch for offer in sent(book.works(book.fires(TIMER + HIGH)), EspOffer)] == [1]


def test_an_earlier_session_serves_until_the_new_one_has_keys() -> None:
    book = Sealed()
    book.meets()
    book.works(book.hears(1, EspOffer(0, SPI)))
    book.hears(1, EspTaken(0))
    book.loses(1)
    book.works([])
    assert book.seal().spi == SPI, "a held link keeps its keys"
    book.opens(2, NEXT, is_sealed=True, esp=True)
    book.works([])
    assert book.seal().spi == SPI
    assert {item.session for item in book.associations()} == {SESSION, NEXT}
    book.works(book.hears(2, EspOffer(0, SPI + 1)))
    book.hears(2, EspTaken(0))
    book.passes(RETIRE_MS)
    book.works(book.fires(TIMER + HIGH))
    assert book.seal().spi == SPI + 1
    assert {item.session for item in book.associations()} == {NEXT}


def test_offers_without_need_and_on_other_connections_mean_nothing() -> None:
    book = Sealed()
    book.opens(1, is_sealed=True, esp=False)
    book.learns(1)
    book.works(book.hears(1, EspOffer(0, SPI)))
    assert not book.holds(Seal, Association)
