"""`make demo`: three hosts in a line become one Ethernet switch, and every promise is checked before your eyes.

Each check prints a line with a mark. The exit status is 0 only if every mark is a tick and nothing remains afterwards.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from adapters.control import lab_kernel
from adapters.control.lab_file import LabError, load
from adapters.control.lab_hosts import Lab

LAB_FILE = Path(__file__).resolve().parent.parent / "docs" / "tutorial" / "demo.toml"
PROBE = (sys.executable, str(Path(__file__).resolve().parent / "probe.py"))
HOSTS = ("A", "B", "C")
DEVICE = "ethwe"
GROUP = "224.1.2.3"
BROADCAST = "255.255.255.255"
PORT = 5300
CONVERGE_TIMEOUT_S = 60.0
POLL_S = 0.2
# A copy that comes late is still a copy: wait longer than any relay takes.
SETTLE_S = 0.5
TCP_SECONDS = 3
PINGS = 4000
PING_INTERVAL_S = 0.001
# Into the stream of pings, well clear of both ends.
STRIKE_AFTER_S = 1.0
PROCESS_TIMEOUT_S = 60.0


class Demo:
    """One run: the lab, the addresses of its containers, and what failed so far."""

    def __init__(self, lab: Lab) -> None:
        """Take a lab that is up."""
        self.lab = lab
        self.failures: list[str] = []
        self.addresses: dict[str, str] = {}

    def run(self) -> None:
        """Take all steps in order."""
        self.underlay()
        self.converge("agents agree on three peers and four established connection ends")
        self.show()
        self.read_addresses()
        self.ping_all("every container reaches every other")
        self.flood()
        self.stream()
        self.strike("SIGKILL of B's agent", self.kill_agent)
        self.strike("restart of B's agent", lambda: self.lab.launch("B"))
        self.converge("after the restart, agents agree again")
        self.partition()

    # -- checks ------------------------------------------------------------------------------------------------------

    def check(self, text: str, is_so: bool, detail: str = "") -> None:
        """Print one mark; a cross is remembered."""
        print(f"  {'✓' if is_so else '✗'} {text}{f': {detail}' if detail else ''}", flush=True)
        if not is_so:
            self.failures.append(text)

    def underlay(self) -> None:
        """Show that A and C have no path of their own."""
        title("Underlay")
        near = self.lab.run("A", "ping", "-c1", "-W1", self.lab.address("B", "A")).returncode
        far = self.lab.run("A", "ping", "-c1", "-W1", self.lab.address("C", "B")).returncode
        self.check("A reaches B, and has no path to C", near == 0 and far != 0)

    def converge(self, text: str) -> None:
        """Wait until all hosts report the same whole mesh."""
        begin = time.monotonic()
        views = self.wait_for_views(lambda found: is_whole(found) and are_equal(found))
        self.check(text, is_whole(views) and are_equal(views), f"{time.monotonic() - begin:.1f} s")

    def show(self) -> None:
        """Print what an operator would look at."""
        for words in (("status",), ("status", "connections"), ("status", "peers"), ("status", "ipam"), ("ps",)):
            title(f"weave {' '.join(words)}")
            for host in HOSTS:
                done = self.lab.run(host, "weave", *words, timeout_s=PROCESS_TIMEOUT_S)
                print(f"  [{host}]\n{done.stdout.strip()}", flush=True)
                if done.returncode or not done.stdout.strip():
                    self.check(f"weave {' '.join(words)} on {host}", False, done.stderr.strip() or "no output")

    def read_addresses(self) -> None:
        """Ask the containers themselves, not the agent, which addresses they have."""
        for container in self.lab.file.containers:
            place = f"{container.host}.{container.name}"
            shown = self.lab.run(place, "ip", "-4", "-o", "addr", "show", "dev", DEVICE).stdout
            found = re.search(r"inet ([0-9.]+)/", shown)
            if found is None:
                raise LabError(f"container {place} has no address on {DEVICE}")
            self.addresses[place] = found[1]

    def ping_all(self, text: str) -> None:
        """Ping every container from every other, all at once."""
        title("Ping, all to all")
        pairs = [(a, b) for a in self.addresses for b in self.addresses if a != b]
        running = [(a, b, self.lab.start(a, "ping", "-c3", "-i0.2", "-W1", "-q", self.addresses[b])) for a, b in pairs]
        lost = []
        for a, b, process in running:
            output, _ = process.communicate(timeout=PROCESS_TIMEOUT_S)
            if "3 received" not in output or "duplicates" in output:
                lost.append(f"{a}→{b}")
        self.check(f"{text} ({len(pairs)} pairs)", not lost, f"not so: {' '.join(lost)}" if lost else "0 lost")

    def flood(self) -> None:
        """Every container says one broadcast and one multicast datagram; each other hears it exactly once."""
        title("Broadcast and multicast")
        ears = {p: self.lab.start(p, *PROBE, "listen", GROUP, str(PORT), DEVICE) for p in self.addresses}
        for ear in ears.values():
            assert ear.stdout is not None
            ear.stdout.readline()
        for place in self.addresses:
            for kind, target in (("broadcast", BROADCAST), ("multicast", GROUP)):
                done = self.lab.run(place, *PROBE, "say", target, str(PORT), DEVICE, f"{kind} {place}")
                if done.returncode:
                    self.check(f"{place} sends a {kind}", False, done.stderr.strip())
        time.sleep(SETTLE_S)
        heard = {}
        for place, ear in ears.items():
            ear.terminate()
            output, errors = ear.communicate(timeout=PROCESS_TIMEOUT_S)
            heard[place] = json.loads(output) if output.strip() else {"nothing": errors}
        for kind in ("broadcast", "multicast"):
            wrong = [
                f"{speaker}→{place}: {heard[place].get(f'{kind} {speaker}', 0)} copies"
                for place in self.addresses
                for speaker in self.addresses
                if speaker != place and heard[place].get(f"{kind} {speaker}", 0) != 1
            ]
            pairs = len(self.addresses) * (len(self.addresses) - 1)
            text = f"each {kind} arrives exactly once at every other container ({pairs} pairs)"
            self.check(text, not wrong, "; ".join(wrong))

    def stream(self) -> None:
        """Stream TCP from A to C, relayed by B's kernel."""
        title("TCP A → C")
        sink = self.lab.start("C.c1", *PROBE, "sink", str(PORT))
        assert sink.stdout is not None
        sink.stdout.readline()
        done = self.lab.run(
            "A.a1", *PROBE, "pour", self.addresses["C.c1"], str(PORT), str(TCP_SECONDS), timeout_s=PROCESS_TIMEOUT_S
        )
        if done.returncode:
            sink.kill()
            self.check("TCP streams from A to C", False, done.stderr.strip().splitlines()[-1])
            return
        output, _ = sink.communicate(timeout=PROCESS_TIMEOUT_S)
        got = json.loads(output)
        rate = got["bytes"] * 8 / got["seconds"] / 1e9
        self.check("TCP streams from A to C", got["bytes"] > 0, f"{rate:.2f} Gbit/s over two hops")

    def strike(self, what: str, act: Callable[[], object]) -> None:
        """Do something to B during a 1 kHz ping from A to C, and count what is lost."""
        title(f"1 kHz ping A → C during {what}")
        words = ("ping", "-q", "-i", str(PING_INTERVAL_S), "-c", str(PINGS), "-W", "1", self.addresses["C.c1"])
        ping = self.lab.start("A.a1", *words)
        time.sleep(STRIKE_AFTER_S)
        act()
        during = ping.poll() is None
        output, _ = ping.communicate(timeout=PROCESS_TIMEOUT_S)
        found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
        sent, received = (int(found[1]), int(found[2])) if found else (0, 0)
        self.check(f"{what} fell into the stream of pings", during)
        extra = ", with duplicates" if "duplicates" in output else ""
        self.check(
            f"no ping lost during {what}",
            sent == PINGS and received == sent and not extra,
            f"{sent} sent, {received} received{extra}",
        )

    def kill_agent(self) -> None:
        """End B's agent, and all that belongs to it, without a warning."""
        pids = lab_kernel.processes([self.lab.namespace("B")])
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        print(f"  SIGKILL to {', '.join(map(str, pids))} on B", flush=True)
        self.check("B has an agent to kill", bool(pids))

    def partition(self) -> None:
        """Cut A–B, give out addresses on both sides, heal, compare."""
        title("Cut A – B, allocate on both sides, heal")
        self.lab.cut("A", "B")
        for host, name in (("A", "a3"), ("B", "b3"), ("C", "c3")):
            self.lab.add_container(host, name)
            self.lab.attach(host, name)
        split = self.lab.run("A.a1", "ping", "-c1", "-W1", self.addresses["C.c1"]).returncode
        self.check("while cut, A does not reach C", split != 0)
        self.lab.heal("A", "B")
        self.converge("after healing, all hosts have equal views of peers and address ranges")
        self.read_addresses()
        twice = [address for address, count in Counter(self.addresses.values()).items() if count > 1]
        self.check(f"{len(self.addresses)} containers, no address twice", not twice, " ".join(twice))
        self.ping_all("every container reaches every other, the new ones too")

    # -- views -------------------------------------------------------------------------------------------------------

    def wait_for_views(self, is_good: Callable[[dict[str, dict[str, object]]], bool]) -> dict[str, dict[str, object]]:
        """Ask all hosts again and again until their views are good, or time is up; return the last answers."""
        until = time.monotonic() + CONVERGE_TIMEOUT_S
        while True:
            views = {host: self.view(host) for host in HOSTS}
            if is_good(views) or time.monotonic() > until:
                return views
            time.sleep(POLL_S)

    def view(self, host: str) -> dict[str, object]:
        """Return what a host believes about peers, connections and ranges; empty when it does not answer."""
        done = self.lab.run(host, "weave", "report", timeout_s=PROCESS_TIMEOUT_S)
        if done.returncode:
            return {}
        report = json.loads(done.stdout)
        peers = report["Router"]["Peers"] or []
        entries = report["IPAM"]["Entries"] or []
        return {
            "peers": sorted(peer["Name"] for peer in peers),
            "connections": sorted(
                (peer["Name"], end["Name"]) for peer in peers for end in peer["Connections"] or [] if end["Established"]
            ),
            "ranges": sorted((entry["Token"], entry["Size"], entry["Peer"]) for entry in entries),
        }


