"""What IPAM shows to people and scripts, as data; others turn it into text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core.context import Context
from core.ipam.fences import takeovers
from core.ipam.grace import Grace, unattached
from core.ipam.held import Held, ident_of
from core.ipam.labels import Labels
from core.ipam.retired import PREFIX as RETIRED
from core.ipam.retired import departed, removals
from core.ipam.ring import RingView
from core.ipam.seed import Seed
from core.ipam.space import Space
from core.ipam.takeover import Takeover
from core.ipam.universe import Universe, sizes_of
from core.ipam.waits import Wait
from core.kinds import NOBODY, AddressRecord, HomeRecord, RetiredRecord, home_key
from core.types import Address, Cidr, PeerName, address_text, utc_text

ALL_LOST = "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead"
WAITING = "waiting for IP(s) to become available"
READY = "ready"
CONFLICTS_SHOWN_MAX = 100
"""Conflicts that one status lists; the first ones tell what happened."""


@dataclass(frozen=True, slots=True)
class OwnerStatus:
    """One line of `weave status ipam`."""

    peer: PeerName
    """Who owns."""
    nickname: str
    """What people call it; empty when unknown."""
    addresses: int
    """Count of addresses owned."""
    active: int
    """Count of addresses its containers use, as far as it has told."""
    parts: tuple[tuple[int, int], ...]
    """Both counts in each part of the range."""
    is_reachable: bool
    """Whether it can be asked; true for ourselves."""


@dataclass(frozen=True, slots=True)
class EntryStatus:
    """One range of the ring, for `weave report`."""

    lo: Address
    """First address."""
    size: int
    """Count of addresses."""
    peer: PeerName
    """Owner."""
    nickname: str
    """What people call it; empty when unknown."""
    is_known: bool
    """Whether facts of that peer are held here."""
    generation: int
    """Raised by takeover."""
    epoch: int
    """Raised by the owner."""


@dataclass(frozen=True, slots=True)
class PendingStatus:
    """One request that waits."""

    ident: str
    """For whom."""
    wants: tuple[str, ...]
    """Subnets or addresses, as CIDR."""
    is_claim: bool
    """Whether particular addresses are wanted."""
    why: str
    """What it waits for, with what to do."""


@dataclass(frozen=True, slots=True)
class IdleStatus:
    """Addresses that somebody on this host holds and no interface has."""

    ident: str
    """Who."""
    cidrs: tuple[Cidr, ...]
    """Which."""
    since_ms: int
    """When the newest of them was given, on this host's wall clock."""
    left: tuple[Cidr, ...]
    """Those that served an interface which is gone: they are freed unless it comes back soon."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """The part of the shared range that is of one family."""

    cidr: str
    """All of it."""
    size: int
    """Addresses in it; shares are parts of this. That of an IPv6 range may exceed 64 bits."""
    default_subnet: str
    """CIDR used unless asked otherwise."""
    free: int
    """Addresses of ours in it that nobody uses."""
    used: int
    """Addresses of its family that are held on this host."""


@dataclass(frozen=True, slots=True)
class IpamStatus:
    """Everything about allocation on this host."""

    universe: str
    """CIDRs of the shared range, separated by commas."""
    parts: tuple[PartStatus, ...]
    """IPv4 first."""
    size: int
    """Addresses in all parts."""
    default_subnet: str
    """CIDRs used unless asked otherwise, separated by commas."""
    state: str
    """In Weave Net's words: `idle`, `awaiting consensus …`, `priming`, `waiting …`, `all IP ranges …`, `ready`."""
    is_elector: bool
    """Whether this host votes on the ring."""
    quorum: int
    """Votes needed for a ring."""
    ring_id: str
    """Name of the ring; empty while there is none."""
    owners: tuple[OwnerStatus, ...]
    """Ourselves first, then by name; empty while there is no ring."""
    entries: tuple[EntryStatus, ...]
    """Ranges of the ring, ascending."""
    held: tuple[tuple[str, tuple[Cidr, ...]], ...]
    """Ident and what it holds on this host, by ident."""
    idle: tuple[IdleStatus, ...]
    """Held on this host without an interface, by ident."""
    left_found: int
    """Addresses that earlier lives of the agent had left behind, since it was started."""
    left_freed: int
    """Addresses freed for nobody came back for them, since it was started."""
    stranded: tuple[tuple[str, str, PeerName], ...]
    """Address, ident and owner, for addresses in use here whose range another peer owns now."""
    pending: tuple[PendingStatus, ...]
    """Requests that wait, oldest first."""
    squatters: tuple[str, ...]
    """Addresses that somebody uses who was not given them, one line each, with the MAC address and what to do."""
    conflicts: tuple[str, ...]
    """Disputes over ranges and addresses used twice, one line each, with who, when and why."""
    alarms: tuple[str, ...]
    """What an operator must settle or should know of removed peers, one line each."""


