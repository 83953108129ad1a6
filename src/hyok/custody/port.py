"""What custody asks of floors above and beside it, filled by wiring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.vocabulary import Bucket

KEYRING_FOLDER = "keyring/"
"""Where a bucket's mirror keeps records: ``keyring/<ik_id in hex>``."""

TOMBSTONES_FOLDER = "tombstones/"
"""What stands here under the same name stops a record that comes back from a backup."""


class KeyringMirror(Protocol):
    """The reserved prefix of a bucket; `hyok.objects.mirror` fills it."""

    async def write(self, bucket: Bucket, name: str, raw: bytes) -> None: ...

    async def read(self, bucket: Bucket, name: str) -> bytes | None: ...

    async def list(self, bucket: Bucket, prefix: str) -> Sequence[str]: ...
