"""What a client says about an object beside its bytes, sealed.

A member that is present is protected, also when it is null or empty: the reader then never takes
that field from the store.  So a writer names every field that policy protects, and a store cannot
add a content type or user metadata of its own.

Source: docs/format.md, section 7.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyok.envelope.keys import SALT_BYTES
from hyok.envelope.layout import TAG_BYTES
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.envelope.keys import DataKey

TEXT_MEMBERS = ("ct", "ce", "cd", "cl", "cc", "ex")
MAP_MEMBERS = ("um", "tg", "ck")
MEMBERS = TEXT_MEMBERS + MAP_MEMBERS
JSON_BYTES_MAX = 1_342
"""No envelope that fits into a store's metadata holds more; `seal_envelope` has the exact limit."""

_NONCE = bytes(12)  # the key is used for this one message
_KNOWN = frozenset(MEMBERS)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class Metadata(NamedTuple):
    """The protected facts of an object; a field outside ``protected`` is the store's word.

    Field by field: content type, encoding, disposition and language, cache control, expires;
    user metadata, tags, and checksums known before the body (algorithm to base64 value).
    """

    ct: str | None = None
    ce: str | None = None
    cd: str | None = None
    cl: str | None = None
    cc: str | None = None
    ex: str | None = None
    um: Mapping[str, str] | None = None
    tg: Mapping[str, str] | None = None
    ck: Mapping[str, str] | None = None
    protected: frozenset[str] = frozenset()

    @property
    def values(self) -> tuple[str | Mapping[str, str] | None, ...]:
        """The values in the order of `MEMBERS`."""
        return self[:-1]  # all but ``protected``, in their order

    def value(self, member: str) -> str | Mapping[str, str] | None:
        """Return the value of a member by its name in the JSON."""
        value: str | Mapping[str, str] | None = getattr(self, member)
        return value


def render(metadata: Metadata) -> bytes:
    """Return the JSON of the protected members, ``null`` where the client sent nothing.

    Raises:
        Malformed: a value is given for a member that is not protected, so it would be lost; or a
            text is not UTF-8.
    """
    protected = metadata.protected
    members: dict[str, object] = {}
    lost = not protected <= _KNOWN
    for member, value in zip(MEMBERS, metadata.values, strict=True):
        if member in protected:
            members[member] = value if value is None or isinstance(value, str) else dict(value)
        elif value is not None:
            lost = True
    if lost:
        raise Malformed("metadata is given that is not protected here")
    try:
        return _encode(members).encode()
    except UnicodeEncodeError as error:
        raise Malformed("the object's metadata is not UTF-8") from error


def parse(raw: bytes) -> Metadata:
    """Return the members of the JSON; unknown ones are ignored.

    Raises:
        Malformed: it is no JSON object of the members' types, or names one twice.
    """
    try:
        members = _decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("the sealed metadata is not JSON") from error
    if not isinstance(members, dict):
        raise Malformed("the sealed metadata is no JSON object")
    values = {}
    for member in MEMBERS:
        value = members.get(member)
        if value is not None:
            if not _fits(member, value):
                raise Malformed("the sealed metadata has a member of the wrong type")
            values[member] = value
    return Metadata(**values, protected=_KNOWN.intersection(members))


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


_decode = json.JSONDecoder(object_pairs_hook=_no_doubles).decode


def _fits(member: str, value: object) -> bool:
    """Is this a value of a member: a text, or texts by name?"""
    if member in TEXT_MEMBERS:
        return isinstance(value, str)
    if not isinstance(value, dict):
        return False
    return not value or all(isinstance(item, str) for item in value.values())


def seal_metadata(raw: bytes, data_key: DataKey, salt: bytes, object_id: bytes) -> bytes:
    """Return the envelope's metadata block of this JSON.  ``salt``: 16 fresh random bytes.

    Raises:
        Malformed: with reason ``MetadataTooLarge``, when no envelope could hold it.
    """
    if len(raw) > JSON_BYTES_MAX:
        raise Malformed("the object's metadata is too long to be sealed", reason="MetadataTooLarge")
    aead = AESGCM(data_key.meta_key(salt))
    return salt + aead.encrypt(_NONCE, raw, _associated(object_id))


def open_metadata(block: bytes, data_key: DataKey, object_id: bytes) -> Metadata:
    """Return the metadata of a block; an empty block protects nothing.

    Raises:
        Tampered: the block is not this object's, or holds no metadata.
    """
    if not block:
        return Metadata()
    if len(block) < SALT_BYTES + TAG_BYTES:
        raise Tampered("the sealed metadata was cut")
    aead = AESGCM(data_key.meta_key(block[:SALT_BYTES]))
    try:
        return parse(aead.decrypt(_NONCE, block[SALT_BYTES:], _associated(object_id)))
    except InvalidTag as error:
        raise Tampered("the sealed metadata failed authentication") from error
    except Malformed as error:
        raise Tampered(f"the sealed metadata breaks a rule: {error}") from error


def _associated(object_id: bytes) -> bytes:
    return b"HYOK1 meta" + object_id
