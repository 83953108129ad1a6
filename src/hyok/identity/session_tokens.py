"""Session tokens as bytes: who a session is, sealed under a key of the installation.

The token holds all that a gateway needs, so sessions stand in no table.  Text form: base64url
without padding of ``HYT1 ‖ key_id (8) ‖ salt (16) ‖ AES-256-GCM(claims)``.  Each token has a key of
its own, HKDF(session key, salt), so the nonce is zero; what stands before the ciphertext is bound.

Pure: keys, salts and times are given.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyok.envelope.keys import hkdf
from hyok.errors import NotAuthenticated

TOKEN_CHARS_MAX = 2048
KEY_ID_BYTES = 8
SALT_BYTES = 16
_MAGIC = b"HYT1"
_HEAD_BYTES = len(_MAGIC) + KEY_ID_BYTES + SALT_BYTES
_NONCE = bytes(12)  # every token has a key of its own
_LABEL = b"hyok session token"
_TEXT = re.compile(r"[A-Za-z0-9_-]+").fullmatch


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """One session: whose it is, until when, and the secret that signs its requests."""

    access_key: str
    secret: str = field(repr=False)
    app_id: str
    trust_id: str
    name: str  # as the workload called it
    expires_ms: int


@dataclass(frozen=True, slots=True)
class SealedToken:
    """A token taken apart; nothing of it is proven."""

    key_id: bytes
    salt: bytes
    head: bytes
    body: bytes


def seal_token(claims: SessionClaims, *, key_id: bytes, key: bytes, salt: bytes) -> str:
    """Return the token of a session, sealed under one of the installation's session keys."""
    assert (len(key_id), len(salt)) == (KEY_ID_BYTES, SALT_BYTES)
    head = _MAGIC + key_id + salt
    plain = json.dumps(
        [
            claims.access_key,
            claims.secret,
            claims.app_id,
            claims.trust_id,
            claims.name,
            claims.expires_ms,
        ],
        separators=(",", ":"),
    ).encode()
    sealed = head + AESGCM(hkdf(key, salt, _LABEL)).encrypt(_NONCE, plain, head)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")


def split_token(token: str) -> SealedToken:
    """Return the pieces of a token, the id of its key among them.

    Raises:
        NotAuthenticated: it is none of ours (reason ``InvalidToken``).
    """
    if len(token) > TOKEN_CHARS_MAX or not _TEXT(token):
        raise invalid_token()
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise invalid_token() from None
    if not raw.startswith(_MAGIC) or len(raw) < _HEAD_BYTES + 16:
        raise invalid_token()
    head, at = raw[:_HEAD_BYTES], len(_MAGIC) + KEY_ID_BYTES
    return SealedToken(raw[len(_MAGIC) : at], raw[at:_HEAD_BYTES], head, raw[_HEAD_BYTES:])


def open_token(sealed: SealedToken, key: bytes) -> SessionClaims:
    """Return the session that was sealed under ``key``.

    Raises:
        NotAuthenticated: it was changed, or sealed under another key (reason ``InvalidToken``).
    """
    try:
        plain = AESGCM(hkdf(key, sealed.salt, _LABEL)).decrypt(_NONCE, sealed.body, sealed.head)
    except InvalidTag:
        raise invalid_token() from None
    return SessionClaims(*json.loads(plain))


def invalid_token() -> NotAuthenticated:
    """Return the one answer to every token that is not good."""
    return NotAuthenticated(
        "The provided token is malformed or otherwise invalid.", reason="InvalidToken"
    )
