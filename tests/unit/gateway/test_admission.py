"""Nothing is read, looked up or done before the signature holds; then bucket and labels count."""

from __future__ import annotations

from hashlib import sha256

import pytest
from tests.unit.gateway.door import (
    AKID,
    NOW,
    NOW_MS,
    SECRET,
    Door,
    FakeCredential,
    FakeSecret,
)

from hyok.errors import NotAuthenticated
from hyok.sigv4.sign import Signer
from hyok.vocabulary import Principal


async def test_without_a_signature_nobody_gets_in() -> None:
    door = Door()
    answer = await door.send("GET /bucket/k", signed=False)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert not door.vault.asks


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"secret": SECRET + "x"}, 403, "SignatureDoesNotMatch"),
        ({"access_key": "UNKNOWN"}, 403, "InvalidAccessKeyId"),
        ({"x_amz_security_token": "t"}, 400, "InvalidToken"),
        ({"authorization": "AWS A:b"}, 400, "InvalidRequest"),
    ],
)
async def test_a_refused_request_is_never_read(
    changes: dict[str, str], status: int, code: str
) -> None:
    door = Door()
    signed = "authorization" not in changes
    answer = await door.send("PUT /bucket/k", b"body", signed=signed, **changes)  # type: ignore[arg-type]
    assert (answer.status, answer.code) == (status, code)
    assert not answer.body_was_read
    assert not door.vault.asks


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("PUT /absent/k", 404, "NoSuchBucket"),
        ("PUT /theirs/k", 403, "AccessDenied"),
        ("PUT /A/k", 400, "InvalidBucketName"),
        ("PUT /bucket/.hyok/k", 403, "AccessDenied"),
        ("PUT /bucket/" + "k" * 1025, 400, "KeyTooLongError"),
    ],
)
async def test_a_refused_place_is_never_written(line: str, status: int, code: str) -> None:
    door = Door()
    answer = await door.send(line, b"body")
    assert (answer.status, answer.code) == (status, code)
    assert not answer.body_was_read


async def test_an_app_sees_only_the_buckets_it_was_registered_for() -> None:
    door = Door(buckets=frozenset({"second"}))
    assert (await door.send("GET /bucket/k")).code == "AccessDenied"
    answer = await door.send("GET /")
    assert b"<Name>second</Name>" in answer.body
    assert b"<Name>bucket</Name>" not in answer.body


@pytest.mark.parametrize(
    ("headers", "classification", "scope"),
    [
        ({}, "intern", ""),
        ({"x_amz_tagging": "classification=vertrouwelijk&zaak=Z-1"}, "vertrouwelijk", "Z-1"),
        ({"x_amz_meta_classification": "geheim"}, "geheim", None),
        ({"x_amz_tagging": "classification=openbaar"}, "intern", ""),
        ({"x_amz_tagging": "vertrouwelijkheidaanduiding=openbaar"}, "intern", ""),
    ],
)
async def test_a_label_can_raise_and_never_lower(
    headers: dict[str, str], classification: str, scope: str | None
) -> None:
    door = Door()
    answer = await door.send("PUT /bucket/k", b"x", **headers)  # type: ignore[arg-type]
    assert answer.status == 200
    ask = door.vault.asks[0]
    assert ask.classification == classification
    if scope is not None:
        assert ask.scope_label == scope


async def test_an_unknown_label_is_refused() -> None:
    door = Door()
    answer = await door.send("PUT /bucket/k", b"x", x_amz_tagging="classification=nonsense")
    assert 400 <= answer.status < 500
    assert not answer.body_was_read
    assert not door.vault.kept


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("x_amz_server_side_encryption_customer_algorithm", "AES256", "NotImplemented"),
        ("x_amz_object_lock_mode", "GOVERNANCE", "InvalidArgument"),
        ("x_amz_website_redirect_location", "/x", "NotImplemented"),
        ("x_amz_acl", "public-read", "AccessControlListNotSupported"),
        ("x_amz_grant_read", "id=1", "AccessControlListNotSupported"),
        ("x_amz_server_side_encryption", "rot13", "InvalidArgument"),
        ("x_amz_storage_class", "GLACIER", "InvalidStorageClass"),
        ("x_amz_expected_bucket_owner", "others", "AccessDenied"),
        ("x_amz_meta_hyok", "x", "InvalidArgument"),
        ("x_amz_meta_a", "x" * 2048, "MetadataTooLarge"),
        ("x_amz_tagging", "a=1&a=2", "InvalidTag"),
        ("if_none_match", '"x", "y"', "NotImplemented"),
        ("if_match", '"d41d8cd98f00b204e9800998ecf8427e"', "PreconditionFailed"),
    ],
)
async def test_what_we_do_not_do_is_refused_before_the_body(
    header: str, value: str, code: str
) -> None:
    door = Door()
    answer = await door.send("PUT /bucket/k", b"x", **{header: value})  # type: ignore[arg-type]
    assert answer.code == code
    assert not answer.body_was_read


