"""`python -m bench.allocations`: how many addresses an agent gives a second, through its socket and onto its disk.

Many clients ask at once, each over a connection of its own, and each for the next address as soon as it has one. An
answer comes after the commit that covers it, so what is counted is durable. Agent and clients share the machine.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab
from bench.figures import cpu_seconds

CLIENTS = 64
"""As many as a host that starts containers as fast as it can."""
COUNT = 4_000
ROUNDS = 3
WARM_UP = 256
LAB = """
[lab]
name = "bench-allocations"
launch = ["--ipalloc-init", "seed=02:00:00:00:00:01", "--name", "02:00:00:00:00:01"]
[[host]]
name = "A"
"""


def allocation_figures(runtime: Path) -> dict[str, float]:
    """Return allocations per second, median and 99th percentile in milliseconds, and the agent's processor time each.

    `runtime` is the directory of an agent that runs.
    """
    pid = daemon.running_pid(runtime)
    assert pid is not None, "the agent runs"
    socket = str(runtime / "control.sock")
    _in_process(socket, "warm", WARM_UP)
    rates, medians, worst, spent = [], [], [], []
    for number in range(ROUNDS):
        before = cpu_seconds(pid)
        took, spans = _in_process(socket, f"round{number}", COUNT)
        spent.append((cpu_seconds(pid) - before) / COUNT * 1000)
        rates.append(COUNT / took)
        medians.append(statistics.median(spans))
        worst.append(statistics.quantiles(spans, n=100)[-1])
    return {
        "allocations_per_s": statistics.median(rates),
        "allocation_ms": statistics.median(medians),
        "allocation_p99_ms": statistics.median(worst),
        "allocation_cpu_ms": statistics.median(spent),
    }


def allocation_line(agent: dict[str, float]) -> str:
    """Say it for people."""
    return (
        f"addresses through the socket, {CLIENTS} clients, each on disk: {agent['allocations_per_s']:.0f} a second "
        f"(target ≥ 1000), median {agent['allocation_ms']:.0f} ms, p99 {agent['allocation_p99_ms']:.0f} ms, "
        f"{agent['allocation_cpu_ms']:.2f} ms of the agent's processor time each"
    )


def _in_process(socket: str, name: str, count: int) -> tuple[float, list[float]]:
    """Let clients in another process take addresses, and give them back; return seconds, and milliseconds of each."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_take, (socket, name, count))


def _take(socket: str, name: str, count: int) -> tuple[float, list[float]]:
    return asyncio.run(_take_all(socket, name, count))


async def _take_all(socket: str, name: str, count: int) -> tuple[float, list[float]]:
    idents = iter([f"{name}-{number}" for number in range(count)])
    spans: list[float] = []

    async def client(method: str) -> None:
        reader, writer = await asyncio.open_unix_connection(socket)
        for ident in idents:
            begin = time.perf_counter()
            writer.write(f"{method} /ip/{ident} HTTP/1.1\r\nHost: weave\r\nContent-Length: 0\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            assert status in (200, 204), head
            size = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            await reader.readexactly(size)
            spans.append((time.perf_counter() - begin) * 1000)
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(client("POST") for _ in range(CLIENTS)))
    took, asked = time.perf_counter() - begin, tuple(spans)
    idents = iter([f"{name}-{number}" for number in range(count)])
    await asyncio.gather(*(client("DELETE") for _ in range(CLIENTS)))
    return took, list(asked)


def main() -> int:
    """Measure and print."""
    if os.geteuid():
        print("bench: network namespaces need root; try: sudo python -m bench.allocations", file=sys.stderr)
        return 1
    with Lab(parse(LAB), text=LAB) as lab:
        print(allocation_line(allocation_figures(lab_kernel.directory(lab.file.name, "A") / "run")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
