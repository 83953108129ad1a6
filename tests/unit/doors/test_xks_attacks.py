"""Whoever cannot sign for this key store, region, body and moment gets nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.doors.house import (
    HOST,
    METADATA,
    NOW_MS,
    PREFIX,
    REGION,
    FakeExchange,
    Head,
    key_store,
)

from hyok.doors.xks.config import XksStoreSettings
from hyok.errors import NotAuthenticated
from hyok.sigv4.service import check_claim, parse_claim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

TARGET = f"{PREFIX}/kms/xks/v1/keys/kms/encrypt"
BODY = {"requestMetadata": METADATA, "plaintext": "eA==", "encryptionAlgorithm": "AES_GCM"}


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[KeyStore]:
    async with key_store(tmp_path) as made:
        yield made


def refused(exchange: FakeExchange) -> bool:
    assert exchange.json["errorMessage"] == "The request is not authenticated."
    return (exchange.status, exchange.json["errorName"]) == (401, "AuthenticationFailedException")


@pytest.mark.parametrize(
    "signing",
    [
        {"region": "eu-west-1"},
        {"service": "s3"},
        {"service": "kms"},
        {"shift_seconds": 301},
        {"shift_seconds": -301},
        {"shift_seconds": 86_400},
        {"secret": "x" * 44},
        {"access_key": "HYAAAAAAAAAAAAAAAAAA"},
        {"access_key": "AKIDEXAMPLE"},
        {"access_key": "hyaaaaaaaaaaaaaaaaaa"},
        {"change": {"authorization": ""}},
        {"change": {"authorization": "AWS4-HMAC-SHA256 Credential=x"}},
        {"change": {"authorization": "Bearer abc"}},
        {"change": {"authorization": "x" * 5000}},
        {"change": {"x-amz-date": "20260102T030406Z"}},
        {"change": {"x-amz-date": "20260102"}},
        {"change": {"x-amz-date": ""}},
        {"change": {"host": "elders.example.nl"}},
    ],
)
@pytest.mark.parametrize("operation", ["encrypt", "health"])
async def test_a_request_that_is_not_signed_right_is_refused(
    aws: KeyStore, signing: dict[str, Any], operation: str
) -> None:
    assert refused(await aws.ask(operation, BODY, **signing))
    assert aws.house.journal.records == []
    assert not [what for what, *_ in aws.hsm.asked if what == "door_seal"]


@pytest.mark.parametrize("seconds", [299, -299])
async def test_a_clock_may_be_off_by_less_than_five_minutes(aws: KeyStore, seconds: int) -> None:
    assert (await aws.ask("encrypt", BODY, shift_seconds=seconds)).status == 200


async def test_a_body_that_was_changed_on_its_way_is_refused(aws: KeyStore) -> None:
    raw = json.dumps(BODY).encode()
    headers = aws.sign(TARGET, raw)
    for body in (raw.replace(b"eA==", b"eQ=="), raw + b" ", b""):
        exchange = FakeExchange(Head("POST", TARGET.encode(), headers), body, len(body))
        await aws.door.handle(exchange)
        assert refused(exchange)


async def test_a_signature_for_another_path_is_refused(aws: KeyStore) -> None:
    raw = json.dumps(BODY).encode()
    headers = aws.sign(TARGET.replace("kms/encrypt", "kms/metadata"), raw)
    exchange = FakeExchange(Head("POST", TARGET.encode(), headers), raw, len(raw))
    await aws.door.handle(exchange)
    assert refused(exchange)


async def test_an_access_key_of_another_key_store_is_refused(aws: KeyStore) -> None:
    theirs = await aws.keys.create_key("ander")
    signing = {"access_key": theirs.access_key, "secret": theirs.secret.get_secret_value()}
    assert refused(await aws.ask("encrypt", BODY, **signing))
    at_their_own = await aws.ask("encrypt", BODY, prefix="/ander", **signing)
    assert at_their_own.json["errorName"] == "KeyNotFoundException"


async def test_a_key_store_may_have_certificates_of_its_own(tmp_path: Path) -> None:
    own = XksStoreSettings(
        prefix=PREFIX, app="aws-kms", regions=(REGION,), client_names=("CKS.one.example",)
    )
    async with key_store(tmp_path, stores=[own]) as aws:
        raw = json.dumps(BODY).encode()
        for name, gets_in in (("cks.one.example", True), ("cks.two.example", False), ("", False)):
            head = Head("POST", TARGET.encode(), aws.sign(TARGET, raw), client_name=name)
            exchange = FakeExchange(head, raw, len(raw))
            await aws.door.handle(exchange)
            assert (exchange.status == 200) is gets_in
            assert gets_in or refused(exchange)


async def test_two_access_keys_serve_at_once_and_a_revoked_one_no_more(aws: KeyStore) -> None:
    second = await aws.keys.create_key("aws-kms")
    signing = {"access_key": second.access_key, "secret": second.secret.get_secret_value()}
    assert (await aws.ask("encrypt", BODY)).status == 200
    assert (await aws.ask("encrypt", BODY, **signing)).status == 200
    await aws.keys.revoke_key(aws.issued.access_key)
    assert refused(await aws.ask("encrypt", BODY))
    assert (await aws.ask("encrypt", BODY, **signing)).status == 200


async def test_what_is_given_to_aws_has_the_form_that_aws_takes(aws: KeyStore) -> None:
    import re

    assert re.fullmatch(r"[A-Z2-7]{20,30}", aws.issued.access_key)
    assert re.fullmatch(r"[A-Za-z0-9/+=]{43,64}", aws.issued.secret.get_secret_value())


@pytest.mark.parametrize("name", ["authorization", "x-amz-date", "host"])
async def test_a_header_that_comes_twice_is_no_header(aws: KeyStore, name: str) -> None:
    raw = json.dumps(BODY).encode()
    headers = aws.sign(TARGET, raw)
    twice = dict(headers)[name.encode()]
    exchange = FakeExchange(
        Head("POST", TARGET.encode(), [*headers, (name.encode(), twice)]), raw, len(raw)
    )
    await aws.door.handle(exchange)
    assert refused(exchange)


# ── the worked example of the specification's reading, byte by byte ─────────────────────────────

SECRET = "hyokExampleSecretAccessKeyOfAtLeast43Chars00000"
EXAMPLE = {
    "path": b"/gemeente/kms/xks/v1/health",
    "body_sha256_hex": "efd3266872594458954f9306a9d2af5c79e544488ca11d010cea53ff7c1286d3",
    "signature": "6c5c641851aaa5a0cb2b6f889f79cdeab65abc5a0344e3e3bee5d3889553b289",
}


def example(
    signed: str = "content-type;host;x-amz-date", **change: str
) -> list[tuple[bytes, bytes]]:
    told = {
        "content-type": "application/json",
        "host": HOST,
        "x-amz-date": "20260102T030405Z",
        "authorization": (
            "AWS4-HMAC-SHA256 Credential=HYOKEXAMPLEKEY2345672/20260102/eu-west-1/kms-xks-proxy/"
            f"aws4_request, SignedHeaders={signed}, Signature={EXAMPLE['signature']}"
        ),
    } | change
    return [(name.encode(), value.encode()) for name, value in told.items()]


def judge(headers: list[tuple[bytes, bytes]], **change: Any) -> None:
    wanted: dict[str, Any] = {
        "method": "POST",
        "path": EXAMPLE["path"],
        "body_sha256_hex": EXAMPLE["body_sha256_hex"],
        "now_ms": NOW_MS,
        "service": "kms-xks-proxy",
        "regions": ("eu-west-1",),
    }
    secret = change.pop("secret", SECRET)
    check_claim(parse_claim(headers), secret, **(wanted | change))


def test_the_example_is_right() -> None:
    judge(example())


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"path": b"/gemeente/kms/xks/v1/healt"},
        {"body_sha256_hex": "0" * 64},
        {"now_ms": NOW_MS + 300_001},
        {"now_ms": NOW_MS - 300_001},
        {"regions": ()},
        {"service": "kms"},
        {"secret": SECRET[:-1]},
    ],
)
def test_whatever_else_it_was_signed_for_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        judge(example(), **change)


@pytest.mark.parametrize(
    "signed",
    [
        "host",
        "x-amz-date",
        "content-type;x-amz-date",
        "x-amz-date;host",
        "host;host;x-amz-date",
        "host;x-amz-date;x-amz-security-token",
        "Host;X-Amz-Date",
        "",
    ],
)
def test_host_and_date_are_always_signed(signed: str) -> None:
    with pytest.raises(NotAuthenticated):
        judge(example(signed))


def test_a_day_that_is_not_the_dates_is_refused() -> None:
    claim = replace(parse_claim(example()), date="20260101")
    with pytest.raises(NotAuthenticated):
        check_claim(
            claim,
            SECRET,
            method="POST",
            path=b"/gemeente/kms/xks/v1/health",
            body_sha256_hex=str(EXAMPLE["body_sha256_hex"]),
            now_ms=NOW_MS,
            service="kms-xks-proxy",
            regions=("eu-west-1",),
        )
