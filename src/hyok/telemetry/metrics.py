"""Metrics for Prometheus: few labels, bounded values; never a bucket's name or a key's id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300)


class Metrics:
    """The numbers of one worker process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "hyok_s3_requests_total",
            "Requests answered at the S3 door.",
            ("operation", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "hyok_s3_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("operation",),
            registry=self.registry,
            buckets=SECONDS,
        )
        self._bytes = Counter(
            "hyok_s3_body_bytes_total",
            "Plaintext bytes of bodies, as clients sent and got them.",
            ("direction",),
            registry=self.registry,
        )
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

    def request(
        self, operation: str, status: int, seconds: float, bytes_in: int, bytes_out: int
    ) -> None:
        """Take the numbers of one request."""
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)
        self._bytes.labels("in").inc(bytes_in)
        self._bytes.labels("out").inc(bytes_out)

    def render(self) -> bytes:
        """Return the text that Prometheus reads."""
        return generate_latest(self.registry)


def _export_gauge(registry: CollectorRegistry, name: str, said: str) -> Gauge:
    return Gauge(f"hyok_audit_export_{name}", said, ("export",), registry=registry)
