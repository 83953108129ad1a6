"""Keyring records: an intermediate key, wrapped, with what is needed to unwrap it.

A record may come from a mirror in the store.  So whoever opens one checks first that its ik_id is
the one asked for, that its scope is the envelope's, and kek_id and profile against the
configuration (custody does); the mac here proves the rest.

Source: docs/format.md, section 11.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from hyok.envelope.fields import (
    KEK_ID_BYTES_MAX,
    MAC_BYTES,
    SCOPE_BYTES_MAX,
    WRAPPED_KEY_BYTES,
    Reader,
    render_fixed,
    render_long,
    render_text,
)
from hyok.envelope.keys import KEY_BYTES, check_secret, hkdf, hmac_sha256
from hyok.envelope.profiles import Profile, check_token
from hyok.errors import Malformed, Tampered

MAGIC = b"HYR1"
IK_ID_BYTES = 16
RECORD_SALT_BYTES = 32
RECORD_BYTES_MAX = 4_096

REMEMBERED_MAX = 512
"""Readings of text that are remembered; none has a key in clear, and nothing is proven by one.  A
bucket's names are opened by the same record with each request."""


@dataclass(frozen=True, slots=True)
class KeyringRecord:
    """The fields of a record.  Parsed is not proven: see `open_record`."""

    profile: Profile
    ik_id: bytes
    salt: bytes
    wrapped_ik: bytes
    kek_id: str
    scope: str
    token: bytes
    mac: bytes


@lru_cache(REMEMBERED_MAX)
def _render_before_mac(record: KeyringRecord) -> bytes:
    check_token(record.profile, record.token)
    return b"".join(
        (
            MAGIC,
            bytes((record.profile, 0)),
            render_fixed(record.ik_id, IK_ID_BYTES, "ik_id"),
            render_fixed(record.salt, RECORD_SALT_BYTES, "salt of a record"),
            record.wrapped_ik,
            render_text(record.kek_id, 1, KEK_ID_BYTES_MAX),
            render_text(record.scope, 0, SCOPE_BYTES_MAX),
            render_long(record.token),
        )
    )


def _mac(ik: bytes, before_mac: bytes) -> bytes:
    key = hkdf(ik, b"", b"HYOK1 ik record key")
    return hmac_sha256(key, b"HYOK1 ik record" + before_mac)


def _wrap_key(secret: bytes, salt: bytes, ik_id: bytes) -> bytes:
    return hkdf(check_secret(secret), salt, b"HYOK1 ik wrap key" + ik_id)


def seal_record(
    *,
    ik: bytes,
    ik_id: bytes,
    salt: bytes,
    secret: bytes,
    profile: Profile,
    kek_id: str,
    scope: str,
    token: bytes,
) -> bytes:
    """Return the record of ``ik`` under the secret of ``token``.

    At rotation the same IK and ik_id are sealed again with a fresh ``salt`` and ``token``.

    Raises:
        Malformed: a field is out of range.
    """
    render_fixed(ik, KEY_BYTES, "intermediate key")
    render_fixed(ik_id, IK_ID_BYTES, "ik_id")
    render_fixed(salt, RECORD_SALT_BYTES, "salt of a record")
    record = KeyringRecord(
        profile=profile,
        ik_id=ik_id,
        salt=salt,
        wrapped_ik=aes_key_wrap(_wrap_key(secret, salt, ik_id), ik),
        kek_id=kek_id,
        scope=scope,
        token=token,
        mac=b"",
    )
    before_mac = _render_before_mac(record)
    raw = before_mac + _mac(ik, before_mac)
    if len(raw) > RECORD_BYTES_MAX:
        raise Malformed("the keyring record is too long")
    return raw


def parse_record(raw: bytes) -> KeyringRecord:
    """Return the fields of a record.

    Raises:
        Malformed: a byte is missing, left over, unknown or out of range.
    """
    if len(raw) > RECORD_BYTES_MAX:
        raise Malformed("the keyring record is too long")
    return _parsed(bytes(raw))


@lru_cache(REMEMBERED_MAX)
def _parsed(raw: bytes) -> KeyringRecord:
    reader = Reader(raw, "keyring record")
    if reader.take(len(MAGIC)) != MAGIC:
        raise Malformed("these bytes are no keyring record")
    number, reserved = reader.number(1), reader.number(1)
    try:
        profile = Profile(number)
    except ValueError as error:
        raise Malformed(f"profile {number} is not known") from error
    if reserved:
        raise Malformed("the keyring record has an unknown field")
    record = KeyringRecord(
        profile=profile,
        ik_id=reader.take(IK_ID_BYTES),
        salt=reader.take(RECORD_SALT_BYTES),
        wrapped_ik=reader.take(WRAPPED_KEY_BYTES),
        kek_id=reader.text(1, KEK_ID_BYTES_MAX),
        scope=reader.text(0, SCOPE_BYTES_MAX),
        token=reader.take(reader.number(2)),
        mac=reader.take(MAC_BYTES),
    )
    reader.end()
    check_token(profile, record.token)
    return record


def checked_record(raw: bytes, ik_id: bytes, scope: str) -> KeyringRecord:
    """Return a record, everything checked that needs no key.

    Raises:
        Tampered: it is damaged, or not the one asked for.
    """
    try:
        record = parse_record(raw)
    except Malformed as error:
        raise Tampered(f"a keyring record is damaged: {error}") from error
    if record.ik_id != ik_id or record.scope != scope:
        raise Tampered("a keyring record is not the one asked for")
    return record


def open_record(record: KeyringRecord, secret: bytes) -> bytes:
    """Return the intermediate key, once every field of ``record`` is proven.

    Raises:
        Tampered: the secret or any byte is another than when it was written.
    """
    try:
        ik = aes_key_unwrap(_wrap_key(secret, record.salt, record.ik_id), record.wrapped_ik)
    except InvalidUnwrap as error:
        raise Tampered("the keyring record does not open with this key") from error
    if not hmac.compare_digest(_mac(ik, _render_before_mac(record)), record.mac):
        raise Tampered("the keyring record was changed after it was written")
    return ik
