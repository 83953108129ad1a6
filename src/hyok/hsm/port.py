"""Hsm: what custody may ask of a hardware security module.

A key is named by its ``kek_id`` (the token object's CKA_LABEL).  The module's process builds every
HMAC input itself from token, kek_id and scope, and takes no ready-made bytes (format.md §13.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


BAD_CIPHERTEXT = "BadCiphertext"
"""The reason of a `Tampered` that blames bytes which came from outside."""

DOOR = 0
"""The profile of a key that a door uses for others: AES-256 in GCM."""


@dataclass(frozen=True, slots=True)
class KekSpec:
    """One KEK as the configuration knows it.

    ``profile`` is format.md's: 1 hmac-sha256, 2 aes-gcm, 3 aes-kwp, 4 rsa-oaep-sha256; or `DOOR`,
    for a key that is no KEK: what its check token holds is its check value.
    ``check_value``: 8 bytes.  ``check_token``: profiles 2 to 4.  ``origin``: profile 4, the RSA
    ciphertext of its 32 bytes.  ``public_key``: profile 4, DER SubjectPublicKeyInfo, pinned.
    """

    kek_id: str
    profile: int
    check_value: bytes
    check_token: bytes = b""
    origin: bytes = b""
    public_key: bytes = b""


@dataclass(frozen=True, slots=True)
class TokenHealth:
    """One token of a group, as of its last real operation."""

    token: str
    healthy: bool
    since_ms: int
    last_error: str
    calls: int
    failures: int
    p50_ms: float
    p99_ms: float


class Hsm(Protocol):
    """A group of tokens that hold the same KEKs; calls go to a healthy one.

    Raises, from every method:
        Unavailable: no token answered before the deadline (code HY-2101); or the PIN was refused
            and an operator must act (code HY-2102).
        NotFound: no key, or more than one, has this kek_id (code HY-2103).
        Tampered: the token does not open under this key (profiles 2 to 4).
    """

    async def secret(self, kek: KekSpec, scope: str, token: bytes) -> bytes:
        """Return the 32-byte secret of ``token`` (format.md §10).  One HSM call."""
        ...

    async def new_token(self, kek: KekSpec, scope: str) -> tuple[bytes, bytes]:
        """Return a fresh ``(token, secret)`` of this KEK for ``scope``."""
        ...

    async def create_kek(self, kek_id: str, profile: int) -> KekSpec:
        """Generate a non-extractable KEK in the token and return its check value.

        Raises:
            Conflict: a key of this name exists.
        """
        ...

    async def check(self, kek: KekSpec) -> None:
        """Return quietly if the key in the token answers its check value.

        Raises:
            Tampered: another key carries this name.
        """
        ...

    async def find_keks(self) -> Sequence[KekSpec]:
        """Return every KEK of profile 1 in the token, with its check value computed."""
        ...

    async def is_same_key(self, kek: KekSpec, other: KekSpec) -> bool:
        """Say whether two names stand for one key, so that the one opens what the other wraps."""
        ...

    async def destroy_kek(self, kek: KekSpec) -> Sequence[str]:
        """Destroy a KEK in every token of the group; return the names of the tokens.

        May be repeated: a token that has no such key any more counts as done.

        Raises:
            Unavailable: a token does not answer; some of the others may have destroyed it already.
            Tampered: another key carries this name in a token; it was left alone.
            Refused: a token will not let go of it (code HY-2109).
        """
        ...

    async def health(self) -> Sequence[TokenHealth]: ...

    async def close(self) -> None: ...


class DoorHsm(Hsm, Protocol):
    """An `Hsm` that also keeps the keys of doors: what it encrypts for others in GCM, and opens.

    ``seconds`` bounds one call; a door's caller waits a quarter of a second in all.

    Raises, from its methods, what `Hsm` does, and:
        Refused: AES-GCM of this module serves no door (code HY-2109).
    """

    async def create_door_key(self, name: str) -> KekSpec:
        """Generate a non-extractable AES-256 key under a name that begins with `DOOR_PREFIX`.

        Raises:
            Conflict: a key of this name exists.
        """
        ...

    async def door_seal(
        self, key: KekSpec, plain: bytes, data: bytes, seconds: float
    ) -> tuple[bytes, bytes]:
        """Return ``(IV, ciphertext ‖ tag)`` under a fresh IV of 12 bytes.  One HSM call."""
        ...

    async def door_open(
        self, key: KekSpec, iv: bytes, sealed: bytes, data: bytes, seconds: float
    ) -> bytes:
        """Return the plaintext.

        Raises:
            Tampered: it does not open under this key, for whatever cause (reason `BAD_CIPHERTEXT`).
        """
        ...

    async def probe_doors(self, seconds: float) -> Mapping[str, str]:
        """Seal and open in every token with a key of the moment; return what failed, by token."""
        ...
