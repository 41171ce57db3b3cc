"""Attaching depends on what is, not on what is said: events late, doubled or missing change nothing in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from adapters.docker.attacher import Attacher, AttachError
from adapters.docker.engine import EngineError
from adapters.docker.options import ProxyOptions
from adapters.docker.watch import Watch

ID = "ab" * 32
OPTIONS = ProxyOptions(
    docker="unix:///d",
    listen=(),
    control="/c",
    shim="/s",
    bridge="nowhere0",
    dns_domain="",
    without_dns=True,
    multicast_route=True,
    rewrite_hosts=False,
    default_ipalloc=True,
    rewrite_inspect=False,
    hostname_label="",
    hostname_match="(.*)",
    hostname_replacement="$1",
    tls=None,
    tls_verify=False,
)


class Host:
    """A daemon and an agent of one host, with one container."""

    def __init__(self) -> None:
        self.pid = 0
        self.is_there = True
        self.entrypoint = ["/w/w", "sleep"]
        self.on_network: dict[str, str] = {}
        self.calls: list[str] = []
        self.problem = ""
        self.before_attach: Callable[[], Awaitable[None]] | None = None

    async def container(self, name: str) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        if not self.is_there:
            raise EngineError(404, f"No such container: {name}")
        config = {"Entrypoint": self.entrypoint, "Env": [], "Hostname": "h"}
        return {"Id": ID, "Config": config, "HostConfig": {"NetworkMode": "none"}, "State": {"Pid": self.pid}}

    async def allocate(self, container: str, subnet: str) -> tuple[str, ...]:
        return ("10.32.0.1/12",)

    async def free(self, container: str) -> None:
        self.calls.append("free")

    async def attach(
        self, container: str, netns: str, addresses: Sequence[str], *, multicast: bool, name: str = ""
    ) -> str:
        self.calls.append(f"attach {netns}")
        if self.before_attach is not None:
            await self.before_attach()
        await asyncio.sleep(0)
        if self.problem:
            raise EngineError(400, self.problem)
        self.on_network[container] = netns
        return "10.32.0.1/12"

    async def gone(self, container: str) -> None:
        for _ in range(6):
            await asyncio.sleep(0)
        self.calls.append("gone")
        self.on_network.pop(container, None)


def run(test: Callable[[Host, Attacher], Awaitable[None]]) -> None:
    host = Host()
    notes: list[str] = []
    attacher = Attacher(host, host, OPTIONS, lambda level, text: notes.append(text))  # type: ignore[arg-type]
    asyncio.run(asyncio.wait_for(_whole(test(host, attacher)), 10))


async def _whole(work: Awaitable[None]) -> None:
    await work


def test_all_who_say_that_a_container_started_wait_for_one_attachment() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        host.pid = 7
        assert await asyncio.gather(*(attacher.ensure(ID) for _ in range(5))) == [("10.32.0.1/12",)] * 5
        assert host.calls == ["attach /proc/7/ns/net"]

    run(test)


def test_the_end_of_an_earlier_life_does_not_end_the_next_one() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        host.pid = 7
        await attacher.ensure(ID)
        host.pid = 8
        await attacher.ensure(ID)
        await attacher.ended(ID)
        assert host.on_network == {ID: "/proc/8/ns/net"}

    run(test)


def test_end_and_start_at_once_leave_what_is() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        host.pid = 7
        await attacher.ensure(ID)
        for pid in (0, 8, 0, 9):
            host.pid = pid
            await asyncio.gather(attacher.ended(ID), attacher.ensure(ID), attacher.ended(ID))
            assert host.on_network == ({ID: f"/proc/{pid}/ns/net"} if pid else {}), pid

    run(test)


@pytest.mark.parametrize("turns", range(12))
def test_a_start_in_the_middle_of_being_taken_off_is_seen(turns: int) -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        # Its end has been told before; what comes now is the last of it.
        ending = asyncio.ensure_future(attacher.ended(ID))
        for _ in range(turns):
            await asyncio.sleep(0)
        host.pid = 8
        await asyncio.gather(ending, attacher.ensure(ID))
        assert host.on_network == {ID: "/proc/8/ns/net"}

    run(test)


def test_a_removed_container_is_forgotten() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        host.pid = 7
        await attacher.ensure(ID)
        host.is_there = False
        await attacher.ended(ID)
        assert host.on_network == {}
        with pytest.raises(EngineError):
            await attacher.ensure(ID)

    run(test)


def test_a_container_without_the_shim_or_not_running_is_left_alone() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        assert await attacher.ensure(ID) == ()
        host.pid, host.entrypoint = 7, ["sleep"]
        assert await attacher.ensure(ID) == ()
        assert host.calls == []

    run(test)


def test_what_cannot_be_attached_gives_its_addresses_back() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        host.pid, host.problem = 7, "no free address"
        with pytest.raises(AttachError, match="no free address"):
            await attacher.ensure(ID)
        assert host.calls[-1] == "free"
        host.problem = ""
        assert await attacher.ensure(ID)

    run(test)


def test_a_container_that_ends_while_it_is_attached_is_no_error() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        host.pid, host.problem = 7, "no such file or directory"

        async def end() -> None:
            host.pid = 0

        host.before_attach = end
        assert await attacher.ensure(ID) == ()

    run(test)


def test_an_end_is_told_while_an_attachment_waits_for_an_address() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        told = asyncio.Event()

        async def wait() -> None:
            await told.wait()
            host.problem = "it has ended"

        async def gone(container: str) -> None:
            told.set()

        host.pid, host.before_attach, host.gone = 7, wait, gone  # type: ignore[method-assign]
        attaching = asyncio.ensure_future(attacher.ensure(ID))
        while not host.calls:
            await asyncio.sleep(0)
        host.pid = 0
        await attacher.ended(ID)
        assert await attaching == ()

    run(test)


def test_who_is_already_off_the_network_may_be_killed() -> None:
    async def test(host: Host, attacher: Attacher) -> None:
        await attacher.kill(ID)
        child = await asyncio.create_subprocess_exec("sleep", "1000")
        host.pid = child.pid
        await attacher.kill(ID)
        assert await child.wait() == -9

    run(test)


class Lists(Host):
    """A daemon and an agent that list what they have."""

    async def running(self) -> tuple[str, ...]:
        return (ID,) if self.pid else ()

    async def attached(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys((*self.on_network, "weave:expose"), ())


def test_what_was_missed_while_nobody_watched_is_made_up_for() -> None:
    async def test() -> None:
        host = Lists()
        attacher = Attacher(host, host, OPTIONS, lambda *_: None)  # type: ignore[arg-type]
        host.pid = 7
        watch = Watch(host, host, attacher, lambda *_: None)  # type: ignore[arg-type]
        for pid, expected in ((7, {ID: "/proc/7/ns/net"}), (0, {}), (9, {ID: "/proc/9/ns/net"})):
            host.pid = pid
            await watch.look()
            await watch.settle()
            assert host.on_network == expected

    asyncio.run(asyncio.wait_for(test(), 10))
