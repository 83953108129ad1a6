"""A request passes only with the right secret, for here, for now, and with nothing loose.

The vectors are those of the AWS documentation for S3 (examples of the Authorization header, of
query parameters and of chunked uploads); botocore is the independent signer of the rest.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from hashlib import sha256

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import HyokError, Malformed, NotAuthenticated, Refused
from hyok.sigv4.canonical import EMPTY_SHA256, encode_path, encode_query
from hyok.sigv4.chunks import ChunkSigner, ChunkVerifier
from hyok.sigv4.sign import Signer
from hyok.sigv4.verify import SignedRequest, Verified, parse_credentials, verify

AKID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
REGIONS = ("us-east-1",)

Headers = list[tuple[bytes, bytes]]


def authorization(
    signature: str,
    signed: str,
    *,
    date: str = "20130524",
    region: str = "us-east-1",
    service: str = "s3",
) -> bytes:
    return (
        f"AWS4-HMAC-SHA256 Credential={AKID}/{date}/{region}/{service}/aws4_request,"
        f"SignedHeaders={signed},Signature={signature}"
    ).encode()


def passes(
    method: str, path: bytes, query: bytes, headers: Headers, *, now_ms: int = NOW_MS
) -> Verified:
    request = parse_credentials(method, path, query, headers)
    assert isinstance(request, SignedRequest)
    assert request.access_key == AKID
    return verify(request, SECRET, now_ms=now_ms, regions=REGIONS)


RANGE_GET: Headers = [
    (b"host", b"examplebucket.s3.amazonaws.com"),
    (b"range", b"bytes=0-9"),
    (b"x-amz-content-sha256", EMPTY_SHA256.encode()),
    (b"x-amz-date", b"20130524T000000Z"),
]
RANGE_SIGNED = "host;range;x-amz-content-sha256;x-amz-date"
RANGE_SIGNATURE = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


def range_get(*extra: tuple[bytes, bytes], auth: bytes | None = None) -> Headers:
    auth = auth or authorization(RANGE_SIGNATURE, RANGE_SIGNED)
    return [*RANGE_GET, *extra, (b"authorization", auth)]


PRESIGNED = (
    b"X-Amz-Algorithm=AWS4-HMAC-SHA256"
    b"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    b"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)
PRESIGNED_HOST: Headers = [(b"host", b"examplebucket.s3.amazonaws.com")]


def test_the_documented_get_with_a_range_passes() -> None:
    verified = passes("GET", b"/test.txt", b"", range_get())
    assert verified.seed_signature == RANGE_SIGNATURE
    assert verified.scope == "20130524/us-east-1/s3/aws4_request"


def test_the_documented_presigned_url_passes_until_it_expires() -> None:
    passes("GET", b"/test.txt", PRESIGNED, PRESIGNED_HOST)
    passes("GET", b"/test.txt", PRESIGNED, PRESIGNED_HOST, now_ms=NOW_MS + 86_400_000)
    with pytest.raises(NotAuthenticated, match="expired") as late:
        passes("GET", b"/test.txt", PRESIGNED, PRESIGNED_HOST, now_ms=NOW_MS + 86_400_001)
    assert late.value.reason == "AccessDenied"
    with pytest.raises(NotAuthenticated, match="not valid yet"):
        passes("GET", b"/test.txt", PRESIGNED, PRESIGNED_HOST, now_ms=NOW_MS - 900_001)


def test_a_presigned_url_has_no_payload_hash_unless_it_says_so() -> None:
    verified = passes("GET", b"/test.txt", PRESIGNED, PRESIGNED_HOST)
    assert verified.payload == "UNSIGNED-PAYLOAD"


CHUNKED: Headers = [
    (b"content-encoding", b"aws-chunked"),
    (b"host", b"s3.amazonaws.com"),
    (b"x-amz-content-sha256", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    (b"x-amz-date", b"20130524T000000Z"),
    (b"x-amz-decoded-content-length", b"66560"),
    (b"x-amz-storage-class", b"REDUCED_REDUNDANCY"),
    (b"content-length", b"66824"),
]


def test_the_documented_chunked_upload_passes_chunk_by_chunk() -> None:
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    names = ";".join(sorted(name.decode() for name, _ in CHUNKED))
    headers = [*CHUNKED, (b"authorization", authorization(seed, names))]
    proof = passes("PUT", b"/examplebucket/chunkObject.txt", b"", headers)
    assert proof.seed_signature == seed
    chunks = ChunkVerifier(proof.signing_key, proof.scope, proof.amz_date, seed)
    for data, signature in (
        (b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ):
        chunks.verify_chunk(sha256(data).hexdigest(), signature)


def test_the_documented_chunked_upload_with_a_trailer_passes() -> None:
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    headers = [
        (n, v)
        for n, v in CHUNKED
        if n not in (b"content-length", b"x-amz-content-sha256", b"content-encoding")
    ]
    headers += [
        (b"content-encoding", b"aws-chunked"),
        (b"x-amz-content-sha256", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
        (b"x-amz-trailer", b"x-amz-checksum-crc32c"),
    ]
    names = ";".join(sorted(name.decode() for name, _ in headers))
    headers.append((b"authorization", authorization(seed, names)))
    proof = passes("PUT", b"/examplebucket/chunkObject.txt", b"", headers)
    chunks = ChunkVerifier(proof.signing_key, proof.scope, proof.amz_date, seed)
    for data, signature in (
        (b"a" * 65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
        (b"a" * 1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
        (b"", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
    ):
        chunks.verify_chunk(sha256(data).hexdigest(), signature)
    chunks.verify_trailer(
        b"x-amz-checksum-crc32c:sOO8/Q==\n",
        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    )


def test_a_chunk_out_of_order_or_changed_is_refused() -> None:
    signer = ChunkSigner(b"k", "scope", "time", "seed")
    first, second = signer.sign_chunk("11"), signer.sign_chunk("22")
    chunks = ChunkVerifier(b"k", "scope", "time", "seed")
    with pytest.raises(NotAuthenticated):
        chunks.verify_chunk("22", second)
    chunks = ChunkVerifier(b"k", "scope", "time", "seed")
    chunks.verify_chunk("11", first)
    with pytest.raises(NotAuthenticated) as wrong:
        chunks.verify_chunk("23", second)
    assert wrong.value.reason == "SignatureDoesNotMatch"
    with pytest.raises(NotAuthenticated):
        chunks.verify_trailer(b"", "ü")


def test_a_request_without_any_claim_is_anonymous() -> None:
    assert parse_credentials("GET", b"/", b"list-type=2", PRESIGNED_HOST) is None


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ([(b"range", b"bytes=0-8")], NotAuthenticated, "SignatureDoesNotMatch"),
        ([(b"host", b"other.s3.amazonaws.com")], NotAuthenticated, "SignatureDoesNotMatch"),
        ([(b"x-amz-content-sha256", b"0" * 64)], NotAuthenticated, "SignatureDoesNotMatch"),
        ([(b"x-amz-content-sha256", b"nonsense")], Malformed, "InvalidArgument"),
        (
            [(b"x-amz-content-sha256", b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER")],
            Refused,
            "NotImplemented",
        ),
        ([(b"x-amz-date", b"20130524T001501Z")], NotAuthenticated, "RequestTimeTooSkewed"),
        ([(b"x-amz-date", b"20130525T000000Z")], Malformed, "AuthorizationHeaderMalformed"),
        ([(b"x-amz-date", b"20131324T000000Z")], Malformed, "AuthorizationHeaderMalformed"),
    ],
)
def test_any_change_of_what_was_signed_is_refused(
    change: Headers, kind: type[HyokError], reason: str
) -> None:
    changed = dict(change)
    headers = [(name, changed.get(name, value)) for name, value in range_get()]
    with pytest.raises(kind) as refusal:
        passes("GET", b"/test.txt", b"", headers)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("minutes", [-15, 15])
def test_fifteen_minutes_of_skew_are_allowed_and_not_a_millisecond_more(minutes: int) -> None:
    edge = NOW_MS + minutes * 60_000
    passes("GET", b"/test.txt", b"", range_get(), now_ms=edge)
    beyond = edge + (1 if minutes > 0 else -1)
    with pytest.raises(NotAuthenticated) as skewed:
        passes("GET", b"/test.txt", b"", range_get(), now_ms=beyond)
    assert skewed.value.reason == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    ("headers", "kind", "reason"),
    [
        (range_get((b"x-amz-acl", b"public-read")), NotAuthenticated, "AccessDenied"),
        (
            range_get(auth=authorization(RANGE_SIGNATURE, "range;x-amz-content-sha256;x-amz-date")),
            NotAuthenticated,
            "AccessDenied",
        ),
        (
            range_get(auth=authorization(RANGE_SIGNATURE, "absent;" + RANGE_SIGNED)),
            NotAuthenticated,
            "SignatureDoesNotMatch",
        ),
        (
            range_get(auth=authorization(RANGE_SIGNATURE, "range;host;x-amz-date")),
            Malformed,
            "AuthorizationHeaderMalformed",
        ),
        (
            range_get(auth=authorization(RANGE_SIGNATURE, RANGE_SIGNED, region="eu-west-1")),
            Malformed,
            "AuthorizationHeaderMalformed",
        ),
        (
            range_get(auth=authorization(RANGE_SIGNATURE, RANGE_SIGNED, service="xks")),
            Malformed,
            "AuthorizationHeaderMalformed",
        ),
        (
            range_get(auth=authorization(RANGE_SIGNATURE, RANGE_SIGNED, date="20130523")),
            Malformed,
            "AuthorizationHeaderMalformed",
        ),
        (
            range_get(auth=authorization("0" * 63, RANGE_SIGNED)),
            Malformed,
            "AuthorizationHeaderMalformed",
        ),
        (range_get(auth=b"AWS4-HMAC-SHA256 what"), Malformed, "AuthorizationHeaderMalformed"),
        (range_get(auth=b"AWS AKID:sig"), Malformed, "InvalidRequest"),
        (range_get(auth=b"AWS4-ECDSA-P256-SHA256 x"), Refused, "NotImplemented"),
        (range_get(auth=b"Bearer x"), Malformed, "InvalidArgument"),
        (
            [h for h in range_get() if h[0] != b"x-amz-content-sha256"],
            Malformed,
            "InvalidRequest",
        ),
        ([h for h in range_get() if h[0] != b"x-amz-date"], NotAuthenticated, "AccessDenied"),
    ],
)
def test_a_loose_or_foreign_claim_is_refused_by_name(
    headers: Headers, kind: type[HyokError], reason: str
) -> None:
    with pytest.raises(kind) as refusal:
        passes("GET", b"/test.txt", b"", headers)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("old", "new", "kind", "reason"),
    [
        (b"Expires=86400", b"Expires=0", Malformed, "AuthorizationQueryParametersError"),
        (b"Expires=86400", b"Expires=604801", Malformed, "AuthorizationQueryParametersError"),
        (b"Expires=86400", b"Expires=-1", Malformed, "AuthorizationQueryParametersError"),
        (b"Expires=86400", b"Expires=604800", NotAuthenticated, "SignatureDoesNotMatch"),
        (b"&X-Amz-Expires=86400", b"", Malformed, "AuthorizationQueryParametersError"),
        (b"SignedHeaders=host", b"SignedHeaders=range", NotAuthenticated, None),
        (b"us-east-1", b"eu-west-1", Malformed, "AuthorizationQueryParametersError"),
        (b"AWS4-HMAC-SHA256&", b"AWS4-ECDSA-P256-SHA256&", Refused, "NotImplemented"),
        (b"AWS4-HMAC-SHA256&", b"MD5&", Malformed, "AuthorizationQueryParametersError"),
        (
            b"&X-Amz-Date",
            b"&X-Amz-Expires=5&X-Amz-Date",
            Malformed,
            "AuthorizationQueryParametersError",
        ),
        (b"X-Amz-Date", b"prefix=x&X-Amz-Date", NotAuthenticated, "SignatureDoesNotMatch"),
    ],
)
def test_a_changed_presigned_url_is_refused(
    old: bytes, new: bytes, kind: type[HyokError], reason: str | None
) -> None:
    assert old in PRESIGNED
    with pytest.raises(kind) as refusal:
        passes("GET", b"/test.txt", PRESIGNED.replace(old, new), PRESIGNED_HOST)
    assert reason in (None, refusal.value.reason)


def test_an_unsigned_amz_header_beside_a_presigned_url_is_refused() -> None:
    headers = [*PRESIGNED_HOST, (b"x-amz-tagging", b"classification=openbaar")]
    with pytest.raises(NotAuthenticated):
        passes("GET", b"/test.txt", PRESIGNED, headers)


def test_signature_version_2_in_a_url_is_refused() -> None:
    with pytest.raises(Malformed) as refusal:
        parse_credentials("GET", b"/t", b"AWSAccessKeyId=A&Signature=x&Expires=1", PRESIGNED_HOST)
    assert refusal.value.reason == "InvalidRequest"


def test_header_and_query_together_are_refused() -> None:
    with pytest.raises(Malformed) as refusal:
        passes("GET", b"/test.txt", PRESIGNED, range_get())
    assert refusal.value.reason == "InvalidArgument"


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"", b"/"),
        (b"/a//b/../c/./d", b"/a//b/../c/./d"),
        (b"/a%2fb", b"/a/b"),
        (b"/a b+c", b"/a%20b%2Bc"),
        (b"/%e2%82%ac", b"/%E2%82%AC"),
        (b"/a%zz", b"/a%25zz"),
    ],
)
def test_paths_are_encoded_once_and_never_normalised(raw: bytes, canonical: bytes) -> None:
    assert encode_path(raw) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"b=2&a=1", b"a=1&b=2"),
        (b"uploads", b"uploads="),
        (b"a=b&a=a&A=c", b"A=c&a=a&a=b"),
        (b"prefix=a/b c", b"prefix=a%2Fb%20c"),
        (b"a=%7E&&b", b"a=~&b="),
    ],
)
def test_queries_are_sorted_and_encoded(raw: bytes, canonical: bytes) -> None:
    assert encode_query(raw) == canonical


SAFE_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\x00", exclude_categories=["Cc", "Cs"]),
    max_size=12,
)


@given(
    key=SAFE_TEXT,
    query=st.dictionaries(SAFE_TEXT.filter(bool), SAFE_TEXT, max_size=3),
    meta=st.text("abc  \t=;,", max_size=10),
)
def test_what_botocore_signs_verifies(key: str, query: dict[str, str], meta: str) -> None:
    from urllib.parse import quote

    path = "/bucket/" + quote(key, safe="/~")
    url = "http://localhost:9000" + path
    if query:
        url += "?" + "&".join(f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in query.items())
    request = botocore.awsrequest.AWSRequest(method="PUT", url=url, data=b"hello")
    request.headers["x-amz-meta-a"] = meta
    request.headers["Host"] = "localhost:9000"
    botocore.auth.S3SigV4Auth(
        botocore.credentials.Credentials(AKID, SECRET), "s3", "us-east-1"
    ).add_auth(request)
    headers = [(n.lower().encode(), str(v).encode("latin-1")) for n, v in request.headers.items()]
    raw_query = url.partition("?")[2].encode()
    parsed = parse_credentials("PUT", path.encode(), raw_query, headers)
    assert parsed is not None
    verify(parsed, SECRET, now_ms=parsed.at_ms, regions=REGIONS)


@given(
    key=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
    query=st.dictionaries(SAFE_TEXT.filter(bool), SAFE_TEXT, max_size=3),
    meta=st.text("abc  \t=;,", max_size=10),
    token=st.sampled_from(["", "session"]),
)
def test_what_we_sign_verifies(key: str, query: dict[str, str], meta: str, token: str) -> None:
    from urllib.parse import quote

    from hyok.sigv4.canonical import render_query

    path = "/bucket/" + quote(key, safe="/~")
    headers = {"X-Amz-Meta-A": meta, "content-length": "5"}
    signer = Signer(AKID, SECRET, "us-east-1", token)
    added = signer.sign(
        "PUT", "h:1", path, list(query.items()), headers, sha256(b"hello").hexdigest(), NOW
    )
    sent = [
        (n.lower().encode(), v.encode()) for n, v in {**headers, "host": "h:1", **added}.items()
    ]
    passes("PUT", path.encode(), render_query(list(query.items())).encode(), sent)


def test_our_signer_agrees_with_the_documented_vector() -> None:
    added = Signer(AKID, SECRET, "us-east-1").sign(
        "GET",
        "examplebucket.s3.amazonaws.com",
        "/test.txt",
        [],
        {"Range": "bytes=0-9"},
        EMPTY_SHA256,
        NOW,
    )
    assert added["authorization"].endswith(f"Signature={RANGE_SIGNATURE}")


def test_the_signer_changes_its_key_with_the_day() -> None:
    signer = Signer(AKID, SECRET, "us-east-1")
    scope, key = signer.signing_key(NOW)
    next_scope, next_key = signer.signing_key(datetime(2013, 5, 25, tzinfo=UTC))
    assert (scope, next_scope) == (
        "20130524/us-east-1/s3/aws4_request",
        "20130525/us-east-1/s3/aws4_request",
    )
    assert key != next_key
    assert SECRET not in repr(signer)


def test_a_date_header_serves_where_x_amz_date_is_missing() -> None:
    headers = [
        (b"host", b"h"),
        (b"x-amz-content-sha256", EMPTY_SHA256.encode()),
        (b"date", b"Fri, 24 May 2013 00:00:00 GMT"),
        (b"authorization", authorization("0" * 64, "host;x-amz-content-sha256")),
    ]
    request = parse_credentials("GET", b"/", b"", headers)
    assert request is not None
    assert request.amz_date == "20130524T000000Z"
    assert request.at_ms == NOW_MS


@pytest.mark.parametrize(
    "date",
    [
        b"",
        b"yesterday",
        b"Fri, 24-May-13333333333333333333333 00:00:00 GMT",
        b"Mon, 01 Jan 0001 00:00:00 +2359",
        b"Fri, 31 Dec 9999 23:59:59 -2359",
    ],
)
def test_a_date_header_that_is_no_time_is_refused(date: bytes) -> None:
    headers = [h for h in range_get() if h[0] not in (b"x-amz-date", b"authorization")]
    signed = "date;host;range;x-amz-content-sha256"
    headers += [(b"date", date), (b"authorization", authorization("0" * 64, signed))]
    with pytest.raises(HyokError) as refusal:
        passes("GET", b"/test.txt", b"", headers)
    assert refusal.value.reason in ("AccessDenied", "AuthorizationHeaderMalformed")


def test_a_date_of_no_zone_is_utc_wherever_this_machine_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        headers = [h for h in range_get() if h[0] not in (b"x-amz-date", b"authorization")]
        auth = authorization("0" * 64, "date;host;range;x-amz-content-sha256")
        headers += [(b"date", b"Fri, 24 May 2013 00:00:00 -0000"), (b"authorization", auth)]
        claim = parse_credentials("GET", b"/test.txt", b"", headers)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert claim is not None
    assert claim.at_ms == NOW_MS
