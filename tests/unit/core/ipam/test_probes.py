"""An address that somebody on the network answers for is passed over, or its claim refused."""

from __future__ import annotations

from ipam_cluster import Cluster, Host

from core.events import AddressesProbed
from core.ipam import probes
from core.ipam.probes import REMEMBERED_MS, SQUATTERS_MAX
from core.types import Address, RequestId, address_of

STRANGER = "02:de:ad:00:00:01"
FIRST = address_of("10.32.0.1")


def one_host(universe: str = "10.32.0.0/26") -> Host:
    return Cluster(1, universe).hosts[0]


def answer(host: Host, request: int) -> str | None:
    host.commit()
    return host.reply(request)


def squatters(host: Host) -> tuple[str, ...]:
    status = host.allocator.describe()
    assert status is not None
    return status.squatters


def test_an_address_that_somebody_answers_for_is_passed_over_and_shown() -> None:
    host = one_host()
    host.strangers[FIRST] = STRANGER
    assert answer(host, host.allocate("a")) == "10.32.0.2/26"
    assert host.context.marks["probes.answered"] == 1
    assert squatters(host) == (
        f"address 10.32.0.1 is answered for by a stranger with MAC {STRANGER}: it is passed over; take it away there "
        "to have it back",
    )
    host.strangers.clear()
    assert answer(host, host.allocate("b")) == "10.32.0.3/26", "it is not asked again so soon"
    host.cluster.now_ms += REMEMBERED_MS
    host.fire(probes.TIMER)
    assert squatters(host) == ()
    assert answer(host, host.allocate("c")) == "10.32.0.1/26"


def test_a_claim_is_refused_and_asked_anew_each_time() -> None:
    host = one_host()
    host.strangers[FIRST] = STRANGER
    text = (
        f"address 10.32.0.1 is answered for by a stranger with MAC {STRANGER}; take it away there, or use another one"
    )
    assert host.reply(host.claim("a", "10.32.0.1/26")) == f"! Unable to claim: {text}"
    assert host.context.marks["probes.claim-refused"] == 1
    host.strangers.clear()
    assert answer(host, host.claim("a", "10.32.0.1/26")) == ""


def test_what_is_being_asked_about_goes_to_nobody_else() -> None:
    host = one_host()
    host.is_network_slow = True
    first, second, third = host.allocate("a"), host.allocate("b"), host.claim("c", "10.32.0.1/26")
    assert list(host.probes.values()) == [(FIRST,), (address_of("10.32.0.2"),)]
    status = host.allocator.describe()
    assert status is not None
    assert status.pending[0].why == "the network is asked whether anybody uses 10.32.0.1"
    host.network_answers(1)
    assert answer(host, first) == "10.32.0.1/26"
    assert host.reply(third) == "! Unable to claim: address 10.32.0.1 is already owned by a"
    host.network_answers(2)
    assert answer(host, second) == "10.32.0.2/26"


def test_who_goes_away_leaves_nothing_reserved() -> None:
    host = one_host()
    host.is_network_slow = True
    request = host.allocate("a")
    host.do(lambda: host.allocator.cancel(RequestId(request)))
    host.network_answers(1)
    assert host.allocator.held("a") == ()
    host.is_network_slow = False
    assert answer(host, host.allocate("b")) == "10.32.0.1/26"


def test_whoever_has_it_already_is_not_asked_about_it_again() -> None:
    host = one_host()
    assert answer(host, host.allocate("a")) == "10.32.0.1/26"
    host.strangers[FIRST] = STRANGER
    assert answer(host, host.allocate("a")) == "10.32.0.1/26"


def test_a_late_answer_is_shown_with_who_has_the_address() -> None:
    host = one_host()
    host.allocate("a")
    host.do(lambda: host.allocator.probed(AddressesProbed(1, ((FIRST, STRANGER),))))
    (line,) = squatters(host)
    assert line.endswith(f"with MAC {STRANGER}, and a has it here: take it away there, or restart a")


def test_a_machine_that_answers_for_everything_is_named_and_nothing_is_given() -> None:
    host = one_host("10.32.0.0/22")
    host.strangers.update((Address(FIRST + number), STRANGER) for number in range(1000))
    reply = host.reply(host.allocate("a"))
    assert reply is not None
    assert reply.startswith(f"! {SQUATTERS_MAX} addresses are in use on the network, the last: address 10.32.")
    assert STRANGER in reply
