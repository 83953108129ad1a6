"""Names of objects, sealed: the vectors, both directions, and what a store could try."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.envelope.vectors import load, unhex
from tests.unit.envelope.whole import EXAMPLES, SECRET

from hyok.envelope.keys import hkdf
from hyok.envelope.names import OPENED_NAMES_MAX, NameKey
from hyok.errors import Malformed, Tampered

KEY = NameKey(SECRET, "personnel")
keys = st.text(st.characters(exclude_categories=("Cs",)) | st.just("/"), max_size=40)


def by_the_letter(key: str, secret: bytes = SECRET, bucket_id: str = "personnel") -> str:
    """The rule of the specification, segment by segment, with nothing remembered."""
    siv = AESSIV(hkdf(secret, b"", b"HYOK1 name key", 64))
    parent, out = "", []
    for segment in key.split("/"):
        associated = [b"HYOK1 name", bucket_id.encode(), parent.encode()]
        sealed = siv.encrypt(segment.encode(), associated) if segment else b""
        out.append(urlsafe_b64encode(sealed).rstrip(b"=").decode())
        parent += segment + "/"
    return "/".join(out)


@pytest.mark.parametrize("vector", load("names.json"), ids=lambda v: v["plain"][:20])
def test_the_names_of_the_vectors(vector: dict[str, Any]) -> None:
    key = NameKey(unhex(vector["secret"]), vector["bucket_id"])
    assert hkdf(unhex(vector["secret"]), b"", b"HYOK1 name key", 64) == unhex(vector["name_key"])
    assert key.seal(vector["plain"]) == vector["encrypted"]
    assert key.open(vector["encrypted"]) == vector["plain"]


@EXAMPLES
@given(key=keys)
def test_a_name_is_sealed_by_the_rule_and_comes_back(key: str) -> None:
    sealed = KEY.seal(key)
    assert sealed == by_the_letter(key)
    assert KEY.open(sealed) == key
    assert sealed.count("/") == key.count("/")


@EXAMPLES
@given(many=st.lists(st.lists(st.sampled_from(["a", "b", "", "é"]), max_size=4), max_size=12))
def test_what_is_remembered_of_one_name_does_not_leak_into_the_next(many: list[list[str]]) -> None:
    key = NameKey(SECRET, "personnel")
    names = ["/".join(segments) for segments in many]
    assert [key.seal(name) for name in names] == [by_the_letter(name) for name in names]
    assert [key.open(by_the_letter(name)) for name in names] == names


def test_equal_names_look_equal_under_one_parent_only() -> None:
    assert KEY.seal("a/x").split("/")[1] == KEY.seal("a/x").split("/")[1]
    assert KEY.seal("a/x").split("/")[1] != KEY.seal("b/x").split("/")[1]
    assert KEY.seal("x") != NameKey(SECRET, "archive").seal("x")
    assert KEY.seal("x") != NameKey(SECRET[::-1], "personnel").seal("x")


def test_a_segment_does_not_open_under_another_parent() -> None:
    a, x = KEY.seal("a/x").split("/")
    b = KEY.seal("b")
    assert KEY.open(f"{a}/{x}") == "a/x"
    for moved in (f"{b}/{x}", x, f"/{x}", f"{a}/{a}/{x}", f"{x}/{a}"):
        with pytest.raises(Tampered):
            KEY.open(moved)


def test_every_changed_letter_of_a_sealed_name_is_refused() -> None:
    sealed = KEY.seal("2026/payroll.csv")
    for at, letter in enumerate(sealed):
        for other in ("A", "B", "_", "=", "+", " ", "é"):
            if other != letter:
                with pytest.raises(Tampered):
                    KEY.open(sealed[:at] + other + sealed[at + 1 :])
        with pytest.raises(Tampered):
            KEY.open(sealed[:at] + sealed[at + 1 :])


@pytest.mark.parametrize("name", ["x", "plain-name", "AAAAAAAAAAAAAAAAAAAAAA", "A" * 21, "..", " "])
def test_a_name_that_is_not_a_sealed_one_is_refused(name: str) -> None:
    with pytest.raises(Tampered):
        KEY.open(name)


def test_a_sealed_name_has_one_spelling_only() -> None:
    sealed = KEY.seal("x")  # 17 bytes: the last letter stands for two bits, and four are spare
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = sealed[:-1] + alphabet[alphabet.index(sealed[-1]) + 1]
    assert urlsafe_b64decode(other + "=") == urlsafe_b64decode(sealed + "=")
    with pytest.raises(Tampered):
        KEY.open(other)


def test_a_sealed_name_that_is_not_text_is_refused() -> None:
    siv = AESSIV(hkdf(SECRET, b"", b"HYOK1 name key", 64))
    raw = siv.encrypt(b"\xff\xfe", [b"HYOK1 name", b"personnel", b""])
    with pytest.raises(Tampered):
        KEY.open(urlsafe_b64encode(raw).rstrip(b"=").decode())


@pytest.mark.parametrize("name", ["\ud800", "\ud800/x", "x/\ud800/y"])
def test_a_key_that_utf_8_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(Malformed) as caught:
        KEY.seal(name)
    assert caught.value.reason == "InvalidURI"


@pytest.mark.parametrize(
    ("prefix", "folder", "rest"),
    [
        ("", "", ""),
        ("pay", "", "pay"),
        ("2026/", "2026/", ""),
        ("2026/pay", "2026/", "pay"),
        ("a//b/c", "a//b/", "c"),
        ("/", "/", ""),
    ],
)
def test_a_prefix_is_a_sealed_folder_and_a_clear_rest(prefix: str, folder: str, rest: str) -> None:
    sealed, partial = KEY.seal_prefix(prefix)
    assert partial == rest
    assert sealed == by_the_letter(folder)
    assert KEY.open(sealed) == folder
    assert KEY.seal(prefix + "x").startswith(sealed)


def test_a_name_key_is_never_shown() -> None:
    assert repr(KEY) == "NameKey(…)"


def test_more_names_than_are_remembered_open_rightly() -> None:
    key = NameKey(SECRET, "personnel")
    sealed = {key.seal(f"map/{n}"): f"map/{n}" for n in range(OPENED_NAMES_MAX + 3)}
    for _ in range(2):
        assert {name: key.open(name) for name in sealed} == sealed
        with pytest.raises(Tampered):
            key.open("map/not-sealed")


def test_many_names_open_as_each_would() -> None:
    """Known already, new, of another folder, of another bucket, and no sealed names at all."""
    key = NameKey(bytes(range(32)), "b")
    names = ["map/a", "map/b", "b", "map/c/d", "map/"]
    sealed = [key.seal(name) for name in names]
    strange = [NameKey(bytes(32), "b").seal("a"), ".hyok/bucket", "nog-een/", ""]
    assert key.open_all(sealed[:2]) == names[:2]
    for _ in range(2):
        assert key.open_all([*strange[:3], *sealed]) == [None, None, None, *names]
        assert key.open_all(sealed[::-1]) == names[::-1]
    assert key.open_all([]) == []
