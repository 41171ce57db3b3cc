"""Places that are reached only when much comes together: a simulator that never gets there has not tested them.

Each is marked where it happens with `Context.mark`; a campaign of the simulator reports how often each was passed, and
a test fails when one never was. Source: FoundationDB's CODE_PROBE; TigerBeetle's marks.
"""

from __future__ import annotations

MARKS = frozenset(
    (
        "gossip.corrupt-replaced",
        "gossip.equivocation",
        "gossip.gap",
        "ipam.adopted-earlier-life",
        "ipam.asked-next-owner",
        "ipam.claim-refused",
        "ipam.grace-over",
        "ipam.joined-notes",
        "leaving.heir-silent",
        "replica.disk-recovered",
        "replica.disk-refused",
        "replica.reborn",
        "seed.adopted-vote",
        "seed.outbid",
        "sessions.held-link-expired",
        "sessions.silent-peer",
        "sessions.spare-closed",
    )
)
