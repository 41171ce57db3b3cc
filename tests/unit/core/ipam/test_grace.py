"""What containers and agents that ended left behind is kept for a while, and then freed."""

from __future__ import annotations

from ipam_cluster import Cluster, Host

from core.events import FreeIdle, Lookup
from core.ipam.grace import GRACE_MS
from core.kinds import AttachmentRecord, attachment_key, gone, put
from core.types import Cidr


def one_host() -> Host:
    return Cluster(1, "10.32.0.0/26").hosts[0]


def answer(host: Host, request: int) -> str | None:
    host.commit()
    return host.reply(request)


def lookup(host: Host, ident: str) -> str | None:
    request = host.cluster.new_request()
    host.do(lambda: host.allocator.lookup(request, Lookup(ident, "")))
    return answer(host, request)


def attach(host: Host, ident: str, *, is_recorded: bool) -> None:
    """Give an ident an address as attaching does, and say that it has an interface, unless the agent dies before."""

    def gone_on(result: tuple[Cidr, ...] | str) -> None:
        assert not isinstance(result, str)
        if is_recorded:
            texts = tuple(str(cidr) for cidr in result)
            record = AttachmentRecord("02:00:00:00:00:01", texts, f"/run/netns/{ident}", False, "attach", 0)
            host.context.write(put(attachment_key(ident, "ethwe"), record))

    subnets = host.config.subnets
    host.do(lambda: host.allocator.wait_for(f"attach/{ident}", ident, subnets, gone_on))
    host.commit()


def end(host: Host, ident: str) -> None:
    """Let a container end: its interfaces are forgotten at once."""
    host.do(lambda: host.context.write(gone(attachment_key(ident, "ethwe"), AttachmentRecord)))
    host.do(lambda: host.allocator.container_gone(ident))
    host.commit()


def test_an_address_given_for_an_interface_that_never_came_is_freed() -> None:
    host = one_host()
    attach(host, "a", is_recorded=True)
    attach(host, "b", is_recorded=False)
    host.allocate("c")
    host.commit()
    host.crash()
    assert host.timers == {"ipam/gone/b": GRACE_MS}
    host.fire("ipam/gone/b")
    assert (lookup(host, "a"), lookup(host, "b"), lookup(host, "c")) == ("10.32.0.1/26", "", "10.32.0.3/26")


def test_the_grace_of_a_container_outlives_the_agent() -> None:
    host = one_host()
    attach(host, "a", is_recorded=True)
    host.claim("a", "10.32.0.9/26")
    end(host, "a")
    host.crash()
    assert lookup(host, "a") == "10.32.0.1/26 10.32.0.9/26"
    host.fire("ipam/gone/a")
    assert lookup(host, "a") == ""


def test_who_comes_back_after_the_agent_was_restarted_keeps_its_address() -> None:
    host = one_host()
    attach(host, "a", is_recorded=True)
    end(host, "a")
    host.crash()
    attach(host, "a", is_recorded=True)
    host.fire("ipam/gone/a")
    assert lookup(host, "a") == "10.32.0.1/26"
    host.crash()
    assert host.timers == {}


def test_an_address_that_was_asked_for_again_is_not_taken_with_the_interface() -> None:
    host = one_host()
    attach(host, "a", is_recorded=False)
    assert answer(host, host.allocate("a")) == "10.32.0.1/26"
    host.crash()
    assert host.timers == {}


def test_a_container_on_its_way_back_is_waited_for() -> None:
    host = one_host()
    attach(host, "a", is_recorded=False)
    host.crash()
    host.in_sync = False
    request = host.allocate("a")
    host.fire("ipam/gone/a")
    assert (host.timers, answer(host, request)) == ({"ipam/gone/a": GRACE_MS}, None)
    host.in_sync = True
    host.do(host.allocator.facts_changed)
    assert (host.timers, answer(host, request)) == ({}, "10.32.0.1/26")


def test_what_no_interface_has_is_shown_and_given_back_on_demand() -> None:
    host = one_host()
    attach(host, "a", is_recorded=True)
    host.claim("a", "10.32.0.9/26")
    host.allocate("plugin")
    host.allocate("weave:expose")
    host.commit()
    status = host.allocator.describe()
    assert status is not None
    assert [(entry.ident, [str(cidr) for cidr in entry.cidrs], entry.left) for entry in status.idle] == [
        ("a", ["10.32.0.9/26"], ()),
        ("plugin", ["10.32.0.2/26"], ()),
    ]
    for ident, freed in (("a", "10.32.0.9/26"), ("plugin", "10.32.0.2/26"), ("weave:expose", "")):
        request = host.cluster.new_request()
        host.do(lambda ident=ident, request=request: host.allocator.free_idle(request, FreeIdle(ident)))  # type: ignore[misc]
        assert answer(host, request) == freed
    assert (lookup(host, "a"), lookup(host, "weave:expose")) == ("10.32.0.1/26", "10.32.0.3/26")
