"""SoftwareHsm: all keys in this process, those of doors too.  FOR DEVELOPMENT AND TESTS ONLY.

It exists so that `--soft-keys` and the tests run without a token; it answers byte for byte what a
token would.

Source: docs/adr/0028-doors-and-their-keys.md.
"""

from __future__ import annotations

import hmac
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from typing_extensions import override

from hyok.errors import Malformed, Tampered
from hyok.hsm import ecdsa, rsa_pkcs1, software_private
from hyok.hsm.door_pairs import BITS
from hyok.hsm.door_pool import bad_ciphertext, check_door_name
from hyok.hsm.port import (
    DOOR,
    DOOR_MAC,
    DOOR_PAIR,
    DOOR_PRIVATE,
    DOOR_RSA_SIGN,
    DOOR_SIGN,
    DOOR_WRAP,
    KekSpec,
)
from hyok.hsm.public_key import seal_bytes_to
from hyok.hsm.software_file import TOKEN_NAME, private_der
from hyok.hsm.software_keks import KEY_BYTES, SoftwareKeks, another, public_der, taken, unknown
from hyok.hsm.software_wraps import unwrapped_by, wrap_check, wrapped_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from hyok.vocabulary import DecryptHow, SignHow


class SoftwareHsm(SoftwareKeks):
    """KEKs, and the keys of doors, each of which is 32 bytes or a pair in PKCS #8."""

    @override
    async def check(self, kek: KekSpec) -> None:
        if kek.profile == DOOR:
            self._door(kek)
        elif kek.profile in {DOOR_PAIR, DOOR_RSA_SIGN}:
            self._pair(kek, kek.profile)
        elif kek.profile in {DOOR_MAC, DOOR_PRIVATE}:
            self._mac_key(kek, kek.profile)
        elif kek.profile == DOOR_SIGN:
            self._sign_key(kek)
        elif kek.profile == DOOR_WRAP:
            self._wrap_key(kek)
        else:
            return await super().check(kek)
        self._calls += 1
        return None

    @override
    async def destroy_kek(self, kek: KekSpec) -> Sequence[str]:
        if kek.kek_id in self._doors:
            await self.check(kek)
            del self._doors[kek.kek_id]
            self._keep()
        return await super().destroy_kek(kek)

    def _free(self, name: str) -> None:
        check_door_name(name)
        if name in self._doors:
            raise taken(name)

    def _put(self, name: str, key: bytes) -> bytes:
        self._free(name)
        self._doors[name] = key
        self._keep()
        return key

    async def create_door_key(self, name: str) -> KekSpec:
        made = self._put(name, secrets.token_bytes(KEY_BYTES))
        value, iv = secrets.token_bytes(16), secrets.token_bytes(12)
        return KekSpec(name, DOOR, value, iv + _gcm_seal(made, iv, value, b"check"))

    async def door_seal(
        self, key: KekSpec, plain: bytes, data: bytes, seconds: float
    ) -> tuple[bytes, bytes]:
        self._calls += 1
        iv = secrets.token_bytes(12)
        return iv, _gcm_seal(self._door(key), iv, plain, data)

    async def door_open(
        self, key: KekSpec, iv: bytes, sealed: bytes, data: bytes, seconds: float
    ) -> bytes:
        self._calls += 1
        return _gcm_open(self._door(key), iv, sealed, data)

    async def door_seal_many(
        self, key: KekSpec, plains: Sequence[bytes], seconds: float
    ) -> Sequence[tuple[bytes, bytes]]:
        return [await self.door_seal(key, plain, b"", seconds) for plain in plains]

    async def door_open_many(
        self, key: KekSpec, sealed: Sequence[tuple[bytes, bytes]], seconds: float
    ) -> Sequence[bytes]:
        return [await self.door_open(key, iv, each, b"", seconds) for iv, each in sealed]

    async def create_mac_key(self, name: str) -> KekSpec:
        made = self._put(name, secrets.token_bytes(KEY_BYTES))
        return KekSpec(name, DOOR_MAC, _mac_check(made, name))

    async def door_mac(self, key: KekSpec, data: bytes, seconds: float) -> bytes:
        self._calls += 1
        return hmac.digest(self._mac_key(key), data, "sha256")

    async def door_mac_many(
        self, key: KekSpec, texts: Sequence[bytes], seconds: float
    ) -> Sequence[bytes]:
        return [await self.door_mac(key, text, seconds) for text in texts]

    async def create_sign_key(self, name: str) -> KekSpec:
        made = ec.generate_private_key(ec.SECP256R1())
        self._put(name, made.private_numbers().private_value.to_bytes(KEY_BYTES, "big"))
        public = public_der(made)
        return KekSpec(name, DOOR_SIGN, ecdsa.check_value(public), public_key=public)

    async def door_sign(self, key: KekSpec, digest: bytes, seconds: float) -> bytes:
        self._calls += 1
        signed = self._sign_key(key).sign(digest, ec.ECDSA(Prehashed(SHA256())))
        r, s = decode_dss_signature(signed)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _sign_key(self, key: KekSpec) -> EllipticCurvePrivateKey:
        held = self._doors.get(key.kek_id)
        if held is None or key.profile != DOOR_SIGN:
            raise unknown(key)
        found = ec.derive_private_key(int.from_bytes(held, "big"), ec.SECP256R1())
        public = public_der(found)
        if public != key.public_key or key.check_value != ecdsa.check_value(public):
            raise another(key)
        return found

    async def door_random(self, size: int, seconds: float) -> bytes:
        self._calls += 1
        return secrets.token_bytes(size)

    def _mac_key(self, key: KekSpec, profile: int = DOOR_MAC) -> bytes:
        held = self._doors.get(key.kek_id)
        if held is None or key.profile != profile:
            raise unknown(key)
        if not hmac.compare_digest(_mac_check(held, key.kek_id), key.check_value):
            raise another(key)
        return held

    async def probe_doors(self, seconds: float) -> Mapping[str, str]:
        return {TOKEN_NAME: ""}

    async def create_door_pair(self, name: str, bits: int) -> KekSpec:
        self._free(name)
        if bits not in BITS:
            raise Malformed(f"an RSA key has {', '.join(map(str, BITS))} bits")
        pair = self._new_pair(bits)
        self._put(name, private_der(pair))
        value, der = secrets.token_bytes(16), public_der(pair)
        return KekSpec(name, DOOR_PAIR, value, seal_bytes_to(der, value), public_key=der)

    async def create_rsa_signer(self, name: str, bits: int) -> KekSpec:
        made = await self.create_door_pair(name, bits)
        der = made.public_key
        return KekSpec(name, DOOR_RSA_SIGN, rsa_pkcs1.check_value(der), public_key=der)

    async def rsa_sign(self, key: KekSpec, digest: bytes, seconds: float) -> bytes:
        self._calls += 1
        pair = self._pair(key, DOOR_RSA_SIGN)
        return pair.sign(digest, padding.PKCS1v15(), Prehashed(SHA256()))

    async def create_private_wrapper(self, name: str) -> KekSpec:
        made = self._put(name, secrets.token_bytes(KEY_BYTES))
        return KekSpec(name, DOOR_PRIVATE, _mac_check(made, name))

    async def private_wrap(self, key: KekSpec, private_der: bytes, seconds: float) -> bytes:
        self._calls += 1
        return software_private.wrap(self._mac_key(key, DOOR_PRIVATE), private_der)

    async def private_sign(
        self, key: KekSpec, wrapped: bytes, spki: bytes, how: SignHow, seconds: float
    ) -> bytes:
        self._calls += 1
        return software_private.sign(self._mac_key(key, DOOR_PRIVATE), wrapped, spki, how)

    async def private_decrypt(
        self, key: KekSpec, wrapped: bytes, spki: bytes, how: DecryptHow, seconds: float
    ) -> bytes:
        self._calls += 1
        return software_private.decrypt(self._mac_key(key, DOOR_PRIVATE), wrapped, spki, how)

    def _new_pair(self, bits: int) -> RSAPrivateKey:
        return rsa.generate_private_key(65537, bits)

    async def pair_open(self, key: KekSpec, sealed: bytes, seconds: float) -> bytes:
        self._calls += 1
        return _oaep_open(self._pair(key), sealed)

    async def pair_open_sha1(self, key: KekSpec, sealed: bytes, seconds: float) -> bytes:
        self._calls += 1
        return _oaep_open(self._pair(key), sealed, sha1=True)

    async def create_wrap_key(self, name: str) -> KekSpec:
        made = self._put(name, secrets.token_bytes(KEY_BYTES))
        return KekSpec(name, DOOR_WRAP, wrap_check(made, name))

    async def door_wrap(self, key: KekSpec, value: bytes, seconds: float, *, padded: bool) -> bytes:
        self._calls += 1
        return wrapped_by(self._wrap_key(key), value, padded=padded)

    async def door_unwrap(
        self, key: KekSpec, wrapped: bytes, seconds: float, *, padded: bool
    ) -> bytes:
        self._calls += 1
        value = unwrapped_by(self._wrap_key(key), wrapped, padded=padded)
        if value is None:
            raise bad_ciphertext()
        return value

    def _wrap_key(self, key: KekSpec) -> bytes:
        held = self._doors.get(key.kek_id)
        if held is None or key.profile != DOOR_WRAP or len(held) != KEY_BYTES:
            raise unknown(key)
        if not hmac.compare_digest(wrap_check(held, key.kek_id), key.check_value):
            raise another(key)
        return held

    async def probe_wraps(self, seconds: float) -> Mapping[str, str]:
        return {TOKEN_NAME: ""}

    async def pair_public(self, key: KekSpec, seconds: float) -> bytes:
        return public_der(self._pair(key))

    async def probe_pairs(self, seconds: float) -> Mapping[str, str]:
        return {TOKEN_NAME: ""}

    def _pair(self, key: KekSpec, profile: int = DOOR_PAIR) -> RSAPrivateKey:
        held = self._doors.get(key.kek_id)
        if held is None or key.profile != profile or len(held) == KEY_BYTES:
            raise unknown(key)
        pair = _pair_of(held)
        wrong = profile == DOOR_RSA_SIGN and key.check_value != rsa_pkcs1.check_value(
            key.public_key
        )
        if wrong or public_der(pair) != key.public_key:
            raise another(key)
        return pair

    def _door(self, key: KekSpec) -> bytes:
        held = self._doors.get(key.kek_id)
        if held is None or key.profile != DOOR or len(held) != KEY_BYTES:
            raise unknown(key)
        try:
            value = _gcm_open(held, key.check_token[:12], key.check_token[12:], b"check")
        except Tampered:
            value = b""
        if not key.check_value or not hmac.compare_digest(value, key.check_value):
            raise another(key)
        return held


def _mac_check(key: bytes, name: str) -> bytes:
    return hmac.digest(key, b"hyok door check\0" + name.encode(), "sha256")[:8]


def _gcm_seal(key: bytes, iv: bytes, plain: bytes, data: bytes) -> bytes:
    return AESGCM(key).encrypt(iv, plain, data)


def _gcm_open(key: bytes, iv: bytes, sealed: bytes, data: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(iv, sealed, data)
    except (InvalidTag, ValueError) as error:
        raise bad_ciphertext() from error


@lru_cache(maxsize=64)
def _pair_of(der: bytes) -> RSAPrivateKey:
    pair = load_der_private_key(der, None)
    assert isinstance(pair, rsa.RSAPrivateKey)
    return pair


def _oaep_open(pair: RSAPrivateKey, sealed: bytes, *, sha1: bool = False) -> bytes:
    digest = hashes.SHA1() if sha1 else hashes.SHA256()  # noqa: S303 - a protocol's
    try:
        return pair.decrypt(sealed, padding.OAEP(padding.MGF1(digest), digest, None))
    except ValueError as error:
        raise bad_ciphertext() from error
