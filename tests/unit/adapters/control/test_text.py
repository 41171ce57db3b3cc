"""Status, report and metrics of one snapshot, as scripts and dashboards read them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from playbook import HIGH, ME, Playbook, config, of

from adapters.control import text
from adapters.control.metrics import Metrics
from adapters.control.report import report
from core.config import SeedMode
from core.counters import Counters
from core.effects import Answer, Ok
from core.events import Allocate, Claim, Command, Commanded, Connect, DialFailed, Prime
from core.ipam.status import PendingStatus
from core.ipam.universe import universe_of
from core.status import Status
from core.types import Instant, RequestId

STATUS = """\
        Version: 0.1.0 (version check update disabled)

        Service: router
       Protocol: weavenet 1..1
           Name: 02:00:00:00:00:05(me)
     Encryption: disabled
  PeerDiscovery: enabled
        Targets: 1
    Connections: 2 (1 established, 1 failed)
          Peers: 1 (with 1 pending connections)
 TrustedSubnets: none

        Service: ipam
         Status: ready
          Range: 10.32.0.0/24
  DefaultSubnet: 10.32.0.0/24

        Service: dns
         Domain: weave.local.
            TTL: 1
        Entries: 0
"""


def snapshot() -> Status:
    book = Playbook()
    book.start()
    book.session(1, HIGH)
    book.happens(Commanded(RequestId(1), Connect(("10.0.0.7",), replace=False)))
    book.happens(DialFailed("10.0.0.7", "dial tcp 10.0.0.7: no route to host"))
    book.happens(Commanded(RequestId(2), Allocate("c1", "")))
    return book.replica.describe(Instant(book.now_ms, 1_700_000_000_000))


def test_status_is_the_template_that_scripts_parse() -> None:
    assert text.status_text(snapshot()) == STATUS


def test_one_line_per_connection() -> None:
    first, second = text.connections_text(snapshot()).splitlines()
    expected = f"<- 10.0.0.9:6783         established unencrypted fastdp {HIGH}(n9) encrypted=false mtu=1376"
    assert first == expected
    assert second.startswith(
        "-> 10.0.0.7              failed      dial tcp 10.0.0.7: no route to host, retry: 2023-11-14 "
    )


def test_peers_targets_and_shares() -> None:
    status = snapshot()
    link = f"   <- 10.0.0.9:6783         {HIGH + '()':<37} pending"
    assert text.peers_text(status) == f"{ME}(me)\n{link}\n"
    assert text.targets_text(status) == "10.0.0.7\n"
    assert text.ipam_text(status) == f"{ME + '(me)':<37}      256 IPs (100.0% of total) (1 active)\n"


def test_the_shares_are_followed_by_what_is_blocked_and_why() -> None:
    status = snapshot()
    assert status.ipam is not None
    waits = (PendingStatus("web", ("10.32.0.0/24",), False, "no free address: wait for h2"),)
    ipam = replace(status.ipam, pending=waits, alarms=("h3 is removing h2",), conflicts=("10.32.0.9 is used by two",))
    assert text.ipam_text(replace(status, ipam=ipam)).splitlines()[1:] == [
        "",
        "web waits for 10.32.0.0/24: no free address: wait for h2",
        "h3 is removing h2",
        "10.32.0.9 is used by two",
    ]
    assert text.ipam_text(replace(status, ipam=replace(ipam, owners=()))) == "", "as ever while there is no ring"


def test_the_report_has_the_fields_that_templates_name() -> None:
    found = json.loads(json.dumps(report(snapshot(), Counters())))
    assert found["Router"]["Name"] == ME
    assert found["Router"]["Targets"] == ["10.0.0.7"]
    assert found["Router"]["Connections"][0]["State"] == "established"
    assert found["Router"]["Peers"][0]["Connections"][0]["Name"] == HIGH
    assert found["IPAM"]["RangeNumIPs"] == 256
    assert found["IPAM"]["ActiveIPs"] == 1
    assert found["IPAM"]["Entries"][0]["Token"] == "10.32.0.0"
    assert found["DNS"]["Domain"] == "weave.local."
    assert "Proxy" not in found, "what is off is left out"


def test_metrics_go_by_their_old_names() -> None:
    status = snapshot()
    lines = Metrics(lambda: status).text(Counters()).decode().splitlines()
    assert 'weave_connections{encryption="",state="established",type="fastdp"} 1.0' in lines
    assert 'weave_connections{encryption="yes",state="established",type="fastdp"} 0.0' in lines
    assert 'weave_ips{state="local-used"} 1.0' in lines
    assert "weave_max_ips 256.0" in lines
    assert "weave_connection_terminations_total 0.0" in lines
    assert "weave_ipam_unreachable_count 0.0" in lines


def test_encryption_and_trusted_subnets_are_shown() -> None:
    status = snapshot()
    config = replace(status.config, has_password=True, trusted=("10.0.0.0/8", "192.168.0.0/24"))
    shown = replace(status, config=config)
    lines = [line.strip() for line in text.status_text(shown).splitlines()]
    assert "Encryption: enabled" in lines
    assert "TrustedSubnets: 10.0.0.0/8, 192.168.0.0/24" in lines
    router = report(shown, Counters())["Router"]
    assert (router["Encryption"], router["TrustedSubnets"]) == (True, ["10.0.0.0/8", "192.168.0.0/24"])


def test_what_was_dropped_is_told_by_reason() -> None:
    counters = Counters({"loop": 3}, {"input": 2}, {"datagrams not authentic": 7}, 1, "nft: is not installed")
    assert report(snapshot(), counters)["Weavenet"]["Dropped"] == {
        "Programs": {"loop": 3},
        "Guard": {"input": 2},
        "Sleeve": {"datagrams not authentic": 7},
        "SleeveDeaths": 1,
        "Trouble": "nft: is not installed",
    }
    lines = Metrics(snapshot).text(counters).decode().splitlines()
    assert 'weave_datapath_drops_total{reason="loop"} 3.0' in lines
    assert 'weave_guard_drops_total{hook="input"} 2.0' in lines
    assert 'weave_sleeve_events_total{what="datagrams not authentic"} 7.0' in lines
    assert "weave_sleeve_deaths_total 1.0" in lines


def test_each_family_has_its_own_shares_and_large_counts_stay_exact() -> None:
    book = Playbook(config(universe=universe_of("10.32.0.0/24,fd00::/64")))
    book.start()
    book.happens(Commanded(RequestId(1), Allocate("c1", "")))
    book.happens(Commanded(RequestId(2), Allocate("c2", "fd00::/64")))
    status = book.replica.describe(Instant(book.now_ms, 0))
    assert "          Range: 10.32.0.0/24,fd00::/64\n" in text.status_text(status)
    assert text.ipam_text(status).splitlines() == [
        f"{ME + '(me)':<37}      256 IPs (100.0% of 10.32.0.0/24) (1 active)",
        f"{ME + '(me)':<37}     2^64 IPs (100.0% of fd00::/64) (2 active)",
    ]
    found = json.loads(json.dumps(report(status, Counters())))
    assert found["IPAM"]["RangeNumIPs"] == str(256 + (1 << 64)), "text, for JavaScript would round it"
    assert [entry["Size"] for entry in found["IPAM"]["Entries"]] == [256, str(1 << 64)]
    assert found["Weavenet"]["Ranges"][1] == {
        "Range": "fd00::/64",
        "DefaultSubnet": "fd00::/64",
        "NumIPs": str(1 << 64),
        "ActiveIPs": 2,
        "FreeIPs": str((1 << 64) - 2),
        "Owners": [{"Peer": ME, "NumIPs": str(1 << 64), "ActiveIPs": 2}],
    }
    lines = Metrics(lambda: status).text(Counters()).decode().splitlines()
    assert 'weave_range_ips{range="10.32.0.0/24",state="local-free"} 255.0' in lines
    assert 'weave_range_ips{range="fd00::/64",state="local-used"} 2.0' in lines
    assert "weave_ipam_unreachable_percentage 0.0" in lines


UNIVERSE = universe_of("10.32.0.0/24")
TAKE = Allocate("c1", "")


def ipam_block(book: Playbook) -> str:
    """Return what `weave status` says of addresses, line by line as it is printed."""
    shown = text.status_text(book.replica.describe(Instant(book.now_ms, 0)))
    start = shown.index("        Service: ipam\n")
    return shown[start : shown.index("\n\n", start) + 1]


def block_of(state: str, universe: str = "10.32.0.0/24") -> str:
    return (
        f"        Service: ipam\n         Status: {state}\n          Range: {universe}\n  DefaultSubnet: {universe}\n"
    )


@pytest.mark.parametrize(
    ("seed", "commands", "state"),
    [
        (SeedMode("consensus", count=3), (), "idle"),
        (SeedMode("consensus", count=3), (TAKE,), "awaiting consensus (quorum: 2, known: 1)"),
        (SeedMode("consensus", count=5), (Prime(),), "awaiting consensus (quorum: 3, known: 1)"),
        (SeedMode("consensus", count=1), (Prime(),), "ready"),
        (SeedMode("observer"), (), "idle"),
        (SeedMode("observer"), (TAKE,), "priming"),
        (SeedMode("observer"), (Prime(),), "priming"),
        (SeedMode("seed", (ME,)), (), "ready"),
        (SeedMode("seed", (ME,)), (TAKE,), "ready"),
        (SeedMode("seed", (ME,)), (Claim("c0", "10.32.0.1/30"), Allocate("c1", "10.32.0.0/30")), "ready"),
        (
            SeedMode("seed", (ME,)),
            tuple(Allocate(f"c{number}", "10.32.0.0/30") for number in range(3)),
            "waiting for IP(s) to become available",
        ),
        (
            SeedMode("seed", (HIGH,)),
            (TAKE,),
            "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead",
        ),
    ],
)
def test_the_state_of_allocation_is_told_in_weave_nets_words(
    seed: SeedMode, commands: tuple[Command, ...], state: str
) -> None:
    book = Playbook(config(universe=UNIVERSE, seed=seed))
    book.start()
    for number, command in enumerate(commands, 1):
        book.happens(Commanded(RequestId(number), command))
    assert ipam_block(book) == block_of(state)


def test_prime_answers_with_nothing_once_the_range_is_divided() -> None:
    waiting = Playbook(config(universe=UNIVERSE, seed=SeedMode("consensus", count=3)))
    waiting.start()
    assert of(waiting.happens(Commanded(RequestId(1), Prime())), Answer) == []
    ready = Playbook(config(universe=UNIVERSE, seed=SeedMode("seed", (ME,))))
    ready.start()
    assert of(ready.happens(Commanded(RequestId(1), Prime())), Answer) == [Answer(RequestId(1), Ok(""))]


def test_a_range_that_is_told_anew_is_divided_anew_and_the_old_one_is_as_it_was() -> None:
    book = Playbook(config(universe=UNIVERSE, seed=SeedMode("consensus", count=1)))
    book.start()
    book.happens(Commanded(RequestId(1), TAKE))
    assert ipam_block(book) == block_of("ready")
    told = ((universe_of("10.40.0.0/24"), "idle"), (UNIVERSE, "ready"))
    for universe, state in told:
        streams = tuple(book.replica.store.delta_for(origin, 0) for origin in book.replica.store.origins())
        book = Playbook(config(universe=universe, seed=SeedMode("consensus", count=3)), streams)
        book.start()
        assert ipam_block(book) == block_of(state, str(universe))
    assert [str(cidr) for cidr in book.replica.allocator.held("c1")] == ["10.32.0.1/24"]
