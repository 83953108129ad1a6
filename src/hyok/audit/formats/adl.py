"""A record as one of the Logboek Toegangsbeslissingen (Authorization Decision Log).

One for each decision of policy, with request and answer in the shape of AuthZEN and the version of
the policies that decided: level 2 of the standard.  A refusal is an answer and no error.

Source: Logius, Authorization Decision Log; OpenID AuthZEN Authorization API 1.0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok import __version__
from hyok.audit.formats.spans import span_id, text_of, trace_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.audit.follow import Entry

EVENT = "adl.access_evaluation"


@dataclass(frozen=True, slots=True)
class AdlFormat:
    """Renders records of the log that ``origin`` names in its checkpoints."""

    origin: str

    def render(self, entry: Entry) -> bytes | None:
        """Return the record of a decision; None where nothing was decided."""
        fields = entry.fields
        decided = text_of(fields, "decided")
        if not decided:
            return None
        reasons = fields.get("reasons")
        answer = {
            "decision": decided == "permit",
            "context": {"reasons": reasons if isinstance(reasons, list) else []},
        }
        record: dict[str, object] = {
            "trace_id": trace_id(entry),
            "span_id": span_id("adl", self.origin, entry),
            "event_name": EVENT,
            "timestamp": entry.place.at_ms,
            "status": "Ok",
            "resource": {"attributes": {"service.name": "hyok", "service.version": __version__}},
            "attributes": {"adl.core.policies": {"hyok": text_of(fields, "policy")}},
            "body": {"adl.core.request": _request(fields), "adl.core.response": answer},
        }
        if parent := text_of(fields, "parent_span_id"):
            record["parent_span_id"] = parent
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()


def _request(fields: Mapping[str, object]) -> dict[str, object]:
    object_id, bucket_id = text_of(fields, "object_id"), text_of(fields, "bucket_id")
    properties = {
        name: text_of(fields, name)
        for name in ("bucket_id", "classification", "tenant")
        if text_of(fields, name)
    }
    kind = "object" if object_id else "bucket" if bucket_id else "tenant"
    return {
        "subject": {"type": text_of(fields, "actor_kind"), "id": text_of(fields, "actor")},
        "action": {"name": text_of(fields, "action")},
        "resource": {
            "type": kind,
            "id": object_id or bucket_id or text_of(fields, "tenant"),
            "properties": properties,
        },
        "context": {"origin": text_of(fields, "origin")},
    }
