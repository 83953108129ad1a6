"""Metrics for Prometheus: few labels, bounded values; never a bucket's name or a key's id."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300)

DOOR_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5)


class Metrics:
    """The numbers of one worker process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        requests = Counter(
            "hyok_s3_requests_total",
            "Requests answered at the S3 door.",
            ("operation", "status"),
            registry=self.registry,
        )
        seconds = Histogram(
            "hyok_s3_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("operation",),
            registry=self.registry,
            buckets=SECONDS,
        )
        sizes = Counter(
            "hyok_s3_body_bytes_total",
            "Plaintext bytes of bodies, as clients sent and got them.",
            ("direction",),
            registry=self.registry,
        )
        # Finding a child by its labels costs more than counting it does.
        self._counting = lru_cache(maxsize=1024)(
            lambda operation, status: requests.labels(operation, str(status))
        )
        self._timing = lru_cache(maxsize=256)(seconds.labels)
        self._in, self._out = sizes.labels("in"), sizes.labels("out")
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
        self._counting(operation, status).inc()
        self._timing(operation).observe(seconds)
        if bytes_in:
            self._in.inc(bytes_in)
        if bytes_out:
            self._out.inc(bytes_out)

    def render(self) -> bytes:
        """Return the text that Prometheus reads."""
        return generate_latest(self.registry)


def _export_gauge(registry: CollectorRegistry, name: str, said: str) -> Gauge:
    return Gauge(f"hyok_audit_export_{name}", said, ("export",), registry=registry)
