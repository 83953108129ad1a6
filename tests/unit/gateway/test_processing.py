"""From requests at the door to the logs of processing (LDV) and of decisions (ADL)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.policy_in_force import InForce
from tests.unit.custody.test_custodian import House, house
from tests.unit.gateway.door import NOW_MS
from tests.unit.gateway.sealed_door import Sealed, sealed_door

from hyok.audit.file import parse_line
from hyok.audit.follow import Entry, Place
from hyok.audit.formats.adl import AdlFormat
from hyok.audit.formats.ldv import LdvFormat, as_otlp
from hyok.audit.record import render
from hyok.errors import Tampered
from hyok.gateway.trace import Trace, trace_of
from hyok.vocabulary import DataSubject

if TYPE_CHECKING:
    from hyok.audit.formats.port import Format

__all__ = ["house"]

ACTIVITY = "https://register.gemeente.example/verwerkingen/42"
BSN = "123456782"
TRACE, SPAN = "28dbeec32e77635cc19bc3204ec56c41", "893e1b2ac52d712f"
TRACEPARENT = f"00-{TRACE}-{SPAN}-00"
HEX = frozenset("0123456789abcdef")


def entries(house: House) -> list[Entry]:
    """Return the journal's records as the log has them."""
    found = []
    for seq, record in enumerate(house.journal.records, 1):
        fields = {**(parse_line(render(record)) or {}), "seq": seq}
        at_ms = fields["at_ms"]
        assert isinstance(at_ms, int)
        found.append(Entry(Place(seq, 1, 0, "", at_ms), json.dumps(fields).encode(), fields))
    return found


def rendered(house: House, form: Format) -> list[dict[str, Any]]:
    messages = [form.render(entry) for entry in entries(house)]
    return [json.loads(message) for message in messages if message is not None]


async def opened(house: House, **more: Any) -> Sealed:
    house.now[0] = NOW_MS + 7  # the door has a clock of its own
    return await sealed_door(house, classification="vertrouwelijk", **more)


async def work(sealed: Sealed) -> None:
    """One object about somebody: written, read, looked at, listed, deleted."""
    tags = f"betrokkene={BSN}&betrokkene-type=BSN"
    for line, body, headers in (
        ("PUT zaak/1", b"inhoud", {"x_amz_tagging": tags, "traceparent": TRACEPARENT}),
        ("GET zaak/1", b"", {"traceparent": TRACEPARENT}),
        ("HEAD zaak/1", b"", {}),
        ("GET /dossiers", b"", {}),
        ("DELETE zaak/1", b"", {}),
    ):
        answer = await sealed.send(line, body, **headers)
        assert answer.status in {200, 204}, (line, answer.body)


async def test_each_act_on_an_object_is_one_span_with_its_subject_and_no_user(
    house: House,
) -> None:
    sealed = await opened(house, processing_activity=ACTIVITY)
    await work(sealed)
    spans = rendered(house, LdvFormat("o"))
    assert [span["name"] for span in spans] == [
        "object:put",
        "object:get",
        "object:head",
        "object:delete",
    ]
    for span in spans:
        assert span["attributes"]["dpl.core.processing_activity_id"] == ACTIVITY
        assert (span["status"], span["status_code"]) == ("Ok", 1)
        assert 0 < span["start_time"] <= span["end_time"]
        assert len(span["trace_id"]) == 32
        assert len(span["span_id"]) == 16
        assert HEX.issuperset(span["trace_id"] + span["span_id"])
    assert [(span["trace_id"], span["parent_span_id"]) for span in spans[:2]] == [(TRACE, SPAN)] * 2
    assert "parent_span_id" not in spans[2]
    assert len({span["span_id"] for span in spans}) == 4
    # The same person is the same text, so that their processings can be found; reading it takes
    # the tenant's key.
    subjects = [span["attributes"].get("dpl.core.data_subject_id") for span in spans]
    assert subjects[0] == subjects[1] == subjects[2] != ""
    assert subjects[3] is None  # a deletion does not open the object
    assert spans[0]["attributes"]["dpl.core.data_subject_id_type"] == "BSN"
    assert await house.custodian.open_subject("t", subjects[0], "BSN") == BSN
    whole = json.dumps(spans)
    for hidden in (BSN, "127.0.0.1", '"app"', "zaak/1"):
        assert hidden not in whole


async def test_nothing_in_the_audit_log_names_the_person_in_clear(house: House) -> None:
    sealed = await opened(house, processing_activity=ACTIVITY)
    await work(sealed)
    log = b"".join(render(record) for record in house.journal.records)
    assert BSN.encode() not in log
    assert BSN not in repr(house.journal.records)
    assert BSN not in repr(DataSubject(BSN, "BSN"))


async def test_an_app_without_a_processing_activity_leaves_no_spans(house: House) -> None:
    sealed = await opened(house)
    await work(sealed)
    assert rendered(house, LdvFormat("o")) == []
    assert all(not record.subject for record in house.journal.records)


