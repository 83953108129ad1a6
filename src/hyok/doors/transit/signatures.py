"""Signatures as the API writes them: DER in base64, or `r ‖ s` as JOSE does.  Pure.

Source: HashiCorp Vault and OpenBao, "Sign data", "Verify signed data"; RFC 3279; RFC 7518, 3.4.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from hyok.doors.transit import ciphertext, wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.doors.transit.ciphertext import Blob

HASH = "sha2-256"
_DIGEST_BYTES, _HALF_BYTES = 32, 32


def digest_of(members: Mapping[str, object]) -> bytes:
    """Return the SHA-256 digest of the input, or the input where it is one already.

    Raises:
        Malformed: there is none, or it is no digest.
    """
    found = wire.bytes_of(members, "input")
    if found is None:
        raise wire.malformed("missing input")
    if not _is_true(members.get("prehashed")):
        return sha256(found).digest()
    if len(found) != _DIGEST_BYTES:
        raise wire.malformed("a prehashed input is a digest of 32 bytes")
    return found


def _is_true(told: object) -> bool:
    return told is True or (isinstance(told, str) and told.lower() in {"true", "1"})


def form_of(members: Mapping[str, object]) -> str:
    """Return how signatures are written: ``asn1`` or ``jws``.

    Raises:
        Malformed: in another way.
    """
    found = wire.text_of(members, "marshaling_algorithm", "asn1") or "asn1"
    if found not in {"asn1", "jws"}:
        raise wire.malformed("invalid marshaling algorithm: asn1 and jws are served")
    return found


def write(version: int, raw: bytes, form: str) -> str:
    """Return the text form of ``r ‖ s``."""
    if form == "jws":
        return f"vault:v{version}:{urlsafe_b64encode(raw).rstrip(b'=').decode('ascii')}"
    r, s = (int.from_bytes(half, "big") for half in (raw[:_HALF_BYTES], raw[_HALF_BYTES:]))
    return ciphertext.write(version, encode_dss_signature(r, s))


def read(text: str, form: str) -> Blob:
    """Return ``r ‖ s`` of a text form; bytes that are no signature are none of any key.

    Raises:
        Malformed: it is no text form.
    """
    found = ciphertext.read(text, "signature", urlsafe=form == "jws")
    if form == "jws":
        return found
    try:
        r, s = decode_dss_signature(found.raw)
        raw = r.to_bytes(_HALF_BYTES, "big") + s.to_bytes(_HALF_BYTES, "big")
    except (ValueError, OverflowError):
        raw = b""
    return ciphertext.Blob(found.version, raw)


def pem_of(public_der: bytes) -> str:
    """Return a public key as clients read it."""
    key = load_der_public_key(public_der)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
