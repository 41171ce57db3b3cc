"""Two ends of a tunnel and what they say of both transports, by simulated time."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from sleeve_pair import SECRET, SESSION

from datapath.sleeve import aead, keys, probe
from datapath.sleeve.control import Epochs, Message, Path, SetTunnel
from datapath.sleeve.neighbour import FASTDP, SLEEVE, Neighbour

ADDRESSES = ("198.18.0.1", "198.18.0.2")
PORTS = (6783, 7783)
"""Where each listens."""


class End:
    """One end, and the other's way to it."""

    def __init__(self, number: int, *, is_sealed: bool = True) -> None:
        told = SetTunnel(
            f"p{number}",
            SESSION,
            number == 0,
            9 - number,
            ADDRESSES[1 - number],
            PORTS[1 - number],
            is_sealed,
            True,
            1376,
            1,
            0,
            0,
            0,
        )
        self.address = ADDRESSES[number]
        self.me = Neighbour(told, SECRET, "127.0.0.1", PORTS[number], 0)
        self.said: list[Message] = []
        self.out: list[tuple[str, bytes]] = []
        self.listens = True

    def send_control(self, neighbour: Neighbour, body: bytes, size: int) -> None:
        if size <= 1472:
            self.out.append((SLEEVE, body))

    def write_frame(self, data: bytes) -> None:
        self.out.append((FASTDP, data))

    def report(self, message: Message) -> bool:
        if self.listens:
            self.said.append(message)
        return self.listens

    def path(self, transport: str) -> Path | None:
        found = [one for one in self.said if isinstance(one, Path) and one.transport == transport]
        return found[-1] if found else None


Passes = Callable[[int, str, int], bool]


