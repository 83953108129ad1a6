"""A line of the log is canonical JSON, whatever the texts in it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from hyok.audit.record import AuditRecord, render

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.integers(-(2**53), 2**53)
RECORDS = st.builds(
    AuditRecord,
    at_ms=NUMBER,
    phase=TEXT,
    action=TEXT,
    outcome=TEXT,
    actor=TEXT,
    tenant=TEXT,
    origin=TEXT,
    request_id=TEXT,
    scope=TEXT,
    reasons=st.lists(TEXT).map(tuple),
    error=TEXT,
    size_bytes=st.none() | NUMBER,
    began_ms=st.none() | NUMBER,
    subject=TEXT,
)


@given(RECORDS)
def test_a_record_is_rendered_as_the_json_module_would_canonically(record: AuditRecord) -> None:
    told = {name: value for name, value in record._asdict().items() if value not in ("", None, ())}
    plain = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert render(record) == plain.encode() + b"\n"
