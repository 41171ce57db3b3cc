"""`make bench`: speed and size beside the alternatives, in one run, interleaved; a table, and a file with the numbers.

Absolute figures say more about the machine than about us: what counts are ratios of figures taken within the same
round, and of these the medians. Nothing here passes or fails; targets are printed beside the figures.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from adapters.control import client, daemon, lab_kernel
from adapters.control.lab_hosts import Lab
from bench.fleet import fleet_figures
from bench.fleet import lines as fleet_lines
from bench.networks import Network, compile_cost, networks, sh
from bench.simulator import simulator_speed

ROUNDS = 5
PROBE = (sys.executable, str(Path(__file__).parent / "probe.py"))
RESULTS = Path(__file__).parent / "results"
PORT = "5500"
TCP_SECONDS = "1.5"
PINGS = 3000
DATAGRAMS = 40_000
ROUND_TRIPS = 20_000
STREAM_MIB = 400
ATTACHES = 15
IDLE_S = 10.0
Figures = dict[str, dict[str, list[float]]]


def main() -> int:
    """Measure, print, write; return the exit status."""
    if os.geteuid():
        print("bench: network namespaces need root; try: sudo make bench", file=sys.stderr)
        return 1
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        cost = compile_cost(Path(folder))
        print("Networks", flush=True)
        with networks() as (paths, lab):
            for path in paths:
                inside(path.source, "ping", "-c2", "-W2", "-q", path.address)
            for number in range(ROUNDS):
                print(f"Round {number + 1} of {ROUNDS}", flush=True)
                for path in paths:
                    take(figures, path, cost)
            print("With br_netfilter and connection tracking on the hosts", flush=True)
            filtering = with_filters(paths)
            for _ in range(ROUNDS if filtering else 0):
                for path in paths[1:3]:
                    record(figures, f"{path.name} + filters", "udp", measure_cost(cost, path, "udp", DATAGRAMS))
            print("Agent", flush=True)
            agent = measure_agent(lab)
    print("Gossip of a hundred and of a thousand simulated hosts", flush=True)
    agent.update(fleet_figures())
    print("Simulator", flush=True)
    agent.update(simulator_speed())
    result = {"machine": machine(), "figures": figures, "agent": agent}
    print(f"\n{table(figures, agent)}")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    file.write_text(json.dumps(result, indent=2))
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0


def take(figures: Figures, path: Network, cost: Path) -> None:
    """Take every figure of one network once."""
    record(figures, path.name, "tcp", tcp_rate(path))
    record(figures, path.name, "rtt", round_trip(path))
    record(figures, path.name, "udp", measure_cost(cost, path, "udp", DATAGRAMS))
    record(figures, path.name, "pingpong", measure_cost(cost, path, "pingpong", ROUND_TRIPS))
    record(figures, path.name, "bulk", measure_cost(cost, path, "tcp", STREAM_MIB))


def record(figures: Figures, name: str, kind: str, value: float) -> None:
    """Note a figure."""
    figures.setdefault(name, {}).setdefault(kind, []).append(value)


def inside(netns: str, *words: str) -> str:
    """Run a command in a namespace."""
    return sh("nsenter", f"--net={netns}", *words)


def tcp_rate(path: Network) -> float:
    """Return Gbit/s of one TCP stream."""
    sink = subprocess.Popen(
        ("nsenter", f"--net={path.target}", *PROBE, "sink", PORT), stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    sink.stdout.readline()
    inside(path.source, *PROBE, "pour", path.address, PORT, TCP_SECONDS)
    got = json.loads(sink.communicate(timeout=60)[0])
    return float(got["bytes"] * 8 / got["seconds"] / 1e9)


def round_trip(path: Network) -> float:
    """Return the median round trip of small datagrams between two processes, in microseconds."""
    echo = subprocess.Popen(
        ("nsenter", f"--net={path.target}", *PROBE, "echo", PORT, str(PINGS)), stdout=subprocess.PIPE, text=True
    )
    assert echo.stdout is not None
    echo.stdout.readline()
    answer = inside(path.source, *PROBE, "ask", path.address, PORT, str(PINGS))
    echo.communicate(timeout=60)
    return float(json.loads(answer)["median_us"])


def measure_cost(cost: Path, path: Network, what: str, count: int) -> float:
    """Return nanoseconds of one thread per datagram, round trip or KiB."""
    return float(sh(str(cost), path.source, path.target, path.address, what, str(count)))


def with_filters(paths: tuple[Network, ...]) -> bool:
    """Let every host filter bridged packets and track connections, as Docker hosts do; say whether this kernel can."""
    rules = "table ip bench { chain forward { type filter hook forward priority 0; ct state established accept; }; }"
    for host in dict.fromkeys(host for path in paths for host in path.hosts):
        netns = f"/run/netns/{host}"
        try:
            inside(netns, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
            inside(netns, "nft", rules)
        except RuntimeError as error:
            print(f"  skipped: {error}", flush=True)
            return False
    return True


def measure_agent(lab: Lab) -> dict[str, float]:
    """Measure what an agent needs, and how long an attachment takes."""
    runtime = lab_kernel.directory(lab.file.name, "A") / "run"
    pid = daemon.running_pid(runtime)
    assert pid is not None, "the lab's agent runs"
    spans = []
    for number in range(ATTACHES):
        lab.add_container("A", f"x{number}")
        path = str(lab.namespace("A", f"x{number}").path)
        form = [("container", f"x{number}"), ("ifname", "ethwe"), ("netns", path)]
        begin = time.perf_counter()
        client.ask(runtime / "control.sock", "POST", "/attach", form)
        spans.append((time.perf_counter() - begin) * 1000)
    time.sleep(2)
    before = cpu_seconds(pid)
    time.sleep(IDLE_S)
    idle = (cpu_seconds(pid) - before) / IDLE_S * 100
    return {
        "attach_ms": statistics.median(spans),
        "resident_mb": resident_mb(pid),
        "idle_cpu_percent": idle,
        "cli_ms": cli_ms(lab),
    }


def cli_ms(lab: Lab) -> float:
    """Return what `weave status` takes beyond starting Python, in milliseconds."""
    environment = lab.environment("A")
    status = spans_of(lambda: subprocess.run(lab.command("A", "weave", "status"), env=environment, capture_output=True))
    python = spans_of(
        lambda: subprocess.run(lab.command("A", sys.executable, "-c", ""), env=environment, capture_output=True)
    )
    return statistics.median(status) - statistics.median(python)


def spans_of(action: Callable[[], object], count: int = 11) -> list[float]:
    """Time something several times, in milliseconds."""
    spans = []
    for _ in range(count):
        begin = time.perf_counter()
        action()
        spans.append((time.perf_counter() - begin) * 1000)
    return spans


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the memory a process holds."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def machine() -> dict[str, object]:
    """Describe what this ran on."""
    model = re.search(r"model name\s+: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": model[1] if model else "unknown",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def table(figures: Figures, agent: dict[str, float]) -> str:
    """Return everything for people: medians, and medians of the ratios to classic VXLAN round by round."""
    rows = [("", "TCP Gbit/s", "RTT µs", "ns/datagram", "ns/round trip", "ns/KiB")]
    kinds = ("tcp", "rtt", "udp", "pingpong", "bulk")
    for name, values in figures.items():
        cells = [name]
        for kind in kinds:
            found = values.get(kind)
            base = figures["vxlan + filters" if name.endswith("filters") else "vxlan"].get(kind)
            if not found or not base:
                cells.append("")
                continue
            ratio = statistics.median(one / other for one, other in zip(found, base, strict=True))
            cells.append(f"{statistics.median(found):.4g} ({ratio:.2f}×)")
        rows.append(tuple(cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    hops = statistics.median(
        far / near for far, near in zip(figures["two hops"]["tcp"], figures["ours"]["tcp"], strict=True)
    )
    lines += [
        "",
        "× is the ratio to classic VXLAN (+ filters), median of rounds; targets for ours: TCP ≥ 0.9, RTT ≤ 1.05,",
        "ns/datagram and ns/KiB ≤ 1.05, with filters ≤ 0.85",
        f"two hops against one in TCP: {hops:.2f}× (target ≥ 0.7)",
        f"attach: {agent['attach_ms']:.1f} ms (target ≤ 60)",
        f"agent idle: {agent['resident_mb']:.0f} MB resident (target ≤ 70), {agent['idle_cpu_percent']:.1f} % (≤ 1)",
        f"weave status beyond Python itself: {agent['cli_ms']:.0f} ms (target ≤ 60)",
        *fleet_lines(agent),
        f"simulator, 5 hosts with faults: {agent['simulator_virtual_seconds_per_cpu_second']:.0f} virtual seconds per "
        f"processor second; 300 seeds of 60 s: {agent['simulator_gate_cpu_seconds']:.0f} processor seconds",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
