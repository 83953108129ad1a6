"""Ids of spans that follow from a record: sent twice, it gives the same ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.audit.follow import Entry


def span_id(kind: str, origin: str, entry: Entry) -> str:
    """Return 8 bytes, hexadecimal: of this record in the log ``origin``, for this kind of log."""
    text = "\n".join((kind, origin, str(entry.place.seq), text_of(entry.fields, "request_id")))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trace_id(entry: Entry) -> str:
    """Return the trace of a record; one of its own where its request had none."""
    own = hashlib.sha256(text_of(entry.fields, "request_id").encode()).hexdigest()[:32]
    return text_of(entry.fields, "trace_id") or own


def text_of(fields: Mapping[str, object], name: str) -> str:
    """Return a field's text; empty where it has none."""
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""
