"""The envelope: a wrapped data key, everything needed to unwrap it, and the mac over both.

It stands beside the object in one metadata field, as base64url text.  The mac authenticates every
field, the object's context among them, and commits to the data key; nothing of an envelope is
believed before it holds.

The mac shows only that the writer knew *some* secret.  So whoever asks for the secret checks
kek_id, profile, mode and scope against the configuration first (custody does).

Source: docs/format.md, sections 7 and 9; RFC 3394 (AES-KW).
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from hyok.envelope.fields import (
    KEK_ID_BYTES_MAX,
    MAC_BYTES,
    SCOPE_BYTES_MAX,
    WRAPPED_KEY_BYTES,
    long_at,
    render_fixed,
    render_long,
    render_text,
    text_at,
)
from hyok.envelope.keys import WRAP_SALT_BYTES, DataKey, hmac_sha256, wrap_key
from hyok.envelope.layout import HEADER_BYTES, PLAIN_BYTES_MAX, PRODUCTION_SUITES, Suite
from hyok.envelope.profiles import Profile, check_token
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ENVELOPE_BYTES_MAX",
    "FIELD_BYTES_MAX",
    "FIELD_NAME",
    "WRITTEN_BYTES_MAX",
    "Envelope",
    "Mode",
    "Profile",
    "check_scope",
    "decode_text",
    "encode_text",
    "open_envelope",
    "parse",
    "render",
    "rewrap",
    "seal_envelope",
]

MAGIC = b"HYK1"
OBJECT_ID_BYTES = 16
IK_ID_BYTES = 16
METADATA_BLOCK_BYTES_MIN = 32
ENVELOPE_BYTES_MAX = 4_088
"""What a reader takes: the room in a sealed file's block."""

FIELD_NAME = "hyok"
FIELD_BYTES_MAX = 2_048
"""What a store allows for all user metadata of an object, names and values together."""

WRITTEN_BYTES_MAX = (FIELD_BYTES_MAX - len(FIELD_NAME)) * 3 // 4
"""The longest envelope whose text fits into the store's metadata."""

_SIZE_UNKNOWN = (1 << 64) - 1
_FLAG_MULTIPART = 1
_FLAG_METADATA = 2
_FRONT = Struct(">4sBBBB16sQ32s40s")  # from the magic to the wrapped key


class Mode(IntEnum):
    """Where the secret comes from."""

    DIRECT = 0  # a token of its own for this object
    EMBEDDED = 1  # the token of a shared intermediate key
    KEYRING = 2  # an intermediate key in a keyring record; the token is its ik_id


_PROFILES = {int(profile): profile for profile in Profile}
_MODES = {int(mode): mode for mode in Mode}


class Envelope(NamedTuple):
    """The fields of an envelope.  Parsed is not proven: see `open_envelope`."""

    suite_id: int
    multipart: bool
    profile: Profile
    mode: Mode
    object_id: bytes
    plain_size: int | None  # None: written before the length was known (multipart only)
    wrap_salt: bytes
    wrapped_dek: bytes
    kek_id: str
    scope: str
    token: bytes
    metadata_block: bytes  # empty: none
    part_header: bytes  # of part 1; empty for multipart
    mac: bytes


def parse(raw: bytes, *, suites: Mapping[int, Suite] = PRODUCTION_SUITES) -> Envelope:
    """Return the fields of an envelope.

    Raises:
        Malformed: a byte is missing, left over, unknown or out of range.
    """
    if len(raw) > ENVELOPE_BYTES_MAX:
        raise Malformed("the envelope is too long")
    raw = bytes(raw)
    if raw[: len(MAGIC)] != MAGIC:
        raise Malformed("these bytes are no envelope")
    if len(raw) < _FRONT.size:
        raise Malformed("the envelope ends too early")
    _, suite_id, flags, profile, mode, object_id, size, wrap_salt, wrapped = _FRONT.unpack_from(raw)
    if suite_id not in suites:
        raise Malformed(f"suite {suite_id} is not known")
    if flags & ~(_FLAG_MULTIPART | _FLAG_METADATA):
        raise Malformed("the envelope has unknown flags")
    if profile not in _PROFILES:
        raise Malformed(f"profile {profile} is not known")
    if mode not in _MODES:
        raise Malformed(f"mode {mode} is not known")
    multipart = bool(flags & _FLAG_MULTIPART)
    kek_id, at = text_at(raw, _FRONT.size, 1, KEK_ID_BYTES_MAX, "envelope")
    scope, at = text_at(raw, at, 0, SCOPE_BYTES_MAX, "envelope")
    token, at = long_at(raw, at, "envelope")
    metadata_block, at = long_at(raw, at, "envelope")
    header_stop = at if multipart else at + HEADER_BYTES
    stop = header_stop + MAC_BYTES
    if stop != len(raw):
        beyond = "ends too early" if stop > len(raw) else "has bytes left over"
        raise Malformed(f"the envelope {beyond}")
    if bool(flags & _FLAG_METADATA) is not bool(metadata_block):
        raise Malformed("the envelope's metadata flag does not fit its metadata")
    envelope = Envelope(
        suite_id,
        multipart,
        _PROFILES[profile],
        _MODES[mode],
        object_id,
        None if size == _SIZE_UNKNOWN else size,
        wrap_salt,
        wrapped,
        kek_id,
        scope,
        token,
        metadata_block,
        raw[at:header_stop],
        raw[header_stop:],
    )
    _check(envelope)
    return envelope


