"""Places that are reached only when much comes together: a simulator that never gets there has not tested them.

Each is marked where it happens with `Context.mark`; a campaign of the simulator reports how often each was passed, and
a test fails when one never was. Source: FoundationDB's CODE_PROBE; TigerBeetle's marks.
"""

from __future__ import annotations

MARKS = frozenset(
    (
        "attachments.disk-failed",
        "attachments.kernel-refused",
        "attachments.settled-within",
        "attachments.undone-in-kernel",
        "dialler.wait-cut-short",
        "gossip.asked-again",
        "gossip.asked-neighbour-lost",
        "gossip.corrupt-replaced",
        "gossip.equivocation",
        "gossip.gap",
        "gossip.own-stream-ahead",
        "gossip.past-life-offered",
        "gossip.stream-replaced",
        "ipam.adopted-earlier-life",
        "ipam.asked-next-owner",
        "ipam.asked-twice",
        "ipam.claim-refused",
        "ipam.container-back-in-time",
        "ipam.grace-over",
        "ipam.joined-notes",
        "ipam.nobody-gives",
        "ipam.note-denies",
        "ipam.owner-silent",
        "ipam.owner-unreachable",
        "ipam.squatted",
        "leaving.heir-silent",
        "leaving.no-heir",
        "mesh.neighbour-slow-to-tell",
        "reconciler.held-back",
        "reconciler.vanished-with-parent",
        "relay.no-way",
        "relay.passed-on",
        "replica.answer-unsaved",
        "replica.disk-recovered",
        "replica.disk-refused",
        "replica.reborn",
        "replica.retry-too-early",
        "seed.adopted-vote",
        "seed.decision-recalled",
        "seed.no-vote-after-amnesia",
        "seed.old-ballot-refused",
        "seed.outbid",
        "sessions.held-link-expired",
        "sessions.held-link-resumed",
        "sessions.no-hello",
        "sessions.peer-restarted-unnoticed",
        "sessions.silent-line-ended",
        "sessions.silent-peer",
        "sessions.spare-closed",
        "shortids.clash-lost",
    )
)
