"""A token counts when its issuer signed it, for us and for now; nothing else about it helps."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.identity.issuer import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    SUBJECT,
    claims,
    encoded,
    key_set,
    private_key,
    public_jwk,
    raw_token,
    token,
)

from hyok.errors import Malformed, NotAuthenticated
from hyok.identity.jwks import KEYS_MAX, parse_jwks
from hyok.identity.tokens import TOKEN_CHARS_MAX, WebIdentity, read_unverified, verify_token

ALGORITHMS = ("RS256", "ES256", "ES384", "EdDSA")
KEYS = parse_jwks(key_set(*(public_jwk(kind) for kind in ALGORITHMS)))


def verify(text: str, **changes: Any) -> WebIdentity:
    wanted = {"issuer": ISSUER, "algorithms": ALGORITHMS, "now_s": NOW_S + 10, "skew_s": 60}
    return verify_token(text, KEYS, **{**wanted, **changes})


def refusal(text: str, **changes: Any) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        verify(text, **changes)
    assert text[:40] not in caught.value.cause
    return caught.value.reason


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_token_as_kubernetes_signs_it_says_whose_it_is(kind: str) -> None:
    assert verify(token(kind)) == WebIdentity(ISSUER, SUBJECT, frozenset({AUDIENCE}), NOW_S + 3600)


def test_an_audience_may_be_a_text_or_a_list() -> None:
    assert verify(token(aud="one")).audiences == {"one"}
    assert verify(token(aud=["one", "two"])).audiences == {"one", "two"}


def test_any_changed_character_breaks_it() -> None:
    text = token("ES256")
    head, body, signature = text.split(".")
    other = encoded(claims(sub="system:serviceaccount:kube-system:admin"))
    for changed in (
        f"{head}.{other}.{signature}",
        f"{head}.{body}.{signature[:-2]}{'AA' if signature[-2:] != 'AA' else 'BB'}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f".{body}.{signature}",
    ):
        assert refusal(changed) == "InvalidIdentityToken"


@given(at=st.integers(0, 2000), to=st.characters(codec="utf-8"))
def test_no_other_text_is_taken_for_the_token(at: int, to: str) -> None:
    text = token("ES256")
    at %= len(text)
    changed = text[:at] + to + text[at + 1 :]
    if changed != text:
        assert refusal(changed) == "InvalidIdentityToken"


def forged(header: dict[str, Any], payload: dict[str, Any] | None = None, tail: str = "") -> str:
    return f"{encoded(header)}.{encoded(payload or claims())}.{tail}"


def test_an_unsigned_token_is_none_whatever_its_spelling() -> None:
    for name in ("none", "None", "NONE", "nOnE", "", None, 5):
        assert refusal(forged({"alg": name, "kid": "RS256-0"})) == "InvalidIdentityToken"
        for allowed in ((), ("none",), ("none", "RS256")):
            refusal(forged({"alg": name, "kid": "RS256-0"}), algorithms=allowed)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_shared_secret(algorithm: str) -> None:
    """The classic confusion: a token signed with HMAC under the published key."""
    public = private_key("RS256").public_key()
    formats = (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1)
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        for style in formats:
            secret = public.public_bytes(encoding, style)
            text = jwt.api_jws.PyJWS().encode(b"{}", b"x" * 64, algorithm, {"kid": "RS256-0"})
            head = forged({"alg": algorithm, "kid": "RS256-0"}).rpartition(".")[0]
            signature = jwt.algorithms.HMACAlgorithm(
                getattr(jwt.algorithms.HMACAlgorithm, algorithm.replace("HS", "SHA"))
            ).sign(head.encode(), secret)
            assert refusal(f"{head}.{encoded(signature)}") == "InvalidIdentityToken"
            assert refusal(text) == "InvalidIdentityToken"
            # Even a setting gone wrong opens nothing: no key of ours fits such an algorithm.
            refusal(f"{head}.{encoded(signature)}", algorithms=[algorithm])


def test_the_algorithm_must_be_one_that_the_issuer_signs_with() -> None:
    assert refusal(token("ES256"), algorithms=["RS256"]) == "InvalidIdentityToken"


def test_a_key_serves_its_own_algorithm_only() -> None:
    text = jwt.encode(claims(), private_key("RS256"), algorithm="RS512", headers={"kid": "RS256-0"})
    verify(text, algorithms=["RS512"])
    keys = parse_jwks(key_set(public_jwk("RS256", alg="RS256")))
    with pytest.raises(NotAuthenticated):
        verify_token(
            text, keys, issuer=ISSUER, algorithms=["RS256", "RS512"], now_s=NOW_S, skew_s=0
        )


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_token_cannot_bring_its_own_key(name: str) -> None:
    own = public_jwk("RS256", 7)
    value = {"jku": "https://evil.example/keys", "x5u": "https://evil.example/c", "jwk": own}
    text = jwt.encode(
        claims(),
        private_key("RS256", 7),
        algorithm="RS256",
        headers={"kid": "RS256-0", name: value.get(name, ["MIIB"])},
    )
    assert refusal(text) == "InvalidIdentityToken"


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": True}, {"kid": 5}, {"kid": ""}]
)
def test_extensions_and_wrong_key_names_are_refused(header: dict[str, Any]) -> None:
    head = {"alg": "RS256", "kid": "RS256-0", **header}
    assert refusal(forged(head, tail="AAAA")) == "InvalidIdentityToken"


def test_another_issuers_token_is_not_taken() -> None:
    assert refusal(token(iss="https://other.example")) == "InvalidIdentityToken"
    assert refusal(token(iss=ISSUER + "/")) == "InvalidIdentityToken"


@pytest.mark.parametrize(
    ("changes", "now", "reason"),
    [
        ({}, NOW_S + 3600 + 59, ""),
        ({}, NOW_S + 3600 + 60, "ExpiredTokenException"),
        ({}, NOW_S + 86_400, "ExpiredTokenException"),
        ({}, NOW_S - 60, ""),
        ({}, NOW_S - 61, "InvalidIdentityToken"),
        ({"iat": None}, NOW_S - 61, "InvalidIdentityToken"),
        ({"nbf": None}, NOW_S - 61, "InvalidIdentityToken"),
        ({"nbf": None, "iat": None}, NOW_S - 61, ""),
        ({"exp": NOW_S + 0.5}, NOW_S + 60.4, ""),
        ({"exp": NOW_S + 0.5}, NOW_S + 60.5, "ExpiredTokenException"),
    ],
)
def test_a_token_is_for_its_time_give_or_take_the_skew(
    changes: dict[str, object], now: float, reason: str
) -> None:
    if reason:
        assert refusal(token(**changes), now_s=now) == reason
    else:
        verify(token(**changes), now_s=now)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": "2099-01-01"},
        {"exp": True},
        {"exp": -1},
        {"exp": 1 << 60},
        {"exp": 10**400},
        {"exp": [NOW_S + 60]},
        {"iat": "now"},
        {"nbf": {}},
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"sub": "a" * 256},
        {"sub": "name\nsub:other"},
        {"aud": None},
        {"aud": []},
        {"aud": [5]},
        {"aud": ["a"] * 65},
        {"aud": {"a": 1}},
        {"iss": None},
    ],
)
def test_claims_of_another_shape_are_refused(changes: dict[str, object]) -> None:
    assert refusal(token("ES256", **changes)) == "InvalidIdentityToken"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss": "%s", "sub": "s", "aud": "a", "exp": NaN}',
        b'{"iss": "%s", "sub": "s", "aud": "a", "exp": Infinity}',
        b'{"iss": "%s", "sub": "s", "aud": "a", "exp": 1e999}',
        b'{"iss": "%s", "sub": "s", "aud": "a", "exp": 1, "exp": 9000000000}',
        b'{"iss": "%s", "sub": "s", "aud": "a", "exp": 9000000000, "sub": "t"}',
        b'["%s"]',
        b'"%s"',
        b"%s",
        b"{" * 15_000,
        b"[" * 15_000,
        b"\xff\xfe%s",
    ],
)
def test_a_payload_that_reads_two_ways_or_none_is_refused(payload: bytes) -> None:
    sound = b'{"iss": "%s", "sub": "s", "aud": "a", "exp": 9000000000}'
    verify(raw_token(sound.replace(b"%s", ISSUER.encode())))
    assert refusal(raw_token(payload.replace(b"%s", ISSUER.encode()))) == "InvalidIdentityToken"


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "é.é.é", "x" * (TOKEN_CHARS_MAX + 1)])
def test_what_is_no_token_is_told_so(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        read_unverified(text)


@given(st.text(max_size=300))
def test_reading_any_text_ends_in_a_refusal_and_never_in_a_crash(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        read_unverified(text)


# --- key sets ------------------------------------------------------------------------------------


def test_keys_that_cannot_verify_are_left_out() -> None:
    good = public_jwk("RS256")
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private_key("RS256")))
    entries: list[Any] = [
        5,
        {},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
        {**public_jwk("RS256"), "use": "enc", "kid": "a"},
        {**public_jwk("RS256"), "key_ops": ["sign"], "kid": "b"},
        {**public_jwk("RS256"), "key_ops": "verify", "kid": "c"},
        {**public_jwk("RS256"), "kid": None},
        {**public_jwk("RS256"), "kid": "k" * 256},
        {**public_jwk("RS256"), "alg": "HS256", "kid": "d"},
        {**public_jwk("RS256"), "alg": ["RS256"], "kid": "e"},
        {**public_jwk("ES256"), "x": "!!", "kid": "f"},
        {**public_jwk("ES256"), "crv": "secp256k1", "kid": "g"},
        {**public_jwk("RS256"), "n": 5, "kid": "h"},
        {**private, "kid": "private"},
        {**public_jwk("small"), "kid": "small"},
        good,
    ]
    found = parse_jwks(key_set(*entries))
    assert [key.key_id for key in found] == [good["kid"]]
    assert "HS256" not in found[0].algorithms


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b"[" * 100_000,
        key_set(*[public_jwk("EdDSA")] * (KEYS_MAX + 1)),
        key_set({"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}),
    ],
)
def test_a_set_without_a_key_of_use_is_none(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_jwks(raw)
