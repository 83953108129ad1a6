"""Object names, sealed segment by segment, so that a store can still list by folder.

Each segment between slashes is sealed deterministically under its clear parent path: equal names
under one parent look equal, under another parent they do not.  Depth, number and lengths show.

Source: docs/format.md, section 12; RFC 5297 (AES-SIV).
"""

from __future__ import annotations

import re
import string
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from typing_extensions import override

from hyok.envelope.keys import check_secret, hkdf
from hyok.envelope.layout import TAG_BYTES
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_KEY_BYTES = 64
OPENED_NAMES_MAX = 4096  # remembered by a key; about a megabyte
_TEXT = re.compile(r"[A-Za-z0-9_-]+")
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_LAST = (_ALPHABET, "", _ALPHABET[::16], _ALPHABET[::4])
"""What a text may end in, by its length modulo 4."""


class NameKey:
    """The key of one bucket's names, made of the secret of its scope ``names:<bucket_id>``."""

    __slots__ = (
        "_bucket",
        "_last_associated",
        "_opened",
        "_opened_parent",
        "_sealed_parent",
        "_siv",
    )

    def __init__(self, secret: bytes, bucket_id: str) -> None:
        self._siv = AESSIV(hkdf(check_secret(secret), b"", b"HYOK1 name key", NAME_KEY_BYTES))
        self._bucket = bucket_id.encode()
        # A listing opens a thousand names of the same few folders, one after the other.  Each pair
        # is (text, its parent in the other form) and is replaced as a whole, so threads may meet.
        self._sealed_parent = ("", "")
        self._opened_parent = ("", "")
        # Clients list the same folders over and over.  What was opened lives as long as the key.
        self._opened: dict[str, str] = {}
        self._last_associated = ("", [b"HYOK1 name", self._bucket, b""])

    @override
    def __repr__(self) -> str:
        return "NameKey(…)"

    def seal(self, key: str) -> str:
        """Return the name under which the store knows ``key``.

        Raises:
            Malformed: ``key`` is no text that UTF-8 can hold.
        """
        parent, slash, last = key.rpartition("/")
        folder = parent + slash
        try:
            return self._seal_folder(folder) + self._seal_segment(folder, last)
        except UnicodeEncodeError as error:
            raise Malformed("the object's key is not UTF-8", reason="InvalidURI") from error

    def _seal_folder(self, folder: str) -> str:
        known, sealed = self._sealed_parent
        if folder != known:
            sealed = parent = ""
            for segment in folder.split("/")[:-1]:
                sealed += self._seal_segment(parent, segment) + "/"
                parent += segment + "/"
            self._sealed_parent = (folder, sealed)
        return sealed

    def _seal_segment(self, parent: str, segment: str) -> str:
        if not segment:
            return ""
        sealed = self._siv.encrypt(segment.encode(), self._associated(parent))
        return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, sealed: str) -> str:
        """Return the key that the store knows as ``sealed``.

        Raises:
            Tampered: it is no name that this key has made, or stands under another parent.
        """
        key = self._opened.get(sealed)
        if key is None:
            folder, slash, last = sealed.rpartition("/")
            parent = self._open_folder(folder + slash)
            key = parent + self._open_segment(parent, last)
            if len(self._opened) >= OPENED_NAMES_MAX:
                self._opened.clear()
            self._opened[sealed] = key
        return key

    def open_all(self, sealed: Sequence[str]) -> list[str | None]:
        """Return the keys of many names; None in the place of one for which `open` would raise."""
        keys = list(map(self._opened.get, sealed))
        if None not in keys:  # as where clients list the same folders over and over
            return keys
        for at, name in enumerate(sealed):
            if keys[at] is None:
                try:
                    keys[at] = self.open(name)
                except Tampered:
                    continue
        return keys

    def _open_folder(self, folder: str) -> str:
        known, opened = self._opened_parent
        if folder != known:
            opened = ""
            for segment in folder.split("/")[:-1]:
                opened += self._open_segment(opened, segment) + "/"
            self._opened_parent = (folder, opened)
        return opened

    def _open_segment(self, parent: str, sealed: str) -> str:
        if not sealed:
            return ""
        raw = _decode(sealed)
        try:
            segment = self._siv.decrypt(raw, self._associated(parent)).decode()
        except (InvalidTag, UnicodeDecodeError) as error:
            raise Tampered("a sealed name does not open in this bucket and folder") from error
        return segment

    def _associated(self, parent: str) -> list[bytes]:
        known, associated = self._last_associated
        if parent != known:
            associated = [b"HYOK1 name", self._bucket, parent.encode()]
            self._last_associated = (parent, associated)
        return associated

    def seal_prefix(self, prefix: str) -> tuple[str, str]:
        """Return the sealed folder of ``prefix`` and the clear rest that ends inside a segment.

        List the folder at the store, open the names, and keep those that start with the rest.
        """
        folder, slash, rest = prefix.rpartition("/")
        return self.seal(folder + slash), rest


def _decode(text: str) -> bytes:
    if len(text) % 4 == 1 or not _TEXT.fullmatch(text):
        raise Tampered("a name in the store is not a sealed one")
    # One text for one name: the bits that a last character has beyond the last byte are zero.
    if text[-1] not in _LAST[len(text) % 4]:
        raise Tampered("a name in the store is not a sealed one")
    # `urlsafe_b64decode` takes twice as long for the same.
    raw = a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    if len(raw) <= TAG_BYTES:
        raise Tampered("a name in the store is not a sealed one")
    return raw
