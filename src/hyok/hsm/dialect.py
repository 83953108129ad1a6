"""Dialect: how one family of modules speaks PKCS#11, as plain numbers.

The profile files (`hyok.hsm.profile`) are checked where settings are read; the agent, which should
stay small, gets this extract as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """Mechanism and key type numbers, limits and quirks of one family."""

    family: str
    profiles: tuple[int, ...] = (1,)
    parameters: str = ""  # text for C_Initialize, where the module wants one
    sessions_max: int = 16
    hmac_mechanism: int = 0x251  # CKM_SHA256_HMAC
    hmac_key_type: int = 0x10  # CKK_GENERIC_SECRET
    hmac_generation: int = 0x350  # CKM_GENERIC_SECRET_KEY_GEN
    aes_key_type: int = 0x1F  # CKK_AES
    aes_generation: int = 0x1080  # CKM_AES_KEY_GEN
    gcm_mechanism: int = 0x1087  # CKM_AES_GCM
    gcm_iv: str = "caller"  # or "module": the IV it writes back goes into the token
    kw_mechanism: int = 0x2109  # CKM_AES_KEY_WRAP
    kwp_mechanism: int = 0x210B  # CKM_AES_KEY_WRAP_KWP
    kwp_call: str = "crypt"  # C_Encrypt and C_Decrypt; or "wrap": C_WrapKey and C_UnwrapKey
    oaep_mechanism: int = 0x9  # CKM_RSA_PKCS_OAEP
    rsa_generation: int = 0x0  # CKM_RSA_PKCS_KEY_PAIR_GEN
    rsa_bits: int = 3072
    ec_generation: int = 0x1040  # CKM_EC_KEY_PAIR_GEN
    ecdsa_mechanism: int = 0x1041  # CKM_ECDSA, over our SHA-256; or one that hashes itself
    extractable: bool = False  # true only where the vendor's backup needs it
    omitted: tuple[int, ...] = ()  # attributes that the module refuses in a template

    def to_json(self) -> str:
        """Return this dialect as the agent's argument."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Dialect:
        """Return the dialect of `to_json`; it comes from our own supervisor, not from outside."""
        values = json.loads(text)
        for name in ("profiles", "omitted"):
            values[name] = tuple(values[name])
        return cls(**values)
