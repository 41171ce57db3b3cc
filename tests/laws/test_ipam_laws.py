"""Laws of address allocation, under everything that network, disks and operators do without lying."""

from __future__ import annotations

import random

import pytest
from ipam_cluster import Cluster, Host

from core.config import SeedMode
from core.events import RemovePeers
from core.ipam import space
from core.ipam.homes import is_decided_key
from core.ipam.space import Space
from core.ipam.squatters import Squatters
from core.kinds import RingClaim, SeedAccepted, gone
from core.types import Address, Cidr, PeerName

SEEDS = range(40)
STEPS = 400
UNIVERSE = "10.32.0.0/27"
"""Small, so that hosts run dry and ask each other."""
LAST = 31
SIX = "fd00::/123"
"""As many addresses."""


@pytest.fixture(autouse=True)
def early_tidying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Join notes in short histories too."""
    monkeypatch.setattr(space, "CLAIMS_TIDY", 4)


def churn(cluster: Cluster, rng: random.Random, steps: int = STEPS) -> None:
    """Let the world do legal things, and check after each."""
    idents = 0
    live: list[tuple[Host, str]] = []
    for _ in range(steps):
        host = rng.choice([host for host in cluster.hosts if host.is_up])
        action = rng.choices(range(9), (8, 4, 9, 26, 30, 1, 16, 1, 1))[0]
        if action == 0:
            idents += 1
            live.append((host, f"c{idents}"))
            host.allocate(f"c{idents}")
        elif action == 1:
            idents += 1
            live.append((host, f"c{idents}"))
            part = rng.choice(cluster.universe.parts)
            host.claim(f"c{idents}", str(Cidr(Address(part.lo + rng.randrange(1, LAST)), part.prefix)))
        elif action == 2 and live:
            owner, ident = live.pop(rng.randrange(len(live)))
            owner.do(lambda owner=owner, ident=ident: owner.allocator.release(ident, owner.allocator.held(ident)))
        elif action == 3:
            other = rng.choice(cluster.hosts)
            origins = host.context.store.origins()
            if origins and other is not host:
                cluster.share(host, other, rng.choice(origins))
        elif action == 4 and cluster.packets:
            cluster.deliver(rng.randrange(len(cluster.packets)), keep=rng.random() < 0.2)
        elif action == 5 and cluster.packets:
            del cluster.packets[rng.randrange(len(cluster.packets))]
        elif action == 6:
            host.commit(rng.randrange(1, 6))
        elif action == 7:
            host.crash()
        elif action == 8:
            cluster.heal()
            if rng.random() < 0.5:
                cluster.partition(*rng.sample(cluster.hosts, rng.randrange(1, len(cluster.hosts))))
        cluster.now_ms += rng.randrange(2000)
        for name in [name for name, due in sorted(host.timers.items()) if due <= cluster.now_ms]:
            host.fire(name)
        cluster.check_safety()


def run(seed: int, universe: str = UNIVERSE) -> Cluster:
    rng = random.Random(seed)
    first_only = SeedMode("seed", (PeerName("01:00:00:00:00:00"),))
    cluster = Cluster(rng.randrange(2, 6), universe, first_only if seed % 2 else None)
    churn(cluster, rng)
    return cluster


@pytest.mark.parametrize("seed", SEEDS)
def test_no_address_has_two_owners_or_two_holders(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("universe", [SIX, f"{UNIVERSE},{SIX}"])
@pytest.mark.parametrize("seed", range(8))
def test_so_it_is_with_ipv6_and_with_both(seed: int, universe: str) -> None:
    cluster = run(seed, universe)
    cluster.heal()
    cluster.settle()
    cluster.check_safety()
    for host in cluster.hosts:
        status = host.allocator.describe()
        assert status is not None
        for part in cluster.universe.parts:
            inside = [entry for entry in status.entries if entry.lo in part]
            assert sum(entry.size for entry in inside) == part.size
        assert not status.conflicts


@pytest.mark.parametrize("seed", range(20))
def test_after_a_heal_all_views_agree_and_all_who_wait_are_served_while_there_is_space(seed: int) -> None:
    cluster = run(seed)
    cluster.heal()
    cluster.settle()
    cluster.check_safety()
    first = cluster.hosts[0]
    for host in cluster.hosts[1:]:
        assert host.context.store == first.context.store
    statuses = [host.allocator.describe() for host in cluster.hosts]
    assert len({status.entries for status in statuses if status}) == 1
    assert all(not status.conflicts for status in statuses if status)
    hosts_used = sum(1 for host in cluster.hosts for address in host.holds() if 0 < address % 32 < LAST)
    if hosts_used < LAST - 1:
        assert [status.pending for status in statuses if status] == [()] * len(statuses)


@pytest.mark.parametrize("seed", range(10))
def test_all_space_can_be_used_from_one_host_in_the_end(seed: int) -> None:
    cluster = run(seed)
    cluster.heal()
    cluster.settle()
    while any(host.holds() for host in cluster.hosts):
        for host in cluster.hosts:
            for ident in list(host.holds().values()):
                host.do(lambda host=host, ident=ident: host.allocator.release(ident, host.allocator.held(ident)))
        cluster.settle()
    greedy = cluster.hosts[seed % len(cluster.hosts)]
    requests = [greedy.allocate(f"all{index}") for index in range(LAST - 1)]
    cluster.settle(600_000)
    assert sorted({greedy.reply(request) for request in requests}, key=str) == sorted(
        f"10.32.0.{index}/27" for index in range(1, LAST)
    )


@pytest.mark.parametrize("seed", range(30))
def test_a_takeover_of_a_dead_peer_is_safe_whatever_was_heard_of_its_last_words(seed: int) -> None:
    rng = random.Random(seed)
    cluster = Cluster(rng.randrange(3, 6), UNIVERSE)
    churn(cluster, rng, 150)
    dead, taker, *_ = rng.sample(cluster.hosts, 2)
    dead.is_up = False
    cluster.hosts.remove(dead)
    request = cluster.new_request()
    taker.do(lambda: taker.allocator.remove_peers(request, RemovePeers((dead.name,))))
    churn(cluster, rng, 200)
    cluster.check_safety()
    cluster.heal()
    cluster.settle()
    cluster.check_safety()
    if (taker.reply(request) or "!").startswith("!"):
        # Somebody was away too long, or the taker was; now all are here.
        taker.do(lambda: taker.allocator.remove_peers(request, RemovePeers((dead.name,))))
        cluster.settle()
    for host in cluster.hosts:
        status = host.allocator.describe()
        assert status is not None
        assert dead.name not in [owner.peer for owner in status.owners]
        assert status.conflicts == ()


@pytest.mark.parametrize("seed", range(60))
def test_consensus_decides_one_value_whatever_is_lost(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randrange(2, 6)
    cluster = Cluster(count, mode=SeedMode("consensus", count=count))
    churn(cluster, rng, 200)
    cluster.heal()
    cluster.hosts[0].allocate("last")
    cluster.settle()
    decided = {
        body.value
        for host in cluster.hosts
        for _, key, body in host.context.board.all(SeedAccepted)
        if is_decided_key(key)
    }
    assert len(decided) == 1
    assert len({host.allocator.describe().ring_id for host in cluster.hosts}) == 1


def finds_a_double_owner(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Look for two users of one address, among hosts that do not see what others use: that would hide the mistake."""
    monkeypatch.setattr(Squatters, "between", lambda _self, _lo, _hi: [])
    for seed in SEEDS:
        try:
            run(seed)
        except AssertionError as error:
            return "both own" in str(error) or " and c" in str(error)
    return False


