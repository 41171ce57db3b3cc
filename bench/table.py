"""The figures, for people: medians, and in brackets medians of ratios taken round by round; targets beside them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.allocations import allocation_line
from bench.fleet import lines as fleet_lines
from bench.ipam import ring_line
from bench.names import names_lines

Values = dict[str, dict[str, list[float]]]
"""By network and kind of figure, one value per round."""
FAST = (("TCP Gbit/s", "tcp"), ("RTT µs", "rtt"), ("ns/datagram", "udp"), ("ns/round trip", "pingpong"))
FAST += (("ns/KiB", "bulk"),)
"""Columns of the fast path's table, beside classic VXLAN."""
SLEEVE = (("TCP Gbit/s", "tcp"), ("not coalesced", "uncoalesced tcp"), ("64 B datagrams/s", "small"))
SLEEVE += (("RTT µs", "rtt"), ("p99 µs", "p99"))
"""Columns of the sleeve's table, beside no overlay."""
SLEEVES = ("sleeve", "sealed sleeve")


def networks_table(values: Values) -> str:
    """Return what was measured of networks."""
    fast = [name for name in values if name not in SLEEVES]
    beside = {name: "vxlan + filters" if name.endswith("filters") else "vxlan" for name in fast}
    hops = _ratio(values["two hops"]["tcp"], values["ours"]["tcp"])
    lines = [
        *_rows(values, beside, FAST),
        "",
        "× is the ratio to classic VXLAN (+ filters), median of rounds; targets for ours: TCP ≥ 0.9, RTT ≤ 1.05,",
        "ns/datagram and ns/KiB ≤ 1.05, with filters ≤ 0.85",
        f"two hops against one in TCP: {hops:.2f}× (target ≥ 0.7)",
        "",
        *_rows(values, dict.fromkeys(("native", "vxlan", "ours", *SLEEVES), "native"), SLEEVE),
        "",
        "× is the ratio to no overlay, median of rounds; targets in TCP: sleeve ≥ 0.3, sealed sleeve ≥ 0.2",
        *(_process(name, values[name]) for name in SLEEVES),
    ]
    return "\n".join(lines)


def agent_lines(agent: dict[str, float]) -> str:
    """Return what was measured of an agent, of gossip and of the simulator."""
    lines = [
        f"attach: {agent['attach_ms']:.1f} ms (target ≤ 60)",
        f"agent idle: {agent['resident_mb']:.0f} MB resident (target ≤ 70), {agent['idle_cpu_percent']:.1f} % (≤ 1)",
        f"weave status beyond Python itself: {agent['cli_ms']:.0f} ms (target ≤ 60)",
        *names_lines(agent),
        allocation_line(agent),
        ring_line(agent),
        *fleet_lines(agent),
        f"simulator, 5 hosts with faults: {agent['simulator_virtual_seconds_per_cpu_second']:.0f} virtual seconds per "
        f"processor second; 300 seeds of 60 s: {agent['simulator_gate_cpu_seconds']:.0f} processor seconds",
    ]
    return "\n".join(lines)


def _process(name: str, values: dict[str, list[float]]) -> str:
    spent, uncoalesced, resident = (
        statistics.median(values[kind]) for kind in ("cpu_per_gb", "uncoalesced cpu_per_gb", "resident")
    )
    return (
        f"{name}: {spent:.1f} processor seconds per GB at both ends together, not coalesced {uncoalesced:.1f}; "
        f"{resident:.0f} MB resident (target ≤ 40)"
    )


def _rows(values: Values, beside: dict[str, str], columns: Sequence[tuple[str, str]]) -> list[str]:
    """Return a table of some networks, each with the one it is compared with."""
    rows = [("", *(title for title, _ in columns))]
    for name, other in beside.items():
        cells = [name]
        for _, kind in columns:
            found, base = values[name].get(kind), values[other].get(kind)
            if not found or not base:
                cells.append("")
                continue
            cells.append(f"{_short(statistics.median(found))} ({_ratio(found, base):.2f}×)")
        rows.append(tuple(cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(value: float) -> str:
    """Return a figure with as many digits as mean something."""
    return f"{value / 1000:.0f}k" if value >= 100_000 else f"{value:.4g}"


def _ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))
