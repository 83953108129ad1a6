"""SoftwareKeks: the `Hsm` port with KEKs in this process.  FOR DEVELOPMENT AND TESTS ONLY.

Whoever reads the process' memory, or the file, has every KEK.  It answers byte for byte what a
token would.

Source: docs/format.md, section 10.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hyok.envelope.profiles import (
    ORIGIN_BYTES,
    RSA_BITS_MIN,
    Profile,
    check_token,
    check_value_hmac,
    check_value_secret,
    derive_seed,
    oaep_padding,
    seal_gcm_token,
    seal_kwp_token,
    software_secret,
)
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Tampered
from hyok.hsm import software_file
from hyok.hsm.member import CHECK_SCOPE
from hyok.hsm.port import KekSpec, TokenHealth
from hyok.hsm.public_key import make_origin, seal_to
from hyok.hsm.software_file import TOKEN_NAME, Kek

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KEY_BYTES = 32


class SoftwareKeks:
    """KEKs in memory, and in a file of mode 0600 where ``path`` is given.

    ``_doors`` are the keys of doors, which an heir keeps in the same file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._keks: dict[str, Kek] = {}
        self._doors: dict[str, bytes] = {}
        self._origins: dict[bytes, bytes] = {}
        self._calls = 0
        if path is not None and path.exists():
            self._keks, self._doors = software_file.read(path)

    async def secret(self, kek: KekSpec, scope: str, token: bytes) -> bytes:
        self._calls += 1
        check_token(Profile(kek.profile), token)
        held = self._checked(kek)
        return software_secret(
            held.profile, held.key, kek.kek_id, scope, token, self._origin(held, kek)
        )

    async def new_token(self, kek: KekSpec, scope: str) -> tuple[bytes, bytes]:
        self._calls += 1
        held = self._checked(kek)
        if held.profile is Profile.HMAC_SHA256:
            token = secrets.token_bytes(32)
            return token, software_secret(held.profile, held.key, kek.kek_id, scope, token)
        seed = secrets.token_bytes(32)
        token = _sealed(held, kek, scope, seed)
        return token, derive_seed(seed, kek.kek_id, scope, self._origin(held, kek))

    async def create_kek(self, kek_id: str, profile: int) -> KekSpec:
        kind = Profile(profile)
        if not 1 <= len(kek_id.encode()) <= 64:
            raise Malformed("a kek_id is 1 to 64 bytes")
        if kek_id in self._keks:
            raise taken(kek_id)
        held = Kek(kind, _new_key(kind))
        spec = _spec_of(kek_id, held)
        self._keks[kek_id] = held
        self._keep()
        return spec

    def _keep(self) -> None:
        if self._path is not None:
            software_file.write(self._path, self._keks, self._doors)

    async def check(self, kek: KekSpec) -> None:
        self._calls += 1
        self._checked(kek)

    async def find_keks(self) -> Sequence[KekSpec]:
        return [
            _spec_of(kek_id, held)
            for kek_id, held in sorted(self._keks.items())
            if held.profile is Profile.HMAC_SHA256
        ]

    async def is_same_key(self, kek: KekSpec, other: KekSpec) -> bool:
        one, two = self._checked(kek), self._checked(other)
        if isinstance(one.key, bytes) or isinstance(two.key, bytes):
            return one.profile is two.profile and one.key == two.key
        return public_der(one.key) == public_der(two.key)

    async def destroy_kek(self, kek: KekSpec) -> Sequence[str]:
        if kek.kek_id in self._keks:
            self._checked(kek)
            del self._keks[kek.kek_id]
            self._keep()
        return [TOKEN_NAME]

    async def health(self) -> Sequence[TokenHealth]:
        return [
            TokenHealth(TOKEN_NAME, True, 0, "", self._calls, 0, 0.0, 0.0)  # noqa: FBT003 - in order
        ]

    async def close(self) -> None:
        self._keks.clear()
        self._origins.clear()

    def _checked(self, kek: KekSpec) -> Kek:
        held = self._keks.get(kek.kek_id)
        if held is None or held.profile != kek.profile:
            raise unknown(kek)
        if not hmac.compare_digest(
            _check_value(held, kek, self._origin(held, kek)), kek.check_value
        ):
            raise another(kek)
        return held

    def _origin(self, held: Kek, kek: KekSpec) -> bytes:
        if isinstance(held.key, bytes):
            return b""
        known = self._origins.get(kek.origin)
        if known is None:
            try:
                known = held.key.decrypt(kek.origin, oaep_padding())
            except ValueError as error:
                raise Tampered("the KEK's origin does not open", code="HY-2106") from error
            self._origins[kek.origin] = known
        return known


def unknown(key: KekSpec) -> HyokError:
    return NotFound(f"no key in the token has the name {key.kek_id}", code="HY-2103")


def another(key: KekSpec) -> HyokError:
    return Tampered(f"another key than expected carries the name {key.kek_id}", code="HY-2106")


def taken(name: str) -> HyokError:
    return Conflict(f"a key named {name} exists in the token", code="HY-2107")


def _check_value(held: Kek, kek: KekSpec, origin: bytes) -> bytes:
    if isinstance(held.key, bytes) and held.profile is Profile.HMAC_SHA256:
        return check_value_hmac(held.key, kek.kek_id)
    secret = software_secret(
        held.profile, held.key, kek.kek_id, CHECK_SCOPE, kek.check_token, origin
    )
    return check_value_secret(secret)


def _new_key(profile: Profile) -> bytes | RSAPrivateKey:
    if profile is Profile.RSA_OAEP_SHA256:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS_MIN)
    return secrets.token_bytes(KEY_BYTES)


def _sealed(held: Kek, kek: KekSpec, scope: str, seed: bytes) -> bytes:
    if not isinstance(held.key, bytes):
        return seal_to(public_der(held.key), seed)
    if held.profile is Profile.AES_KWP:
        return seal_kwp_token(held.key, seed)
    return seal_gcm_token(held.key, kek.kek_id, scope, seed, secrets.token_bytes(12))


def _spec_of(kek_id: str, held: Kek) -> KekSpec:
    if isinstance(held.key, bytes) and held.profile is Profile.HMAC_SHA256:
        return KekSpec(kek_id, held.profile.value, check_value_hmac(held.key, kek_id))
    origin, sealed_origin, der = b"", b"", b""
    if not isinstance(held.key, bytes):
        der = public_der(held.key)
        origin, sealed_origin = make_origin(der)
        assert len(origin) == ORIGIN_BYTES
    bare = KekSpec(kek_id, held.profile.value, b"")
    seed = secrets.token_bytes(32)
    secret = derive_seed(seed, kek_id, CHECK_SCOPE, origin)
    token = _sealed(held, bare, CHECK_SCOPE, seed)
    value = check_value_secret(secret)
    return KekSpec(kek_id, held.profile.value, value, token, sealed_origin, der)


def public_der(key: RSAPrivateKey | EllipticCurvePrivateKey) -> bytes:
    """Return the public half in DER (SubjectPublicKeyInfo)."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