def _check(envelope: Envelope) -> None:
    """Return quietly if the fields agree with each other, on the way in and on the way out."""
    size = envelope.plain_size
    if size is None and not envelope.multipart:
        raise Malformed("only a multipart envelope may leave the length open")
    if size is not None and not 0 <= size <= PLAIN_BYTES_MAX:
        raise Malformed(f"no object is {size} bytes long", reason="EntityTooLarge")
    if 0 < len(envelope.metadata_block) < METADATA_BLOCK_BYTES_MIN:
        raise Malformed("the metadata block is too short")
    header = envelope.part_header
    if envelope.multipart:
        if header:
            raise Malformed("a multipart envelope holds no part header")
    elif len(header) != HEADER_BYTES or header[0] != HEADER_BYTES:
        raise Malformed("the part header is wrong")
    if envelope.mode is not Mode.KEYRING:
        check_token(envelope.profile, envelope.token)
    elif len(envelope.token) != IK_ID_BYTES:
        raise Malformed("the token of mode keyring is the 16 bytes of an ik_id")


def _render_before_mac(envelope: Envelope) -> bytes:
    _check(envelope)
    flags = envelope.multipart * _FLAG_MULTIPART | bool(envelope.metadata_block) * _FLAG_METADATA
    size = _SIZE_UNKNOWN if envelope.plain_size is None else envelope.plain_size
    if (
        len(envelope.object_id) != OBJECT_ID_BYTES
        or len(envelope.wrap_salt) != WRAP_SALT_BYTES
        or len(envelope.wrapped_dek) != WRAPPED_KEY_BYTES
    ):  # struct would pad or cut
        raise Malformed("the object_id is 16 bytes, the wrap_salt 32 and the wrapped key 40")
    front = _FRONT.pack(
        MAGIC,
        envelope.suite_id,
        flags,
        envelope.profile,
        envelope.mode,
        envelope.object_id,
        size,
        envelope.wrap_salt,
        envelope.wrapped_dek,
    )
    return b"".join(
        (
            front,
            render_text(envelope.kek_id, 1, KEK_ID_BYTES_MAX),
            render_text(envelope.scope, 0, SCOPE_BYTES_MAX),
            render_long(envelope.token),
            render_long(envelope.metadata_block),
            envelope.part_header,
        )
    )


def render(envelope: Envelope) -> bytes:
    """Return the bytes of an envelope; `parse` gives it back.

    Raises:
        Malformed: a field is out of range.
    """
    return _render_before_mac(envelope) + render_fixed(envelope.mac, MAC_BYTES, "mac")


