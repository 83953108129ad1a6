"""Tags that changed after their object was written: one sealed set, whole or none."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from hyok.envelope.keys import DataKey, hkdf
from hyok.envelope.sealed_tags import open_tags, seal_tags
from hyok.errors import Malformed, Tampered

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sealed_tags.json").read_text())
DEK = DataKey(bytes(range(32)))
OTHER_DEK = DataKey(bytes(32))
SALT = bytes(range(16))
OBJECT_ID = b"object-id-16-byt"
TAGS = {"soort": "besluit", "naam van burger": "Jansen é"}
MANY = {f"k{n}": "w" * 100 for n in range(10)}  # takes several pieces


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: str(case["name"]))
def test_the_vectors_hold(case: dict[str, object]) -> None:
    key, salt = DataKey(bytes.fromhex(str(case["dek"]))), bytes.fromhex(str(case["salt"]))
    object_id = bytes.fromhex(str(case["object_id"]))
    tags, stored = case["tags"], case["stored"]
    assert isinstance(tags, dict)
    assert isinstance(stored, dict)
    assert seal_tags(tags, key, salt, object_id) == stored
    assert open_tags(stored, key, object_id) == tags


def test_the_format_in_its_own_words() -> None:
    """Built from the document, with nothing of the module under test."""
    key = hkdf(bytes(range(32)), SALT, b"HYOK1 tags key")
    raw = '{"naam van burger":"Jansen é","soort":"besluit"}'.encode()
    box = SALT + AESGCM(key).encrypt(bytes(12), raw, b"HYOK1 tags" + OBJECT_ID)
    text = urlsafe_b64encode(box).rstrip(b"=").decode()
    assert seal_tags(TAGS, DEK, SALT, OBJECT_ID) == {"hyok-1": text}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        max_size=10,
    )
)
def test_what_was_sealed_comes_back_beside_tags_that_are_not_ours(tags: dict[str, str]) -> None:
    stored = seal_tags(tags, DEK, SALT, OBJECT_ID)
    assert open_tags({**stored, "kosten": "zorg"}, DEK, OBJECT_ID) == tags
    assert all(len(value) <= 256 for value in stored.values())


def test_without_a_set_of_ours_the_envelope_speaks() -> None:
    assert open_tags({}, DEK, OBJECT_ID) is None
    assert open_tags({"kosten": "zorg", "hyok": "x"}, DEK, OBJECT_ID) is None
    assert open_tags(seal_tags({}, DEK, SALT, OBJECT_ID), DEK, OBJECT_ID) == {}


def test_what_does_not_fit_is_refused_and_the_longest_that_fits_is_not() -> None:
    fits = {"k": "w" * (1888 - len('{"k":""}'))}
    stored = seal_tags(fits, DEK, SALT, OBJECT_ID)
    assert len(stored) == 10
    assert open_tags(stored, DEK, OBJECT_ID) == fits
    with pytest.raises(Malformed) as caught:
        seal_tags({"k": fits["k"] + "w"}, DEK, SALT, OBJECT_ID)
    assert caught.value.reason == "MetadataTooLarge"


def changed(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def test_no_character_can_be_changed() -> None:
    stored = seal_tags(TAGS, DEK, SALT, OBJECT_ID)
    for at in range(len(stored["hyok-1"])):
        with pytest.raises(Tampered):
            open_tags({"hyok-1": changed(stored["hyok-1"], at)}, DEK, OBJECT_ID)


def test_no_piece_can_be_taken_added_moved_or_renamed() -> None:
    stored = seal_tags(MANY, DEK, SALT, OBJECT_ID)
    assert len(stored) > 2
    first = stored["hyok-1"]
    damaged = [{n: v for n, v in stored.items() if n != gone} for gone in stored]
    damaged += [
        {**stored, f"hyok-{len(stored) + 1}": "AAAA"},
        {**stored, "hyok-11": "AAAA"},
        {**stored, "hyok-x": ""},
        {**stored, "hyok-": "x"},
        {**stored, "hyok-1": stored["hyok-2"], "hyok-2": stored["hyok-1"]},
        {**stored, "hyok-1": first[:-1], "hyok-2": first[-1] + stored["hyok-2"]},
        {("hyok-01" if name == "hyok-1" else name): value for name, value in stored.items()},
    ]  # fmt: skip
    for case in damaged:
        with pytest.raises(Tampered):
            open_tags(case, DEK, OBJECT_ID)


@pytest.mark.parametrize("text", ["", "A", "AAAA", "=", "é", "A" * 43, "A" * 42 + "B", " " * 44])
def test_what_is_no_text_of_ours_is_refused(text: str) -> None:
    with pytest.raises(Tampered):
        open_tags({"hyok-1": text}, DEK, OBJECT_ID)


def test_they_are_of_this_object_and_this_key() -> None:
    stored = seal_tags(TAGS, DEK, SALT, OBJECT_ID)
    with pytest.raises(Tampered):
        open_tags(stored, DEK, b"another-id-16-by")
    with pytest.raises(Tampered):
        open_tags(stored, OTHER_DEK, OBJECT_ID)


@pytest.mark.parametrize(
    "raw",
    [b"[]", b'{"a":1}', b'{"a": "b"}', b'{"b":"1","a":"2"}', b'{"a":"1","a":"1"}', b"\xff", b"{",
     b'{"a":"\\u00e9"}', b'{"a":"\\ud800"}'],
)  # fmt: skip
def test_a_set_in_another_form_than_the_one_is_refused(raw: bytes) -> None:
    box = SALT + AESGCM(DEK.tags_key(SALT)).encrypt(bytes(12), raw, b"HYOK1 tags" + OBJECT_ID)
    text = urlsafe_b64encode(box).rstrip(b"=").decode()
    with pytest.raises(Tampered):
        open_tags({"hyok-1": text}, DEK, OBJECT_ID)