def is_whole(views: dict[str, dict[str, object]]) -> bool:
    """Tell whether every host sees three peers, both links from both ends, and a ring."""
    return all(
        view and len(view["peers"]) == 3 and len(view["connections"]) == 4 and view["ranges"]  # type: ignore[arg-type]
        for view in views.values()
    )


def are_equal(views: dict[str, dict[str, object]]) -> bool:
    """Tell whether all hosts believe the same."""
    first, *others = views.values()
    return all(other == first for other in others)


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


def main() -> int:
    """Run the demo; return the exit status."""
    signal.signal(signal.SIGTERM, _end)
    begin = time.monotonic()
    lab = Lab(load(LAB_FILE), text=LAB_FILE.read_text())
    try:
        title("Three hosts in a line: A – B – C")
        with lab:
            demo = Demo(lab)
            demo.run()
    except (LabError, subprocess.TimeoutExpired) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; everything is removed", file=sys.stderr)
        return 130
    left = [found.name for found in lab_kernel.namespaces() if found.lab == lab.file.name]
    demo.check("nothing of the lab remains", not left and not lab_kernel.directory(lab.file.name).exists())
    print(f"\n{'all is so' if not demo.failures else 'NOT SO: ' + '; '.join(demo.failures)}", end="")
    print(f" – {time.monotonic() - begin:.0f} s")
    return 1 if demo.failures else 0


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
