"""Token to secret, as the vectors have it for each profile, with keys in software."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_private_key
from tests.unit.envelope.vectors import load, unhex

from hyok.envelope import profiles
from hyok.envelope.profiles import Profile
from hyok.errors import HyokError, Malformed, Tampered

VECTORS = load("kek_profiles.json")
KEK = bytes(range(32))
ORIGIN = bytes(32)
SEED = b"s" * 32


def kek_of(vector: dict[str, Any]) -> bytes | rsa.RSAPrivateKey:
    if "kek" in vector:
        return unhex(vector["kek"])
    key = load_der_private_key(unhex(vector["kek_pkcs8_der"]), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    (vector,) = [v for v in VECTORS if v["profile_id"] == Profile.RSA_OAEP_SHA256]
    key = kek_of(vector)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def test_the_vectors_hold_every_profile() -> None:
    assert {Profile(v["profile_id"]) for v in VECTORS} == set(Profile)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['profile']}-{v['scope']}")
def test_the_secrets_of_the_vectors(vector: dict[str, Any]) -> None:
    profile = Profile(vector["profile_id"])
    kek_id, scope, token = vector["kek_id"], vector["scope"], unhex(vector["token"])
    origin = unhex(vector.get("origin", ""))
    secret = profiles.software_secret(profile, kek_of(vector), kek_id, scope, token, origin)
    assert secret == unhex(vector["secret"])
    if "hmac_input" in vector:
        assert profiles.hmac_input(token, kek_id, scope) == unhex(vector["hmac_input"])
    if "seed" in vector:
        assert profiles.derive_seed(unhex(vector["seed"]), kek_id, scope, origin) == secret
    for other in ((kek_id + "x", scope), (kek_id, scope + "x")):
        try:
            another = profiles.software_secret(profile, kek_of(vector), *other, token, origin)
        except Tampered:
            assert profile is Profile.AES_GCM
        else:
            assert another != secret


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['profile']}-{v['scope']}")
def test_the_tokens_of_the_vectors_are_made_again(vector: dict[str, Any]) -> None:
    kek, token = kek_of(vector), unhex(vector["token"])
    match Profile(vector["profile_id"]):
        case Profile.AES_GCM:
            assert isinstance(kek, bytes)
            iv, _ = profiles.split_gcm_token(token)
            again = profiles.seal_gcm_token(
                kek, vector["kek_id"], vector["scope"], unhex(vector["seed"]), iv
            )
            assert again == token
        case Profile.AES_KWP:
            assert isinstance(kek, bytes)
            assert profiles.seal_kwp_token(kek, unhex(vector["seed"])) == token
        case Profile.RSA_OAEP_SHA256:
            assert isinstance(kek, rsa.RSAPrivateKey)
            fresh = profiles.seal_oaep_token(kek.public_key(), unhex(vector["seed"]))
            secret = profiles.software_secret(
                Profile.RSA_OAEP_SHA256,
                kek,
                vector["kek_id"],
                vector["scope"],
                fresh,
                unhex(vector["origin"]),
            )
            assert fresh != token
            assert secret == unhex(vector["secret"])
        case Profile.HMAC_SHA256:
            assert len(token) == 32  # random bytes, nothing to make


@pytest.mark.parametrize(
    ("profile", "token"),
    [
        (Profile.HMAC_SHA256, b""),
        (Profile.HMAC_SHA256, bytes(31)),
        (Profile.HMAC_SHA256, bytes(33)),
        (Profile.AES_GCM, b""),
        (Profile.AES_GCM, b"\x0c"),
        (Profile.AES_GCM, b"\x00" + bytes(48)),
        (Profile.AES_GCM, b"\x0c" + bytes(59)),
        (Profile.AES_GCM, b"\x0c" + bytes(61)),
        (Profile.AES_KWP, bytes(39)),
        (Profile.AES_KWP, bytes(41)),
        (Profile.RSA_OAEP_SHA256, bytes(383)),
    ],
)
def test_a_token_of_the_wrong_form_is_refused_before_any_key_is_asked(
    profile: Profile, token: bytes
) -> None:
    with pytest.raises(Malformed, match="token"):
        profiles.check_token(profile, token)
    with pytest.raises(Malformed, match="token"):
        profiles.software_secret(profile, KEK, "k", "s", token)
    if profile is Profile.HMAC_SHA256:
        with pytest.raises(Malformed, match="token"):
            profiles.hmac_input(token, "k", "s")


@pytest.mark.parametrize(
    ("profile", "token"),
    [
        (Profile.AES_GCM, b"\x0c" + bytes(60)),
        (Profile.AES_GCM, b"\x01" + bytes(49)),  # an IV that the library does not take
        (Profile.AES_KWP, bytes(40)),
    ],
)
def test_a_token_of_another_key_does_not_open(profile: Profile, token: bytes) -> None:
    with pytest.raises(Tampered, match="does not open"):
        profiles.software_secret(profile, KEK, "k", "s", token)


def test_a_damaged_rsa_token_does_not_open(rsa_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(Tampered, match="does not open"):
        profiles.software_secret(
            Profile.RSA_OAEP_SHA256, rsa_key, "k", "s", bytes(rsa_key.key_size // 8), ORIGIN
        )


def test_a_token_that_holds_no_seed_is_none_of_ours() -> None:
    token = aes_key_wrap_with_padding(KEK, b"x" * 31)
    assert len(token) == 40
    with pytest.raises(Tampered, match="no seed"):
        profiles.software_secret(Profile.AES_KWP, KEK, "k", "s", token)


def test_a_key_of_the_wrong_type_is_refused(rsa_key: rsa.RSAPrivateKey) -> None:
    wrong: list[tuple[Profile, Any, bytes, bytes]] = [
        (Profile.RSA_OAEP_SHA256, KEK, bytes(384), ORIGIN),
        (Profile.RSA_OAEP_SHA256, rsa_key, bytes(384), b""),
        (Profile.RSA_OAEP_SHA256, rsa_key, bytes(384), bytes(31)),
        (Profile.HMAC_SHA256, rsa_key, bytes(32), ORIGIN),
    ]
    for profile, key, token, origin in wrong:
        with pytest.raises(Malformed, match=r"profile 4|RSA"):
            profiles.software_secret(profile, key, "k", "s", token, origin)


def test_the_origin_decides_over_the_secret_of_profile_4() -> None:
    plain = profiles.derive_seed(SEED, "k", "s")
    assert plain != profiles.derive_seed(SEED, "k", "s", b"o" * 32)
    assert plain == profiles.derive_seed(SEED, "k", "s", ORIGIN)  # RFC 5869: no salt is zeros


def test_a_short_rsa_key_makes_no_token() -> None:
    short = rsa.generate_private_key(65_537, 2_048)
    with pytest.raises(Malformed, match="3072"):
        profiles.seal_oaep_token(short.public_key(), SEED)


def test_check_values_tell_keys_and_names_apart() -> None:
    value = profiles.check_value_hmac(KEK, "t1/confidential/1")
    assert len(value) == 8
    # HMAC-SHA256 over the label and the length-prefixed name, made with another tool.
    assert value.hex() == "aac7361c89714ac4"
    assert value != profiles.check_value_hmac(KEK[::-1], "t1/confidential/1")
    assert value != profiles.check_value_hmac(KEK, "t1/confidential/2")
    assert profiles.check_value_secret(SEED).hex() == "567ffe93a338288f"


def test_no_failure_shows_the_token_or_the_key() -> None:
    with pytest.raises(HyokError) as caught:
        profiles.software_secret(Profile.AES_KWP, KEK, "k", "s", bytes(40))
    assert KEK.hex() not in caught.value.explain()
