"""What receivers get for a record: RFC 5424 messages, and events of OCSF's published shape."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.audit.logs import line

from hyok.audit.file import canonical
from hyok.audit.follow import Entry, Place
from hyok.audit.formats.ocsf import OcsfFormat
from hyok.audit.formats.syslog import SyslogFormat

SHAPES = json.loads(Path(__file__).with_name("ocsf_1_2_0.json").read_text())
TYPES = {
    "integer_t": int,
    "long_t": int,
    "timestamp_t": int,
    "boolean_t": bool,
    "string_t": str,
    "username_t": str,
    "ip_t": str,
    "object": dict,
}
RFC5424 = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<host>[!-~]{1,255}) "
    rb"(?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<id>[!-~]{1,32}) "
    rb"\[(?P<sdid>[!#-<>-\\^-~]{1,32})"
    rb"(?P<sd>(?: [a-z_]+=\"(?:[^\"\\\]]|\\[\"\\\]])*\")*)\] (?P<msg>.*)"
)
RECORDS = [
    line(1),
    line(2, phase="intend", outcome="pending", action="object:put", size_bytes=7),
    line(3, outcome="denied", reasons=["guardrail-purpose"], error="Refused:AccessDenied"),
    line(4, outcome="failed", action="object:delete", trace_id="ab" * 16, session="KEY:name"),
    line(5, object_id="00ff", bucket_id="b" * 32, kek_id="k", classification="vertrouwelijk"),
    line(6, actor='odd "name"] \\ é \n', origin="local", action="audit-key:create"),
    canonical({"seq": 7, "at_ms": 5, "action": "audit:start", "outcome": "done", "actor": "s"}),
    canonical({"seq": 8, "at_ms": 5, "action": "audit:stop", "outcome": "done", "actor": "s"}),
    canonical(
        {
            "seq": 9,
            "at_ms": 5,
            "phase": "conclude",
            "action": "audit:gap",
            "outcome": "failed",
            "actor": "system:audit-writer",
            "torn_bytes": 12,
            "torn_sha256": "00",
        }
    ),
    canonical({"seq": 10}),
]


def entry(raw: bytes) -> Entry:
    fields = json.loads(raw)
    return Entry(Place(fields["seq"], 1, 0, "", fields.get("at_ms", 0)), raw[:-1], fields)


@pytest.mark.parametrize("raw", RECORDS, ids=lambda raw: json.loads(raw)["seq"])
def test_every_record_is_an_event_of_the_published_shape(raw: bytes) -> None:
    rendered = OcsfFormat("hyok-audit/test").render(entry(raw))
    assert b"\n" not in rendered
    event = json.loads(rendered)
    shape = SHAPES["classes"][str(event["class_uid"])]
    fits(event, shape, str(event["class_uid"]))
    assert event["category_uid"] == shape["category_uid"]
    assert event["class_name"] == shape["name"]
    assert event["type_uid"] == 100 * event["class_uid"] + event["activity_id"]
    assert event["metadata"]["version"] == SHAPES["version"]
    assert event["raw_data"].encode() == raw[:-1]


def fits(value: dict[str, Any], shape: dict[str, Any], at: str) -> None:
    """Compare an object with the attributes, types, enumerations and constraints of the schema."""
    known = shape["attributes"]
    assert set(value) <= set(known), at
    needed = {name for name, each in known.items() if each["requirement"] == "required"}
    assert needed <= set(value), at
    some = shape["constraints"].get("at_least_one")
    assert some is None or set(some) & set(value), at
    for name, each in value.items():
        rule = known[name]
        for one in each if rule.get("array") else [each]:
            here = f"{at}.{name}"
            if rule["type"] in TYPES:
                assert type(one) is TYPES[rule["type"]], here
            elif rule["type"] != "json_t":
                fits(one, SHAPES["objects"][rule["type"]], here)
            if "enum" in rule and isinstance(one, int):
                assert one in rule["enum"], here


def test_the_check_of_shapes_finds_what_does_not_fit() -> None:
    event = json.loads(OcsfFormat("x").render(entry(RECORDS[0])))
    shape = SHAPES["classes"]["6003"]
    for wrong in (
        event | {"severity_id": 7},
        event | {"actor": {}},
        event | {"surprise": 1},
        event | {"time": "now"},
        {name: value for name, value in event.items() if name != "src_endpoint"},
    ):
        with pytest.raises(AssertionError):
            fits(wrong, shape, "event")


def test_an_event_says_what_was_done_and_how_it_ended() -> None:
    events = [json.loads(OcsfFormat("o").render(entry(raw))) for raw in RECORDS]
    assert [event["activity_id"] for event in events[:6]] == [2, 1, 2, 4, 2, 1]
    assert [event["status_id"] for event in events[:4]] == [1, 99, 2, 2]
    assert [event["severity_id"] for event in events] == [1, 1, 2, 3, 1, 1, 1, 1, 4, 1]
    assert [event["class_uid"] for event in events[6:9]] == [6002] * 3
    assert events[3]["metadata"]["correlation_uid"] == "ab" * 16
    assert events[0]["metadata"]["uid"] == "o/1"
    assert events[0]["src_endpoint"] == {"ip": "192.0.2.1"}
    assert events[4]["resources"][0] == {
        "uid": "00ff",
        "type": "object",
        "labels": ["classification:vertrouwelijk"],
    }


@pytest.mark.parametrize("raw", RECORDS, ids=lambda raw: json.loads(raw)["seq"])
def test_every_record_is_a_message_of_rfc_5424_that_ends_in_its_line(raw: bytes) -> None:
    message = SyslogFormat("gateway.example", 32473).render(entry(raw))
    found = RFC5424.fullmatch(message)
    assert found is not None, message
    assert found["msg"] == raw[:-1]
    assert found["sdid"] == b"hyok@32473"
    assert int(found["pri"]) // 8 == 13
    values = dict(re.findall(rb' ([a-z_]+)="((?:[^"\\\]]|\\.)*)"', found["sd"]))
    fields = json.loads(raw)
    assert int(values[b"seq"]) == fields["seq"]
    if "actor" in fields:
        assert re.sub(rb"\\(.)", rb"\1", values[b"actor"]).decode() == fields["actor"]


def test_messages_are_as_loud_as_what_they_say() -> None:
    messages = [SyslogFormat("h", 1).render(entry(raw)) for raw in RECORDS]
    severities = [int(message[1:].partition(b">")[0]) % 8 for message in messages]
    assert severities == [5, 6, 4, 4, 5, 5, 5, 5, 2, 5]


def test_a_hostname_that_is_none_of_syslogs_becomes_one() -> None:
    for name, shown in (("gemeente één", b"gemeente___n"), ("", b"-"), ("x" * 300, b"x" * 255)):
        message = SyslogFormat(name, 1).render(entry(RECORDS[0]))
        assert message.split(b" ")[2] == shown