@pytest.mark.parametrize(
    "key", ["k", "ours/geheim/1", "theirs/intern/1", "ours/intern/1/2", "ours/intern/"]
)
async def test_a_key_of_the_clients_choice_is_refused_before_the_body(key: str) -> None:
    answer = await Door().send(
        "PUT /bucket/k",
        b"x",
        x_amz_server_side_encryption="aws:kms",
        x_amz_server_side_encryption_aws_kms_key_id=key,
    )
    assert answer.code == "AccessDenied"
    assert not answer.body_was_read


async def test_a_key_without_the_encryption_it_is_for_is_an_invalid_argument() -> None:
    answer = await Door().send(
        "PUT /bucket/k", b"x", x_amz_server_side_encryption_aws_kms_key_id="testkey-2"
    )
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_read_that_says_how_to_encrypt_is_refused(method: str) -> None:
    door = Door()
    await door.send("PUT /bucket/k", b"x")
    for asked in ("aws:kms", "AES256"):
        answer = await door.send(f"{method} /bucket/k", x_amz_server_side_encryption=asked)
        assert answer.status == 400
    assert (await door.send(f"{method} /bucket/k")).status == 200


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x_amz_server_side_encryption", "AES256"),
        ("x_amz_server_side_encryption", "aws:kms"),
        ("x_amz_server_side_encryption_aws_kms_key_id", "ours/intern"),
        ("x_amz_server_side_encryption_aws_kms_key_id", "ours/intern/7"),
        ("x_amz_acl", "private"),
        ("x_amz_storage_class", "STANDARD"),
        ("x_amz_expected_bucket_owner", "ours"),
    ],
)
async def test_what_changes_nothing_is_accepted(header: str, value: str) -> None:
    answer = await Door().send("PUT /bucket/k", b"x", **{header: value})  # type: ignore[arg-type]
    assert answer.status == 200


SESSION_KEY = "ASIA" + "A" * 16


class FakeSessions:
    """Knows one session; keeps what it was asked."""

    def __init__(self, who: Principal) -> None:
        self.who = who
        self.asked: list[tuple[str, str, int]] = []
        self.fail: NotAuthenticated | None = None

    async def find(self, access_key: str, token: str, now_ms: int) -> FakeCredential:
        self.asked.append((access_key, token, now_ms))
        if self.fail is not None:
            raise self.fail
        return FakeCredential(access_key, FakeSecret(), self.who)


def with_sessions() -> tuple[Door, FakeSessions]:
    door = Door()
    sessions = FakeSessions(Principal("app-1", "ours", session=f"{SESSION_KEY}:pod-1"))
    admission = door.gateway._services.admission
    admission._sessions = sessions
    return door, sessions


async def test_a_session_token_under_the_signature_lets_its_app_in() -> None:
    door, sessions = with_sessions()
    answer = await door.send("GET /bucket", access_key=SESSION_KEY, x_amz_security_token="tok")
    assert answer.status == 200
    assert sessions.asked == [(SESSION_KEY, "tok", NOW_MS)]


async def test_a_session_token_that_is_not_signed_is_not_even_looked_at() -> None:
    door, sessions = with_sessions()
    signed = Signer(SESSION_KEY, SECRET, "us-east-1").sign(
        "GET", "h:9000", "/bucket", [], {}, sha256(b"").hexdigest(), NOW
    )
    headers = {name.replace("-", "_"): value for name, value in signed.items()}
    answer = await door.send("GET /bucket", signed=False, **headers, x_amz_security_token="tok")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert sessions.asked == []


@pytest.mark.parametrize("reason", ["InvalidToken", "ExpiredToken"])
async def test_a_session_that_is_not_good_is_refused_before_anything_is_read(reason: str) -> None:
    door, sessions = with_sessions()
    sessions.fail = NotAuthenticated("no", reason=reason)
    answer = await door.send(
        "PUT /bucket/k", b"body", access_key=SESSION_KEY, x_amz_security_token="tok"
    )
    assert (answer.status, answer.code) == (400, reason)
    assert not answer.body_was_read


async def test_the_key_of_a_session_is_worth_nothing_without_its_token() -> None:
    door, sessions = with_sessions()
    answer = await door.send("GET /bucket", access_key=SESSION_KEY)
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
    assert sessions.asked == []


async def test_only_a_static_key_that_proved_itself_was_used() -> None:
    door, _ = with_sessions()
    used = door.gateway._services.admission._credentials.used
    await door.send("GET /bucket", secret=SECRET + "x")
    await door.send("GET /bucket", access_key=SESSION_KEY, x_amz_security_token="tok")
    assert used == []
    await door.send("GET /bucket")
    assert used == [AKID]
