"""Hsm: what custody may ask of a hardware security module.

A key is named by its ``kek_id`` (the token object's CKA_LABEL).  The module's process builds every
HMAC input itself from token, kek_id and scope, and takes no ready-made bytes (format.md §13.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.vocabulary import DecryptHow, SignHow


MANY_MAX = 64
"""Values of up to 64 bytes that one question to an agent carries; a session is held meanwhile."""

BAD_CIPHERTEXT = "BadCiphertext"
"""The reason of a `Tampered` that blames bytes which came from outside."""

DOOR = 0
"""The profile of a key that a door uses for others: AES-256 in GCM."""

DOOR_PAIR = 128
"""The profile of a pair that a door uses for others: RSA, of which the private half opens OAEP."""

DOOR_MAC = 16
"""The profile of another kind of them: HMAC-SHA256, whose check value the token computes anew."""


DOOR_SIGN = 17
"""The profile of a third kind: ECDSA of P-256, whose public key is pinned."""

DOOR_WRAP = 18
"""The profile of a fourth: AES-256 that wraps keys, whose check value the token computes anew."""
DOOR_PRIVATE = 19
"""The profile of a key that wraps private keys of others, and does nothing else."""

DOOR_RSA_SIGN = 129
"""The profile of a pair that signs a door's own tokens: RSA, whose public key is pinned."""


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


