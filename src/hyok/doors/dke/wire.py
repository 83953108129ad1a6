"""Microsoft's Double Key Encryption: requests, answers, and how Office finds a token.  Pure.

Source: Microsoft "Double Key Encryption", the published key store and its API.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

BODY_BYTES_MAX = 8 << 10
VALUE_BYTES_MAX = 512
TOKEN_CHARS_MAX = 16_000
ALGORITHM = "RSA-OAEP-256"
KEY_ALGORITHM = "RS256"
"""What Office looks for beside a key, though the key only opens RSA-OAEP-256."""

_TARGET = re.compile(
    rb"/(?P<key>[A-Za-z0-9-]{1,64})"
    rb"(?:/(?P<id>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})/[Dd][Ee][Cc][Rr][Yy][Pp][Tt])?"
).fullmatch
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._-]+)").fullmatch


@dataclass(frozen=True, slots=True)
class Place:
    """What a request's path names; ``key_id``: of the key that shall decrypt, empty for none."""

    key: str
    key_id: str = ""


def parse_target(target: bytes) -> Place | None:
    """Return what a path names; None: it is none of the protocol's."""
    found = _TARGET(target.partition(b"?")[0]) if len(target) <= 512 else None
    if found is None:
        return None
    return Place(found["key"].decode(), (found["id"] or b"").decode().lower())


def parse_token(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the bearer token of a request; empty: it has none, or more than one."""
    given = [value for name, value in headers if name == b"authorization"]
    found = _BEARER(given[0].strip()) if len(given) == 1 else None
    return found[1].decode() if found and len(found[1]) <= TOKEN_CHARS_MAX else ""


def parse_decrypt(raw: bytes) -> bytes:
    """Return the bytes to open.

    Raises:
        Malformed: it is not what Office sends (code HY-2641).
    """
    try:
        found = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _wrong("the body") from error
    if not isinstance(found, dict):
        raise _wrong("the body")
    if found.get("alg") != ALGORITHM:
        raise _wrong("alg")
    value = found.get("value")
    try:
        sealed = b64decode(value, validate=True) if isinstance(value, str) else b""
    except (ValueError, binascii.Error) as error:
        raise _wrong("value") from error
    if not 1 <= len(sealed) <= VALUE_BYTES_MAX:
        raise _wrong("value")
    return sealed


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _wrong(name: str) -> Malformed:
    return Malformed(f"{name} is missing, or not what it must be.", code="HY-2641")


def render_key(*, modulus: int, exponent: int, kid: str, until: datetime | None) -> bytes:
    """Return a public key; ``until``: UTC, until when Office may remember it."""
    size = (modulus.bit_length() + 7) // 8
    told: dict[str, object] = {
        "key": {
            "kty": "RSA",
            "n": b64encode(modulus.to_bytes(size, "big")).decode(),
            "e": exponent,
            "alg": KEY_ALGORITHM,
            "kid": kid,
        }
    }
    if until is not None:
        told["cache"] = {"exp": until.strftime("%Y-%m-%dT%H:%M:%S")}
    return json.dumps(told, separators=(",", ":")).encode()


def render_decrypted(plain: bytes) -> bytes:
    """Return what was opened."""
    return json.dumps({"value": b64encode(plain).decode()}, separators=(",", ":")).encode()


def render_error(message: str) -> bytes:
    """Return an error's one sentence."""
    return json.dumps({"error": message}, separators=(",", ":")).encode()


def challenge(resource: str, authorization: str) -> list[tuple[str, str]]:
    """Return the headers by which Office learns where to get a token."""
    bearer = f'Bearer resource="{resource}", authorization="{authorization}", realm="{resource}"'
    return [
        ("www-authenticate", bearer),
        ("resource", resource),
        ("authorization", authorization),
    ]
