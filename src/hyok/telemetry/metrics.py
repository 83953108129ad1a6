"""Metrics for Prometheus: few labels, bounded values; never a bucket's name or a key's id."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300)

DOOR_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5)


@dataclass(slots=True)
class _Times:
    """How long the requests of one operation took."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0


class _Requests(Collector):
    """What is counted with every request: plain numbers until somebody asks, on one loop."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, int], int] = {}
        self.times: dict[str, _Times] = {}
        self.bytes_in = 0
        self.bytes_out = 0

    @override
    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "hyok_s3_requests",
            "Requests answered at the S3 door.",
            labels=("operation", "status"),
        )
        for (operation, status), count in self.answered.items():
            requests.add_metric([operation, str(status)], count)
        seconds = HistogramMetricFamily(
            "hyok_s3_request_seconds",
            "Time from a request's head to the end of its answer.",
            labels=("operation",),
        )
        for operation, times in self.times.items():
            seconds.add_metric([operation], _buckets(times.counts), times.total)
        sizes = CounterMetricFamily(
            "hyok_s3_body_bytes",
            "Plaintext bytes of bodies, as clients sent and got them.",
            labels=("direction",),
        )
        sizes.add_metric(["in"], self.bytes_in)
        sizes.add_metric(["out"], self.bytes_out)
        return requests, seconds, sizes


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    """Return the counts as Prometheus has them: each with those of the shorter times."""
    buckets, so_far = [], 0
    for most, count in zip((*map(float, SECONDS), "+Inf"), counts, strict=True):
        so_far += count
        buckets.append((str(most), float(so_far)))
    return buckets


class Metrics:
    """The numbers of one worker process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _Requests()
        self.registry.register(self._requests)
        self.hsm_reachable = Gauge(
            "hyok_hsm_reachable_info", "1 while the HSM answers.", registry=self.registry
        )
        self.checkpoint_seconds = Gauge(
            "hyok_audit_checkpoint_timestamp_seconds",
            "When the newest checkpoint of the audit log was signed, unix time; 0: never.",
            registry=self.registry,
        )
        self.checkpoint_records = Gauge(
            "hyok_audit_checkpoint_records",
            "How many records of the audit log it covers.",
            registry=self.registry,
        )
        self.uncovered_seconds = Gauge(
            "hyok_audit_uncovered_seconds",
            "How long the log has had records that no checkpoint covers, at most; 0: it has none.",
            registry=self.registry,
        )
        self.export_lag_records = _export_gauge(
            self.registry,
            "lag_records",
            "Records of the audit log that a receiver has not got yet.",
        )
        self.export_lag_seconds = _export_gauge(
            self.registry,
            "lag_seconds",
            "How long the oldest of them has waited, at most; 0: none.",
        )
        self.export_failing_seconds = _export_gauge(
            self.registry, "failing_seconds", "How long an export has not got through; 0: it does."
        )

        self._door_requests = Counter(
            "hyok_door_requests_total",
            "Requests answered at doors for clouds and SaaS, by the protocol's name of the error.",
            ("door", "operation", "error"),
            registry=self.registry,
        )
        self._door_seconds = Histogram(
            "hyok_door_request_seconds",
            "Time from a request's head to its answer.",
            ("door", "operation"),
            registry=self.registry,
            buckets=DOOR_SECONDS,
        )
        self.door_tokens_failing = Gauge(
            "hyok_door_tokens_failing",
            "HSM tokens that failed the last trial of AES-GCM for doors.",
            registry=self.registry,
        )
        self._shadow_decisions = Counter(
            "hyok_policy_shadow_decisions_total",
            "Decisions that the policy in shadow was asked about, by how it would have answered.",
            ("verdict",),
            registry=self.registry,
        )
        self.shadow_seconds = Gauge(
            "hyok_policy_shadow_seconds",
            "How long a policy has been in shadow; 0: none is.",
            registry=self.registry,
        )

    def shadow(self, verdict: str, decisions: int) -> None:
        """Take the numbers of a policy in shadow."""
        self._shadow_decisions.labels(verdict).inc(decisions)

    def door_request(self, door: str, operation: str, error: str, seconds: float) -> None:
        """Take the numbers of one request at a door."""
        self._door_requests.labels(door, operation, error or "none").inc()
        self._door_seconds.labels(door, operation).observe(seconds)

    def request(
        self, operation: str, status: int, seconds: float, bytes_in: int, bytes_out: int
    ) -> None:
        """Take the numbers of one request."""
        here = self._requests
        place = (operation, status)
        here.answered[place] = here.answered.get(place, 0) + 1
        times = here.times.get(operation)
        if times is None:
            times = here.times[operation] = _Times()
        times.counts[bisect_left(SECONDS, seconds)] += 1
        times.total += seconds
        here.bytes_in += bytes_in
        here.bytes_out += bytes_out

    def render(self) -> bytes:
        """Return the text that Prometheus reads."""
        return generate_latest(self.registry)


def _export_gauge(registry: CollectorRegistry, name: str, said: str) -> Gauge:
    return Gauge(f"hyok_audit_export_{name}", said, ("export",), registry=registry)
