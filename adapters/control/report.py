"""`weave report`: a Status as the JSON that Weave Net's users script against, with our own under `Weavenet`."""

from __future__ import annotations

import json
from typing import Any

from core.counters import Counters
from core.messages import PROTOCOL_MAX, PROTOCOL_MIN
from core.naming.status import NameStatus
from core.status import Status
from core.types import address_text

EXACT_MAX = (1 << 53) - 1
"""The greatest integer up to which many readers of JSON, who make floating point numbers of all, miss none."""


def report(status: Status, counters: Counters) -> dict[str, Any]:
    """Return the report. Field names are Weave Net's API."""
    found: dict[str, Any] = {
        "Ready": True,
        "Version": status.config.version,
        "VersionCheck": {"Enabled": False, "Success": False, "NewVersion": "", "NextCheckAt": "0001-01-01T00:00:00Z"},
        "Router": _router(status),
    }
    if status.ipam is not None:
        found["IPAM"] = _ipam(status)
    if status.config.dns:
        found["DNS"] = _dns(status)
    found["Weavenet"] = {**_ours(status), "Dropped": _dropped(counters)}
    return found


def _router(status: Status) -> dict[str, Any]:
    mesh, config = status.mesh, status.config
    return {
        "Protocol": "weavenet",
        "ProtocolMinVersion": PROTOCOL_MIN,
        "ProtocolMaxVersion": PROTOCOL_MAX,
        "Encryption": config.has_password,
        "PeerDiscovery": config.discovery,
        "Name": config.peer,
        "NickName": config.nickname,
        "Port": config.port,
        "Peers": [
            {
                "Name": peer.peer,
                "NickName": peer.nickname,
                "UID": peer.incarnation,
                "ShortID": peer.short_id or 0,
                "Version": peer.seq,
                "Connections": [
                    {
                        "Name": link.peer,
                        "NickName": link.nickname,
                        "Address": link.address,
                        "Outbound": link.outbound,
                        "Established": link.established,
                    }
                    for link in peer.links
                ],
            }
            for peer in mesh.peers
        ],
        "UnicastRoutes": [{"Dest": config.peer, "Via": "00:00:00:00:00:00"}]
        + [{"Dest": destination, "Via": via} for destination, via in mesh.next_hops],
        "BroadcastRoutes": [{"Source": source, "Via": list(children)} for source, _, children in mesh.trees],
        "Connections": [
            {
                "Address": connection.address,
                "Outbound": connection.outbound,
                "State": connection.state,
                "Info": connection.info,
                "Attrs": dict(connection.attributes),
            }
            for connection in mesh.connections
        ],
        "TerminationCount": mesh.terminations,
        "Targets": list(mesh.targets),
        "OverlayDiagnostics": {"fastdp": None, "sleeve": None},
        "TrustedSubnets": list(config.trusted),
        "Interface": f"{config.bridge} (via eBPF)",
        "CaptureStats": {},
        "MACs": [],
    }


def _ipam(status: Status) -> dict[str, Any]:
    ipam = status.ipam
    assert ipam is not None, "asked before"
    is_waiting = not ipam.ring_id
    claims = [{"Ident": wait.ident, "CIDR": cidr} for wait in ipam.pending if wait.is_claim for cidr in wait.wants]
    allocates = [f"{wait.ident} {cidr}" for wait in ipam.pending if not wait.is_claim for cidr in wait.wants]
    known = len(status.mesh.peers)
    return {
        "Paxos": {"Elector": ipam.is_elector, "KnownNodes": known, "Quorum": ipam.quorum} if is_waiting else None,
        "Range": ipam.universe,
        "RangeNumIPs": _number(ipam.size),
        "ActiveIPs": sum(len(cidrs) for _, cidrs in ipam.held),
        "DefaultSubnet": ipam.default_subnet,
        "Entries": [
            {
                "Token": address_text(entry.lo),
                "Size": _number(entry.size),
                "Peer": entry.peer,
                "Nickname": entry.nickname,
                "IsKnownPeer": entry.is_known,
                "Version": entry.epoch,
            }
            for entry in ipam.entries
        ],
        "PendingClaims": claims,
        "PendingAllocates": allocates,
    }