@pytest.mark.parametrize(
    ("action", "is_one"),
    [
        ("object:get", True),
        ("file:seal", True),
        ("file:open", True),
        ("key:encrypt", False),
        ("bucket:list", False),
    ],
)
def test_what_touches_content_is_processing_at_every_door(action: str, is_one: bool) -> None:
    fields = {"phase": "conclude", "outcome": "done", "activity": ACTIVITY, "action": action}
    entry = Entry(Place(1, 1, 0, "", 9), b"", {"seq": 1, "at_ms": 9, **fields})
    assert (LdvFormat("o").render(entry) is not None) is is_one


async def test_a_failure_is_an_error_and_a_refusal_no_processing(house: House) -> None:
    sealed = await opened(house, processing_activity=ACTIVITY, clearance=0)
    answer = await sealed.send("PUT zaak/1", b"inhoud")
    assert answer.status == 403
    assert rendered(house, LdvFormat("o")) == []
    failing = {
        "seq": 1,
        "at_ms": 9,
        "phase": "conclude",
        "action": "object:get",
        "outcome": "failed",
        "activity": ACTIVITY,
        "request_id": "R",
    }
    message = LdvFormat("o").render(Entry(Place(1, 1, 0, "", 9), b"", failing))
    assert message is not None
    failed = json.loads(message)
    assert (failed["status"], failed["status_code"]) == ("Error", 2)


async def test_each_decision_is_one_record_with_the_policies_that_gave_it(house: House) -> None:
    house.custodian._decisions._every_decision = True
    house.custodian._decisions._policy = InForce("ab" * 32)
    sealed = await opened(house)
    await work(sealed)
    records = rendered(house, AdlFormat("o"))
    names = [record["body"]["adl.core.request"]["action"]["name"] for record in records]
    assert names == ["object:put", "object:get", "object:head", "bucket:list", "object:delete"]
    for record in records:
        assert record["event_name"] == "adl.access_evaluation"
        assert record["status"] == "Ok"
        assert record["body"]["adl.core.response"]["decision"] is True
        assert record["attributes"]["adl.core.policies"] == {"hyok": "ab" * 32}
        assert record["body"]["adl.core.request"]["subject"] == {"type": "app", "id": "app"}
    # Joined with the log of processing by the trace.
    assert (records[0]["trace_id"], records[0]["parent_span_id"]) == (TRACE, SPAN)
    assert len({record["span_id"] for record in records}) == 5


async def test_a_refusal_is_a_decision_and_no_error(house: House) -> None:
    sealed = await opened(house, clearance=0)
    assert (await sealed.send("PUT zaak/1", b"inhoud")).status == 403
    (record,) = rendered(house, AdlFormat("o"))
    assert record["status"] == "Ok"
    assert record["body"]["adl.core.response"]["decision"] is False
    assert record["timestamp"] == house.journal.records[-1].at_ms


async def test_records_sent_twice_are_the_same_records(house: House) -> None:
    sealed = await opened(house, processing_activity=ACTIVITY)
    await work(sealed)
    for form in (LdvFormat("o"), AdlFormat("o")):
        assert rendered(house, form) == rendered(house, form)
    assert rendered(house, LdvFormat("o")) != rendered(house, LdvFormat("another log"))


async def test_spans_are_an_otlp_trace_export(house: House) -> None:
    sealed = await opened(house, processing_activity=ACTIVITY)
    await work(sealed)
    messages = [LdvFormat("o").render(entry) for entry in entries(house)]
    document = json.loads(as_otlp([message for message in messages if message is not None]))
    (resource,) = document["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    first = scope["spans"][0]
    assert first["traceId"] == TRACE
    assert first["parentSpanId"] == SPAN
    assert first["endTimeUnixNano"] == str(house.journal.records[-1].at_ms * 1_000_000)
    assert first["status"] == {"code": 1}
    keys = {each["key"] for each in first["attributes"]}
    assert keys == {
        "dpl.core.processing_activity_id",
        "dpl.core.data_subject_id",
        "dpl.core.data_subject_id_type",
    }


async def test_a_subject_of_another_tenant_or_type_is_not_opened(house: House) -> None:
    await house.keks.create(house.hsm, "ander", "tenant", 1, house.now[0])
    sealed = await house.custodian.seal_subject("t", DataSubject(BSN, "BSN"))
    assert BSN not in sealed
    assert sealed != await house.custodian.seal_subject("ander", DataSubject(BSN, "BSN"))
    assert sealed != await house.custodian.seal_subject("t", DataSubject(BSN, "personeel"))
    for tenant, text, kind in (("ander", sealed, "BSN"), ("t", sealed, "x"), ("t", "!", "BSN")):
        with pytest.raises(Tampered):
            await house.custodian.open_subject(tenant, text, kind)


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (TRACEPARENT, Trace(TRACE, SPAN)),
        (f" {TRACEPARENT} ", Trace(TRACE, SPAN)),
        (f"01-{TRACE}-{SPAN}-01-later", Trace(TRACE, SPAN)),
        (None, None),
        ("", None),
        (f"{TRACEPARENT}-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (TRACEPARENT.upper(), None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ('00-","actor":"x"', None),
    ],
)
def test_a_trace_is_the_callers_or_a_new_one(header: str | None, trace: Trace | None) -> None:
    fresh = bytes(range(16))
    assert trace_of(header, fresh) == (trace or Trace(fresh.hex()))
