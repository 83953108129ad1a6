"""What an authenticator hands over: the right thing is taken, and nothing else breaks anything."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fido2 import cbor
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.authenticator import BE, UP, UV, SoftAuthenticator

from hyok.errors import NotAuthenticated
from hyok.identity.passkeys import (
    Assertion,
    Authenticator,
    Site,
    decode,
    encode,
    read_registration,
    verify_assertion,
)

SITE = Site("localhost", "https://localhost:8444")
CHALLENGE = bytes(range(32))


def registered(by: SoftAuthenticator) -> Authenticator:
    made = by.make(CHALLENGE)
    return read_registration(
        decode(made["clientData"]), decode(made["attestation"]), CHALLENGE, SITE
    )


def signed(by: SoftAuthenticator, challenge: bytes = CHALLENGE, **more: object) -> Assertion:
    made = by.sign(challenge, **more)
    return Assertion(
        *(decode(made[name]) for name in ("clientData", "authenticatorData", "signature"))
    )


def test_what_was_registered_signs_and_its_identity_holds_site_and_key() -> None:
    mine = SoftAuthenticator()
    known = registered(mine)
    assert verify_assertion(known, signed(mine), CHALLENGE, SITE) == 1
    assert verify_assertion(known, signed(mine), CHALLENGE) == 2  # looked at again, later
    for other in (
        replace(known, rp_id="localhost.example"),
        replace(known, public_key=SoftAuthenticator().cose),
        replace(known, credential_id=bytes(32)),
    ):
        assert other.identity != known.identity
        if other.credential_id == known.credential_id:
            with pytest.raises(NotAuthenticated):
                verify_assertion(other, signed(mine), CHALLENGE)
    assert len(known.identity) <= 255
    largest = replace(known, credential_id=bytes(150))
    assert len(largest.identity) <= 255


@pytest.mark.parametrize(
    "changes",
    [
        {"flags": UP},
        {"flags": UV},
        {"flags": UP | UV | BE},
        {"origin": "https://localhost"},
        {"origin": "https://localhost:8444.evil.example"},
        {"rp_id": "evil.example"},
        {"credential_id": bytes(15)},
        {"credential_id": bytes(151)},
    ],
)
def test_what_is_made_elsewhere_or_without_its_person_is_not_registered(
    changes: dict[str, object],
) -> None:
    mine = SoftAuthenticator()
    for name, value in changes.items():
        setattr(mine, name, value)
    with pytest.raises(NotAuthenticated) as refused:
        registered(mine)
    assert refused.value.code == "HY-2512"


def test_a_synced_key_is_taken_where_the_settings_say_so() -> None:
    mine = SoftAuthenticator(flags=UP | UV | BE)
    made = mine.make(CHALLENGE)
    site = replace(SITE, synced=True)
    read_registration(decode(made["clientData"]), decode(made["attestation"]), CHALLENGE, site)


def test_registration_and_signature_are_not_exchanged_for_each_other() -> None:
    mine = SoftAuthenticator()
    known, made = registered(mine), mine.make(CHALLENGE)
    creating = mine.client_data("webauthn.create", CHALLENGE)
    with pytest.raises(NotAuthenticated):
        verify_assertion(known, replace(signed(mine), client_data=creating), CHALLENGE, SITE)
    getting = mine.client_data("webauthn.get", CHALLENGE)
    with pytest.raises(NotAuthenticated):
        read_registration(getting, decode(made["attestation"]), CHALLENGE, SITE)


@pytest.mark.parametrize("at", ["client_data", "authenticator_data", "signature"])
def test_every_bit_of_what_was_signed_counts(at: str) -> None:
    mine = SoftAuthenticator()
    known, made = registered(mine), signed(mine)
    whole = getattr(made, at)
    for index in range(len(whole)):
        changed = bytearray(whole)
        changed[index] ^= 0x01
        with pytest.raises(NotAuthenticated):
            verify_assertion(known, replace(made, **{at: bytes(changed)}), CHALLENGE, SITE)


MINE = SoftAuthenticator()
KNOWN = registered(MINE)


@given(
    client_data=st.binary(max_size=200), data=st.binary(max_size=200), raw=st.binary(max_size=99)
)
def test_rubbish_is_refused_and_breaks_nothing(client_data: bytes, data: bytes, raw: bytes) -> None:
    good = MINE.client_data("webauthn.create", CHALLENGE)
    for said in (client_data, good):
        with pytest.raises(NotAuthenticated):
            read_registration(said, data, CHALLENGE, SITE)
    getting = MINE.client_data("webauthn.get", CHALLENGE)
    for said in (client_data, getting):
        with pytest.raises(NotAuthenticated):
            verify_assertion(KNOWN, Assertion(said, data, raw), CHALLENGE, SITE)
    with pytest.raises(NotAuthenticated):
        by = replace(KNOWN, public_key=raw)
        verify_assertion(by, signed(MINE), CHALLENGE, SITE)


@pytest.mark.parametrize(
    "raw",
    [b"\x18", b"\x19\x00", b"\x1b" + bytes(3), b"\x81" * 90_000, b"\xbf", b"\xa1\x81\x00\x00"],
)
def test_cbor_that_is_cut_or_nested_without_end_is_refused(raw: bytes) -> None:
    good = MINE.client_data("webauthn.create", CHALLENGE)
    with pytest.raises(NotAuthenticated):
        read_registration(good, raw, CHALLENGE, SITE)
    with pytest.raises(NotAuthenticated):
        verify_assertion(replace(KNOWN, public_key=raw), signed(MINE), CHALLENGE, SITE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "challenge", "origin", "x"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_json_of_any_shape_is_refused_and_breaks_nothing(document: object) -> None:
    with pytest.raises(NotAuthenticated):
        verify_assertion(
            KNOWN, replace(signed(MINE), client_data=json.dumps(document).encode()), CHALLENGE, SITE
        )


@pytest.mark.parametrize(
    "cose",
    [
        {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)},  # not on the curve
        {1: 2, 3: -7},
        {1: 2, 3: -65535, -1: 1},  # RS1: SHA-1
        {3: "ES256"},
        {},
    ],
)
def test_a_key_that_is_none_or_signs_with_what_is_broken_is_refused(
    cose: dict[int, object],
) -> None:
    by = replace(KNOWN, public_key=cbor.encode(cose))
    with pytest.raises(NotAuthenticated):
        verify_assertion(by, signed(MINE), CHALLENGE, SITE)


@pytest.mark.parametrize("text", ["=", "a", "ab+/", "YQ==", "YR", "é", "A" * 12_000])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        decode(text)
    assert decode(encode(b"\xff\xfe")) == b"\xff\xfe"
