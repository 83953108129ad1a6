"""The key service protocol of Google's client-side encryption: requests and answers.  Pure.

Source: Google "Client-side encryption API".
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from hyok.doors.kacls.blob import BLOB_BYTES_MAX, PRIVATE_BYTES_MAX
from hyok.doors.kacls.rules import Method
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BODY_BYTES_MAX = 64 << 10
TOKEN_CHARS_MAX = 20_000
DATA_KEY_BYTES_MAX = 128
REASON_BYTES_MAX = 1024
NAME_BYTES_MAX = 512
PERIMETER_BYTES_MAX = 128
URL_BYTES_MAX = 1024
SEALED_BYTES_MAX = 1024
DIGEST_BYTES_MAX = 128
PEM_BYTES_MAX = 8192
SALT_BYTES_MAX = 446  # what RSA of 4096 bits leaves beside SHA-512
ORIGIN = "https://client-side-encryption.google.com"

CORS = (
    ("access-control-allow-origin", ORIGIN),
    ("access-control-allow-methods", "GET, POST, OPTIONS"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-max-age", "3600"),
    ("vary", "origin"),
)

HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"), *CORS)


@dataclass(frozen=True, slots=True)
class Asked:
    """The members of a request; empty where its method has none of that name."""

    method: Method
    authentication: str = field(default="", repr=False)
    authorization: str = field(default="", repr=False)
    reason: str = ""
    key: bytes = field(default=b"", repr=False)
    wrapped_key: bytes = b""
    resource_name: str = ""
    perimeter_id: str = ""
    original_kacls_url: str = ""
    algorithm: str = ""
    sealed: bytes = b""  # encrypted_data_encryption_key
    label: bytes = b""  # rsa_oaep_label
    digest: bytes = b""
    salt_bytes: int | None = None  # rsa_pss_salt_length
    wrapped_private_key: bytes = b""
    spki_hash: str = ""
    spki_hash_algorithm: str = ""
    private_key: str = field(default="", repr=False)


_DECRYPTS = frozenset({"algorithm", "encrypted_data_encryption_key", "wrapped_private_key"})
MEMBERS: Mapping[Method, frozenset[str]] = {
    Method.WRAP: frozenset({"authentication", "authorization", "key"}),
    Method.UNWRAP: frozenset({"authentication", "authorization", "wrapped_key"}),
    Method.DIGEST: frozenset({"authorization", "wrapped_key"}),
    Method.REWRAP: frozenset({"authorization", "original_kacls_url", "wrapped_key"}),
    Method.DELEGATE: frozenset({"authentication", "authorization"}),
    Method.PRIVILEGED_WRAP: frozenset({"authentication", "key", "resource_name"}),
    Method.PRIVILEGED_UNWRAP: frozenset({"authentication", "resource_name", "wrapped_key"}),
    Method.PRIVATE_KEY_DECRYPT: frozenset({"authentication", "authorization"}) | _DECRYPTS,
    Method.PRIVATE_KEY_SIGN: frozenset(
        {"authentication", "authorization", "algorithm", "digest", "wrapped_private_key"}
    ),
    Method.PRIVILEGED_PRIVATE_KEY_DECRYPT: frozenset(
        {"authentication", "spki_hash", "spki_hash_algorithm"}
    )
    | _DECRYPTS,
    Method.WRAP_PRIVATE_KEY: frozenset({"authentication", "private_key"}),
}
"""What a request of each method must have; `reason` and `perimeter_id` may be left out."""


def parse_target(target: bytes, base_path: str) -> Method | None:
    """Return the method that a path names below ours; None: none."""
    path, mark, _ = target.partition(b"?")
    prefix = base_path.rstrip("/").encode("ascii") + b"/"
    if mark or not path.startswith(prefix):
        return None
    try:
        return Method(path[len(prefix) :].decode("ascii"))
    except ValueError:
        return None


def parse(method: Method, raw: bytes) -> Asked:
    """Return what is asked.

    Raises:
        Malformed: the body is not JSON, or a member is not what it must be (code HY-2682).
    """
    body, has = _object(raw), MEMBERS[method]

    def text(name: str, most: int) -> str:
        return _name(body, name, most) if name in has else ""

    def bytes_(name: str, most: int) -> bytes:
        return _bytes(body, name, most) if name in has else b""

    perimeter = method in {Method.PRIVILEGED_WRAP, Method.WRAP_PRIVATE_KEY}
    decrypts, signs = has >= _DECRYPTS, "digest" in has
    return Asked(
        method,
        authentication=_token(body, "authentication") if "authentication" in has else "",
        authorization=_token(body, "authorization") if "authorization" in has else "",
        reason=_reason(body),
        key=bytes_("key", DATA_KEY_BYTES_MAX),
        wrapped_key=bytes_("wrapped_key", BLOB_BYTES_MAX),
        resource_name=text("resource_name", NAME_BYTES_MAX),
        perimeter_id=_name(body, "perimeter_id", PERIMETER_BYTES_MAX, needed=False)
        if perimeter
        else "",
        original_kacls_url=text("original_kacls_url", URL_BYTES_MAX),
        algorithm=text("algorithm", 64),
        sealed=bytes_("encrypted_data_encryption_key", SEALED_BYTES_MAX),
        label=_label(body) if decrypts else b"",
        digest=bytes_("digest", DIGEST_BYTES_MAX),
        salt_bytes=_salt(body) if signs else None,
        wrapped_private_key=bytes_("wrapped_private_key", PRIVATE_BYTES_MAX),
        spki_hash=text("spki_hash", 128),
        spki_hash_algorithm=text("spki_hash_algorithm", 32),
        private_key=_pem(body) if "private_key" in has else "",
    )


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON.", code="HY-2682") from None
    if not isinstance(found, dict):
        raise Malformed("The body is not a JSON object.", code="HY-2682")
    return cast("Mapping[str, object]", found)


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def _token(body: Mapping[str, object], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not 1 <= len(found) <= TOKEN_CHARS_MAX:
        raise _wrong(name)
    return found


def _reason(body: Mapping[str, object]) -> str:
    """Return the caller's words with everything that is not printable written out."""
    found = body.get("reason", "")
    if not isinstance(found, str) or len(found.encode(errors="replace")) > REASON_BYTES_MAX:
        raise _wrong("reason")
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in found
    )


