"""The protocol's bytes: vectors, fuzzed bodies, one line of answer."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from hyok.doors.shedding import Rate
from hyok.doors.xks import wire
from hyok.doors.xks.faults import fault_of
from hyok.doors.xks.wire import Operation
from hyok.errors import KINDS, Malformed

KEY, IV, PLAIN = bytes(range(32)), bytes(range(12)), b"Hello World!"
AAD = b"project=nile,department=marketing"


@pytest.mark.parametrize(
    ("aad", "tag", "integrity"),
    [
        (AAD, "RRx6DbqQpIYIoBHfO8C+ZA==", "Zh7CqVWNLl+RqqJYNNHXu1JgjYCnI/oqpdm+vcDUWjQ="),
        (b"", "cKQDb0Kh5Gq5wkqfAQ458Q==", "uPqnNmioi96xBXMhDHq4Tj2WNbumUuEw/lFuvQvczaY="),
    ],
)
def test_what_is_authenticated_and_its_integrity_value(
    aad: bytes, tag: str, integrity: str
) -> None:
    metadata = wire.metadata_of(1)
    sealed = AESGCM(KEY).encrypt(IV, PLAIN, wire.joined_data(aad, metadata))
    assert b64encode(sealed[:-16]) == b"D2e6d6rFlXT/LfOq"
    assert b64encode(sealed[-16:]).decode() == tag
    assert wire.integrity_value(aad, metadata, IV, sealed[:-16], sealed[-16:]) == integrity


def test_the_published_integrity_value() -> None:
    iv, ciphertext, tag = (
        bytes.fromhex(text)
        for text in (
            "1ccae5470f39700254779031",
            "821c642b5b71783367deaf18",
            "bc1c4dda7707d6812447c5955e99b261",
        )
    )
    assert (
        wire.integrity_value(AAD, b"key_version=1", iv, ciphertext, tag)
        == "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc="
    )


def test_data_and_metadata_never_run_into_each_other() -> None:
    assert wire.joined_data(AAD, b"v1").hex() == (
        "002170726f6a6563743d6e696c652c6465706172746d656e743d6d61726b6574696e67027631"
    )
    assert wire.joined_data(b"a", b"bc") != wire.joined_data(b"ab", b"c")


@pytest.mark.parametrize("version", [1, 2, 10, 999_999_999])
def test_a_version_is_read_as_it_was_told(version: int) -> None:
    assert wire.version_of(wire.metadata_of(version)) == version
    assert len(wire.metadata_of(version)) <= wire.METADATA_BYTES_MAX


@pytest.mark.parametrize("metadata", [b"", b"v", b"v0", b"v01", b"1", b"v1 ", b"v1234567890"])
def test_no_other_bytes_name_a_version(metadata: bytes) -> None:
    assert wire.version_of(metadata) == 0


_TEXT = st.text(max_size=12)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "requestMetadata": st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("kmsRequestId", "kmsOperation", "awsPrincipalArn", "kmsKeyArn"), _JSON
            ),
        )
        | _JSON,
        **{
            name: st.binary(max_size=20).map(lambda raw: b64encode(raw).decode()) | _JSON
            for name in (
                *("plaintext", "ciphertext", "initializationVector", "authenticationTag"),
                *("additionalAuthenticatedData", "ciphertextMetadata"),
            )
        },
        "encryptionAlgorithm": st.just("AES_GCM") | _JSON,
        "ciphertextDataIntegrityValueAlgorithm": st.just("SHA_256") | _JSON,
    },
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | _JSON.map(lambda found: json.dumps(found).encode()))
def test_any_bytes_are_a_body_or_are_refused(raw: bytes) -> None:
    try:
        body = wire.parse_body(raw)
    except Malformed:
        return
    assert isinstance(body, dict)


@settings(max_examples=300, deadline=None)
@given(_MEMBERS)
def test_any_members_are_a_request_or_are_refused(members: dict[str, object]) -> None:
    body = wire.parse_body(json.dumps(members).encode())
    for operation in Operation:
        try:
            wire.parse_metadata(body, operation)
        except Malformed as error:
            assert str(error).isascii()
    for parse in (wire.parse_encrypt, wire.parse_decrypt):
        try:
            asked = parse(body)
        except Malformed:
            continue
        assert asked.metadata.request_id.isprintable()
        assert b64encode(asked.data).decode() == (members.get("additionalAuthenticatedData") or "")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_only_the_one_way_to_write_bytes_is_read(text: str) -> None:
    metadata = dict.fromkeys(("kmsRequestId", "kmsOperation", "awsPrincipalArn", "kmsKeyArn"), "x")
    body = {"requestMetadata": metadata, "encryptionAlgorithm": "AES_GCM", "plaintext": text}
    try:
        asked = wire.parse_encrypt(body)
    except Malformed:
        return
    assert b64encode(b64decode(text)).decode() == text
    assert asked.plaintext


@given(st.text())
def test_an_error_is_one_short_line_of_what_the_protocol_lets_through(message: str) -> None:
    raw = wire.render_error("InternalException", message)
    told = json.loads(raw).get("errorMessage", "x")
    assert 0 < len(told) < 512
    assert all(" " <= mark <= "~" for mark in told)
    assert b"\n" not in raw


def test_every_kind_of_failure_has_a_name() -> None:
    assert [fault_of(kind("x")).status for kind in KINDS] == [400, 401, 500, 500, 500, 500, 503]


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (b"/kms/xks/v1/health", ("", "health", "")),
        (b"/a/b/kms/xks/v1/keys/k-1/decrypt", ("/a/b", "decrypt", "k-1")),
        (b"/kms/xks/v1/kms/xks/v1/health", None),
        (b"/a/kms/xks/v1/keys/" + b"k" * 129 + b"/decrypt", None),
        (b"/a/kms/xks/v1/keys//decrypt", None),
        (b"/a/kms/xks/v1/health/", None),
        (b"/a/kms/xks/v1/health\n", None),
        (b"*", None),
        (b"http://x/kms/xks/v1/health", None),
    ],
)
def test_a_path_names_what_is_asked(target: bytes, place: tuple[str, str, str] | None) -> None:
    found = wire.parse_target(target)
    if target.startswith(b"/kms/xks/v1/kms"):
        # a prefix may be anything of the allowed letters, `v1` among them
        assert found is not None
        assert found.prefix == "/kms/xks/v1"
    elif place is None:
        assert found is None
    else:
        assert found is not None
        assert (found.prefix, str(found.operation), found.key) == place


def test_a_rate_lets_a_second_through_at_once_and_then_what_was_agreed() -> None:
    rate = Rate(10, 0.0)
    assert [rate.take(0.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert not rate.take(0.05)
    assert rate.take(0.11)
    assert not rate.take(0.12)
    assert [rate.take(100.0) for _ in range(11)] == [True] * 10 + [False]
    slow = Rate(0.5, 0.0)
    assert slow.take(0.0)
    assert not slow.take(1.0)
    assert slow.take(2.1)
