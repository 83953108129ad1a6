"""Authenticators (FIDO2): what registers one, and what one has signed.  Pure: no clock, no store.

The browser signs over its client data (what it was asked, and by which site) and the authenticator
over that and its own data (was the person verified; how often has it signed).

Source: W3C Web Authentication Level 3, sections 5.8.1, 6.1, 7.1 and 7.2.
"""

from __future__ import annotations

import json
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from fido2 import cbor
from fido2.cose import ES256, RS256, CoseKey, EdDSA
from fido2.webauthn import AttestationObject, AuthenticatorData

from hyok.errors import NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHMS: Mapping[int, type[CoseKey]] = {-7: ES256, -8: EdDSA, -257: RS256}
"""ES256, EdDSA, RS256: what authenticators sign with, the preferred first."""

CREDENTIAL_BYTES_MAX = 150
"""It is part of an identity, which is a key of a row."""

FIELD_BYTES_MAX = 8_192
UNREADABLE = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError),
    *(OverflowError, RecursionError, struct.error),
)
"""What reading bytes raises that are cut, nested without end, or something else altogether."""

UP, UV, BE = 0x01, 0x04, 0x08


@dataclass(frozen=True, slots=True)
class Site:
    """Where an authenticator is used: the site's name (RP ID) and the exact origin."""

    rp_id: str
    origin: str
    synced: bool = False  # take keys that their vendor copies to a cloud


@dataclass(frozen=True, slots=True)
class Authenticator:
    """One registered authenticator.  ``public_key`` is COSE."""

    rp_id: str
    credential_id: bytes
    public_key: bytes

    @property
    def identity(self) -> str:
        """What stands in the register: it holds site and key, so neither can be exchanged."""
        mark = sha256(self.rp_id.encode() + b"\n" + self.public_key).digest()
        return f"webauthn:{encode(self.credential_id)}.{encode(mark)}"


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a browser hands over when somebody has used an authenticator."""

    client_data: bytes
    authenticator_data: bytes
    signature: bytes


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes of base64url without padding.

    Raises:
        NotAuthenticated: it is none (code HY-2512).
    """
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise _refused("a field is no base64url") from error
    if len(raw) > FIELD_BYTES_MAX or encode(raw) != text:
        raise _refused("a field is no base64url")
    return raw


def read_registration(
    client_data: bytes, attestation: bytes, challenge: bytes, site: Site
) -> Authenticator:
    """Return the authenticator that was made for ``challenge`` on this site.

    Its make is not asked for (no attestation): another officer's approval vouches for it.

    Raises:
        NotAuthenticated: it was made for something else, without its person being verified, or in
            a way that we do not take (code HY-2512).
    """
    _check_client_data(client_data, "webauthn.create", challenge, site.origin)
    try:
        data = AttestationObject(attestation).auth_data
        made = data.credential_data
        key = cbor.encode(dict(made.public_key)) if made is not None else b""
    except UNREADABLE as error:
        raise _refused("what the authenticator sent cannot be read") from error
    if made is None or not 16 <= len(made.credential_id) <= CREDENTIAL_BYTES_MAX:
        raise _refused("the authenticator's key has no name of 16 to 150 bytes")
    _check_flags(bytes(data), site.rp_id, synced=site.synced)
    _key(key)
    return Authenticator(site.rp_id, bytes(made.credential_id), key)


def verify_assertion(
    by: Authenticator, made: Assertion, challenge: bytes, site: Site | None = None
) -> int:
    """Return the authenticator's count of signatures, if it has signed this challenge.

    Args:
        by: the authenticator.
        made: what the browser handed over.
        challenge: what had to be signed.
        site: where it has just been signed; None where an old signature is looked at again, whose
            origin then only has to be one of the authenticator's site.

    Raises:
        NotAuthenticated: it has not, or not on this site, or its person was not verified (code
            HY-2512).
    """
    origin = _check_client_data(
        made.client_data, "webauthn.get", challenge, site.origin if site else ""
    )
    if (site is not None and site.rp_id != by.rp_id) or not _is_of(origin, by.rp_id):
        raise _refused("it was signed for another site")
    _check_flags(made.authenticator_data, by.rp_id, synced=site is None or site.synced)
    try:
        count = AuthenticatorData(made.authenticator_data).counter
    except UNREADABLE as error:
        raise _refused("what the authenticator sent cannot be read") from error
    signed = made.authenticator_data + sha256(made.client_data).digest()
    try:
        _key(by.public_key).verify(signed, made.signature)
    except (InvalidSignature, *UNREADABLE) as error:
        raise _refused("the authenticator's signature does not hold") from error
    return int(count)


def _check_client_data(raw: bytes, kind: str, challenge: bytes, origin: str) -> str:
    """Return the origin; ``origin`` is the one expected, or empty."""
    try:
        said = json.loads(raw)
        asked, found = decode(str(said["challenge"])), said["origin"]
        across = said.get("crossOrigin", False) or "topOrigin" in said
    except UNREADABLE as error:
        raise _refused("the browser's data cannot be read") from error
    if said.get("type") != kind or not compare_digest(asked, challenge):
        raise _refused("it was signed for something else")
    if not isinstance(found, str) or across or (origin and found != origin):
        raise _refused("it was signed on another site")
    return found


def _check_flags(data: bytes, rp_id: str, *, synced: bool) -> None:
    if len(data) < 37 or data[:32] != sha256(rp_id.encode()).digest():
        raise _refused("it was signed for another site")
    if not data[32] & UP or not data[32] & UV:
        raise _refused("the authenticator did not verify its person (PIN or fingerprint)")
    if data[32] & BE and not synced:
        raise _refused("keys that are copied to a cloud are not taken; use a security key")


def _key(cose: bytes) -> CoseKey:
    try:
        fields = cbor.decode(cose)
        named = fields.get(3) if isinstance(fields, dict) else None
        kind = ALGORITHMS.get(named) if isinstance(named, int) else None
        if kind is None or not isinstance(fields, dict):
            raise _refused("the authenticator signs in a way that is not taken")
        return kind(fields)
    except UNREADABLE as error:
        raise _refused("the authenticator's key cannot be read") from error


def _is_of(origin: str, rp_id: str) -> bool:
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return host == rp_id or host.endswith("." + rp_id)


def _refused(cause: str) -> NotAuthenticated:
    return NotAuthenticated(
        f"The authenticator's answer is refused: {cause}.",
        code="HY-2512",
        effect="Nothing was changed.",
        next_step="try again with a registered authenticator, on this site",
    )