OTHER_PUBLIC_KEY = "OtherPublicKey"
"""The reason of a refusal: a wrapped key's public half is not the one that was named."""


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

    async def door_seal_many(
        self, key: KekSpec, plains: Sequence[bytes], seconds: float
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return ``(IV, ciphertext ‖ tag)`` of each, without associated data.

        One question to the agent, one HSM call for each; up to `MANY_MAX` content keys.
        """
        ...

    async def door_open_many(
        self, key: KekSpec, sealed: Sequence[tuple[bytes, bytes]], seconds: float
    ) -> Sequence[bytes]:
        """Return the plaintexts, all of them; `door_open` finds the one that does not open.

        Raises:
            Tampered: one of them does not open, for whatever cause (reason `BAD_CIPHERTEXT`).
        """
        ...

    async def create_mac_key(self, name: str) -> KekSpec:
        """Generate a non-extractable secret for HMAC-SHA256 under a name of a door's key.

        Raises:
            Conflict: a key of this name exists.
        """
        ...

    async def door_mac(self, key: KekSpec, data: bytes, seconds: float) -> bytes:
        """Return the HMAC-SHA256 of ``data``.  One HSM call."""
        ...

    async def door_mac_many(
        self, key: KekSpec, texts: Sequence[bytes], seconds: float
    ) -> Sequence[bytes]:
        """Return the HMAC-SHA256 of each.  One question to the agent, one HSM call for each."""
        ...

    async def create_sign_key(self, name: str) -> KekSpec:
        """Generate a non-extractable pair of P-256 under a name of a door's key.

        Raises:
            Conflict: a key of this name exists.
        """
        ...

    async def door_sign(self, key: KekSpec, digest: bytes, seconds: float) -> bytes:
        """Return ``r ‖ s`` over a SHA-256 digest.  One HSM call."""
        ...

    async def door_random(self, size: int, seconds: float) -> bytes:
        """Return bytes of a token's own generator."""
        ...

    async def probe_doors(self, seconds: float) -> Mapping[str, str]:
        """Seal and open in every token with a key of the moment; return what failed, by token."""
        ...


class PairHsm(DoorHsm, Protocol):
    """A `DoorHsm` that also keeps RSA pairs of doors: it opens what was sealed to a public key.

    Raises, from its methods, what `DoorHsm` does; `Refused` where the module's RSA-OAEP with
    SHA-256 serves no door (code HY-2109).
    """

    async def create_door_pair(self, name: str, bits: int) -> KekSpec:
        """Generate a pair of 2048, 3072 or 4096 bits under a name that begins with `DOOR_PREFIX`.

        Raises:
            Conflict: a key of this name exists.
        """
        ...

    async def create_rsa_signer(self, name: str, bits: int) -> KekSpec:
        """Generate a pair that signs and opens nothing, of as many bits, under such a name.

        Raises:
            Conflict: a key of this name exists.
            Tampered: what it signs does not hold under its public key (code HY-2106).
        """
        ...

    async def rsa_sign(self, key: KekSpec, digest: bytes, seconds: float) -> bytes:
        """Return the PKCS #1 v1.5 signature of a SHA-256 digest.  One HSM call."""
        ...

    async def create_private_wrapper(self, name: str) -> KekSpec:
        """Generate a key that wraps private keys of others, under such a name.

        Raises:
            Conflict: a key of this name exists.
            Refused: the module cannot put wrapped private keys to use (code HY-2109).
        """
        ...

    async def private_wrap(self, key: KekSpec, private_der: bytes, seconds: float) -> bytes:
        """Return an RSA private key (PKCS #8, DER), wrapped.

        Raises:
            Malformed: it is none of a size that is taken.
        """
        ...

    async def private_sign(
        self, key: KekSpec, wrapped: bytes, spki: bytes, how: SignHow, seconds: float
    ) -> bytes:
        """Return a signature by a wrapped private key, which comes into the token for it alone.

        ``spki``: SHA-256 of its public half, DER.

        Raises:
            Tampered: it does not open under this key (reason `BAD_CIPHERTEXT`).
            Refused: its public half is another (reason `OTHER_PUBLIC_KEY`).
        """
        ...

    async def private_decrypt(
        self, key: KekSpec, wrapped: bytes, spki: bytes, how: DecryptHow, seconds: float
    ) -> bytes:
        """Return a plaintext, as `private_sign` does a signature.

        Raises:
            HyokError: as `private_sign` does; `Tampered` also where the ciphertext does not open.
        """
        ...

    async def pair_open(self, key: KekSpec, sealed: bytes, seconds: float) -> bytes:
        """Return the plaintext.

        Raises:
            Tampered: it does not open under this key, for whatever cause (reason `BAD_CIPHERTEXT`).
        """
        ...

    async def pair_public(self, key: KekSpec, seconds: float) -> bytes:
        """Return the public key, DER, of which the HSM showed that it holds the private half.

        Raises:
            Tampered: it holds another key under this name (code HY-2106).
        """
        ...

    async def probe_pairs(self, seconds: float) -> Mapping[str, str]:
        """Open a sealed message in every token with a pair of the moment; return what failed."""
        ...


class WrapHsm(PairHsm, Protocol):
    """A `PairHsm` that also wraps keys for doors, and knows OAEP with SHA-1 where the module does.

    Raises, from its methods, what `PairHsm` does; `Refused` where the module's key wrap serves no
    door (code HY-2109).
    """

    async def create_wrap_key(self, name: str) -> KekSpec:
        """Generate a non-extractable AES-256 key that wraps, under a name of a door's key.

        Raises:
            Conflict: a key of this name exists.
        """
        ...

    async def door_wrap(self, key: KekSpec, value: bytes, seconds: float, *, padded: bool) -> bytes:
        """Return the value wrapped: RFC 3394, or RFC 5649 where it is ``padded``."""
        ...

    async def door_unwrap(
        self, key: KekSpec, wrapped: bytes, seconds: float, *, padded: bool
    ) -> bytes:
        """Return the value.

        Raises:
            Tampered: it does not unwrap under this key, whatever the cause (`BAD_CIPHERTEXT`).
        """
        ...

    async def pair_open_sha1(self, key: KekSpec, sealed: bytes, seconds: float) -> bytes:
        """Return the plaintext of OAEP with SHA-1 and MGF1-SHA-1.

        Raises:
            Tampered: it does not open under this key, for whatever cause (reason `BAD_CIPHERTEXT`).
        """
        ...

    async def probe_wraps(self, seconds: float) -> Mapping[str, str]:
        """Wrap and unwrap in every token with a key of the moment; return what failed, by token."""
        ...
