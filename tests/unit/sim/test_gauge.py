"""What a gauge counts."""

from __future__ import annotations

from core.events import Received
from core.kinds import AddressRecord, address_key, put
from core.messages import Deltas, Heartbeat
from core.types import Address, LinkId
from core.wire import encode
from crdt.fact import Delta, Origin
from crdt.store import Store
from sim.fleet import Fleet
from sim.gauge import LENGTH_SIZE, Gauge
from sim.names import peer_name


def written(name: str) -> Delta:
    """Return what the first host says when a container gets an address."""
    change = put(address_key(name, Address(5)), AddressRecord(5, 120, "allocate", 0))
    return Store().write(Origin(peer_name(0), 99), [change])


def test_messages_and_their_bytes_are_counted() -> None:
    fleet = Fleet(2)
    gauge = Gauge(fleet.world, weighs=True)
    gauge.sent(fleet.world.hosts[0], Heartbeat())
    gauge.sent(fleet.world.hosts[0], Heartbeat())
    assert gauge.messages == {"Heartbeat": 2}
    assert gauge.size == 2 * (len(encode(Heartbeat())) + LENGTH_SIZE)
    gauge.reset()
    assert gauge.size == 0


def test_a_write_is_followed_to_every_host_and_every_copy_counted() -> None:
    fleet = Fleet(3)
    fleet.form()
    one, two, _ = fleet.world.hosts
    gauge = Gauge(fleet.world, weighs=False)
    gauge.begin_write("w0", one)
    assert gauge.missing == 2
    delta = written("w0")
    message = Deltas((delta, written("somebody else")))
    for _ in range(2):
        gauge.sent(one, message)
        gauge.applied(two, Received(LinkId(1), message), ())
    assert gauge.missing == 2, "it was told, but it does not hold it"
    assert two.heart is not None
    two.heart.store.join(delta)
    fleet.wait(30_000)
    for _ in range(2):
        gauge.applied(two, Received(LinkId(1), message), ())
    assert (gauge.missing, gauge.copies, list(gauge.delays_us)) == (1, 2, [30_000])
    assert gauge.delay_ms(50) == gauge.delay_ms(100) == 30