def describe(
    context: Context,
    seed: Seed,
    held: Held,
    grace: Grace,
    squatters: tuple[str, ...],
    space: Space | None,
    takeover: Takeover | None,
    waits: tuple[tuple[Wait, str], ...],
    reachable: Callable[[PeerName], bool],
) -> IpamStatus:
    """Gather the status of allocation."""
    universe = context.config.universe
    assert universe is not None, "allocation is on"
    view = None if seed.ring is None else seed.ring.view()
    labels = Labels(context)
    general = tuple(alarm for alarm in (seed.homes.alarm(), seed.deadlock()) if alarm)
    owners = () if view is None else _owners(context, universe, labels, view, reachable)
    return IpamStatus(
        universe=str(universe),
        parts=_parts(context, universe, held, space),
        size=universe.size,
        default_subnet=",".join(map(str, context.config.subnets)),
        state=seed.status() or _state(owners, waits),
        is_elector=context.config.seed.mode == "consensus",
        quorum=seed.quorum(),
        ring_id="" if seed.ring is None else seed.ring.ring_id,
        owners=owners,
        entries=() if view is None else _entries(context, labels, view),
        held=_held(held),
        idle=_idle(context, held, grace),
        left_found=grace.found,
        left_freed=grace.freed,
        stranded=() if view is None else _stranded(context, held, view),
        pending=tuple(_pending(wait, why) for wait, why in waits),
        squatters=squatters,
        conflicts=_conflicts(context, labels, view)[:CONFLICTS_SHOWN_MAX],
        alarms=(
            *general,
            *_removals(context, labels, takeover, reachable),
            *(() if view is None else _returns(context, labels, view)),
        ),
    )


def _state(owners: tuple[OwnerStatus, ...], waits: tuple[tuple[Wait, str], ...]) -> str:
    if not waits:
        return READY
    others = owners[1:]
    is_lost = bool(others) and not any(owner.is_reachable for owner in others)
    return ALL_LOST if is_lost else WAITING


def _parts(context: Context, universe: Universe, held: Held, space: Space | None) -> tuple[PartStatus, ...]:
    used = sizes_of(universe, (address for address, _ in held.items()))
    return tuple(
        PartStatus(
            cidr=str(part),
            size=part.size,
            default_subnet=str(subnet),
            free=0 if space is None else space.free_count(part.lo, part.hi),
            used=count,
        )
        for part, subnet, count in zip(universe.parts, context.config.subnets, used, strict=True)
    )


def _owners(
    context: Context, universe: Universe, labels: Labels, view: RingView, reachable: Callable[[PeerName], bool]
) -> tuple[OwnerStatus, ...]:
    me, none = context.me, (0,) * len(universe.parts)
    shares: dict[PeerName, tuple[int, ...]] = {}
    for index, part in enumerate(universe.parts):
        for peer, count in view.shares(part.lo, part.hi).items():
            before = shares.get(peer, none)
            shares[peer] = (*before[:index], count, *before[index + 1 :])
    shares.pop(NOBODY, None)
    active: dict[PeerName, list[Address]] = {}
    for peer, _, record in context.board.all(AddressRecord):
        active.setdefault(peer, []).append(Address(record.address))
    peers = [me, *(peer for peer in sorted(shares) if peer != me)]
    return tuple(
        OwnerStatus(
            peer=peer,
            nickname=labels.nickname(peer),
            addresses=sum(shares.get(peer, none)),
            active=len(active.get(peer, ())),
            parts=tuple(zip(shares.get(peer, none), sizes_of(universe, active.get(peer, ())), strict=True)),
            is_reachable=peer == me or reachable(peer),
        )
        for peer in peers
    )


def _entries(context: Context, labels: Labels, view: RingView) -> tuple[EntryStatus, ...]:
    return tuple(
        EntryStatus(
            lo=run.lo,
            size=run.hi - run.lo,
            peer=run.owner,
            nickname=labels.nickname(run.owner),
            is_known=context.board.incarnation(run.owner) is not None,
            generation=run.generation,
            epoch=run.epoch,
        )
        for run in view.runs
    )


def _held(held: Held) -> tuple[tuple[str, tuple[Cidr, ...]], ...]:
    idents = sorted(dict.fromkeys(ident for _, ident in held.items()))
    return tuple((ident, held.of(ident)) for ident in idents)


