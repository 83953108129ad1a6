"""Tags that changed after their object was written: sealed, in the store's own tags of the version.

They lie over those of the envelope, which stays as it is, so that a change of tags leaves bytes,
ETag and time of the object alone.  Where none of ours stand, the envelope's tags hold.

Source: docs/format.md, section 19.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyok.envelope.keys import SALT_BYTES
from hyok.envelope.layout import TAG_BYTES
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.envelope.keys import DataKey

PREFIX = "hyok-"
PIECES_MAX = 10
"""As many tags as S3 keeps of an object."""

PIECE_CHARS_MAX = 256
"""As long as S3 lets the value of a tag be."""

_NONCE = bytes(12)  # the key is used for this one message


def seal_tags(
    tags: Mapping[str, str], data_key: DataKey, salt: bytes, object_id: bytes
) -> dict[str, str]:
    """Return the store's tags that hold these.  ``salt``: 16 fresh random bytes.

    Raises:
        Malformed: they do not fit (reason ``MetadataTooLarge``), or are not UTF-8.
    """
    try:
        raw = _render(tags)
    except UnicodeEncodeError as error:
        raise Malformed("a tag is not UTF-8", reason="InvalidTag") from error
    sealed = salt + AESGCM(data_key.tags_key(salt)).encrypt(_NONCE, raw, _associated(object_id))
    text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
    if len(text) > PIECES_MAX * PIECE_CHARS_MAX:
        raise Malformed(
            "Your tags are too long: sealed, they take more than the ten tags of 256 characters "
            "that the store keeps of an object. Names and values of about 1800 bytes fit.",
            reason="MetadataTooLarge",
        )
    return _pieces(text)


def open_tags(
    stored: Mapping[str, str], data_key: DataKey, object_id: bytes
) -> dict[str, str] | None:
    """Return the tags that the store's own hold; None where none of them are ours.

    Tags of other names are not ours and mean nothing.

    Raises:
        Tampered: a piece is missing, over or changed, or they are another object's.
    """
    ours = {name: value for name, value in stored.items() if name.startswith(PREFIX)}
    if not ours:
        return None
    text = "".join(ours.get(f"{PREFIX}{number}", "") for number in range(1, PIECES_MAX + 1))
    if _pieces(text) != ours:
        raise Tampered("the sealed tags are not one whole set")
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise Tampered("the sealed tags are no text of ours") from error
    if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != text:
        raise Tampered("the sealed tags are not in their one form")
    if len(sealed) < SALT_BYTES + TAG_BYTES:
        raise Tampered("the sealed tags were cut")
    salt, box = sealed[:SALT_BYTES], sealed[SALT_BYTES:]
    try:
        raw = AESGCM(data_key.tags_key(salt)).decrypt(_NONCE, box, _associated(object_id))
    except InvalidTag as error:
        raise Tampered("the sealed tags failed authentication") from error
    return _parse(raw)


def _pieces(text: str) -> dict[str, str]:
    """Cut a text: every piece is full but the last."""
    cuts = range(0, len(text), PIECE_CHARS_MAX)
    return {
        f"{PREFIX}{number}": text[at : at + PIECE_CHARS_MAX] for number, at in enumerate(cuts, 1)
    }


def _render(tags: Mapping[str, str]) -> bytes:
    text = json.dumps(dict(tags), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def _parse(raw: bytes) -> dict[str, str]:
    try:
        tags = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise Tampered("the sealed tags are not JSON") from error
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise Tampered("the sealed tags are no tags")
    try:
        canonical = _render(tags)
    except UnicodeEncodeError as error:
        raise Tampered("the sealed tags are not UTF-8") from error
    if canonical != raw:
        raise Tampered("the sealed tags are not in their one form")
    return tags


def _associated(object_id: bytes) -> bytes:
    return b"HYOK1 tags" + object_id
