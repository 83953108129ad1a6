"""KEKs inside a token: their attributes, and the calls of profiles 3 and 4.

Source: docs/format.md, sections 10 and 13.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.envelope.profiles import Profile
from hyok.hsm import structures as ck
from hyok.hsm.structures import GcmParameters, Mechanism, OaepParameters

if TYPE_CHECKING:
    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect

KEY_BYTES = 32
SEED_BYTES = 32
_KWP_TOKEN_BYTES = 40
_RSA_ROOM_BYTES = 1024  # up to RSA-8192
_CKK_GENERIC_SECRET = 0x10
_CKM_SHA256, _CKG_MGF1_SHA256, _CKZ_DATA_SPECIFIED = 0x250, 0x2, 0x1
_CKM_SHA_1, _CKG_MGF1_SHA1 = 0x220, 0x1

Attributes = dict[int, bool | int | bytes]


def kek_attributes(dialect: Dialect, profile: Profile, kek_id: str) -> Attributes:
    """Return the template of a new symmetric KEK: it signs, or opens and seals, nothing else."""
    hmac = profile is Profile.HMAC_SHA256
    wraps = profile is Profile.AES_KWP and dialect.kwp_call == "wrap"
    crypts = not hmac and not wraps
    attributes: Attributes = {
        ck.CKA_CLASS: ck.CKO_SECRET_KEY,
        ck.CKA_KEY_TYPE: dialect.hmac_key_type if hmac else dialect.aes_key_type,
        ck.CKA_VALUE_LEN: KEY_BYTES,
        ck.CKA_SIGN: hmac,
        ck.CKA_VERIFY: False,
        ck.CKA_ENCRYPT: crypts,
        ck.CKA_DECRYPT: crypts,
        ck.CKA_WRAP: wraps,
        ck.CKA_UNWRAP: wraps,
        ck.CKA_DERIVE: False,
    }
    return _without_omitted(dialect, attributes | _guarded(dialect, kek_id))


def session_key_attributes(dialect: Dialect, profile: Profile, kek: bytes) -> Attributes:
    """Return the template of a known key that lives for one self-test."""
    attributes = kek_attributes(dialect, profile, "self-test")
    for kind in (ck.CKA_VALUE_LEN, ck.CKA_LABEL, ck.CKA_MODIFIABLE, ck.CKA_WRAP_WITH_TRUSTED):
        attributes.pop(kind, None)
    return attributes | {ck.CKA_TOKEN: False, ck.CKA_VALUE: kek}


def rsa_attributes(dialect: Dialect, kek_id: str) -> tuple[Attributes, Attributes]:
    """Return the templates ``(public, private)`` of a KEK of profile 4."""
    public: Attributes = {
        ck.CKA_TOKEN: True,
        ck.CKA_LABEL: kek_id.encode(),
        ck.CKA_ID: kek_id.encode(),
        ck.CKA_MODULUS_BITS: dialect.rsa_bits,
        ck.CKA_PUBLIC_EXPONENT: b"\x01\x00\x01",
        ck.CKA_ENCRYPT: True,
        ck.CKA_VERIFY: False,
        ck.CKA_WRAP: False,
    }
    private: Attributes = {
        ck.CKA_ID: kek_id.encode(),
        ck.CKA_DECRYPT: True,
        ck.CKA_SIGN: False,
        ck.CKA_UNWRAP: False,
        ck.CKA_DERIVE: False,
    }
    return (
        _without_omitted(dialect, public),
        _without_omitted(dialect, private | _guarded(dialect, kek_id)),
    )


def _guarded(dialect: Dialect, kek_id: str) -> Attributes:
    guarded: Attributes = {
        ck.CKA_TOKEN: True,
        ck.CKA_PRIVATE: True,
        ck.CKA_SENSITIVE: True,
        ck.CKA_EXTRACTABLE: dialect.extractable,
        ck.CKA_MODIFIABLE: False,
        ck.CKA_LABEL: kek_id.encode(),
    }
    if dialect.extractable:
        guarded[ck.CKA_WRAP_WITH_TRUSTED] = True
    return guarded


def _without_omitted(dialect: Dialect, attributes: Attributes) -> Attributes:
    return {kind: value for kind, value in attributes.items() if kind not in dialect.omitted}


class GcmMechanism(Mechanism):
    """CKM_AES_GCM, whose IV the module may have written."""

    gcm: GcmParameters

    def iv_now(self) -> bytes:
        return self.gcm.iv_now()


def gcm_mechanism(dialect: Dialect, iv: bytes, associated_data: bytes) -> GcmMechanism:
    """Return the mechanism of profile 2."""
    parameters = GcmParameters.of(iv, associated_data)
    mechanism = GcmMechanism.of(dialect.gcm_mechanism, parameters)
    mechanism.gcm = parameters
    return mechanism


def open_seed(
    module: Module, dialect: Dialect, session: int, profile: int, key: int, token: bytes
) -> bytes:
    """Return the seed in a token of profile 3 or 4."""
    if profile == Profile.RSA_OAEP_SHA256:
        return module.decrypt(session, oaep_mechanism(dialect), key, token, _RSA_ROOM_BYTES)
    mechanism = Mechanism.of(dialect.kwp_mechanism)
    if dialect.kwp_call == "crypt":
        return module.decrypt(session, mechanism, key, token, _KWP_TOKEN_BYTES)
    inner = module.unwrap(session, mechanism, key, token, passing_attributes(None))
    try:
        return module.attribute(session, inner, ck.CKA_VALUE)
    finally:
        module.destroy(session, inner)


def seal_seed(module: Module, dialect: Dialect, session: int, key: int, seed: bytes) -> bytes:
    """Return the token of profile 3 that holds ``seed``."""
    mechanism = Mechanism.of(dialect.kwp_mechanism)
    if dialect.kwp_call == "crypt":
        return module.encrypt(session, mechanism, key, seed, _KWP_TOKEN_BYTES + 24)
    inner = module.create(session, passing_attributes(seed))
    try:
        return module.wrap(session, mechanism, key, inner, _KWP_TOKEN_BYTES + 24)
    finally:
        module.destroy(session, inner)


def passing_attributes(seed: bytes | None) -> Attributes:
    """Return the template of a session object that only carries bytes in or out."""
    attributes: Attributes = {
        ck.CKA_CLASS: ck.CKO_SECRET_KEY,
        ck.CKA_KEY_TYPE: _CKK_GENERIC_SECRET,
        ck.CKA_TOKEN: False,
        ck.CKA_PRIVATE: True,
        ck.CKA_SENSITIVE: False,
        ck.CKA_EXTRACTABLE: True,
    }
    if seed is not None:
        attributes[ck.CKA_VALUE] = seed
    return attributes


def oaep_mechanism(dialect: Dialect, *, sha1: bool = False) -> Mechanism:
    """Return OAEP with SHA-256 (or SHA-1), MGF1 with the same digest and an empty label."""
    digest, mask = (_CKM_SHA_1, _CKG_MGF1_SHA1) if sha1 else (_CKM_SHA256, _CKG_MGF1_SHA256)
    parameters = OaepParameters(digest, mask, _CKZ_DATA_SPECIFIED, None, 0)
    return Mechanism.of(dialect.oaep_mechanism, parameters)
