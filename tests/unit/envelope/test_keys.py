"""Contexts and derivations as the vectors have them; a data key that does not get about."""

from __future__ import annotations

import copy
import hmac
import pickle  # noqa: TID251 - to show that it is refused
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tests.unit.envelope.vectors import load, unhex

from hyok.envelope.keys import (
    DataKey,
    hkdf,
    hmac_sha256,
    kek_context,
    length_prefixed,
    object_context,
    wrap_key,
)
from hyok.envelope.names import NameKey
from hyok.envelope.profiles import Profile
from hyok.envelope.records import seal_record

if TYPE_CHECKING:
    from collections.abc import Callable

(VECTORS,) = load("contexts.json")
DEK = bytes(range(32))


def test_the_object_contexts_of_the_vectors() -> None:
    for v in VECTORS["object_contexts"]:
        context = object_context(v["tenant"], v["bucket_id"], v["object_key"])
        assert context == unhex(v["object_context"])


def test_the_kek_contexts_of_the_vectors() -> None:
    for v in VECTORS["kek_contexts"]:
        assert kek_context(v["kek_id"], v["scope"]) == unhex(v["kek_context"])


def test_the_key_schedule_of_the_vectors() -> None:
    for v in VECTORS["key_schedule"]:
        key = DataKey(unhex(v["dek"]))
        assert key.content_key == unhex(v["content_key"])
        assert key.commit_key == unhex(v["commit_key"])
        assert key.trailer_key(unhex(v["trailer_salt"])) == unhex(v["trailer_key"])
        assert key.meta_key(unhex(v["meta_salt"])) == unhex(v["meta_key"])


@pytest.mark.parametrize("salt_bytes", [0, 1, 16, 32, 64, 65, 200])
@pytest.mark.parametrize("ikm_bytes", [1, 32, 64, 65, 300])
def test_our_hkdf_is_the_library_s(salt_bytes: int, ikm_bytes: int) -> None:
    salt, ikm = bytes(i % 256 for i in range(salt_bytes)), bytes(i % 251 for i in range(ikm_bytes))
    for info in (b"", b"HYOK1", bytes(100)):
        theirs = HKDF(SHA256(), 32, salt or None, info).derive(ikm)
        assert hkdf(ikm, salt, info) == theirs
        assert hkdf(bytearray(ikm), salt, info) == theirs
        assert hmac_sha256(ikm, info) == hmac.digest(ikm, info, "sha256")


@pytest.mark.parametrize("count", [1, 31, 33, 64, 65, 100, 255 * 32])
def test_our_hkdf_is_the_library_s_at_any_length(count: int) -> None:
    for salt in (b"", bytes(range(32))):
        theirs = HKDF(SHA256(), count, salt or None, b"HYOK1").derive(DEK)
        assert hkdf(DEK, salt, b"HYOK1", count) == theirs
    with pytest.raises(ValueError, match="range"):
        hkdf(DEK, b"", b"HYOK1", 255 * 32 + 1)


def test_the_first_case_of_the_hkdf_specification() -> None:
    # RFC 5869, appendix A.1
    okm = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_an_empty_salt_is_thirty_two_zero_bytes() -> None:
    assert hkdf(DEK, b"", b"x") == hkdf(DEK, bytes(32), b"x")


def test_texts_cannot_be_shifted_from_one_into_the_next() -> None:
    assert length_prefixed("ab", "c") != length_prefixed("a", "bc")
    assert object_context("t", "b", "k/x") != object_context("t", "b/k", "x")


def test_keys_are_derived_at_their_first_use_and_once() -> None:
    key = DataKey(DEK)
    assert key._content is None
    assert key._commit is None
    assert key.content_key is key.content_key
    assert key._commit is None
    assert key.commit_key is key.commit_key


def test_a_data_key_is_never_shown() -> None:
    for shown in (repr(DataKey(DEK)), str(DataKey(DEK)), f"{DataKey(DEK)}"):
        assert shown == "DataKey(…)"


@pytest.mark.parametrize("spread", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_data_key_is_neither_pickled_nor_copied(spread: Callable[[DataKey], object]) -> None:
    with pytest.raises(TypeError, match="data key"):
        spread(DataKey(DEK))


def test_data_keys_compare_by_value_and_are_no_dictionary_keys() -> None:
    assert DataKey(DEK) == DataKey(bytearray(DEK))
    assert DataKey(DEK) != DataKey(DEK[::-1])
    assert DataKey(DEK) != DEK
    with pytest.raises(TypeError, match="unhashable"):
        hash(DataKey(DEK))


def test_closing_overwrites_every_key_held_and_ends_every_use() -> None:
    key = DataKey(DEK)
    held = [key._secret, key.content_key, key.commit_key]
    assert not key.closed
    key.close()
    key.close()
    assert key.closed
    assert held == [bytearray(32)] * 3
    uses: list[Callable[[], object]] = [
        key.reveal,
        lambda: key.content_key,
        lambda: key.commit_key,
        lambda: key.trailer_key(bytes(16)),
        lambda: key.meta_key(bytes(16)),
        lambda: key == DataKey(DEK),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="closed"):
            use()


@pytest.mark.parametrize("count", [0, 16, 31, 33])
def test_a_data_key_has_thirty_two_bytes(count: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DataKey(bytes(count))


@pytest.mark.parametrize("salt", [b"", bytes(15), bytes(32)])
def test_a_salt_of_the_wrong_length_makes_no_key(salt: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        DataKey(DEK).trailer_key(salt)
    with pytest.raises(ValueError, match="16 bytes"):
        DataKey(DEK).meta_key(salt)


@pytest.mark.parametrize("count", [0, 16, 31, 33])
def test_a_secret_of_the_wrong_length_wraps_nothing(count: int) -> None:
    with pytest.raises(ValueError, match="secret is 32 bytes"):
        wrap_key(bytes(count), bytes(32), bytes(32))
    with pytest.raises(ValueError, match="secret is 32 bytes"):
        NameKey(bytes(count), "personnel")
    with pytest.raises(ValueError, match="secret is 32 bytes"):
        seal_record(
            ik=bytes(32),
            ik_id=bytes(16),
            salt=bytes(32),
            secret=bytes(count),
            profile=Profile.HMAC_SHA256,
            kek_id="k",
            scope="s",
            token=bytes(32),
        )
