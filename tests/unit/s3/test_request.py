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
        (b"//b/k", "", "b/k"),
        (b"/b/%2e%2E/c", "b", "../c"),
        (b"/b/..", "b", ".."),
        (b"/b/%2F", "b", "/"),
        (b"/b%2Fk", "b/k", ""),
        (b"/b/a;b=c&d#e", "b", "a;b=c&d#e"),
        (b"/b/k?a?b=/c", "b", "k"),
    ],
)
def test_paths(target: bytes, bucket: str, key: str) -> None:
    request = read(target)
    assert (request.bucket, request.key) == (bucket, key)


BASES = ("s3.example", "EU.s3.example.", "objects.gemeente.example")


@pytest.mark.parametrize(
    ("host", "bucket", "key"),
    [
        (b"photos.s3.example:9000", "photos", "b/k"),
        (b"a.b.S3.Example", "a.b", "b/k"),
        (b"photos.s3.example.", "photos", "b/k"),
        (b"photos.s3.example.:443", "photos", "b/k"),
        (b"photos.s3.example:", "photos", "b/k"),
        (b"photos.s3.example:65535", "photos", "b/k"),
        (b"photos.eu.s3.example", "photos", "b/k"),  # the longest base, wherever it stands
        (b"p.objects.gemeente.example:8443", "p", "b/k"),
        (b"s3.example", "b", "k"),
        (b"eu.s3.example", "b", "k"),  # a base itself, never a bucket "eu"
        (b"S3.EXAMPLE.:80", "b", "k"),
        (b"other.example", "b", "k"),
        (b"xs3.example", "b", "k"),
        (b"s3.example.evil", "b", "k"),
        (b"127.0.0.1:9000", "b", "k"),
        (b"[::1]:9000", "b", "k"),
        (b"[2001:db8::1]", "b", "k"),
        (b"[::ffff:192.0.2.1]:80", "b", "k"),
        (b"localhost", "b", "k"),
        (b"", "b", "k"),
    ],
)
def test_a_bucket_may_stand_in_the_host(host: bytes, bucket: str, key: str) -> None:
    request = read(b"/b/k", host, BASES)
    assert (request.bucket, request.key) == (bucket, key)
    assert request.host == host.decode()  # as it was signed


@pytest.mark.parametrize(
    ("target", "key"),
    [
        (b"/", ""),
        (b"//", "/"),
        (b"//k", "/k"),
        (b"/a/../b", "a/../b"),
        (b"/../b", "../b"),
        (b"/a//b/./c", "a//b/./c"),
        (b"/a%2Fb", "a/b"),
        (b"/%2F", "/"),
        (b"/%2e%2e/b", "../b"),
        (b"/a%252Fb", "a%2Fb"),
        (b"/a?versionId=1", "a"),
    ],
)
def test_a_raw_path_is_the_key_where_the_host_has_the_bucket(target: bytes, key: str) -> None:
    request = read(target, b"photos.s3.example", BASES)
    assert (request.bucket, request.key) == ("photos", key)
    styled = read(b"/photos" + target, b"s3.example", BASES)
    assert (styled.bucket, styled.key) == ("photos", key)
    assert styled.raw_path == b"/photos" + target.partition(b"?")[0]


@pytest.mark.parametrize(
    "host",
    [
        b"photos.s3.example:65536",
        b"photos.s3.example:port",
        b"photos.s3.example:80:80",
        b".s3.example",
        b"a,b.s3.example",
        b"photos.s3.example/x",
        b"user@photos.s3.example",
        b"::1",
        b"[::1",
        b"[zz]:80",
        b"p\xc3\xa9.s3.example",
        b"photos.s3.example ext",
    ],
)
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        read(b"/b/k", host, BASES)
    assert refusal.value.reason == "BadRequest"


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
