"""`make bench`: speed and size beside the alternatives, in one run, interleaved; tables, and a file with the numbers.

Absolute figures say more about the machine than about us: what counts are ratios of figures taken within the same
round, and of these the medians. Nothing here passes or fails; targets are printed beside the figures.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
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
from bench.allocations import allocation_figures
from bench.figures import Figures, cpu_seconds, inside, resident_mb, with_filters, without_coalescing
from bench.fleet import fleet_figures
from bench.ipam import ring_figures
from bench.names import names_figures
from bench.networks import Network, compile_c, networks
from bench.simulator import simulator_speed
from bench.table import agent_lines, networks_table

ROUNDS = 5
UNCOALESCED_ROUNDS = 3
RESULTS = Path(__file__).parent / "results"
ATTACHES = 15
IDLE_S = 10.0


def main() -> int:
    """Measure, print, write; return the exit status."""
    if os.geteuid():
        print("bench: network namespaces need root; try: sudo make bench", file=sys.stderr)
        return 1
    if shutil.which("dnsperf") is None:
        print("bench: dnsperf is missing; './setup.sh VENV test' installs it", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for program in ("cost", "flood"):
            compile_c(program, Path(folder))
        figures = Figures(Path(folder))
        print("Networks", flush=True)
        with networks() as (paths, lab):
            for path in paths:
                inside(path.source, "ping", "-c2", "-W2", "-q", path.address)
            measure_networks(figures, {path.name: path for path in paths})
            print(f"\n{networks_table(figures.values)}\n", flush=True)
            print("Agent", flush=True)
            agent = measure_agent(lab)
    print("Names", flush=True)
    agent.update(names_figures())
    print("A large ring", flush=True)
    agent.update(ring_figures())
    print("Gossip of a hundred and of a thousand simulated hosts", flush=True)
    agent.update(fleet_figures())
    print("Simulator", flush=True)
    agent.update(simulator_speed())
    result = {"machine": machine(), "figures": figures.values, "agent": agent}
    print(f"\n{agent_lines(agent)}")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    file.write_text(json.dumps(result, indent=2))
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0


def measure_networks(figures: Figures, paths: dict[str, Network]) -> None:
    """Take all figures of networks."""
    for number in range(ROUNDS):
        print(f"Round {number + 1} of {ROUNDS}", flush=True)
        for path in paths.values():
            figures.take(path)
    print("With packets of no more than the MTU between hosts", flush=True)
    some = tuple(paths[name] for name in ("native", "vxlan", "ours", "sleeve", "sealed sleeve"))
    with without_coalescing(some):
        for _ in range(UNCOALESCED_ROUNDS):
            for path in some:
                figures.take_uncoalesced(path)
    print("With br_netfilter and connection tracking on the hosts", flush=True)
    some = (paths["vxlan"], paths["ours"])
    filtering = with_filters(tuple(paths.values()))
    for _ in range(ROUNDS if filtering else 0):
        for path in some:
            figures.take_datagram_cost(path, f"{path.name} + filters")


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
        **allocation_figures(runtime),
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


def machine() -> dict[str, object]:
    """Describe what this ran on."""
    model = re.search(r"model name\s+: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": model[1] if model else "unknown",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


if __name__ == "__main__":
    sys.exit(main())
