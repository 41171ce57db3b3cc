"""How the ring comes to be."""

from __future__ import annotations

from dataclasses import replace

from ipam_cluster import Cluster, Host
from playbook import HIGH, ME, Playbook, config, of

from core.config import SeedMode
from core.effects import Note
from core.events import Allocate
from core.ipam.homes import decided_key
from core.ipam.seed import divide, proposal_key, ring_id_of
from core.ipam.universe import universe_of
from core.kinds import RingClaim, SeedAccepted, SeedProposal, TargetRecord, put
from core.types import Address, Instant, PeerName
from crdt.fact import Origin
from crdt.store import Store
from crdt.stream import Stream


def reseed(host: Host, seed: SeedMode) -> None:
    """Relaunch a host with an empty disk and another idea of the ring."""
    host.config = replace(host.config, seed=seed)
    host.disk = Store()
    host.boot()


def state(host: Host) -> str:
    status = host.allocator.describe()
    assert status is not None
    return status.state


def test_the_universe_is_halved_as_weave_net_does() -> None:
    names = (PeerName("a"), PeerName("b"), PeerName("c"))
    assert divide(Address(0), Address(100), names) == ((0, 50, "a"), (50, 75, "b"), (75, 100, "c"))
    assert divide(Address(0), Address(2), names) == ((0, 1, "a"), (1, 2, "b"))
    assert divide(Address(0), Address(9), names[:1]) == ((0, 9, "a"),)


def test_the_ring_id_depends_on_names_and_universe() -> None:
    one, other = universe_of("10.32.0.0/12"), universe_of("10.32.0.0/13")
    ids = [ring_id_of(one, ("a", "b")), ring_id_of(other, ("a", "b")), ring_id_of(one, ("a",))]
    assert len(dict.fromkeys(ids)) == 3


def test_a_listed_seed_makes_a_ring_at_once() -> None:
    cluster = Cluster(2)
    request = cluster.hosts[1].allocate("c")
    cluster.hosts[1].commit()
    assert cluster.hosts[1].reply(request) == "10.32.0.32/26"
    assert state(cluster.hosts[0]) == "ready"


def test_nothing_is_decided_before_somebody_needs_it() -> None:
    cluster = Cluster(3, mode=SeedMode("consensus", count=3))
    cluster.settle()
    assert [state(host) for host in cluster] == ["idle"] * 3


def test_a_majority_decides_and_the_rest_learns() -> None:
    cluster = Cluster(3, mode=SeedMode("consensus", count=3))
    cluster.partition(cluster.hosts[2])
    request = cluster.hosts[0].allocate("c")
    assert state(cluster.hosts[0]) == "awaiting consensus (quorum: 2, known: 1)"
    cluster.settle()
    assert cluster.hosts[0].reply(request) == "10.32.0.1/26"
    assert state(cluster.hosts[2]) == "idle"
    cluster.heal()
    cluster.settle()
    assert state(cluster.hosts[2]) == "ready"


def test_a_minority_waits() -> None:
    cluster = Cluster(3, mode=SeedMode("consensus", count=3))
    cluster.partition(cluster.hosts[0])
    request = cluster.hosts[0].allocate("c")
    cluster.settle()
    assert cluster.hosts[0].reply(request) is None
    assert state(cluster.hosts[0]).startswith("awaiting consensus (quorum: 2")


def test_rivals_agree_after_a_partition() -> None:
    cluster = Cluster(4, mode=SeedMode("consensus", count=4))
    cluster.partition(cluster.hosts[0], cluster.hosts[1])
    for host in cluster:
        host.allocate("c")
    cluster.settle()
    assert all(state(host).startswith("awaiting") for host in cluster)
    cluster.heal()
    cluster.settle()
    cluster.check_safety()
    assert [len(host.holds()) for host in cluster] == [1, 1, 1, 1]


def tell(source: Host, destination: Host) -> None:
    """Let one host hear all that another has said itself, and nothing else."""
    source.commit()
    source.cluster.share(source, destination, source.origin)
    source.cluster.deliver(len(source.cluster.packets) - 1)
    destination.commit()


def test_a_value_that_a_quorum_accepted_stays_though_its_proposer_is_gone() -> None:
    cluster = Cluster(3, mode=SeedMode("consensus", count=3))
    cluster.settle()
    first, voter, late = cluster.hosts
    request = first.allocate("c")
    for _ in range(2):
        tell(first, voter)
        tell(voter, first)
    assert first.reply(request) == "10.32.0.1/26"
    assert state(voter) == "idle"
    cluster.partition(first)
    late.allocate("d")
    tell(voter, late)
    late.fire("ipam/seed")
    for _ in range(2):
        tell(late, voter)
        tell(voter, late)
    assert state(late) != "idle"
    assert not state(late).startswith("awaiting")
    cluster.heal()
    cluster.settle()
    rings = [status.ring_id for host in cluster if (status := host.allocator.describe())]
    assert rings[0]
    assert rings == [rings[0]] * 3
    cluster.check_safety()