def _idle(context: Context, held: Held, grace: Grace) -> tuple[IdleStatus, ...]:
    left = dict(grace.left())
    found = []
    for ident, cidrs in unattached(context, held):
        records = (held.record(ident, cidr.address) for cidr in cidrs)
        since_ms = max(record.at_ms for record in records if record is not None)
        found.append(IdleStatus(ident, cidrs, since_ms, left.get(ident, ())))
    return tuple(found)


def _stranded(context: Context, held: Held, view: RingView) -> tuple[tuple[str, str, PeerName], ...]:
    found = []
    for address, ident in held.items():
        owner = view.owner_at(address)
        if owner is not None and owner != context.me:
            found.append((address_text(address), ident, owner))
    return tuple(found)


def _pending(wait: Wait, why: str) -> PendingStatus:
    return PendingStatus(wait.ident, tuple(str(want) for want in wait.wants), wait.is_claim, why)


def _conflicts(context: Context, labels: Labels, view: RingView | None) -> tuple[str, ...]:
    dead = departed(context)
    lines = []
    for conflict in () if view is None else view.conflicts:
        loser, winner = (labels.of(owner) for owner in conflict.owners)
        lines.append(
            f"{address_text(conflict.lo)}-{address_text(Address(conflict.hi - 1))} was taken over by both {loser} and "
            f"{winner}: {winner} counts; restart the containers of {loser} that use it"
        )
    users: dict[int, dict[tuple[PeerName, str], None]] = {}
    for peer, key, record in context.board.all(AddressRecord):
        if peer not in dead:
            users.setdefault(record.address, {})[peer, ident_of(key)] = None
    for address in sorted(users):
        if len(users[address]) > 1:
            text = address_text(Address(address))
            names = " and ".join(f"{ident} on {labels.of(peer)}" for peer, ident in users[address])
            peers = dict.fromkeys(peer for peer, _ in users[address])
            lines.append(f"{text} is used by {names}{_causes(context, labels, peers)}: restart all but one of them")
    return tuple(lines)


def _causes(context: Context, labels: Labels, peers: Iterable[PeerName]) -> str:
    """Say how it came that these peers use one address: who was removed while it lived, by whom and when, and so on."""
    texts = [_removal_text(labels, peer, taker, record) for peer in peers for taker, record in removals(context, peer)]
    homes = dict.fromkeys(context.board.get(peer, home_key(), HomeRecord) for peer in peers)
    if len(homes) > 1 and None not in homes:
        texts.append("they were launched with different settings")
    return f" ({'; '.join(texts)})" if texts else ""


def _removal_text(labels: Labels, peer: PeerName, taker: PeerName, record: RetiredRecord) -> str:
    when = utc_text(record.at_ms)
    how = "with --force " if record.missing else ""
    return f"{labels.of(taker)} removed {labels.of(peer)} {how}on {when}"


def _removals(
    context: Context, labels: Labels, takeover: Takeover | None, reachable: Callable[[PeerName], bool]
) -> list[str]:
    """Tell of takeovers under way."""
    lines = []
    for taker, record in sorted(takeovers(context).items()):
        names = ", ".join(labels.of(PeerName(target)) for target in record.targets)
        how = "with --force " if record.force else ""
        line = f"{labels.of(taker)} is removing {names} {how}since {utc_text(record.since_ms)}"
        if taker == context.me and takeover is not None:
            waits = ", ".join(
                labels.of(peer) + ("" if reachable(peer) else " (unreachable)") for peer in takeover.waits_for()
            )
            line += f"; it waits for {waits}" if waits else ""
        lines.append(line)
    return lines


def _returns(context: Context, labels: Labels, view: RingView) -> list[str]:
    """Tell of peers that have come back after they were removed, while it makes a difference."""
    dead = departed(context)
    peers = dict.fromkeys(PeerName(key.removeprefix(RETIRED)) for _, key, _ in context.board.all(RetiredRecord))
    lines = []
    for peer in sorted(peers):
        texts = "; ".join(_removal_text(labels, peer, taker, record) for taker, record in removals(context, peer))
        owners = (view.owner_at(Address(record.address)) for _, record in context.board.of(peer, AddressRecord))
        count = sum(1 for owner in owners if owner not in (None, peer))
        kept = f"its containers keep {count} addresses that belong to others now; this ends when they do"
        if peer == context.me and (count or peer not in view.shares()):
            kept = kept if count else "it gets new ones when it needs them"
            lines.append(f"{texts}: the ranges of this host are another's now; {kept}")
        elif peer not in dead and peer != context.me and count:
            lines.append(f"{texts}, and it has come back: {kept}")
    return lines