def _dns(status: Status) -> dict[str, Any]:
    server = status.server
    return {
        "Domain": status.config.domain,
        "Upstream": [] if server is None else list(server.upstreams),
        "Address": "" if server is None or not server.addresses else server.addresses[0],
        "TTL": status.config.dns_ttl_s,
        "Entries": [name_entry(entry) for entry in status.names if entry.is_present],
    }


def name_entry(entry: NameStatus) -> dict[str, Any]:
    """Return one address of a name. There are no tombstones here, and no versions."""
    return {
        "Hostname": entry.name,
        "Origin": entry.peer,
        "ContainerID": entry.container,
        "Address": address_text(entry.address),
        "Version": 0,
        "Tombstone": 0,
    }


def _number(count: int) -> int | str:
    """Return a count as JSON's readers can take it: beyond 53 bits as text (RFC 7493 §2.2)."""
    return count if count <= EXACT_MAX else str(count)


def _ours(status: Status) -> dict[str, Any]:
    mesh, ipam = status.mesh, status.ipam
    return {
        "Incarnation": status.incarnation,
        "ShortID": mesh.short_id or 0,
        "InSync": mesh.in_sync,
        "Digest": status.digest,
        "Streams": status.origins,
        "Facts": status.facts,
        "Disk": status.disk or "ok",
        "Alarms": list(status.alarms),
        "Attachments": [
            {
                "Container": item.container,
                "Interface": item.ifname,
                "MAC": item.mac,
                "Addresses": list(item.addresses),
                "Namespace": item.netns,
                "HostInterface": item.host_ifname,
                "Up": item.is_up,
                "WaitsFor": item.waits_for,
            }
            for item in status.attachments
        ],
        "Trees": [{"Source": source, "Parent": parent, "Children": list(kids)} for source, parent, kids in mesh.trees],
        "Paths": [
            {"Address": line.address, "Outbound": line.outbound, "State": line.state, "Why": line.why}
            for line in mesh.connections
        ],
        "KernelTroubles": [
            {"What": item.what, "Why": item.why, "Hint": item.hint, "RetryAfterMS": item.retry_after_ms}
            for item in status.kernel
        ],
        "Ranges": [
            {
                "Range": part.cidr,
                "DefaultSubnet": part.default_subnet,
                "NumIPs": _number(part.size),
                "ActiveIPs": part.used,
                "FreeIPs": _number(part.free),
                "Owners": [
                    {"Peer": owner.peer, "NumIPs": _number(owner.parts[index][0]), "ActiveIPs": owner.parts[index][1]}
                    for owner in ipam.owners
                ],
            }
            for index, part in enumerate(ipam.parts)
        ]
        if ipam
        else [],
        "Idle": _idle(status),
        "PendingReasons": [{"Ident": wait.ident, "Why": wait.why} for wait in ipam.pending] if ipam else [],
    }


def idle_json(status: Status) -> str:
    """Return who on this host holds addresses that no interface has, as JSON."""
    return json.dumps(_idle(status))


def _idle(status: Status) -> list[dict[str, Any]]:
    return [
        {
            "Ident": entry.ident,
            "CIDRs": [str(cidr) for cidr in entry.cidrs],
            "SinceMS": entry.since_ms,
            "Left": [str(cidr) for cidr in entry.left],
        }
        for entry in (() if status.ipam is None else status.ipam.idle)
    ]


def _dropped(counters: Counters) -> dict[str, Any]:
    return {
        "Programs": dict(counters.programs),
        "Guard": dict(counters.guard),
        "Sleeve": dict(counters.sleeve),
        "SleeveDeaths": counters.sleeve_deaths,
        "Trouble": counters.trouble,
    }
