"""Lifecycle rules through the door: kept, told again, and the day told with each object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.custody.test_custodian import house
from tests.unit.gateway.door import Answer, Door
from tests.unit.gateway.sealed_door import BUCKET, Sealed, sealed_door

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House

__all__ = ["house"]

MINIMUM = "x-amz-transition-default-minimum-object-size"


def rules(*inner: str) -> bytes:
    held = "".join(f"<Rule><Status>Enabled</Status>{text}</Rule>" for text in inner)
    return f"<LifecycleConfiguration>{held}</LifecycleConfiguration>".encode()


DAYS = "<Expiration><Days>1</Days></Expiration>"
ABORT = (
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload>"
)
LOGS = f"<ID>weg</ID><Filter><Prefix>logs/</Prefix></Filter>{DAYS}"


async def asked(door: Door, line: str, body: bytes = b"", **headers: str) -> Answer:
    return await door.send(line, body, query=[("lifecycle", "")], **headers)


async def here(house: House, classification: str, *inner: str) -> Sealed:
    sealed = await sealed_door(house, classification=classification)
    assert (await asked(sealed.door, f"PUT /{BUCKET}", rules(*inner))).status == 200
    return sealed


async def test_rules_are_kept_told_and_forgotten(house: House) -> None:
    door = (await sealed_door(house)).door
    line = f"/{BUCKET}"
    assert (await asked(door, f"GET {line}")).code == "NoSuchLifecycleConfiguration"
    assert (await asked(door, f"DELETE {line}")).status == 204
    put = await asked(door, f"PUT {line}", rules(LOGS))
    assert (put.status, put.headers[MINIMUM]) == (200, "all_storage_classes_128K")
    told = await asked(door, f"GET {line}")
    assert told.status == 200
    assert told.headers[MINIMUM] == "all_storage_classes_128K"
    assert b"<Filter><Prefix>logs/</Prefix></Filter>" in told.body
    varies = "varies_by_storage_class"
    minimum = {MINIMUM.replace("-", "_"): varies}
    assert (await asked(door, f"PUT {line}", rules(f"<Prefix/>{DAYS}"), **minimum)).status == 200
    told = await asked(door, f"GET {line}")
    assert told.headers[MINIMUM] == varies
    assert b"<ID></ID>" not in told.body  # a rule without an id is given one
    assert b"<ID>" in told.body
    assert (await asked(door, f"DELETE {line}")).status == 204
    assert (await asked(door, f"GET {line}")).code == "NoSuchLifecycleConfiguration"


async def test_a_rule_that_deletes_is_more_to_ask_than_a_setting(house: House) -> None:
    door = (await sealed_door(house)).door
    for inner in (f"<Prefix/>{ABORT}", f"<Prefix/>{ABORT}{DAYS}"):
        assert (await asked(door, f"PUT /{BUCKET}", rules(inner))).status == 200
    assert (await asked(door, f"DELETE /{BUCKET}")).status == 204
    assert door.keeper.asked == ["bucket:configure", "bucket:expire", "bucket:configure"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingRequestBodyError"),
        (b"<LifecycleConfiguration/>", "MalformedXML"),
        (rules(f"<Prefix/>{DAYS}").replace(b"<Days>1", b"<Days>0"), "InvalidArgument"),
        (
            rules(
                "<Prefix/><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass>"
                "</Transition>"
            ),
            "InvalidStorageClass",
        ),
    ],
)
async def test_what_cannot_be_kept_leaves_the_rules_that_were(
    house: House, body: bytes, code: str
) -> None:
    sealed = await here(house, "openbaar", LOGS)
    assert (await asked(sealed.door, f"PUT /{BUCKET}", body)).code == code
    assert b"<ID>weg</ID>" in (await asked(sealed.door, f"GET /{BUCKET}")).body


def days_until(answer: Answer) -> tuple[str, str]:
    date, _, rule = answer.headers["x-amz-expiration"].partition(", rule-id=")
    return date.partition("expiry-date=")[2].strip('"'), rule.strip('"')


async def test_answers_tell_the_day_of_objects_that_a_rule_is_about(house: House) -> None:
    sealed = await here(house, "openbaar", LOGS)
    begun = await sealed.begin("logs/delen")
    part = await sealed.part("logs/delen", begun, 1, b"deel")
    for answer in (
        await sealed.send("PUT logs/a", b"1"),
        await sealed.send("GET logs/a"),
        await sealed.send("HEAD logs/a"),
        await sealed.complete("logs/delen", begun, [(1, part)]),
        await sealed.send("PUT logs/b", x_amz_copy_source=f"/{BUCKET}/logs/a"),
    ):
        assert answer.status == 200, answer.body
        assert days_until(answer)[0].endswith(" 00:00:00 GMT")
        assert days_until(answer)[1] == "weg"
    for line in ("PUT map/a", "GET map/a", "HEAD map/a"):
        answer = await sealed.send(line, b"1" if line[0] == "P" else b"")
        assert answer.status == 200
        assert "x-amz-expiration" not in answer.headers


async def test_sealed_tags_and_plain_sizes_decide_what_is_told(house: House) -> None:
    tagged = f"<ID>t</ID><Filter><Tag><Key>a</Key><Value>1</Value></Tag></Filter>{DAYS}"
    large = f"<ID>g</ID><Filter><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></Filter>{DAYS}"
    sealed = await here(house, "onbekend", tagged, large)
    for key, body, tags, told in (
        ("een", b"1", "a=1", "t"),
        ("twee", b"1", "a=2", ""),
        ("drie", b"1" * 10, "", "g"),
        ("vier", b"1" * 9, "", ""),
    ):
        headers = {"x_amz_tagging": tags} if tags else {}
        for answer in (
            await sealed.send(f"PUT {key}", body, **headers),
            await sealed.send(f"GET {key}"),
            await sealed.send(f"HEAD {key}"),
        ):
            assert answer.status == 200, answer.body
            held = answer.headers.get("x-amz-expiration", "")
            assert (f'rule-id="{told}"' in held) is bool(told), key


async def test_an_object_that_no_rule_may_take_is_told_no_day(house: House) -> None:
    sealed = await here(house, "vertrouwelijk", LOGS)
    for line in ("PUT logs/a", "GET logs/a", "HEAD logs/a"):
        answer = await sealed.send(line, b"1" if line[0] == "P" else b"")
        assert answer.status == 200, answer.body
        assert "x-amz-expiration" not in answer.headers
