"""The self-test's answers are the official vectors, and software keys give the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

from hyok.envelope.profiles import (
    Profile,
    gcm_associated_data,
    software_secret,
    split_gcm_token,
)
from hyok.errors import Malformed
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.dialect import Dialect
from hyok.hsm.selftest import KNOWN_ANSWERS, self_test

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "kek_profiles.json").read_text())[
    "vectors"
]


@pytest.mark.parametrize("profile", KNOWN_ANSWERS)
def test_each_known_answer_is_an_official_vector(profile: Profile) -> None:
    known = KNOWN_ANSWERS[profile]
    (vector,) = [
        v for v in VECTORS if v["profile_id"] == profile and v["token"] == known.token.hex()
    ]
    assert (vector["kek"], vector["kek_id"]) == (known.kek.hex(), known.kek_id)
    assert vector["scope"] == known.scope
    answer = vector["secret"] if profile is Profile.HMAC_SHA256 else vector["seed"]
    assert answer == known.answer.hex()


class SoftToken:
    """What `self_test` asks of a token, with a mistake to order."""

    def __init__(self, mistake: str = "") -> None:
        self.mistake = mistake

    def try_known(
        self, profile: Profile, kek: bytes, kek_id: str, scope: str, token: bytes
    ) -> bytes | None:
        if self.mistake == "no import":
            return None
        if self.mistake == "refused":
            raise CryptokiError("C_Decrypt", 0x40)
        if self.mistake == "wrong":
            return bytes(32)
        if profile is Profile.HMAC_SHA256:
            return software_secret(profile, kek, kek_id, scope, token)
        if profile is Profile.AES_GCM:
            iv, sealed = split_gcm_token(token)
            return AESGCM(kek).decrypt(iv, sealed, gcm_associated_data(kek_id, scope))
        return aes_key_unwrap_with_padding(kek, token)


DIALECT = Dialect("soft", profiles=(1, 2, 3, 4))


def test_a_right_module_passes_and_profile_4_is_left_to_its_check_value() -> None:
    passed = self_test(SoftToken(), DIALECT)
    assert list(passed.values()) == ["known-answer"] * 3 + ["check-value"]


def test_a_module_that_lets_no_key_in_is_left_to_the_check_values() -> None:
    assert set(self_test(SoftToken("no import"), DIALECT).values()) == {"check-value"}


@pytest.mark.parametrize("mistake", ["wrong", "refused"])
@pytest.mark.parametrize("profile", [1, 2, 3])
def test_a_module_that_lets_the_key_in_and_answers_wrongly_is_unfit(
    mistake: str, profile: int
) -> None:
    with pytest.raises(Malformed) as caught:
        self_test(SoftToken(mistake), Dialect("soft", profiles=(profile,)))
    assert caught.value.code == "HY-2105"
