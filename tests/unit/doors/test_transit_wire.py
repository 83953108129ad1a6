"""What the Transit door reads and writes, by itself: paths, text forms, what is authenticated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.doors.transit import ciphertext, signatures, system, wire
from hyok.doors.transit.bearers import token_in
from hyok.doors.transit.ciphertext import Binding
from hyok.doors.transit.config import TransitSettings
from hyok.errors import Malformed, NotAuthenticated


@pytest.mark.parametrize(
    ("target", "area", "parts", "query"),
    [
        (b"/v1/transit/keys/kms", "transit", ("keys", "kms"), {}),
        (b"/v1/transit/keys/?list=true", "transit", ("keys",), {"list": "true"}),
        (b"/v1/transit/keys/a%2Fb", "transit", ("keys", "a/b"), {}),
        (b"/v1/sys/health?standbyok=true&sealedcode=299", "sys", ("health",), None),
        (b"/v1/transit", "transit", (), {}),
    ],
)
def test_paths(target: bytes, area: str, parts: tuple[str, ...], query: Any) -> None:
    found = wire.parse_target(target)
    assert found is not None
    assert (found.area, found.parts) == (area, parts)
    assert query is None or found.query == query


@pytest.mark.parametrize(
    "target",
    [
        *(b"/", b"/v1", b"/v1/", b"/v2/transit/keys", b"/v1//keys", b"/v1/transit//kms", b"*"),
        *(b"/v1/transit/\xff", b"/v1/transit/%ff", b"/v1/" + b"a" * 1100),
    ],
)
def test_what_is_no_path_of_the_api(target: bytes) -> None:
    assert wire.parse_target(target) is None


def test_what_is_authenticated_is_unlike_for_whatever_differs() -> None:
    place = b"transit/kms"
    bare = b"\x01\x00\x0b" + place + b"\x00\x00\x00\x02" + b"\x00\x00\x00"
    assert Binding("transit/kms").data(2) == bare
    whole = b"\x01\x00\x0b" + place + b"\x00\x00\x00\x02" + b"\x01\x00\x03abc" + b"zaak"
    assert Binding("transit/kms", b"abc", b"zaak").data(2) == whole
    bindings = [
        Binding("transit/kms", b"ab", b"c"),
        Binding("transit/kms", b"a", b"bc"),
        Binding("transit/kms", b"", b"abc"),
        Binding("transit/km", b"ab", b"c"),
        Binding("transit/kmsa", b"b", b"c"),
        Binding("ander/kms", b"ab", b"c"),
    ]
    made = [one.data(version) for one in bindings for version in (1, 2)]
    assert len(set(made)) == len(made)


@given(st.binary(max_size=64), st.integers(1, 10**9 - 1))
def test_a_text_form_gives_back_what_it_holds(raw: bytes, version: int) -> None:
    assert ciphertext.read(ciphertext.write(version, raw)) == ciphertext.Blob(version, raw)


@given(st.binary(min_size=64, max_size=64), st.sampled_from(["asn1", "jws"]))
def test_a_signature_gives_back_what_it_holds(raw: bytes, form: str) -> None:
    found = signatures.read(signatures.write(3, raw, form), form)
    assert (found.version, found.raw) == (3, raw)


@given(st.text(max_size=80) | st.from_regex(r"vault:v?[0-9]{0,12}:[A-Za-z0-9+/=_-]{0,40}(:x)?"))
def test_whatever_is_sent_as_a_text_form_is_read_or_refused(text: str) -> None:
    for read in (
        ciphertext.read,
        lambda t: signatures.read(t, "asn1"),
        lambda t: signatures.read(t, "jws"),
    ):
        try:
            found = read(text)
        except Malformed:
            continue
        assert 1 <= found.version < 10**9


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
        ),
        max_leaves=9,
    ).map(lambda document: json.dumps(document).encode())
)
def test_whatever_is_sent_as_a_body_is_read_or_refused(raw: bytes) -> None:
    try:
        body = wire.parse_body(raw)
    except Malformed:
        return
    for name in [*list(body), "plaintext"]:
        for read in (wire.text_of, wire.number_of, wire.bytes_of):
            try:
                read(body, name)
            except Malformed:
                continue


def test_depth_ends_nothing() -> None:
    with pytest.raises(Malformed):
        wire.parse_body(b'{"a":' + b"[" * 100_000)


@pytest.mark.parametrize(
    ("query", "sealed", "status"),
    [
        ({}, False, 200),
        ({}, True, 503),
        ({"sealedcode": "204"}, True, 204),
        ({"sealedcode": "100"}, True, 503),
        ({"sealedcode": "٢٠٠"}, True, 503),
        ({"activecode": "299"}, False, 299),
        ({"activecode": "x"}, False, 200),
    ],
)
def test_the_status_of_health(query: dict[str, str], sealed: bool, status: int) -> None:
    assert system.health_status(query, sealed=sealed) == status


@pytest.mark.parametrize(
    "shown",
    [
        [],
        [(b"x-vault-token", b"a"), (b"x-vault-token", b"b")],
        [(b"x-vault-token", b"a"), (b"authorization", b"Bearer b")],
        [(b"authorization", b"Basic a")],
        [(b"x-vault-token", b"\xff")],
        [(b"x-vault-token", b"a" * 4097)],
    ],
)
def test_no_token_and_two_of_them_are_none(shown: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(NotAuthenticated):
        token_in(shown)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tls_certificate": "/a"},
        {"client_ca": "/a", "client_names": ["x"]},
        {"client_names": ["x"]},
        {"mount": "sys"},
        {"mount": "a/b"},
        {"deadline_ms": 0},
    ],
)
def test_settings_that_cannot_stand(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        TransitSettings(**wrong)
