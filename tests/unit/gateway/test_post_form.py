"""Forms of browsers: who signed them, what their policy allows, and where the file ends."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.gateway.door import AKID, NOW, SECRET, Answer, Door, FakeHead

from hyok.s3.checksums import Algorithm, compute, encode
from hyok.sigv4.canonical import signature, signing_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BOUNDARY = "----hyok"
CLOSING = f"\r\n--{BOUNDARY}--\r\n".encode()
DAY, AT = NOW.strftime("%Y%m%d"), NOW.strftime("%Y%m%dT%H%M%SZ")
LARGE = bytes(range(256)) * 4200  # more than 1 MiB
REST = ["starts-with", "$key", ""], {"bucket": "bucket"}


def policy(*conditions: Any, hours: float = 1, **other: Any) -> str:
    until = (NOW + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    signing = [
        {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
        {"x-amz-credential": f"{AKID}/{DAY}/us-east-1/s3/aws4_request"},
        {"x-amz-date": AT},
    ]
    document = {"expiration": until, "conditions": [*REST, *signing, *conditions], **other}
    return base64.b64encode(json.dumps(document).encode()).decode()


def signed(text: str, secret: str = SECRET, **fields: str) -> dict[str, str]:
    key = signing_key(secret, DAY, "us-east-1", "s3")
    return {
        "key": "folder/${filename}",
        **{name.replace("_", "-"): value for name, value in fields.items()},
        "policy": text,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{AKID}/{DAY}/us-east-1/s3/aws4_request",
        "x-amz-date": AT,
        "x-amz-signature": signature(key, text.encode()),
    }


def form(
    fields: Mapping[str, str],
    content: bytes = b"content",
    *,
    filename: str = "a b.txt",
    closing: bytes = CLOSING,
) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: text/html\r\n\r\n"
    )
    return ("".join(parts) + head).encode() + content + closing


async def post(
    door: Door,
    body: bytes,
    *,
    target: bytes = b"/bucket",
    kind: str = f"multipart/form-data; boundary={BOUNDARY}",
    some: int = 1 << 20,
    more: Sequence[tuple[bytes, bytes]] = (),
    length: int | None = -1,
) -> Answer:
    headers = [(b"host", b"h:9000"), (b"content-type", kind.encode()), *more]
    return await door.exchange(FakeHead("POST", target, headers), body, some=some, length=length)


@pytest.mark.parametrize("content", [b"", b"content", LARGE], ids=["empty", "short", "long"])
@pytest.mark.parametrize("some", [1, 7, 1 << 20])
async def test_the_file_of_a_signed_form_becomes_an_object(content: bytes, some: int) -> None:
    door = Door()
    answer = await post(door, form(signed(policy()), content), some=some)
    assert answer.status == 204, answer.body
    assert answer.headers["location"] == "/bucket/folder/a%20b.txt"
    kept = door.vault.kept["bucket", "folder/a b.txt"]
    assert kept.plain == content
    assert answer.headers["etag"] == f'"{kept.facts.etag}"'
    assert answer.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert kept.facts.headers == {}  # the type of the file's own part is none of the object's
    assert door.vault.asks[-1].action == "object:put"
    assert door.vault.asks[-1].principal.id == "app-1"
    assert door.meter.seen == [("PostObject", 204)]


async def test_a_file_that_is_held_and_too_long_for_the_loop_goes_by_a_pump_thread() -> None:
    """Writing to a store blocks; between the two limits a form is held whole all the same."""
    door = Door()
    content = bytes((1 << 20) + 10)
    assert (await post(door, form(signed(policy()), content))).status == 204
    assert door.vault.kept["bucket", "folder/a b.txt"].plain == content
    assert door.vault.pump.ran == 1
    assert (await post(door, form(signed(policy()), bytes(1 << 20)))).status == 204
    assert door.vault.pump.ran == 1


async def test_fields_say_what_headers_would() -> None:
    door = Door()
    crc = encode(compute(Algorithm.CRC32, b"content"))
    tags = "<Tagging><TagSet><Tag><Key>classification</Key><Value>geheim</Value></Tag></TagSet>"
    given = {
        "acl": "private",
        "Content-Type": "text/csv",
        "x-amz-meta-case": "Ü 7",
        "x-amz-checksum-crc32": crc,
        "tagging": tags + "</Tagging>",
        "success_action_status": "201",
        "x-ignore-this": "1",
    }
    allowed = [["eq", f"${name}", value] for name, value in given.items() if name[:8] != "x-ignore"]
    fields = signed(policy(*allowed)) | given
    answer = await post(door, form(fields))
    assert answer.status == 201, answer.body
    assert b"<PostResponse><Location>/bucket/folder/a%20b.txt</Location>" in answer.body
    facts = door.vault.kept["bucket", "folder/a b.txt"].facts
    assert facts.headers == {"content-type": "text/csv"}
    assert facts.user_metadata == {"case": "Ü 7"}
    assert facts.checksums == {"CRC32": crc}
    assert answer.headers["x-amz-checksum-crc32"] == crc
    assert facts.classification == "geheim"


async def test_a_browser_is_sent_on_when_the_form_says_where() -> None:
    url = "https://app.example/done?x=1"
    text = policy({"success_action_redirect": url})
    answer = await post(Door(), form(signed(text) | {"success_action_redirect": url}))
    assert answer.status == 303
    assert answer.headers["location"].startswith(
        url + "&bucket=bucket&key=folder%2Fa%20b.txt&etag="
    )


TEXT = policy()


WRONG = {"x-amz-checksum-crc32": "AAAAAA=="}
SIGV2 = {"key": "k", "AWSAccessKeyId": AKID, "policy": TEXT, "signature": "x"}


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        # nobody, somebody else, or somebody who signed something else
        ({"key": "k"}, 403, "AccessDenied"),
        (signed(TEXT, secret="other"), 403, "SignatureDoesNotMatch"),
        (signed(TEXT) | {"policy": policy({"acl": "private"})}, 403, "SignatureDoesNotMatch"),
        (
            signed(TEXT) | {"x-amz-credential": f"NOBODY/{DAY}/us-east-1/s3/aws4_request"},
            403,
            "InvalidAccessKeyId",
        ),
        (
            signed(TEXT) | {"x-amz-credential": f"{AKID}/{DAY}/elsewhere/s3/aws4_request"},
            400,
            "InvalidArgument",
        ),
        (signed(TEXT) | {"x-amz-security-token": "x"}, 400, "InvalidToken"),
        # not whole
        ({n: v for n, v in signed(TEXT).items() if n != "x-amz-signature"}, 400, "InvalidArgument"),
        ({n: v for n, v in signed(TEXT).items() if n != "policy"}, 400, "InvalidArgument"),
        ({n: v for n, v in signed(TEXT).items() if n != "key"}, 400, "InvalidArgument"),
        # the second version
        (SIGV2, 400, "InvalidRequest"),
        # policies that are none
        (signed(base64.b64encode(b"{").decode()), 400, "InvalidPolicyDocument"),
        (signed(base64.b64encode(b'{"conditions": []}').decode()), 400, "InvalidPolicyDocument"),
        (signed(policy(["content-length-range", 1])), 400, "InvalidPolicyDocument"),
        (signed(policy(Expiration="x", expiration="no date")), 400, "InvalidPolicyDocument"),
        # policies that say no
        (signed(policy(hours=-1)), 403, "AccessDenied"),
        (signed(policy(["starts-with", "$key", "other/"])), 403, "AccessDenied"),
        (signed(TEXT) | {"x-amz-meta-extra": "1"}, 403, "AccessDenied"),
        (signed(policy(["content-length-range", 0, 6])), 400, "EntityTooLarge"),
        (signed(policy(["content-length-range", 8, 99])), 400, "EntityTooSmall"),
        # what a PUT could not ask for either
        (
            signed(policy({"acl": "public-read"})) | {"acl": "public-read"},
            400,
            "AccessControlListNotSupported",
        ),
        (
            signed(policy(WRONG)) | WRONG,
            400,
            "BadDigest",
        ),
        (signed(TEXT) | {"key": ".hyok/x"}, 403, "AccessDenied"),
        (
            signed(policy({"tagging": "<Tagging>"})) | {"tagging": "<Tagging>"},
            400,
            "MalformedXML",
        ),
    ],
)  # fmt: skip
async def test_other_forms_leave_no_object(fields: dict[str, str], status: int, code: str) -> None:
    door = Door()
    answer = await post(door, form(fields))
    assert (answer.status, answer.code) == (status, code), answer.body
    assert not door.vault.kept
    assert not door.vault.asks


@pytest.mark.parametrize("low_and_high", [(0, len(LARGE) - 1), (len(LARGE) + 1, 1 << 30)])
async def test_the_length_of_a_long_file_is_judged_before_it_is_read(
    low_and_high: tuple[int, int],
) -> None:
    door = Door()
    body = form(signed(policy(["content-length-range", *low_and_high])), LARGE)
    answer = await post(door, body, some=512)
    assert answer.code in ("EntityTooLarge", "EntityTooSmall")
    assert not door.vault.asks


@pytest.mark.parametrize(
    "closing",
    [
        f"\r\n--{BOUNDARY}--".encode(),
        CLOSING + b"\r\nand more",
        f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="submit"\r\n\r\nUpload'.encode()
        + CLOSING,
    ],
    ids=["no end of line", "epilogue", "a field behind"],
)
async def test_what_follows_a_short_file_is_passed_over_and_a_long_one_is_refused(
    closing: bytes,
) -> None:
    door = Door()
    answer = await post(door, form(signed(policy()), closing=closing))
    assert answer.status == 204
    assert door.vault.kept.popitem()[1].plain == b"content"
    answer = await post(door, form(signed(policy()), LARGE, closing=closing))
    assert (answer.status, answer.code) == (400, "MalformedPOSTRequest")
    assert not door.vault.kept


@pytest.mark.parametrize("content", [b"content", LARGE], ids=["short", "long"])
async def test_a_form_that_is_cut_short_leaves_no_object(content: bytes) -> None:
    door = Door()
    whole = form(signed(policy()), content)
    for cut in (len(whole) - 3, len(whole) - len(CLOSING), 60):
        answer = await post(door, whole[:cut], length=len(whole))
        assert answer.status == 400, cut
    assert not door.vault.kept


async def test_a_long_file_with_a_wrong_checksum_leaves_no_object() -> None:
    door = Door()
    answer = await post(door, form(signed(policy(WRONG)) | WRONG, LARGE))
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert not door.vault.kept


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"kind": "text/plain"}, 400, "MalformedPOSTRequest"),
        ({"length": None}, 411, "MissingContentLength"),
        ({"target": b"/nowhere"}, 404, "NoSuchBucket"),
        ({"target": b"/theirs"}, 400, "InvalidArgument"),  # the field names another
        ({"more": [(b"authorization", b"Bearer x")]}, 400, "InvalidArgument"),
    ],
)
async def test_requests_that_are_no_form_of_this_bucket(
    change: dict[str, Any], status: int, code: str
) -> None:
    door = Door()
    answer = await post(door, form(signed(policy()) | {"bucket": "bucket"}), **change)
    assert (answer.status, answer.code) == (status, code)
    assert not door.vault.kept


async def test_a_form_that_is_signed_in_its_header_too_is_refused() -> None:
    door = Door()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    answer = await door.send("POST /bucket", form(signed(policy())), content_type=kind)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert not answer.body_was_read


async def test_a_bucket_of_another_tenant_takes_no_form() -> None:
    door = Door()
    names = ("key", "bucket", "x-amz-algorithm", "x-amz-credential", "x-amz-date")
    conditions = [["starts-with", f"${name}", ""] for name in names]
    document = {"expiration": "2027-01-01T00:00:00Z", "conditions": conditions}
    text = base64.b64encode(json.dumps(document).encode()).decode()
    answer = await post(door, form(signed(text)), target=b"/theirs")
    assert (answer.status, answer.code) == (403, "AccessDenied")
