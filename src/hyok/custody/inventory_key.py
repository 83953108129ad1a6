"""InventoryKey: seals the rows of a bucket's inventory, so that they are ours and say no names.

A row counts an object that stood in clear when its bucket was adopted.  Whoever could write such
a row could have plaintext of their own handed out, and whoever reads them would read names.
"""

from __future__ import annotations

import json

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from typing_extensions import override

from hyok.envelope.keys import check_secret, hkdf
from hyok.errors import Tampered

SECRET_BYTES = 32
ROW_ID_BYTES = 16
_KEY_BYTES = 64


class InventoryKey:
    """The key of one inventory.

    Source: RFC 5297 (AES-SIV); its tag over a name is a pseudo-random function of the name.
    """

    __slots__ = ("_bucket", "_ids", "_rows")

    def __init__(self, secret: bytes, bucket_id: str) -> None:
        check_secret(secret)
        self._ids = AESSIV(hkdf(secret, b"", b"hyok inventory ids", _KEY_BYTES))
        self._rows = AESSIV(hkdf(secret, b"", b"hyok inventory rows", _KEY_BYTES))
        self._bucket = bucket_id.encode()

    @override
    def __repr__(self) -> str:
        return "InventoryKey(…)"

    def row_id(self, name: str) -> bytes:
        """Return the 16 bytes under which a name's row stands."""
        return self._ids.encrypt(b"\0", [self._bucket, name.encode()])[:ROW_ID_BYTES]

    def seal(self, name: str, etag: str, size: int, state: str) -> bytes:
        """Return the row of an object, bound to bucket, name and state."""
        text = json.dumps([name, etag, size], separators=(",", ":")).encode()
        return self._rows.encrypt(text, [self._bucket, self.row_id(name), state.encode()])

    def open(self, row_id: bytes, entry: bytes, state: str) -> tuple[str, str, int]:
        """Return name, store ETag and size of a row.

        Raises:
            Tampered: somebody else wrote it, or it was moved (code HY-2403).
        """
        try:
            text = self._rows.decrypt(entry, [self._bucket, row_id, state.encode()])
        except InvalidTag as error:
            raise Tampered(
                "A row of the bucket's inventory is not genuine.",
                code="HY-2403",
                effect="The object is not handed out.",
                next_step="restore the database; ask who could write to it",
            ) from error
        name, etag, size = json.loads(text)
        return str(name), str(etag), int(size)
