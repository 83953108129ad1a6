"""UploadPartCopy: a range of an object opened, and sealed again as a part of an upload.

A part is never copied by the store: its header, and with it its key, is one of its own (format.md
section 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.objects.copying import OpenedBody
from hyok.objects.facts import Proofs
from hyok.objects.summing import Summed
from hyok.s3.checksums import Checksum

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.objects.facts import ObjectFacts
    from hyok.objects.multipart import MultipartVault
    from hyok.objects.vault import ObjectVault
    from hyok.s3.checksums import Algorithm
    from hyok.s3.ranges import Asked
    from hyok.vocabulary import Ask, Source, T


class CopiedPart:
    """A `ProvenBody` over verified plaintext, with a checksum of its own: the range is its whole.

    Args:
        opened: the plaintext.
        algorithm: that of the upload.
    """

    def __init__(self, opened: OpenedBody, algorithm: Algorithm) -> None:
        self._opened = opened
        self._checksum = Checksum(algorithm)

    @property
    def size(self) -> int:
        """The plaintext length of the part."""
        return self._opened.size

    async def whole(self) -> memoryview:
        """Return the verified plaintext."""
        plain = await self._opened.whole()
        self._checksum.update(plain)
        return plain

    async def pump(self, work: Callable[[Source], T]) -> T:
        """Run ``work`` over the verified plaintext in a pump thread."""
        return await self._opened.pump(lambda source: work(Summed(source, self._checksum)))

    def proofs(self) -> Proofs:
        """Return the checksum of the part.  Only after it ended."""
        return Proofs(b"", int(self._checksum.algorithm), self._checksum.digest())

    @property
    def verified(self) -> tuple[Algorithm, str]:
        """The checksum that the client is told.  Only after the part ended."""
        return self._checksum.algorithm, self._checksum.text()


async def copy_part(
    vault: ObjectVault,
    multipart: MultipartVault,
    *,
    source: Ask,
    asked: Asked | None,
    check: Callable[[ObjectFacts], None],
    version_id: str,
    target: Ask,
    upload_id: str,
    number: int,
    algorithm: Algorithm,
) -> tuple[str, str, CopiedPart]:
    """Seal a range of one object as a part; return its ETag for the client, the kek_id, the part.

    ``asked`` None: the whole source; ``version_id`` empty: its newest version.  ``check`` judges
    its facts before any of it is opened.

    Raises:
        NotFound, Refused, Conflict, Malformed, Tampered, Unavailable: as reading or writing says.
    """
    opened = await vault.open(source, asked, check, version_id=version_id)
    try:
        body = CopiedPart(OpenedBody(opened, vault.pump, vault.rooms), algorithm)
        etag, kek_id = await multipart.upload_part(target, upload_id, number, body)
    finally:
        await opened.close()
    await vault.custodian.conclude(
        source,
        opened.facts.outcome,
        object_id=bytes.fromhex(opened.facts.object_id),
        kek_id=opened.facts.kek_id,
        size_bytes=body.size,
    )
    return etag, kek_id, body
