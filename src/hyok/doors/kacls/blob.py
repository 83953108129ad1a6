"""The wrapped key that Google keeps: which key sealed it, and what is inside.  Pure.

`01 | length of key id | key id | IV (12) | AES-GCM of the content | tag (16)`; what stands before
the IV is authenticated with it.  The content binds the data key to its document and perimeter:
`length | data key | length | resource name | length | perimeter id`, lengths of two bytes.

Source: Google "Client-side encryption API", wrap and unwrap; NIST SP 800-38D.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256

FORM, PRIVATE_FORM = 1, 2
IV_BYTES, TAG_BYTES = 12, 16
BLOB_BYTES_MAX = 1024
PRIVATE_BYTES_MAX = 8192
_KEY_ID_MAX = 80
_KEY_ID = re.compile(rb"([A-Za-z0-9-]{1,64})/([1-9][0-9]{0,8})").fullmatch


@dataclass(frozen=True, slots=True)
class Content:
    """What a wrapped key holds."""

    data_key: bytes
    resource_name: str
    perimeter_id: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A wrapped key as it was received."""

    key_name: str
    version: int
    iv: bytes
    ciphertext: bytes
    tag: bytes


@dataclass(frozen=True, slots=True)
class PrivateContent:
    """What a wrapped private key holds: itself, wrapped by a key that does nothing else."""

    key_name: str  # of that key
    version: int
    perimeter_id: str
    wrapped: bytes


def head_of(key_name: str, version: int, form: int = FORM) -> bytes:
    """Return what stands before the IV."""
    key_id = f"{key_name}/{version}".encode("ascii")
    return bytes([form, len(key_id)]) + key_id


def parse_blob(raw: bytes, form: int = FORM) -> Blob | None:
    """Return the parts of a wrapped key; None: it is none that was made here."""
    most = BLOB_BYTES_MAX if form == FORM else PRIVATE_BYTES_MAX
    if not 2 <= len(raw) <= most or raw[0] != form or raw[1] > _KEY_ID_MAX:
        return None
    # The sender chose this name: it goes into records before anything is proven.
    named = _KEY_ID(raw[2 : 2 + raw[1]])
    rest = raw[2 + raw[1] :]
    if named is None or len(rest) < IV_BYTES + TAG_BYTES + 6:
        return None
    return Blob(
        named[1].decode(),
        int(named[2]),
        rest[:IV_BYTES],
        rest[IV_BYTES:-TAG_BYTES],
        rest[-TAG_BYTES:],
    )


def encode_content(content: Content) -> bytes:
    """Return the bytes to seal."""
    parts = (content.data_key, content.resource_name.encode(), content.perimeter_id.encode())
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def parse_content(raw: bytes) -> Content | None:
    """Return what a blob held; None: other bytes were sealed by this key."""
    parts = _parts(raw)
    if parts is None:
        return None
    try:
        return Content(parts[0], parts[1].decode(), parts[2].decode())
    except UnicodeDecodeError:
        return None


def encode_private(content: PrivateContent) -> bytes:
    """Return the bytes to seal."""
    key_id = f"{content.key_name}/{content.version}".encode("ascii")
    parts = (key_id, content.perimeter_id.encode(), content.wrapped)
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def parse_private(raw: bytes) -> PrivateContent | None:
    """Return what a blob of a private key held; None: other bytes were sealed by this key."""
    parts = _parts(raw)
    named = _KEY_ID(parts[0]) if parts is not None else None
    if parts is None or named is None:
        return None
    try:
        return PrivateContent(named[1].decode(), int(named[2]), parts[1].decode(), parts[2])
    except UnicodeDecodeError:
        return None


def _parts(raw: bytes) -> list[bytes] | None:
    parts, at = [], 0
    for _ in range(3):
        length = int.from_bytes(raw[at : at + 2], "big")
        parts.append(raw[at + 2 : at + 2 + length])
        at += 2 + length
    return parts if at == len(raw) else None


def resource_key_hash(content: Content) -> str:
    """Return the hash by which two services compare a key that neither shows.

    Source: Google "Client-side encryption API", resource key hash.
    """
    said = f"ResourceKeyDigest:{content.resource_name}:{content.perimeter_id}".encode()
    return b64encode(hmac.digest(content.data_key, said, sha256)).decode("ascii")
