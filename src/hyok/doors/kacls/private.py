"""PrivateOperations: what the key service does with private keys that mail is signed and opened by.

Such a key stands outside, wrapped twice: by a key of the HSM that wraps and does nothing else, and
around that by the door's key, which binds the perimeter to it.  It comes into the HSM for one use,
and only if its public half is the one that Google, or officers, named.

Source: Google "Client-side encryption API", private-key methods; docs/adr/0034.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from typing_extensions import override

from hyok.custody.doors import not_openable
from hyok.doors.kacls import wire
from hyok.doors.kacls.algorithms import decrypt_how, sign_how, spki_of
from hyok.doors.kacls.blob import (
    PRIVATE_FORM,
    PrivateContent,
    encode_private,
    parse_blob,
    parse_private,
)
from hyok.doors.kacls.calls import DECRYPT, ENCRYPT, SIGN
from hyok.doors.kacls.operations import Operations
from hyok.doors.kacls.rules import Method, check_perimeter
from hyok.errors import Malformed

if TYPE_CHECKING:
    from hyok.doors.kacls.calls import Call
    from hyok.doors.kacls.claims import Authentication, Authorization
    from hyok.doors.kacls.wire import Asked
    from hyok.vocabulary import Ask


class PrivateOperations(Operations):
    """One in each process."""

    @override
    async def perform(self, call: Call, asked: Asked) -> bytes:
        match call.method:
            case Method.PRIVATE_KEY_SIGN:
                return await self._private_sign(call, asked)
            case Method.PRIVATE_KEY_DECRYPT:
                return await self._private_decrypt(call, asked)
            case Method.PRIVILEGED_PRIVATE_KEY_DECRYPT:
                return await self._privileged_decrypt(call, asked)
            case Method.WRAP_PRIVATE_KEY:
                return await self._wrap_private(call, asked)
            case _:
                return await super().perform(call, asked)

    async def _private_sign(self, call: Call, asked: Asked) -> bytes:
        how = sign_how(asked)
        ask, may, who = await self._permitted(call, asked, SIGN)
        async with self._refusals(ask):
            spki = spki_of(may.spki_hash, may.spki_hash_algorithm)
        held = await self._open_private(call, ask, asked, may.perimeter_id, who)
        signature = await self._custody.private_sign(
            _of(ask, held.key_name), held.version, held.wrapped, spki, how, call.seconds()
        )
        return wire.render_signature(signature)

    async def _private_decrypt(self, call: Call, asked: Asked) -> bytes:
        how = decrypt_how(asked)
        ask, may, who = await self._permitted(call, asked, DECRYPT)
        async with self._refusals(ask):
            spki = spki_of(may.spki_hash, may.spki_hash_algorithm)
        held = await self._open_private(call, ask, asked, may.perimeter_id, who)
        plain = await self._custody.private_decrypt(
            _of(ask, held.key_name), held.version, held.wrapped, spki, how, call.seconds()
        )
        return wire.render_data_key(plain)

    async def _privileged_decrypt(self, call: Call, asked: Asked) -> bytes:
        how = decrypt_how(asked)
        named = replace(asked, resource_name=asked.spki_hash)
        blob = parse_blob(asked.wrapped_private_key, PRIVATE_FORM)
        name = blob.key_name if blob is not None else self._settings.key
        ask = await self._approved(call, named, DECRYPT, name)
        async with self._refusals(ask):
            spki = spki_of(asked.spki_hash, asked.spki_hash_algorithm)
        held = await self._open_private(call, ask, asked, None, None)
        plain = await self._custody.private_decrypt(
            _of(ask, held.key_name), held.version, held.wrapped, spki, how, call.seconds()
        )
        return wire.render_data_key(plain)

    async def _wrap_private(self, call: Call, asked: Asked) -> bytes:
        der, spki = _private_key(asked.private_key)
        named = replace(asked, resource_name=b64encode(spki).decode("ascii"))
        ask = await self._approved(call, named, ENCRYPT, self._settings.key)
        async with self._refusals(ask):
            check_perimeter(asked.perimeter_id, self._own, None, call.origin)
        self._check_reachable()
        name = self._settings.private_key
        version, wrapped = await self._custody.private_wrap(_of(ask, name), der, call.seconds())
        content = PrivateContent(name, version, asked.perimeter_id, wrapped)
        blob = await self._sealed(call, ask, encode_private(content), PRIVATE_FORM)
        return wire.render_wrapped_private(blob)

    async def _permitted(
        self, call: Call, asked: Asked, action: str
    ) -> tuple[Ask, Authorization, Authentication]:
        may, who = await self._both(call, asked)
        ask = await self._ask(call, action, who.email, may)
        await self._check(call, ask, may, who)
        return ask, may, who

    async def _open_private(
        self,
        call: Call,
        ask: Ask,
        asked: Asked,
        perimeter_id: str | None,
        who: Authentication | None,
    ) -> PrivateContent:
        """Return what is in a wrapped private key, if its perimeter lets it be used.

        Raises:
            Tampered: it does not open here (reason ``BadCiphertext``).
            Refused: its perimeter, or policy, says no.
        """
        self._check_reachable()
        blob = parse_blob(asked.wrapped_private_key, PRIVATE_FORM)
        if blob is None:
            await self._custody.refused(ask, error := not_openable())
            raise error
        opening = replace(ask, action=DECRYPT)
        held = parse_private(await self._decrypt(call, opening, blob, PRIVATE_FORM))
        if held is None:
            await self._custody.refused(ask, error := not_openable())
            raise error
        await self._check_held(call, ask, held.perimeter_id, perimeter_id, who)
        return held


def _of(ask: Ask, name: str) -> Ask:
    """Return the ask of another key."""
    assert ask.use is not None
    return replace(ask, use=replace(ask.use, name=name))


def _private_key(pem: str) -> tuple[bytes, bytes]:
    """Return a private key, PKCS #8 in DER, and the SHA-256 of its public half.

    Raises:
        Malformed: it is no RSA private key in the clear (code HY-2691).
    """
    try:
        key = load_pem_private_key(pem.encode("ascii"), None)
    except (ValueError, TypeError):
        raise Malformed("It is no private key, in PEM and in the clear.", code="HY-2691") from None
    if not isinstance(key, RSAPrivateKey):
        raise Malformed("It is no private key of RSA.", code="HY-2691")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return der, sha256(public).digest()
