"""A session token is read where the SDKs put it, and only under the signature."""

from __future__ import annotations

from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from hyok.errors import HyokError, Malformed, NotAuthenticated
from hyok.sigv4.verify import SignedRequest, parse_credentials, verify

CREDENTIALS = botocore.credentials.Credentials("HYOKTMP", "s3cr3t", "token/with+all=")
URL = "http://h:1/b/k"


def signed(
    kind: type[botocore.auth.BaseSigner], **options: int
) -> tuple[str, list[tuple[bytes, bytes]]]:
    request = botocore.awsrequest.AWSRequest(method="GET", url=URL)
    kind(CREDENTIALS, "s3", "us-east-1", **options).add_auth(request)
    prepared = request.prepare()
    headers = [(b"host", b"h:1")]
    headers += [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in prepared.headers.items()
    ]
    return prepared.url, headers


def claim(url: str, headers: list[tuple[bytes, bytes]]) -> SignedRequest:
    parts = urlsplit(url)
    found = parse_credentials("GET", parts.path.encode(), parts.query.encode(), headers)
    assert found is not None
    return found


def check(found: SignedRequest) -> None:
    verify(found, "s3cr3t", now_ms=found.at_ms, regions=("us-east-1",))


def test_in_the_header_of_a_signed_request() -> None:
    url, headers = signed(botocore.auth.S3SigV4Auth)
    found = claim(url, headers)
    assert found.session_token == "token/with+all="
    check(found)


def test_in_the_query_of_a_presigned_url() -> None:
    url, headers = signed(botocore.auth.S3SigV4QueryAuth, expires=60)
    found = claim(url, headers)
    assert found.session_token == "token/with+all="
    check(found)
    # Taken out or changed, the signature is another's.
    for other in ("", "X-Amz-Security-Token=other&"):
        query = urlsplit(url).query.split("&")
        kept = [piece for piece in query if not piece.startswith("X-Amz-Security-Token")]
        changed = claim(f"{URL}?{other}{'&'.join(kept)}", headers)
        with pytest.raises(NotAuthenticated):
            check(changed)


def test_a_header_that_is_not_signed_is_refused() -> None:
    url, headers = signed(botocore.auth.S3SigV4QueryAuth, expires=60)
    for token in (b"token/with+all=", b"other"):
        with pytest.raises(HyokError) as refusal:
            claim(url, [*headers, (b"x-amz-security-token", token)])
        assert refusal.value.reason in ("AccessDenied", "InvalidArgument")


@pytest.mark.parametrize("token", ["a b", "é", "a\x01", "a" * 4097])
def test_what_is_no_token(token: str) -> None:
    url, headers = signed(botocore.auth.S3SigV4Auth)
    sent = [
        (name, token.encode() if name == b"x-amz-security-token" else value)
        for name, value in headers
    ]
    with pytest.raises(Malformed) as refusal:
        claim(url, sent)
    assert refusal.value.reason == "InvalidToken"


def test_two_tokens_that_differ_are_refused_even_when_both_are_signed() -> None:
    url, headers = signed(botocore.auth.S3SigV4QueryAuth, expires=60)
    url = url.replace("SignedHeaders=host", "SignedHeaders=host%3Bx-amz-security-token")
    same = claim(url, [*headers, (b"x-amz-security-token", b"token/with+all=")])
    assert same.session_token == "token/with+all="
    with pytest.raises(Malformed) as refusal:
        claim(url, [*headers, (b"x-amz-security-token", b"other")])
    assert refusal.value.reason == "InvalidArgument"
