"""Messages as the public definition numbers them, written here byte by byte; settings; faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hyok import errors
from hyok.doors.kubernetes import wire
from hyok.doors.kubernetes.config import KubernetesSettings
from hyok.doors.kubernetes.faults import AWAY, INTERNAL, TOO_MANY, fault_of
from hyok.doors.kubernetes.messages import MESSAGES, SERVICE

KINDS = (
    errors.Malformed,
    errors.NotAuthenticated,
    errors.Refused,
    errors.NotFound,
    errors.Conflict,
    errors.Tampered,
    errors.Unavailable,
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
ANNOTATIONS = st.dictionaries(NAMES, st.binary(max_size=20), max_size=4)


def field(number: int, value: bytes) -> bytes:
    """Return a field of a length, as protocol buffers write it on the wire."""
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def test_every_member_has_the_number_of_the_public_definition() -> None:
    assert SERVICE == "v2.KeyManagementService"
    assert wire.render_status("k", "ok") == field(1, b"v2") + field(2, b"ok") + field(3, b"k")
    sealed = b"\x01" + bytes(12) + b"c" + bytes(16)
    assert wire.render_encrypted("k", bytes(12), b"c", bytes(16)) == field(1, sealed) + field(
        2, b"k"
    )
    assert wire.render_decrypted(b"p") == field(1, b"p")
    asked = wire.parse_encrypt(field(1, b"seed") + field(2, b"uid-1"))
    assert (asked.plaintext, asked.uid) == (b"seed", "uid-1")
    note = field(1, b"a.example.nl") + field(2, b"x")
    raw = field(1, sealed) + field(2, b"uid-2") + field(3, b"k") + field(4, note)
    told = wire.parse_decrypt(raw)
    assert (told.iv, told.ciphertext, told.tag) == (bytes(12), b"c", bytes(16))
    assert (told.uid, told.key_id, told.annotations) == ("uid-2", "k", {"a.example.nl": b"x"})
    wire.parse_status(b"")
    answer = MESSAGES["EncryptResponse"](annotations={"a.example.nl": b"x"})
    assert answer.SerializeToString() == field(3, note)


def test_members_of_a_later_definition_are_passed_over() -> None:
    assert wire.parse_encrypt(field(1, b"seed") + field(9, b"?")).plaintext == b"seed"


def test_a_seed_shows_itself_in_no_log() -> None:
    assert "seed" not in repr(wire.parse_encrypt(field(1, b"seed")))


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parsers_fail_otherwise_than_they_say(raw: bytes) -> None:
    for parse in (wire.parse_status, wire.parse_encrypt, wire.parse_decrypt):
        try:
            parse(raw)
        except errors.Malformed as error:
            assert error.code == "HY-2740"


@given(st.text(max_size=10), st.text(max_size=10), ANNOTATIONS, ANNOTATIONS)
def test_what_is_authenticated_is_never_the_same_for_two(
    one: str, two: str, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    same = wire.data_of(one, 1, first) == wire.data_of(two, 1, second)
    assert same is ((one, first) == (two, second))
    assert wire.data_of(one, 1, first) != wire.data_of(one, 2, first)
    backwards = dict(reversed(list(first.items())))
    assert wire.data_of(one, 1, backwards) == wire.data_of(one, 1, first)


def test_every_kind_of_error_has_a_status_of_grpc() -> None:
    statuses = [fault_of(kind("x")).status for kind in KINDS]
    assert statuses == [
        "INVALID_ARGUMENT",
        "INTERNAL",
        "PERMISSION_DENIED",
        "INTERNAL",
        "INTERNAL",
        "INTERNAL",
        "UNAVAILABLE",
    ]
    for fault in (INTERNAL, AWAY, TOO_MANY, *(fault_of(kind("x")) for kind in KINDS)):
        assert grpc.StatusCode[fault.status]
    assert fault_of(errors.Tampered("a secret of ours")) is INTERNAL


GOOD: dict[str, Any] = {
    "enabled": True,
    "app": "cluster",
    "key": "etcd",
    "classification": "vertrouwelijk",
}


@pytest.mark.parametrize(
    "change",
    [
        {"socket": Path("kms.sock")},
        {"socket": Path("/run/hyok-kms/../x.sock")},
        {"socket": Path("/" + "x" * 107)},
        {"app": ""},
        {"key": ""},
        {"classification": ""},
        {"workers": 2},
        {"deadline_ms": 3_000},
        {"group": "kube apiserver"},
        {"port": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    assert KubernetesSettings.model_validate(GOOD).enabled
    with pytest.raises(ValidationError):
        KubernetesSettings.model_validate(GOOD | change)
