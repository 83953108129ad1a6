"""The self-test of an agent at its start: known answers, where the token lets a key in.

Each profile of the dialect opens one official vector under a session key made for it.  A module
that answers wrongly (RFC 5649 and PKCS padding share a mechanism number) is unfit.  One that lets
no key in is left to the check values, which the pool asks before a KEK is used.

Source: docs/format.md, sections 10 and 13.7; tests/vectors/kek_profiles.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.envelope.profiles import Profile
from hyok.errors import Malformed
from hyok.hsm.cryptoki import CryptokiError

if TYPE_CHECKING:
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.pkcs11 import Pkcs11Token


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """One vector: what a key answers for a token (profile 1) or what seed is in it."""

    kek: bytes
    kek_id: str
    scope: str
    token: bytes
    answer: bytes


def _known(kek: str, number: int, token: str, answer: str) -> KnownAnswer:
    kek_id, scope = f"t1/confidential/{number}", "bucket:personnel"
    return KnownAnswer(
        bytes.fromhex(kek), kek_id, scope, bytes.fromhex(token), bytes.fromhex(answer)
    )


KNOWN_ANSWERS: dict[Profile, KnownAnswer] = {
    Profile.HMAC_SHA256: _known(
        "207de441a9f4c8d16587a8b0979e07115b896b596586fdf6764ecbda5be7cd00",
        1,
        "42c61b0824f64174ac6deda722de4ec77998dfe3e28e669f8f6791186cf2e59d",
        "511363bd2c7489f3fc12ec2d5052080631c0fbdea891b50df4a1f6daeb187d96",
    ),
    Profile.AES_GCM: _known(
        "8639e1a862bbf50954f0c524eb22252b7d97653a3d3db60fdca51ccd89f2ccd9",
        2,
        "0c51f2e2e3e884d3fa0b451084db68a980caa47a3c2de9d26232cfab3a6dd46f"
        "48bc0138eb3bc6dc62eea6a109010b490dee8cf8e5deabd89825fb9b98",
        "ccd3337ca5d73db949be7ba0c6d82fca7222458a0767ee6efeca748621fb3f77",
    ),
    Profile.AES_KWP: _known(
        "c0e3ba66516fa647ef3accf89f819b11388718d51ad7fd88d5f5fc40ad7db3db",
        3,
        "7aa6451ba2627c39082f386ec200184a4097924c46fc1878fc6ec8f37e8d5cdd7584bd51b8cda8cc",
        "7215cb094209937de96041b5fffeef10640f498a46de89032558f55b0fdcdbe2",
    ),
}


def self_test(token: Pkcs11Token, dialect: Dialect) -> dict[Profile, str]:
    """Return, for each profile of the dialect, ``known-answer`` or ``check-value``.

    Raises:
        Malformed: a module that lets the key in answers something else.
    """
    passed = {}
    for profile in map(Profile, dialect.profiles):
        known = KNOWN_ANSWERS.get(profile)
        if known is None:
            passed[profile] = "check-value"
            continue
        try:
            answer = token.try_known(profile, known.kek, known.kek_id, known.scope, known.token)
        except CryptokiError:
            answer = b""
        if answer is not None and answer != known.answer:
            raise Malformed(
                f"the module computes profile {profile.value} ({profile.name.lower()}) wrongly",
                code="HY-2105",
                effect="It serves no key until its profile file is right.",
                next_step="Run hyok hsm prove and compare the mechanism numbers with the vendor's.",
            )
        passed[profile] = "check-value" if answer is None else "known-answer"
    return passed
