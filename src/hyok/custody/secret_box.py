"""SecretBox: small secrets of our own in the database, sealed under a KEK of the HSM.

The KEK is the installation's own (`system/secrets/1`) and seals nothing else; a KEK that wraps
objects never serves here.  ``purpose`` is bound, so a sealed value moved to another row or column
does not open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyok.envelope.keys import hkdf
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.custody.port import KekBook
    from hyok.hsm.port import Hsm

TENANT = "system"
CLASSIFICATION = "secrets"
SCOPE = "secrets"
_MAGIC = b"HYS1"
_NONCE = bytes(12)  # every value has a key of its own


class HsmSecretBox:
    """Fills the SecretBox that `identity` and `backends` ask for."""

    def __init__(self, hsm: Hsm, keks: KekBook, entropy: Callable[[int], bytes]) -> None:
        self._hsm = hsm
        self._keks = keks
        self._entropy = entropy

    async def seal(self, purpose: str, plain: bytes) -> bytes:
        """Return ``plain`` sealed for this purpose.  One HSM call."""
        kek = await self._keks.active(TENANT, CLASSIFICATION)
        token, secret = await self._hsm.new_token(kek.spec, SCOPE)
        salt = self._entropy(16)
        name = kek.kek_id.encode()
        head = _MAGIC + bytes([len(name)]) + name + len(token).to_bytes(2, "big") + token + salt
        return head + AESGCM(_key(secret, salt)).encrypt(_NONCE, plain, _bound(head, purpose))

    async def open(self, purpose: str, sealed: bytes) -> bytes:
        """Return what was sealed for this purpose.  One HSM call.

        Raises:
            Tampered: it is not what `seal` returned for this purpose.
        """
        name, token, salt, body = _split(sealed)
        kek = await self._keks.find(name)
        if kek is None or (kek.tenant, kek.classification) != (TENANT, CLASSIFICATION):
            raise Tampered("a sealed row names a key that is not ours", code="HY-2401")
        secret = await self._hsm.secret(kek.spec, SCOPE, token)
        head = sealed[: len(sealed) - len(body)]
        try:
            return AESGCM(_key(secret, salt)).decrypt(_NONCE, body, _bound(head, purpose))
        except InvalidTag as error:
            raise Tampered("a sealed row failed authentication", code="HY-2401") from error

    async def renew(self, purpose: str, sealed: bytes) -> bytes:
        """Return the same value sealed anew under the key version that writes now.

        Raises:
            Tampered: it is not what `seal` returned for this purpose.
        """
        return await self.seal(purpose, await self.open(purpose, sealed))


def sealed_under(sealed: bytes) -> str:
    """Return the key version that a sealed value names, which nothing proves yet.

    Raises:
        Tampered: it is no sealed value.
    """
    return _split(sealed)[0]


def _split(sealed: bytes) -> tuple[str, bytes, bytes, bytes]:
    """Return kek_id, token, salt and ciphertext."""
    at = 5 + (sealed[4] if len(sealed) > 4 else 0)
    name, size = sealed[5:at], int.from_bytes(sealed[at : at + 2], "big")
    token = sealed[at + 2 : at + 2 + size]
    at += 2 + size
    salt, body = sealed[at : at + 16], sealed[at + 16 :]
    if sealed[:4] != _MAGIC or len(body) < 16 or not name.isascii():
        raise Tampered("a sealed row is damaged", code="HY-2401")
    return name.decode("ascii"), token, salt, body


def _key(secret: bytes, salt: bytes) -> bytes:
    return hkdf(secret, salt, b"hyok sealed row")


def _bound(head: bytes, purpose: str) -> bytes:
    return head + b"\0" + purpose.encode()