class World:
    def __init__(self, *, is_sealed: bool = True) -> None:
        self.ends = (End(0, is_sealed=is_sealed), End(1, is_sealed=is_sealed))
        self.now_ms = 0
        self.sources = list(ADDRESSES)

    def run(self, duration_ms: int, passes: Passes = lambda *_: True) -> None:
        for _ in range(duration_ms // 25):
            self.now_ms += 25
            for end in self.ends:
                end.me.tick(self.now_ms, end)
            for number, end in enumerate(self.ends):
                other = self.ends[1 - number]
                sent, end.out = end.out, []
                for transport, data in sent:
                    if not passes(number, transport, len(data)):
                        continue
                    if transport == SLEEVE:
                        other.me.obey(data, self.now_ms, other)
                        continue
                    found = probe.parse_frame(memoryview(data))
                    assert found is not None
                    assert other.me.heard_fast(socket.inet_aton(self.sources[number]), found[1], self.now_ms)

    def why(self, number: int, transport: str = FASTDP) -> str:
        path = self.ends[number].path(transport)
        assert path is not None
        assert path.is_up == (path.why == "")
        return path.why


def test_both_transports_come_up_at_both_ends() -> None:
    world = World()
    world.run(1_000)
    for end in world.ends:
        fast, sleeve = end.path(FASTDP), end.path(SLEEVE)
        assert fast is not None
        assert (fast.is_up, fast.mtu) == (True, 1376)
        assert sleeve is not None
        assert sleeve.is_up
    fast = world.ends[0].path(FASTDP)
    assert fast is not None
    assert fast.address == "198.18.0.2:7784"


@pytest.mark.parametrize("was_up", [False, True])
def test_why_vxlan_does_not_get_through(was_up: bool) -> None:
    cases: list[tuple[Passes, str, str]] = [
        (lambda _, by, __: by == SLEEVE, "no VXLAN arrives", "no VXLAN arrives"),
        (lambda number, by, _: by == SLEEVE or number == 0, "no VXLAN arrives", "VXLAN arrives one way only"),
        (lambda _, by, size: by == SLEEVE or size < 1000, "frames of 1390 bytes", "frames of 1390 bytes"),
        (lambda number, by, size: by == SLEEVE or size < 1000 or number == 0, "frames of 1390", "frames of 1390"),
    ]
    for passes, at_first, at_second in cases:
        world = World()
        world.run(10_000 if was_up else 0)
        world.run(20_000, passes)
        assert world.why(0).startswith(at_first)
        assert world.why(1).startswith(at_second)
        assert world.why(0, SLEEVE) == ""
        world.run(5_000)
        assert world.why(0) == world.why(1) == ""


@pytest.mark.parametrize(
    ("is_sealed", "what"), [(True, "ESP, IP protocol 50, blocked?"), (False, "UDP port 7784 blocked?")]
)
def test_why_vxlan_does_not_get_through_names_what_is_on_the_wire(is_sealed: bool, what: str) -> None:
    world = World(is_sealed=is_sealed)
    world.run(20_000, lambda number, by, _: by == SLEEVE or number == 0)
    assert world.why(0) == f"no VXLAN arrives from 198.18.0.2 ({what})"
    assert world.why(1).endswith(f"198.18.0.1 does not hear ours ({what.replace('7784', '6784')})")


def test_why_the_sleeve_does_not_get_through_names_the_port_that_datagrams_come_to() -> None:
    world = World()
    world.run(20_000, lambda number, _, __: number == 0)
    assert world.why(0, SLEEVE) == "nothing arrives from 198.18.0.2 (UDP port 6783 blocked?)"
    assert world.why(1, SLEEVE) == (
        "datagrams pass one way only: 198.18.0.1 does not hear ours (UDP port 6783 blocked?)"
    )


def test_fast_death_is_told_within_three_seconds_and_the_sleeve_stays() -> None:
    world = World()
    world.run(10_000)
    for end in world.ends:
        end.said.clear()
    world.run(3_000, lambda _, by, __: by == SLEEVE)
    for end in world.ends:
        path = end.path(FASTDP)
        assert path is not None
        assert not path.is_up
        assert end.path(SLEEVE) is None


def test_a_nat_between_is_told() -> None:
    world = World()
    world.sources[0] = "203.0.113.9"
    world.run(5_000)
    assert "203.0.113.9" in world.why(1)
    assert "NAT" in world.why(1)


def test_a_replayed_probe_is_no_probe() -> None:
    world = World()
    world.run(1_000)
    end, source = world.ends[0], socket.inet_aton(ADDRESSES[0])
    end.out.clear()
    end.me._probe_fast(world.now_ms, end)
    found = probe.parse_frame(memoryview(end.out[0][1]))
    assert found is not None
    assert world.ends[1].me.heard_fast(source, found[1], world.now_ms)
    assert not world.ends[1].me.heard_fast(source, found[1], world.now_ms)


def test_an_agent_that_does_not_listen_is_told_later() -> None:
    world = World()
    world.ends[0].listens = False
    world.run(5_000)
    assert world.ends[0].said == []
    world.ends[0].listens = True
    world.run(100)
    assert world.why(0) == ""


@pytest.mark.parametrize("silent", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("is_fast_up", [False, True])
def test_large_datagrams_are_back_soon_after_a_break_of_one_way_or_both(
    silent: tuple[int, ...], is_fast_up: bool
) -> None:
    world = World()
    for end in world.ends:
        end.me._pmtu.limit(1500, 0)
    world.run(20_000, lambda _, by, __: is_fast_up or by == SLEEVE)
    assert [end.me.sending.capacity for end in world.ends] == [1472, 1472]
    world.run(25_000, lambda number, *_: number not in silent)
    world.run(9_000, lambda _, by, __: is_fast_up or by == SLEEVE)
    assert [end.me.sending.capacity for end in world.ends] == [1472, 1472]


@pytest.mark.parametrize(("age_ms", "count"), [(keys.ROTATION_MS, 0), (keys.ROTATION_MS_MIN, keys.ROTATION_DATAGRAMS)])
def test_keys_rotate_by_the_hour_and_by_volume_only_while_both_hear_each_other(age_ms: int, count: int) -> None:
    world = World()
    world.run(1_000)
    one = world.ends[0]

    def wear() -> None:
        one.me.sending.keys._since_ms -= age_ms
        one.me.sending.keys._since_count -= count

    wear()
    world.run(1_000)
    assert one.me.sending.keys.epoch == 1
    assert [said for said in one.said if isinstance(said, Epochs)] == [Epochs(SESSION, 1, 0, 0)]
    world.run(20_000, lambda *_: False)
    wear()
    world.run(20_000, lambda *_: False)
    assert one.me.sending.keys.epoch == 1


def test_the_better_cipher_is_used_where_both_have_it() -> None:
    for has_aes, cipher in ((True, aead.AEGIS), (False, aead.CHACHA)):
        world = World()
        world.ends[0].me._has_aes = True
        world.ends[1].me._has_aes = has_aes
        world.run(1_000)
        assert [end.me.sending.keys.aead.cipher for end in world.ends] == [cipher, cipher]
    world = World(is_sealed=False)
    world.run(1_000)
    assert world.ends[0].me.sending.keys.aead.cipher == aead.PLAIN