def _name(body: Mapping[str, object], name: str, most: int, *, needed: bool = True) -> str:
    found = body.get(name)
    if found is None and not needed:
        return ""
    if not isinstance(found, str) or not found.isprintable() or (needed and not found):
        raise _wrong(name)
    if len(found.encode()) > most:
        raise _wrong(name)
    return found


def _bytes(body: Mapping[str, object], name: str, most: int) -> bytes:
    found = body.get(name)
    if not isinstance(found, str):
        raise _wrong(name)
    try:
        raw = b64decode(found.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise _wrong(name) from None
    if not 1 <= len(raw) <= most:
        raise _wrong(name)
    return raw


def _label(body: Mapping[str, object]) -> bytes:
    given = body.get("rsa_oaep_label")
    return b"" if given is None or given == "" else _bytes(body, "rsa_oaep_label", SEALED_BYTES_MAX)


def _salt(body: Mapping[str, object]) -> int | None:
    found = body.get("rsa_pss_salt_length")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= SALT_BYTES_MAX:
        raise _wrong("rsa_pss_salt_length")
    return found


def _pem(body: Mapping[str, object]) -> str:
    found = body.get("private_key")
    if not isinstance(found, str) or not found.isascii() or not 1 <= len(found) <= PEM_BYTES_MAX:
        raise _wrong("private_key")
    return found


def _wrong(name: str) -> Malformed:
    return Malformed(f"{name} is missing, or not what it must be.", code="HY-2682")


def render_status(version: str, operations: Sequence[Method], name: str = "") -> bytes:
    """Return the answer to status."""
    told: dict[str, object] = {
        "server_type": "KACLS",
        "vendor_id": "hyok",
        "version": version,
        "operations_supported": [str(one) for one in operations],
    }
    return _render(told | ({"name": name} if name else {}))


def render_wrapped(blob: bytes) -> bytes:
    """Return the answer to wrap."""
    return _render({"wrapped_key": b64encode(blob).decode("ascii")})


def render_key(key: bytes) -> bytes:
    """Return the answer to unwrap."""
    return _render({"key": b64encode(key).decode("ascii")})


def render_digest(digest: str) -> bytes:
    """Return the answer to digest."""
    return _render({"resource_key_hash": digest})


def render_rewrapped(blob: bytes, digest: str) -> bytes:
    """Return the answer to rewrap."""
    wrapped = b64encode(blob).decode("ascii")
    return _render({"resource_key_hash": digest, "wrapped_key": wrapped})


def render_delegated(token: str) -> bytes:
    """Return the answer to delegate."""
    return _render({"delegated_authentication": token})


def render_data_key(key: bytes) -> bytes:
    """Return the answer to privatekeydecrypt."""
    return _render({"data_encryption_key": b64encode(key).decode("ascii")})


def render_signature(signature: bytes) -> bytes:
    """Return the answer to privatekeysign."""
    return _render({"signature": b64encode(signature).decode("ascii")})


def render_wrapped_private(blob: bytes) -> bytes:
    """Return the answer to wrapprivatekey."""
    return _render({"wrapped_private_key": b64encode(blob).decode("ascii")})


def render_error(status: int, message: str, details: str = "") -> bytes:
    """Return an error."""
    return _render({"code": status, "message": message, "details": details})


def _render(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