def three_in_a_row() -> None:
    """The first host gives to the second and that to the third, of whom the first has not heard."""
    cluster = Cluster(3, mode=SeedMode("seed", (PeerName("01:00:00:00:00:00"),)))
    one, two, three = cluster.hosts
    two.allocate("a")
    cluster.settle()
    two.free("a")
    cluster.settle()
    cluster.partition(one)
    three.allocate("b")
    cluster.settle()
    assert len(three.holds()) == 1
    cluster.check_safety()
    cluster.heal()
    cluster.share(two, one, two.origin)
    cluster.deliver(0)
    cluster.check_safety()


def test_the_laws_catch_a_giver_that_forgets_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: delete a note once the receiver has asserted the range. Streams that arrive one by one betray it."""
    settle = Space.settle
    three_in_a_row()

    def forgetful(self: Space) -> bool:
        is_given = settle(self)
        view = self._ring.view()
        for key, claim in list(self._context.board.of(self._context.me, RingClaim)):
            runs = view.between(claim.lo, claim.hi)
            if claim.owner != self._context.me and all(run.rank[:2] > (claim.generation, claim.epoch) for run in runs):
                self._context.write(gone(key, RingClaim))
        return is_given

    monkeypatch.setattr(Space, "settle", forgetful)
    with pytest.raises(AssertionError, match="both own"):
        three_in_a_row()


def test_the_laws_catch_ranges_that_end_where_the_next_one_known_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: Weave Net's tokens. A claim reaches to the next claim that is known here, not to its own end."""
    from core.ipam import ring

    view = ring.Ring.view

    def tokens(self):
        parts, said = self._division, view(self).claims
        starts = sorted({claim.lo for _, claim in said} | {lo for lo, _, _ in parts} | {parts[-1][1]})
        stretched = [
            (
                writer,
                RingClaim(
                    claim.lo,
                    next(start for start in starts if start > claim.lo),
                    claim.generation,
                    claim.epoch,
                    claim.owner,
                    claim.free,
                    claim.why,
                    claim.at_ms,
                ),
            )
            for writer, claim in said
        ]
        made = ring.RingView(parts, stretched)
        made.version = view(self).version
        return made

    monkeypatch.setattr(ring.Ring, "view", tokens)
    assert finds_a_double_owner(monkeypatch)


def test_the_laws_catch_a_giver_that_gives_what_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: donate from the whole range, not from what is free in it."""

    def careless(self: Space, lo: int, hi: int):
        for run in self.ranges():
            if max(lo, run.lo) < min(hi, run.hi):
                yield max(lo, run.lo), min(hi, run.hi)

    from core.ipam import steward

    donate = steward.Steward.donate

    def giving(self, asker, ask) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Space, "free_runs", careless)
            patch.setattr(Space, "free_count", lambda self, lo, hi: sum(end - at for at, end in careless(self, lo, hi)))
            return donate(self, asker, ask)

    monkeypatch.setattr(steward.Steward, "donate", giving)
    assert finds_a_double_owner(monkeypatch)
