"""What the store says when it fails, and what our client is told: never the store's own words.

Also where the store begins with 200 and ends with an error; we ourselves answer 200 only when all
is done, so no client of ours has to look for an error inside of a success.
"""

from __future__ import annotations

import pytest
from tests.unit.custody.test_custodian import House, house
from tests.unit.gateway.sealed_door import Sealed, at, listed, sealed_door

from hyok.backends.s3_answers import parse_etag
from hyok.backends.s3_errors import error_of, failure_of
from hyok.errors import HyokError
from hyok.gateway.faults import fault_of

__all__ = ["house"]

SENTENCE = "store-7.supplier.example: bucket real-name, key geheim"
ABSENT = ""


def document(code: str) -> bytes:
    if not code:
        return b"<html>" + SENTENCE.encode() + b"</html>"
    return (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{SENTENCE}</Message>"
        f"<Resource>{SENTENCE}</Resource><HostId>{SENTENCE}</HostId></Error>"
    ).encode()


TABLE = [
    # the store's status and code: the client's status and code
    (404, "NoSuchKey", 404, "NoSuchKey"),
    (404, ABSENT, 404, "NoSuchKey"),
    (404, "NoSuchUpload", 404, "NoSuchUpload"),
    (404, "NoSuchBucket", 404, "NoSuchBucket"),
    (412, "PreconditionFailed", 412, "PreconditionFailed"),
    (412, ABSENT, 412, "PreconditionFailed"),
    (409, "ConditionalRequestConflict", 409, "ConditionalRequestConflict"),
    (409, "OperationAborted", 409, "OperationAborted"),
    (409, "BucketNotEmpty", 409, "BucketNotEmpty"),
    (416, "InvalidRange", 416, "InvalidRange"),
    (400, "InvalidPart", 400, "InvalidPart"),
    (400, "InvalidPartOrder", 400, "InvalidPartOrder"),
    (400, "EntityTooSmall", 400, "EntityTooSmall"),
    (501, "NotImplemented", 501, "NotImplemented"),
    # Our own credentials, signature or clock: nothing that our client could put right.
    (403, "AccessDenied", 503, "ServiceUnavailable"),
    (403, "SignatureDoesNotMatch", 503, "ServiceUnavailable"),
    (403, "RequestTimeTooSkewed", 503, "ServiceUnavailable"),
    (403, "InvalidAccessKeyId", 503, "ServiceUnavailable"),
    (401, ABSENT, 503, "ServiceUnavailable"),
    (400, "MalformedXML", 503, "ServiceUnavailable"),
    (400, "ExpiredToken", 503, "ServiceUnavailable"),
    (400, "RequestTimeout", 503, "ServiceUnavailable"),
    (405, "MethodNotAllowed", 503, "ServiceUnavailable"),
    (301, "PermanentRedirect", 503, "ServiceUnavailable"),
    (307, "TemporaryRedirect", 503, "ServiceUnavailable"),
    (429, ABSENT, 503, "SlowDown"),
    (503, "SlowDown", 503, "SlowDown"),
    (503, "ServiceUnavailable", 503, "ServiceUnavailable"),
    (503, ABSENT, 503, "ServiceUnavailable"),
    (500, "InternalError", 503, "ServiceUnavailable"),
    (502, ABSENT, 503, "ServiceUnavailable"),
    (504, ABSENT, 503, "ServiceUnavailable"),
]


@pytest.mark.parametrize(("status", "code", "told", "as_code"), TABLE)
def test_each_error_of_the_store_has_one_of_ours(
    status: int, code: str, told: int, as_code: str
) -> None:
    fault = fault_of(error_of(failure_of(status, document(code))))
    assert (fault.status, fault.code) == (told, as_code)
    assert SENTENCE not in fault.message
    assert not any(word in fault.message for word in ("supplier", "real-name", "geheim"))
    assert bool(fault.headers) is (told == 503)  # Retry-After, and only there


@pytest.mark.parametrize(
    "root", ["CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult"]
)
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (document("InternalError"), 503, "ServiceUnavailable"),
        (b" \n  \r\n " + document("SlowDown"), 503, "SlowDown"),
        (document("PreconditionFailed"), 412, "PreconditionFailed"),
        (document("NoSuchUpload"), 404, "NoSuchUpload"),
        (document("AccessDenied"), 503, "ServiceUnavailable"),
        (b"", 503, "ServiceUnavailable"),
        (b"   ", 503, "ServiceUnavailable"),
        (b"<Complete", 503, "ServiceUnavailable"),
        (b"<%s></%s>", 503, "ServiceUnavailable"),
    ],
)  # fmt: skip
def test_an_error_inside_of_a_200_is_an_error(
    root: str, body: bytes, status: int, code: str
) -> None:
    body = body.replace(b"%s", root.encode())
    with pytest.raises(HyokError) as raised:
        parse_etag(body, root)
    fault = fault_of(raised.value)
    assert (fault.status, fault.code) == (status, code)
    assert SENTENCE not in fault.message


@pytest.mark.parametrize("front", [b"", b" \n\n ", b"<?xml version='1.0'?>\n"])
def test_blanks_before_a_success_are_passed_over(front: bytes) -> None:
    body = front + b"<CopyObjectResult><ETag>&quot;abc-2&quot;</ETag></CopyObjectResult>"
    assert parse_etag(body, "CopyObjectResult") == "abc-2"


# --- through the door ----------------------------------------------------------------------------


@pytest.fixture
async def sealed(house: House) -> Sealed:
    return await sealed_door(house)


CALLS = {
    "put": ("PUT a", b"x", [], {}, "put_whole"),
    "get": ("GET a", b"", [], {}, "read_whole"),
    "head": ("HEAD a", b"", [], {}, "head"),
    "delete": ("DELETE a", b"", [], {}, "delete"),
    "list": ("GET /dossiers", b"", [("list-type", "2")], {}, "list"),
    "copy": ("PUT b", b"", [], {"x_amz_copy_source": "dossiers/a"}, "put_whole"),
    "begin": ("POST a", b"", [("uploads", "")], {}, "begin_upload"),
    "attributes": (
        "GET a", b"", [("attributes", "")], {"x_amz_object_attributes": "ETag"}, "read_whole"
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "code", "told"), [(500, "InternalError", 503), (403, "AccessDenied", 503)]
)
async def test_no_answer_of_the_door_shows_the_stores_words(
    sealed: Sealed,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    status: int,
    code: str,
    told: int,
) -> None:
    line, body, query, headers, method = CALLS[call]
    assert (await sealed.send("PUT a", b"plain")).status == 200

    async def failing(*_: object, **__: object) -> None:
        raise error_of(failure_of(status, document(code)))

    monkeypatch.setattr(sealed.vaults.store, method, failing)
    answer = await sealed.send(line, body, query=query, **headers)
    assert answer.status == told
    assert answer.headers["retry-after"]
    assert b"supplier" not in answer.body
    assert b"real-name" not in answer.body


async def test_a_complete_that_fails_late_is_no_200(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await sealed.begin("k")
    part = await sealed.part("k", upload, 1, b"x")

    async def failing(*_: object, **__: object) -> None:
        parse_etag(document("InternalError"), "CompleteMultipartUploadResult")

    monkeypatch.setattr(sealed.vaults.store, "complete_upload", failing)
    answer = await sealed.send("POST k", listed([(1, part)]), query=at(upload))
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    monkeypatch.undo()
    assert (await sealed.complete("k", upload, [(1, part)])).status == 200