def test_an_observer_provokes_an_election_and_has_no_vote() -> None:
    cluster = Cluster(2, mode=SeedMode("consensus", count=2))
    observer = cluster.hosts[1]
    observer.config = type(observer.config)(
        observer.name, "h2", universe=observer.config.universe, seed=SeedMode("observer")
    )
    observer.boot()
    request = observer.allocate("c")
    assert state(observer) == "priming"
    cluster.settle()
    assert observer.reply(request) is None
    assert state(cluster.hosts[0]) == "awaiting consensus (quorum: 2, known: 1)"


def test_the_quorum_is_fixed_when_a_ring_is_first_needed_and_counts_targets_until_then() -> None:
    cluster = Cluster(1, mode=SeedMode("consensus"))
    host = cluster.hosts[0]
    host.do(host.allocator.facts_changed)
    for target in ("x", "y"):
        host.do(lambda target=target: host.context.write(put(f"target/{target}:6783", TargetRecord(target))))
    host.allocate("c")
    assert state(host) == "awaiting consensus (quorum: 2, known: 1)"


def test_a_vote_that_others_need_is_no_decision_for_who_needs_none() -> None:
    """Our own quorum may be one while the others' is three."""
    cluster = Cluster(2, mode=SeedMode("consensus", count=3))
    lonely = cluster.hosts[1]
    lonely.config = type(lonely.config)(
        lonely.name, "h2", universe=lonely.config.universe, seed=SeedMode("consensus", count=1)
    )
    lonely.boot()
    vote = SeedAccepted(1 << 16, "x", ("x", "y"))
    host = cluster.hosts[0]
    host.do(lambda: host.context.write(put(f"seed/accepted/{host.config.universe}", vote)))
    cluster.exchange()
    assert state(lonely) == "idle"


def test_who_lost_the_log_does_not_vote() -> None:
    cluster = Cluster(2, mode=SeedMode("consensus", count=2))
    first, second = cluster.hosts
    cluster.settle()
    second.wipe()
    second.in_sync = True
    cluster.exchange()
    first.allocate("c")
    cluster.settle()
    assert state(first) == "awaiting consensus (quorum: 2, known: 1)"


def test_a_claim_under_a_senseless_key_does_no_harm() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    two.do(lambda: two.context.write(put("nonsense", RingClaim(0, 1, 0, 0, "", 0, "", 0))))
    cluster.settle()
    assert one.allocator.describe() is not None


def test_a_wish_is_withdrawn_once_there_is_a_ring() -> None:
    cluster = Cluster(2, mode=SeedMode("consensus", count=2))
    for host in cluster:
        host.do(lambda host=host: host.allocator.allocate(cluster.new_request(), Allocate("c", "")))
    cluster.settle()
    for host in cluster:
        assert host.context.board.get(host.name, proposal_key(host.config.universe), SeedProposal) is None


def test_an_elector_that_becomes_an_observer_makes_its_wish_known() -> None:
    cluster = Cluster(3, mode=SeedMode("consensus", count=3))
    cluster.partition(cluster.hosts[0])
    first = cluster.hosts[0]
    first.allocate("c")
    cluster.settle(1_000)
    assert state(first) == "awaiting consensus (quorum: 2, known: 1)"
    first.config = replace(first.config, seed=SeedMode("observer"))
    first.boot()
    request = first.allocate("c")
    cluster.heal()
    cluster.settle()
    assert first.reply(request) is not None


def test_names_that_come_too_late_are_ignored_aloud() -> None:
    universe = config().universe
    assert universe is not None
    before = put(decided_key(universe), SeedAccepted(0, ME, (ME,)))
    journal = Stream.empty(Origin(ME, 1)).append((before,)).delta(0)
    book = Playbook(config(seed=SeedMode("seed", (HIGH, ME))), (journal,))
    (note,) = of(book.start(), Note)
    assert note.text.startswith(f"--ipalloc-init seed={ME},{HIGH} is ignored: the range was divided among {ME} before;")
    status = book.replica.describe(Instant(book.now_ms, 0)).ipam
    assert status is not None
    assert [owner.peer for owner in status.owners] == [ME]