def encode_text(raw: bytes) -> str:
    """Return an envelope as the text of its metadata field: base64url, no padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode_text(text: str) -> bytes:
    """Return the envelope that ``text`` stands for.

    Raises:
        Malformed: it is not the one text of these bytes.
    """
    if len(text) > -(-ENVELOPE_BYTES_MAX * 4 // 3):
        raise Malformed("the envelope's text is too long")
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Malformed("the envelope's text is not base64url") from error
    # Signs that the decoder passes over, padding, and bits beyond the last byte all show here.
    if encode_text(raw) != text:
        raise Malformed("the envelope's text is not the canonical one")
    return raw


def _mac(data_key: DataKey, context: bytes, before_mac: bytes) -> bytes:
    return hmac_sha256(data_key.commit_key, b"HYOK1 envelope" + context + before_mac)


def _finish(envelope: Envelope, data_key: DataKey, context: bytes) -> bytes:
    before_mac = _render_before_mac(envelope)
    raw = before_mac + _mac(data_key, context, before_mac)
    if len(raw) > WRITTEN_BYTES_MAX:
        raise Malformed(
            f"the object's metadata is {len(raw) - WRITTEN_BYTES_MAX} bytes too long to be sealed",
            reason="MetadataTooLarge",
        )
    return raw


def seal_envelope(
    *,
    data_key: DataKey,
    secret: bytes,
    context: bytes,
    suite: Suite,
    multipart: bool,
    profile: Profile,
    mode: Mode,
    object_id: bytes,
    plain_size: int | None,
    wrap_salt: bytes,
    kek_id: str,
    scope: str,
    token: bytes,
    metadata_block: bytes,
    part_header: bytes,
) -> bytes:
    """Return the envelope of a new object.

    Args:
        data_key: new and random, for this object alone.
        secret: what the KEK or the keyring gave for ``token``.
        context: `keys.object_context` of the object.
        suite: the bucket's.
        multipart: whether parts arrive one by one.
        profile: of the KEK; in mode keyring that of the record.
        mode: where the secret comes from.
        object_id: 16 random bytes.
        plain_size: None only for multipart.
        wrap_salt: 32 random bytes.
        kek_id: in mode keyring that of the record.
        scope: in mode keyring that of the record.
        token: in mode keyring the ik_id.
        metadata_block: of `metadata.seal_metadata`, or empty.
        part_header: of part 1; empty for multipart.

    Raises:
        Malformed: a field is out of range; reason ``MetadataTooLarge`` when the store could not
            hold the text.
    """
    envelope = Envelope(
        suite_id=suite.id,
        multipart=multipart,
        profile=profile,
        mode=mode,
        object_id=object_id,
        plain_size=plain_size,
        wrap_salt=wrap_salt,
        wrapped_dek=_wrap(data_key, secret, wrap_salt, context),
        kek_id=kek_id,
        scope=scope,
        token=token,
        metadata_block=metadata_block,
        part_header=part_header,
        mac=b"",
    )
    return _finish(envelope, data_key, context)


def _wrap(data_key: DataKey, secret: bytes, wrap_salt: bytes, context: bytes) -> bytes:
    render_fixed(wrap_salt, WRAP_SALT_BYTES, "wrap_salt")
    return aes_key_wrap(wrap_key(secret, wrap_salt, context), data_key.reveal())


def open_envelope(envelope: Envelope, secret: bytes, context: bytes) -> DataKey:
    """Return the data key, once it is proven that every field of ``envelope`` belongs to it.

    Raises:
        Tampered: the secret, the object or any byte is another than when it was written.
    """
    key = wrap_key(secret, envelope.wrap_salt, context)
    try:
        data_key = DataKey(aes_key_unwrap(key, envelope.wrapped_dek))
    except InvalidUnwrap as error:
        raise Tampered("the envelope does not open for this object and key") from error
    expected = _mac(data_key, context, _render_before_mac(envelope))
    if not hmac.compare_digest(expected, envelope.mac):
        data_key.close()
        raise Tampered("the envelope was changed after it was written")
    return data_key


def check_scope(scope: str, bucket_id: str) -> None:
    """Return quietly if an object of ``bucket_id`` may have an envelope of this scope.

    To be asked before the secret: somebody who knows the secret of another scope could have
    written a valid envelope for this object.

    Raises:
        Tampered: the scope is another bucket's, or one for names.
    """
    if scope.startswith("names:") or (
        scope.startswith("bucket:") and scope != f"bucket:{bucket_id}"
    ):
        raise Tampered("the envelope's scope is not one for objects of this bucket")


def rewrap(
    envelope: Envelope,
    data_key: DataKey,
    *,
    secret: bytes,
    context: bytes,
    profile: Profile,
    mode: Mode,
    wrap_salt: bytes,
    kek_id: str,
    scope: str,
    token: bytes,
    plain_size: int | None = None,
    metadata_block: bytes | None = None,
) -> bytes:
    """Return a new envelope of the same data under another key, or for another name.

    ``envelope`` and ``data_key`` come from `open_envelope`.  ``plain_size`` fills in a length
    that was open, once the trailer has been checked; ``metadata_block`` replaces the metadata.

    Raises:
        Malformed: a field is out of range, or a length that is known would change.
    """
    if plain_size is not None and envelope.plain_size not in (None, plain_size):
        raise Malformed("the length of an object does not change")
    renewed = envelope._replace(
        profile=profile,
        mode=mode,
        wrap_salt=wrap_salt,
        wrapped_dek=_wrap(data_key, secret, wrap_salt, context),
        kek_id=kek_id,
        scope=scope,
        token=token,
        plain_size=envelope.plain_size if plain_size is None else plain_size,
        metadata_block=envelope.metadata_block if metadata_block is None else metadata_block,
    )
    return _finish(renewed, data_key, context)
