"""A record as an event of the Open Cybersecurity Schema Framework, version 1.2.0.

Requests and officers' acts are API Activity (6003); that the writer began, ended or was cut off is
Application Lifecycle (6002).  What the schema has no place for stands in ``unmapped``, and the line
of the log, as it is, in ``raw_data``.

Source: schema.ocsf.io, version 1.2.0.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok import __version__
from hyok.audit.file import GAP, START, STOP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.audit.follow import Entry

VERSION = "1.2.0"
API_ACTIVITY, APPLICATION_LIFECYCLE = 6003, 6002
CREATE, READ, UPDATE, DELETE, OTHER = 1, 2, 3, 4, 99
LIFECYCLE_START, LIFECYCLE_STOP = 3, 4
ACTIVITIES = {
    "create": CREATE,
    "put": CREATE,
    "seal": CREATE,
    "get": READ,
    "open": READ,
    "head": READ,
    "list": READ,
    "delete": DELETE,
    "abort": DELETE,
    "destroy": DELETE,
    "revoke": DELETE,
    "configure": UPDATE,
    "change": UPDATE,
    "lower": UPDATE,
    "publish": UPDATE,
    "lock": UPDATE,
}
NAMES = {CREATE: "Create", READ: "Read", UPDATE: "Update", DELETE: "Delete"}
PRODUCT = {"name": "hyok", "vendor_name": "hyok", "version": __version__}
INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4
SEVERITIES = {"denied": LOW, "failed": MEDIUM}
SUCCESS, FAILURE, OTHER_STATUS = 1, 2, 99
STATUSES = {"allowed": SUCCESS, "done": SUCCESS, "denied": FAILURE, "failed": FAILURE}
UNMAPPED = ("phase", "reasons", "scope", "size_bytes", "torn_bytes", "torn_sha256")


@dataclass(frozen=True, slots=True)
class OcsfFormat:
    """Renders records of the log that ``origin`` names in its checkpoints."""

    origin: str

    def render(self, entry: Entry) -> bytes:
        """Return one event as one line of JSON, without a line feed."""
        fields = entry.fields
        event = self._common(entry)
        if fields.get("action") in {START, STOP, GAP}:
            event |= _lifecycle(fields)
        else:
            event |= _api_activity(fields)
        event["type_uid"] = _number(event["class_uid"]) * 100 + _number(event["activity_id"])
        text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()

    def _common(self, entry: Entry) -> dict[str, object]:
        fields = entry.fields
        outcome = str(fields.get("outcome", ""))
        status = STATUSES.get(outcome, OTHER_STATUS)
        metadata = {
            "version": VERSION,
            "product": PRODUCT,
            "uid": f"{self.origin}/{entry.place.seq}",
            "sequence": entry.place.seq,
            "log_name": self.origin,
            "log_provider": "hyok",
            "event_code": _text(fields, "action"),
            "correlation_uid": _text(fields, "trace_id") or _text(fields, "request_id"),
            "tenant_uid": _text(fields, "tenant"),
        }
        event: dict[str, object] = {
            "category_uid": 6,
            "category_name": "Application Activity",
            "time": entry.place.at_ms,
            "timezone_offset": 0,
            "metadata": {name: value for name, value in metadata.items() if value != ""},
            "severity_id": SEVERITIES.get(outcome, INFORMATIONAL),
            "status_id": status,
            "status": {SUCCESS: "Success", FAILURE: "Failure"}.get(status, outcome or "Other"),
            "status_detail": outcome,
            "message": f"{_text(fields, 'actor')} {_text(fields, 'action')} {outcome}".strip(),
            "raw_data": entry.line.decode("utf-8", "replace"),
            "unmapped": {name: fields[name] for name in UNMAPPED if name in fields},
        }
        if error := _text(fields, "error"):
            event["status_code"] = error
        return event


def _lifecycle(fields: Mapping[str, object]) -> dict[str, object]:
    action = _text(fields, "action")
    activity = {START: LIFECYCLE_START, STOP: LIFECYCLE_STOP}.get(action, OTHER)
    names = {LIFECYCLE_START: "Start", LIFECYCLE_STOP: "Stop"}
    event: dict[str, object] = {
        "class_uid": APPLICATION_LIFECYCLE,
        "class_name": "Application Lifecycle",
        "activity_id": activity,
        "activity_name": names.get(activity, action),
        "app": PRODUCT | {"feature": {"name": "audit writer"}},
    }
    if action == GAP:
        event["severity_id"] = HIGH
    return event


def _api_activity(fields: Mapping[str, object]) -> dict[str, object]:
    action = _text(fields, "action")
    activity = ACTIVITIES.get(action.rpartition(":")[2], OTHER)
    return {
        "class_uid": API_ACTIVITY,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": NAMES.get(activity, action),
        "actor": _actor(fields),
        "api": _api(fields),
        "src_endpoint": _endpoint(_text(fields, "origin")),
        "resources": _resources(fields),
    }


def _actor(fields: Mapping[str, object]) -> dict[str, object]:
    actor = _text(fields, "actor") or "unknown"
    found: dict[str, object] = {"user": {"uid": actor, "name": actor}}
    if session := _text(fields, "session"):
        found["session"] = {"uid": session}
    return found


def _api(fields: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {
        "operation": _text(fields, "action") or "unknown",
        "service": {"name": "hyok"},
    }
    if request := _text(fields, "request_id"):
        found["request"] = {"uid": request}
    if error := _text(fields, "error"):
        found["response"] = {"error": error}
    return found


def _endpoint(origin: str) -> dict[str, object]:
    try:
        return {"ip": str(ipaddress.ip_address(origin))}
    except ValueError:
        return {"name": origin or "hyok"}


def _resources(fields: Mapping[str, object]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for name, kind in (("object_id", "object"), ("bucket_id", "bucket"), ("kek_id", "key")):
        if uid := _text(fields, name):
            found.append({"uid": uid, "type": kind})
    if found and (classification := _text(fields, "classification")):
        found[0]["labels"] = [f"classification:{classification}"]
    return found


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
