"""SealedFiles: seals bodies into files, and opens files, that stand in no store of ours.

Such a file is an object of a bucket with its envelope in front (format.md §17): the same keys, the
same records in the log.  Whoever has it keeps it where they like, and brings it back.

Source: docs/format.md, sections 8 and 17; docs/adr/0039-sealed-files-at-a-door.md.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hyok.backends.port import WHOLE, Span, Stored, StoredFacts
from hyok.envelope import block as envelope_block
from hyok.envelope.layout import LAYOUT
from hyok.envelope.parts import part_header
from hyok.envelope.sealed_file import FILE_BLOCK_BYTES, parse_block, render_block
from hyok.errors import HyokError, Malformed, Refused
from hyok.objects.facts import Proofs, about, split
from hyok.objects.object_sealing import ObjectSealing
from hyok.objects.places import FilePlace
from hyok.objects.reading import ObjectReader
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.backends.port import StoreSource
    from hyok.custody.custodian import IssuedKey, KeyCustodian
    from hyok.objects.facts import PutFacts
    from hyok.objects.opened import Opened
    from hyok.objects.streams import Rooms
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask, Sink, Source

FILE_BYTES_MAX = 5 << 40
"""Of a plaintext: what S3 takes of one object."""

OF_PARTS = "FileOfParts"
_NAME = "file"

HELD_BYTES_MAX = LAYOUT.object_sealed_size(WHOLE_BODY_BYTES_MAX)
"""What follows the block of a file that is opened held in memory; longer ones are streamed."""


def sealed_size(plain_size: int) -> int:
    """Return the length of the sealed file of so many plaintext bytes."""
    return FILE_BLOCK_BYTES + LAYOUT.object_sealed_size(plain_size)


class FileSealing:
    """One file that is being sealed: its key is issued, and its use stands in the log."""

    def __init__(self, ask: Ask, issued: IssuedKey, sealing: ObjectSealing, size: int) -> None:
        self.ask = ask
        self.issued = issued
        self.plain_size = size
        self._sealing = sealing

    @property
    def size(self) -> int:
        """The length of the file."""
        return sealed_size(self.plain_size)

    def close(self) -> None:
        """Let go of the key.  Call always, once."""
        self.issued.data_key.close()

    def whole(self, plain: memoryview) -> bytes:
        """Return the file of a plaintext held in memory.

        Raises:
            Malformed: it has another length than was told (reason ``IncompleteBody``).
        """
        return render_block(self.issued.envelope) + self._sealing.whole(plain, Proofs())

    def pour(self, source: Source, begin: Callable[[], Sink]) -> None:
        """Write the file into the sink that ``begin`` returns, as the plaintext comes.  Blocking.

        Raises:
            Malformed: the plaintext is shorter or longer than was told (reason ``IncompleteBody``);
                what went out has no trailer, so nothing opens it.
        """
        sink = begin()
        sink.write(memoryview(render_block(self.issued.envelope)))
        self._sealing.pour(source, sink, Proofs)


class FileOpening:
    """One file that is being opened: its envelope is genuine, and its key is open."""

    def __init__(self, ask: Ask, opened: Opened, body: _Body) -> None:
        self.ask = ask
        self.opened = opened
        self._body = body

    @property
    def size(self) -> int:
        """The length of the plaintext."""
        return self.opened.size

    def whole(self) -> bytearray:
        """Return the plaintext of a file that was handed over whole.

        Raises:
            Tampered: nothing of it may be used.
        """
        return self.opened.whole()

    def pour(self, rest: Source, begin: Callable[[], Sink]) -> None:
        """Write the plaintext into the sink that ``begin`` returns.  Blocking.

        ``rest`` is what follows the block.  ``begin`` is called once the first piece is verified,
        and the last piece goes out once the trailer is.

        Raises:
            Tampered: what was written so far is genuine; the rest must not be promised any more.
        """
        self._body.source = rest
        self.opened.pour(begin)

    async def close(self) -> None:
        """Let go of the key.  Call always, once."""
        await self.opened.close()


class SealedFiles:
    """Made once by wiring; safe for many files at once."""

    def __init__(
        self,
        *,
        custodian: KeyCustodian,
        classifications: Classifications,
        rooms: Rooms,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._custodian = custodian
        self._classifications = classifications
        self._rooms = rooms
        self._entropy = entropy
        self._reader = ObjectReader(custodian, rooms)

    async def seal(self, ask: Ask, size: int, facts: PutFacts) -> FileSealing:
        """Begin the file of a plaintext of ``size`` bytes; the caller must `close` it.

        Raises:
            Malformed: it is too long (reason ``EntityTooLarge``), or what is said of it is
                (``MetadataTooLarge``).
            Refused: policy says no.
            Unavailable: HSM, database or log do not answer.
        """
        assert ask.classification is not None
        if size > FILE_BYTES_MAX:
            raise Malformed("The file is longer than is sealed.", reason="EntityTooLarge")
        protect = self._classifications.get(ask.classification).seal.protect
        metadata, _ = split(facts, protect, keeps_metadata=False)
        header = part_header(self._entropy(32), self._entropy(7))
        issued = await self._custodian.issue(
            ask, plain_size=size, multipart=False, metadata=metadata, part_header=header
        )
        sealing = ObjectSealing(issued, header, size, self._entropy(16), ask.at_ms, self._rooms)
        return FileSealing(ask, issued, sealing, size)

    async def open(self, ask: Ask, block: bytes, rest_size: int, rest: bytes | None) -> FileOpening:
        """Open the envelope of a file; the caller must `close` it.

        Args:
            ask: for which bucket and name, and by whom.
            block: the first 4096 bytes.
            rest_size: how many bytes follow.
            rest: those, where they are held already; else `FileOpening.pour` is given them.

        Raises:
            Malformed: this is no sealed file.
            Tampered: it is not one of this bucket and name, or was changed.
            Refused: its key may not be used, policy says no, or it was made of parts (reason
                ``FileOfParts``, code HY-2752).
            Unavailable: HSM, database or log do not answer.
        """
        envelope = parse_block(block)
        if envelope_block.parse(envelope).multipart:
            raise Refused(
                "The file was made of the parts of an upload, whose list stands at its end.",
                reason=OF_PARTS,
                code="HY-2752",
                effect="Nothing was opened.",
                next_step="hyok open, where the file can be read from any place",
            )
        stored = Stored(_NAME, "", rest_size, 0, StoredFacts(envelope))
        body = _Body(stored)
        place = FilePlace(_OneFile(stored, body), _NAME)
        opened = await self._reader.open(
            ask, place, stored, asked=None, checksums=False, first=rest or b"", body=True
        )
        return FileOpening(about(ask, opened.facts), opened, body)

    async def sealed(self, sealing: FileSealing) -> None:
        """Write the closing record of a file that was made.

        Raises:
            Unavailable: the log does not confirm, so nobody may be told of success.
        """
        await self._custodian.conclude(
            sealing.ask,
            "done",
            object_id=sealing.issued.object_id,
            kek_id=sealing.issued.kek_id,
            size_bytes=sealing.plain_size,
        )

    async def opened(self, opening: FileOpening) -> None:
        """Write the closing record of a file that was opened; raises as `sealed`."""
        facts = opening.opened.facts
        await self._custodian.conclude(
            opening.ask,
            facts.outcome,
            object_id=bytes.fromhex(facts.object_id),
            kek_id=facts.kek_id,
            size_bytes=facts.size,
        )

    async def failed(self, file: FileSealing | FileOpening, error: BaseException) -> None:
        """Write the closing record of one that was not; the failure is what the caller must see."""
        if isinstance(file, FileSealing):
            object_id, kek_id = file.issued.object_id, file.issued.kek_id
        else:
            facts = file.opened.facts
            object_id, kek_id = bytes.fromhex(facts.object_id), facts.kek_id
        word = type(error).__name__
        if isinstance(error, HyokError) and error.reason:
            word = f"{word}:{error.reason}"
        with suppress(HyokError):
            await self._custodian.conclude(
                file.ask, "failed", object_id=object_id, kek_id=kek_id, error=word
            )


class _Body:
    """The sealed bytes behind the block, given when the pump has them; a `StoreSource`."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.source: Source | None = None

    def read_into(self, buffer: memoryview) -> int:
        assert self.source is not None, "read before it was given"
        return self.source.read_into(buffer)

    def close(self) -> None:
        self.source = None


class _OneFile:
    """A `ReadableStore` of one file, which is read once from its front to its end."""

    def __init__(self, stored: Stored, body: _Body) -> None:
        self._stored = stored
        self._body = body

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]:
        """Do nothing: what is short was held, and the rest is read in order."""
        raise AssertionError((bucket, name, span, if_match, version_id))

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> StoreSource:
        del bucket, name, if_match, version_id
        assert span == Span(0, self._stored.size)
        return self._body

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        """Return nothing: a file's tags are sealed in it."""
        del bucket, name, version_id
        return {}
