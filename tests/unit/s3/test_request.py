"""Bucket, key, query and headers are read once, strictly, and never normalised."""

from __future__ import annotations

import pytest

from hyok.errors import Malformed
from hyok.s3.request import S3Request


def read(target: bytes, host: bytes = b"h:9000", base: tuple[str, ...] = ()) -> S3Request:
    return S3Request.of_target("GET", target, [(b"host", host)], base)


@pytest.mark.parametrize(
    ("target", "bucket", "key"),
    [
        (b"/", "", ""),
        (b"/b", "b", ""),
        (b"/b/", "b", ""),
        (b"/b/k", "b", "k"),
        (b"/b//k", "b", "/k"),
        (b"/b/a/../c/./d//", "b", "a/../c/./d//"),
        (b"/b/a%2Fb", "b", "a/b"),
        (b"/b/a+b%20c", "b", "a+b c"),
        (b"/b/%E2%82%AC", "b", "€"),
        (b"/b/\xe2\x82\xac", "b", "€"),
        (b"/b/a%25zz", "b", "a%zz"),
    ],
)
def test_paths(target: bytes, bucket: str, key: str) -> None:
    request = read(target)
    assert (request.bucket, request.key) == (bucket, key)


@pytest.mark.parametrize(
    ("host", "bucket", "key"),
    [
        (b"photos.s3.example:9000", "photos", "b/k"),
        (b"a.b.S3.Example", "a.b", "b/k"),
        (b"s3.example", "b", "k"),
        (b"other.example", "b", "k"),
        (b"xs3.example", "b", "k"),
    ],
)
def test_a_bucket_may_stand_in_the_host(host: bytes, bucket: str, key: str) -> None:
    request = read(b"/b/k", host, ("s3.example",))
    assert (request.bucket, request.key) == (bucket, key)


@pytest.mark.parametrize("target", [b"/b/%zz", b"/b/%f", b"/b/%ff", b"/b?a=%", b"http://h/b", b"*"])
def test_what_cannot_be_read_is_refused(target: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        read(target)
    assert refusal.value.reason == "InvalidURI"


def test_queries() -> None:
    request = read(b"/b?uploads&prefix=a%20b+c&&delimiter=/")
    assert request.query == {"uploads": "", "prefix": "a b+c", "delimiter": "/"}
    with pytest.raises(Malformed):
        read(b"/b?prefix=a&prefix=b")
    with pytest.raises(Malformed):
        read(b"/b?" + b"&".join(b"p%d=1" % i for i in range(65)))


def test_headers_are_joined_as_they_are_signed() -> None:
    headers = [(b"host", b"h"), (b"x-amz-meta-a", b" 1 "), (b"x-amz-meta-a", b"2")]
    request = S3Request("GET", b"/b/k", b"", headers)
    assert request.header("x-amz-meta-a") == "1,2"
    assert request.headers_under("x-amz-meta-") == {"a": "1,2"}
    assert request.header("absent") is None
    assert request.host == "h"
    with pytest.raises(Malformed):
        S3Request("GET", b"/", b"", [(b"x-amz-meta-a", b"\xff")])
