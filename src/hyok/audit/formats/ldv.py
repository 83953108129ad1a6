"""A record as a line of the Logboek Dataverwerkingen: what was done with whose personal data.

One span for each act on an object by an app that has a processing activity, when it is over.  It
says nothing of who asked: no actor, no address, no request id.  What policy refused was not
processed and stands in the log of decisions only.

Source: Logius, Logboek dataverwerkingen 1.0; OpenTelemetry Protocol 1.x, JSON encoding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok import __version__
from hyok.audit.formats.spans import span_id, text_of, trace_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.audit.follow import Entry

ACTIVITY = "dpl.core.processing_activity_id"
SUBJECT = "dpl.core.data_subject_id"
SUBJECT_TYPE = "dpl.core.data_subject_id_type"
PROCESSING = ("object:", "file:")
"""How actions begin that read or write what personal data may be in."""

UNSET, OK, ERROR = "Unset", "Ok", "Error"
OTLP_CODES = {UNSET: 0, OK: 1, ERROR: 2}
OTLP_SERVER = 2
RESOURCE = {"service.name": "hyok", "service.version": __version__}


@dataclass(frozen=True, slots=True)
class LdvFormat:
    """Renders records of the log that ``origin`` names in its checkpoints."""

    origin: str

    def render(self, entry: Entry) -> bytes | None:
        """Return one span; None for what is no processing of personal data."""
        fields = entry.fields
        activity, outcome = text_of(fields, "activity"), text_of(fields, "outcome")
        concluded = fields.get("phase") == "conclude" and outcome != "denied"
        if not activity or not concluded or not text_of(fields, "action").startswith(PROCESSING):
            return None
        began = fields.get("began_ms")
        status = ERROR if outcome == "failed" else OK
        span: dict[str, object] = {
            "trace_id": trace_id(entry),
            "span_id": span_id("ldv", self.origin, entry),
            "name": text_of(fields, "action"),
            "status": status,
            "status_code": OTLP_CODES[status],
            "start_time": began if isinstance(began, int) else entry.place.at_ms,
            "end_time": entry.place.at_ms,
            "resource": {"attributes": RESOURCE},
            "attributes": _attributes(fields, activity),
        }
        if parent := text_of(fields, "parent_span_id"):
            span["parent_span_id"] = parent
        return json.dumps(span, sort_keys=True, separators=(",", ":")).encode()


def _attributes(fields: Mapping[str, object], activity: str) -> dict[str, str]:
    found = {ACTIVITY: activity}
    if subject := text_of(fields, "subject"):
        found |= {SUBJECT: subject, SUBJECT_TYPE: text_of(fields, "subject_kind") or "onbekend"}
    return found


def as_otlp(messages: Sequence[bytes]) -> bytes:
    """Return spans as the body of an OTLP/HTTP trace export, JSON."""
    spans = [_otlp_span(json.loads(message)) for message in messages]
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": _otlp_attributes(RESOURCE)},
                "scopeSpans": [{"scope": {"name": "hyok", "version": __version__}, "spans": spans}],
            }
        ]
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _otlp_span(span: Mapping[str, object]) -> dict[str, object]:
    start, end, attributes = span["start_time"], span["end_time"], span["attributes"]
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert isinstance(attributes, dict)
    found: dict[str, object] = {
        "traceId": span["trace_id"],
        "spanId": span["span_id"],
        "name": span["name"],
        "kind": OTLP_SERVER,
        "startTimeUnixNano": str(start * 1_000_000),  # 64 bits are text in JSON
        "endTimeUnixNano": str(end * 1_000_000),
        "attributes": _otlp_attributes(attributes),
        "status": {"code": OTLP_CODES[str(span["status"])]},
    }
    if "parent_span_id" in span:
        found["parentSpanId"] = span["parent_span_id"]
    return found


def _otlp_attributes(attributes: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items()]
