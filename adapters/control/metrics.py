"""`/metrics`, under Weave Net's names, so that existing dashboards go on working."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.counters import Counters
from core.status import Status

STATES = ("established", "pending", "retrying", "failed", "connecting")


class _StatusCollector(Collector):
    def __init__(self, describe: Callable[[], Status]) -> None:
        self._describe = describe
        self.counters = Counters()
        """Read last."""

    def collect(self) -> Iterator[Metric]:
        status = self._describe()
        mesh, ipam = status.mesh, status.ipam
        connections = GaugeMetricFamily(
            "weave_connections", "Number of peer-to-peer connections.", labels=["encryption", "state", "type"]
        )
        for state in STATES:
            kinds = ("fastdp", "sleeve") if state == "established" else ("unknown",)
            for kind in kinds:
                for encryption in ("", "yes"):
                    # All series exist, so that a rule on one of them never finds nothing.
                    counted = (
                        connection.state == state
                        and dict(connection.attributes).get("name", "unknown") == kind
                        and bool(dict(connection.attributes).get("encrypted")) == bool(encryption)
                        for connection in mesh.connections
                    )
                    connections.add_metric([encryption, state, kind], sum(counted))
        yield connections
        yield CounterMetricFamily(
            "weave_connection_terminations", "Number of peer-to-peer connections terminated.", mesh.terminations
        )
        yield GaugeMetricFamily("weave_alarms", "Lines under `alarms` in `weave status`.", len(status.alarms))
        yield GaugeMetricFamily("weave_kernel_troubles", "Kernel objects that cannot be had.", len(status.kernel))
        yield GaugeMetricFamily("weave_facts", "Live facts held, of all peers.", status.facts)
        ours = sum(entry.peer == status.config.peer for entry in status.names)
        yield GaugeMetricFamily("weave_dns_entries", "Number of DNS entries.", ours)
        withheld = sum(not entry.is_present for entry in status.names)
        yield GaugeMetricFamily("weave_dns_withheld", "DNS entries of hosts that are out of reach.", withheld)
        yield from self._drops()
        if ipam is None:
            return
        ips = GaugeMetricFamily("weave_ips", "Number of IP addresses.", labels=["state"])
        ips.add_metric(["local-used"], sum(len(cidrs) for _, cidrs in ipam.held))
        yield ips
        yield GaugeMetricFamily("weave_max_ips", "Size of IP address space used by allocator.", ipam.size)
        ranges = GaugeMetricFamily("weave_range_ips", "Number of IP addresses, by range.", labels=["range", "state"])
        for part in ipam.parts:
            for state, count in (("total", part.size), ("local-free", part.free), ("local-used", part.used)):
                ranges.add_metric([part.cidr, state], count)
        yield ranges
        lost = [owner for owner in ipam.owners if not owner.is_reachable]
        # Of several ranges the worse one: the sum would tell of IPv6 alone, for it is so much larger.
        share = max(
            100 * sum(owner.parts[index][0] for owner in lost) / part.size for index, part in enumerate(ipam.parts)
        )
        yield GaugeMetricFamily("weave_ipam_unreachable_count", "Number of unreachable peers.", len(lost))
        yield GaugeMetricFamily(
            "weave_ipam_unreachable_percentage", "Percentage of all IP addresses owned by unreachable peers.", share
        )
        idle = sum(len(entry.cidrs) for entry in ipam.idle)
        yield GaugeMetricFamily("weave_ipam_idle", "IP addresses held on this host that no interface has.", idle)
        yield CounterMetricFamily(
            "weave_ipam_leaked_found", "IP addresses found that an earlier agent had left behind.", ipam.left_found
        )
        yield CounterMetricFamily(
            "weave_ipam_leaked_freed", "IP addresses freed because who held them is gone.", ipam.left_freed
        )
        claims = sum(wait.is_claim for wait in ipam.pending)
        yield GaugeMetricFamily(
            "weave_ipam_pending_allocates", "Number of pending allocates.", len(ipam.pending) - claims
        )
        yield GaugeMetricFamily("weave_ipam_pending_claims", "Number of pending claims.", claims)

    def _drops(self) -> Iterator[Metric]:
        counters = self.counters
        for name, about, label, values in (
            ("weave_datapath_drops", "Frames dropped by the data path's programs.", "reason", counters.programs),
            ("weave_guard_drops", "VXLAN packets dropped, for their peer is to be encrypted.", "hook", counters.guard),
            ("weave_sleeve_events", "What the sleeve dropped or did out of turn.", "what", counters.sleeve),
        ):
            family = CounterMetricFamily(name, about, labels=[label])
            for value, count in values.items():
                family.add_metric([value], count)
            yield family
        yield CounterMetricFamily("weave_sleeve_deaths", "Processes of the sleeve that died.", counters.sleeve_deaths)


class Metrics:
    """The registry of one agent."""

    def __init__(self, describe: Callable[[], Status]) -> None:
        self._registry = CollectorRegistry()
        self._collector = _StatusCollector(describe)
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)

    def text(self, counters: Counters) -> bytes:
        """Return everything in Prometheus' text format."""
        self._collector.counters = counters
        return generate_latest(self._registry)
