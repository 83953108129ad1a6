"""SoftwareHsm: the `Hsm` port with keys in this process.  FOR DEVELOPMENT AND TESTS ONLY.

Whoever reads the process' memory, or the file, has every KEK.  It exists so that `--soft-keys` and
the tests run without a token; it answers byte for byte what a token would.

Source: docs/format.md, section 10.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

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
from hyok.errors import Conflict, Malformed, NotFound, Tampered
from hyok.hsm.door_pool import bad_ciphertext, check_door_name
from hyok.hsm.member import CHECK_SCOPE
from hyok.hsm.port import DOOR, KekSpec, TokenHealth
from hyok.hsm.public_key import make_origin, seal_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

TOKEN_NAME = "software keys (NOT for production)"  # noqa: S105 - a name people see
_KEK_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class _Kek:
    profile: Profile
    key: bytes | RSAPrivateKey


class SoftwareHsm:
    """Keys in memory, and in a file of mode 0600 where ``path`` is given."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._keks: dict[str, _Kek] = {}
        self._doors: dict[str, bytes] = {}
        self._origins: dict[bytes, bytes] = {}
        self._calls = 0
        if path is not None and path.exists():
            self._keks, self._doors = _read(path)

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
            raise Conflict(f"a key named {kek_id} exists in the token", code="HY-2107")
        held = _Kek(kind, _new_key(kind))
        spec = _spec_of(kek_id, held)
        self._keks[kek_id] = held
        self._keep()
        return spec

    def _keep(self) -> None:
        if self._path is not None:
            _write(self._path, self._keks, self._doors)

    async def check(self, kek: KekSpec) -> None:
        self._calls += 1
        if kek.profile == DOOR:
            self._door(kek)
        else:
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
        return _public_der(one.key) == _public_der(two.key)

    async def destroy_kek(self, kek: KekSpec) -> Sequence[str]:
        if kek.kek_id in self._keks:
            self._checked(kek)
            del self._keks[kek.kek_id]
            self._keep()
        return [TOKEN_NAME]

    async def create_door_key(self, name: str) -> KekSpec:
        check_door_name(name)
        if name in self._doors:
            raise Conflict(f"a key named {name} exists in the token", code="HY-2107")
        self._doors[name] = secrets.token_bytes(_KEK_BYTES)
        self._keep()
        value, iv = secrets.token_bytes(16), secrets.token_bytes(12)
        return KekSpec(name, DOOR, value, iv + _gcm_seal(self._doors[name], iv, value, b"check"))

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

    async def probe_doors(self, seconds: float) -> Mapping[str, str]:
        return {TOKEN_NAME: ""}

    def _door(self, key: KekSpec) -> bytes:
        held = self._doors.get(key.kek_id)
        if held is None or key.profile != DOOR:
            raise NotFound(f"no key in the token has the name {key.kek_id}", code="HY-2103")
        try:
            value = _gcm_open(held, key.check_token[:12], key.check_token[12:], b"check")
        except Tampered:
            value = b""
        if not key.check_value or not hmac.compare_digest(value, key.check_value):
            raise Tampered(
                f"another key than expected carries the name {key.kek_id}", code="HY-2106"
            )
        return held

    async def health(self) -> Sequence[TokenHealth]:
        return [
            TokenHealth(TOKEN_NAME, True, 0, "", self._calls, 0, 0.0, 0.0)  # noqa: FBT003 - in order
        ]

    async def close(self) -> None:
        self._keks.clear()
        self._origins.clear()

    def _checked(self, kek: KekSpec) -> _Kek:
        held = self._keks.get(kek.kek_id)
        if held is None or held.profile != kek.profile:
            raise NotFound(f"no key in the token has the name {kek.kek_id}", code="HY-2103")
        if not hmac.compare_digest(
            _check_value(held, kek, self._origin(held, kek)), kek.check_value
        ):
            raise Tampered(
                f"another key than expected carries the name {kek.kek_id}", code="HY-2106"
            )
        return held

    def _origin(self, held: _Kek, kek: KekSpec) -> bytes:
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


def _check_value(held: _Kek, kek: KekSpec, origin: bytes) -> bytes:
    if isinstance(held.key, bytes) and held.profile is Profile.HMAC_SHA256:
        return check_value_hmac(held.key, kek.kek_id)
    secret = software_secret(
        held.profile, held.key, kek.kek_id, CHECK_SCOPE, kek.check_token, origin
    )
    return check_value_secret(secret)


def _new_key(profile: Profile) -> bytes | RSAPrivateKey:
    if profile is Profile.RSA_OAEP_SHA256:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS_MIN)
    return secrets.token_bytes(_KEK_BYTES)


def _sealed(held: _Kek, kek: KekSpec, scope: str, seed: bytes) -> bytes:
    if not isinstance(held.key, bytes):
        return seal_to(_public_der(held.key), seed)
    if held.profile is Profile.AES_KWP:
        return seal_kwp_token(held.key, seed)
    return seal_gcm_token(held.key, kek.kek_id, scope, seed, secrets.token_bytes(12))


def _spec_of(kek_id: str, held: _Kek) -> KekSpec:
    if isinstance(held.key, bytes) and held.profile is Profile.HMAC_SHA256:
        return KekSpec(kek_id, held.profile.value, check_value_hmac(held.key, kek_id))
    origin, sealed_origin, der = b"", b"", b""
    if not isinstance(held.key, bytes):
        der = _public_der(held.key)
        origin, sealed_origin = make_origin(der)
        assert len(origin) == ORIGIN_BYTES
    bare = KekSpec(kek_id, held.profile.value, b"")
    seed = secrets.token_bytes(32)
    secret = derive_seed(seed, kek_id, CHECK_SCOPE, origin)
    token = _sealed(held, bare, CHECK_SCOPE, seed)
    value = check_value_secret(secret)
    return KekSpec(kek_id, held.profile.value, value, token, sealed_origin, der)


def _public_der(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _gcm_seal(key: bytes, iv: bytes, plain: bytes, data: bytes) -> bytes:
    return AESGCM(key).encrypt(iv, plain, data)


def _gcm_open(key: bytes, iv: bytes, sealed: bytes, data: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(iv, sealed, data)
    except (InvalidTag, ValueError) as error:
        raise bad_ciphertext() from error


def _write(path: Path, keks: dict[str, _Kek], doors: Mapping[str, bytes]) -> None:
    """Write the file whole, beside the old one, and put it in its place."""
    rows = {
        kek_id: [held.profile.value, base64.b64encode(_encoded(held)).decode()]
        for kek_id, held in keks.items()
    }
    opened = {name: base64.b64encode(key).decode() for name, key in doors.items()}
    text = json.dumps({"warning": TOKEN_NAME, "keks": rows, "doors": opened}, indent=1)
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _encoded(held: _Kek) -> bytes:
    if isinstance(held.key, bytes):
        return held.key
    return held.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> tuple[dict[str, _Kek], dict[str, bytes]]:
    try:
        whole = json.loads(path.read_text())
        doors = whole.get("doors", {})
        return (
            {name: _decoded(Profile(row[0]), row[1]) for name, row in whole["keks"].items()},
            {name: base64.b64decode(text, validate=True) for name, text in doors.items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"the file of software keys {path} is not readable") from error


def _decoded(profile: Profile, text: str) -> _Kek:
    raw = base64.b64decode(text, validate=True)
    if profile is not Profile.RSA_OAEP_SHA256:
        return _Kek(profile, raw)
    key = load_der_private_key(raw, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("no RSA key")
    return _Kek(profile, key)
