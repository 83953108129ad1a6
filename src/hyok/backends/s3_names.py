"""Which names a store can hold: tried once for each bucket, under the reserved prefix.

Stores differ: some keep objects as files and cannot hold ``..`` or long segments, some lose the
content of ``folder/``.  A name that does not come back as it was given is refused from then on, and
never kept under another one.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from hyok.backends.port import StoredFacts
from hyok.backends.s3_findings import is_unfinished
from hyok.errors import HyokError, Refused

if TYPE_CHECKING:
    from hyok.backends.port import ObjectStore

NAME_BYTES_MAX = 1024
SEGMENT_BYTES_SMALL = 255

_EASY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""Most names; no store has trouble with one of them that is short."""


@dataclass(frozen=True, slots=True)
class NameRules:
    """What a store holds.  Everything true: as S3 itself."""

    long_segments: bool = True  # more than 255 bytes between two slashes
    dots: bool = True  # a segment that is . or ..
    backslash: bool = True
    folder_content: bool = True  # bytes under a name that ends in a slash
    empty_segments: bool = True  # two slashes in a row, or one at the front
    beside_folder: bool = True  # `a` beside `a/b`

    def __and__(self, other: NameRules) -> NameRules:
        """Return what both hold."""
        return NameRules(
            *(getattr(self, f.name) and getattr(other, f.name) for f in fields(NameRules))
        )

    def holds(self, name: str) -> bool:
        """Can the store hold this name?"""
        try:
            self.check(name)
        except Refused:
            return False
        return True

    def check(self, name: str) -> None:
        """Return quietly if the store can hold this name.

        Raises:
            Refused: it cannot; says what fits.
        """
        if len(name.encode()) > NAME_BYTES_MAX:
            raise Refused(
                f"Your key is too long for the store: {NAME_BYTES_MAX} bytes fit.",
                reason="KeyTooLongError",
            )
        if len(name) < SEGMENT_BYTES_SMALL and _EASY.fullmatch(name):
            return
        segments = name.split("/")
        if not self.long_segments and any(
            len(segment.encode()) > SEGMENT_BYTES_SMALL for segment in segments
        ):
            raise Refused(
                f"The store behind this bucket holds at most {SEGMENT_BYTES_SMALL} bytes between "
                "two slashes of a key.",
                reason="KeyTooLongError",
            )
        if not self.dots and any(segment in (".", "..") for segment in segments):
            raise _cannot("a segment that is '.' or '..'", sealing_helps=True)
        if not self.backslash and "\\" in name:
            raise _cannot("a backslash", sealing_helps=True)
        if not self.folder_content and name.endswith("/"):
            raise _cannot("content under a key that ends in a slash")
        if not self.empty_segments and (name.startswith("/") or "//" in name):
            raise _cannot("an empty segment (a slash at the front, or two in a row)")


ALL_NAMES = NameRules()
PLAIN_NAMES = NameRules(
    long_segments=False, dots=False, backslash=False, folder_content=False, empty_segments=False
)
"""What every store holds."""


def _cannot(what: str, *, sealing_helps: bool = False) -> Refused:
    # Names are sealed segment by segment, so slashes stay where they are.
    instead = "a bucket with sealed names, or another key" if sealing_helps else "another key"
    return Refused(
        f"The store behind this bucket cannot hold {what} in a key. Use {instead}.",
        reason="InvalidArgument",
        code="HY-4004",
    )


async def probe_names(store: ObjectStore, bucket: str) -> NameRules:
    """Try names in a bucket and return what it holds; nothing of it stays.

    Raises:
        HyokError: the trial could not be finished.
    """
    root = f".hyok/probe/{secrets.token_hex(8)}/"

    async def holds(name: str) -> bool:
        try:
            await store.put_whole(bucket, root + name, b"probe", StoredFacts())
            _, body = await store.read_whole(bucket, root + name)
            page = await store.list(bucket, root)
            return body == b"probe" and root + name in {found.name for found in page.objects}
        except HyokError as error:
            if is_unfinished(error):
                raise
            return False
        finally:
            with suppress(HyokError):
                await store.delete(bucket, root + name)

    return NameRules(
        long_segments=await holds("s" * 600),
        dots=await holds("a/../b") and await holds("a/./b"),
        backslash=await holds("a\\b"),
        folder_content=await holds("folder/"),
        empty_segments=await holds("a//b"),
    )
