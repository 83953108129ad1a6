"""What a presigned address says in its query means what the header would mean."""

from __future__ import annotations

import pytest

from hyok.errors import Malformed
from hyok.s3.operations import Operation, identify
from hyok.s3.request import S3Request

SIGNED = (
    b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Credential=a"
    b"&X-Amz-Date=20261128T041652Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=00&"
)


def read(query: bytes, *headers: tuple[bytes, bytes], method: str = "PUT") -> S3Request:
    return S3Request(method, b"/b/k", query, [(b"host", b"h"), *headers])


def test_what_the_javascript_presigner_puts_there_is_found_as_headers() -> None:
    request = read(
        SIGNED
        + b"x-amz-acl=private&x-amz-meta-soort=een%20brief%20&x-amz-storage-class=STANDARD"
        + b"&x-amz-tagging=classification%3Dgeheim&x-id=PutObject"
    )
    assert request.headers_under("x-amz-") == {
        "acl": "private",
        "meta-soort": "een brief",
        "storage-class": "STANDARD",
        "tagging": "classification=geheim",
    }


def test_the_checksum_of_a_body_that_was_not_there_yet_is_ignored() -> None:
    request = read(SIGNED + b"x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32")
    assert request.headers_under("x-amz-") == {}
    asked = read(SIGNED + b"x-amz-checksum-mode=ENABLED", method="GET")
    assert asked.header("x-amz-checksum-mode") == "ENABLED"


def test_a_copy_may_be_presigned() -> None:
    request = read(SIGNED + b"x-amz-copy-source=b%2Fother")
    assert identify(request) is Operation.COPY_OBJECT


def test_a_query_that_nobody_signed_holds_no_headers() -> None:
    assert read(b"x-amz-acl=private").header("x-amz-acl") is None


@pytest.mark.parametrize(
    "query",
    [
        b"x-amz-meta-a=1%0D%0Ax-amz-meta-b%3A%202",
        b"x-amz-meta-a=%00",
        b"x-amz-meta-a%3A=1",
        b"x-amz-meta-a%0A=1",
        b"x-amz-meta-%C3%A9=1",
        b"x-amz-meta-a=1&X-Amz-Meta-A=2",
    ],
)
def test_what_could_not_have_been_a_header_is_refused(query: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read(SIGNED + query)
    assert caught.value.reason == "InvalidArgument"


def test_a_header_and_the_query_may_not_differ() -> None:
    same = read(SIGNED + b"x-amz-acl=private", (b"x-amz-acl", b"private"))
    assert same.header("x-amz-acl") == "private"
    with pytest.raises(Malformed):
        read(SIGNED + b"x-amz-tagging=a%3D1", (b"x-amz-tagging", b"a=2"))
