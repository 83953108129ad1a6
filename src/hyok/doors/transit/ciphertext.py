"""Vault's text forms, `vault:v3:…`, and what the HSM authenticates beside a plaintext.  Pure.

The blob is `IV (12) ‖ ciphertext ‖ tag (16)`; a real Vault's ciphertexts do not open here, nor ours
there.  The key's name and version are authenticated too, so that no ciphertext passes for one of
another key, and so is the context, which Vault would derive a key of its own from.

Source: docs/keyservices/transit.md; NIST SP 800-38D.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.doors.transit.wire import base64_of, malformed

if TYPE_CHECKING:
    from collections.abc import Callable

IV_BYTES, TAG_BYTES = 12, 16
CONTEXT_BYTES_MAX = 1024
_VERSION = re.compile(r"v([1-9][0-9]{0,8})").fullmatch


@dataclass(frozen=True, slots=True)
class Blob:
    """What a text form holds, and the version of the key that made it."""

    version: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Binding:
    """What a ciphertext is tied to beside its key."""

    place: str  # mount/key
    context: bytes = b""
    associated: bytes = b""

    def data(self, version: int) -> bytes:
        """Return what is authenticated; each part with its length."""
        place = self.place.encode()
        return b"".join(
            (
                b"\x01",
                len(place).to_bytes(2, "big") + place,
                version.to_bytes(4, "big"),
                b"\x01" if self.context else b"\x00",
                len(self.context).to_bytes(2, "big") + self.context,
                self.associated,
            )
        )

    def data_of(self, wanted: int) -> Callable[[int], bytes]:
        """Return `data` for a version that the caller names; 0: the newest.

        The function raises `Malformed` where the newest is another one: only that encrypts.
        """

        def data(newest: int) -> bytes:
            if wanted > newest:
                raise malformed(
                    "requested version for encryption is higher than the latest key version"
                )
            if wanted and wanted < newest:
                raise malformed(
                    "requested version for encryption is less than the minimum encryption key "
                    "version"
                )
            return self.data(newest)

        return data


def write(version: int, raw: bytes) -> str:
    """Return the text form."""
    return f"vault:v{version}:{base64_of(raw)}"


def _decoded(text: str, *, urlsafe: bool) -> bytes:
    if not urlsafe:
        return b64decode(text.encode("ascii"), validate=True)
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return b64decode(padded, altchars=b"-_", validate=True)


def read(text: str, what: str = "ciphertext", *, urlsafe: bool = False) -> Blob:
    """Return what a text form holds; ``urlsafe``: base64 as JOSE writes it, without padding.

    Raises:
        Malformed: it is none; the sentence is Vault's.
    """
    if not text.startswith("vault:"):
        raise malformed(f"invalid {what}: no prefix")
    parts = text.removeprefix("vault:").split(":")
    if len(parts) != 2:
        raise malformed(f"invalid {what}: wrong number of fields")
    found = _VERSION(parts[0])
    if found is None:
        raise malformed(f"invalid {what}: version number could not be decoded")
    try:
        raw = _decoded(parts[1], urlsafe=urlsafe)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise malformed(f"invalid {what}: could not decode base64") from error
    return Blob(int(found[1]), raw)
