"""Opening stored objects: from what the store says to plaintext that is proven.

The envelope's mac proves key, length (single-part objects) and metadata; the trailer's tag proves
the list of parts.  Every store read after the first is conditional on the same version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.backends.port import Span
from hyok.envelope.layout import HEADER_BYTES, LAYOUT
from hyok.envelope.trailer import open_trailer
from hyok.errors import Malformed, Refused, Tampered
from hyok.objects.held import Held
from hyok.objects.known_parts import KnownParts
from hyok.objects.object_tags import tags_of
from hyok.objects.opened import Opened
from hyok.objects.plaintext_errors import no_envelope
from hyok.objects.proven_facts import facts_of, with_trailer
from hyok.objects.streams import (
    Chain,
    Cut,
    PartSpan,
    check_part_header,
    read_full,
)
from hyok.objects.trailer_reading import read_trailer, same_version
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, MemorySource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.backends.port import Stored, StoreSource
    from hyok.custody.port import KeyOpener, RecoveredKey
    from hyok.envelope.trailer import Trailer
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.places import ReadPlace
    from hyok.objects.streams import Rooms
    from hyok.s3.ranges import Asked
    from hyok.vocabulary import Ask, Source

FIRST_READ_BYTES = LAYOUT.object_sealed_size(WHOLE_BODY_BYTES_MAX)
"""A first read of this length holds every small object whole, its trailer included."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What is proven of an object without reading its body."""

    key: RecoveredKey
    facts: ObjectFacts
    trailer: Trailer


def _nothing_to_prove() -> None:
    return


class ObjectReader:
    """Opens what a store answered."""

    def __init__(self, keys: KeyOpener, rooms: Rooms, parts: KnownParts | None = None) -> None:
        """``parts``: where the parts of objects are remembered, for who reads their ranges."""
        self._keys = keys
        self._rooms = rooms
        self._parts = parts or KnownParts()

    async def open(
        self,
        ask: Ask,
        place: ReadPlace,
        stored: Stored,
        *,
        asked: Asked | None,
        checksums: bool,
        check: Callable[[ObjectFacts], None] = lambda _facts: None,
        first: bytes = b"",
        first_at: int = 0,
        body: bool = False,
        part_number: int | None = None,
        tags: bool = False,
    ) -> Opened:
        """Open envelope and, where needed, trailer; judge; place the range."""
        key, facts = await self.known(ask, place, stored, tags=tags)
        size = facts.size
        try:
            check(facts)
            trailer = None
            needed = checksums and not facts.checksums
            if needed or part_number is not None or (body and key.envelope.multipart):
                trailer = None if needed else self._known_trailer(place, stored, key, asked)
                if trailer is None:
                    trailer = await read_trailer(place, stored, key)
                    if key.envelope.multipart:
                        self._parts.keep(place, stored, key, trailer)
            if trailer is not None:
                facts = with_trailer(facts, trailer)
            start, stop = _range(asked, size, trailer, part_number)
            if not body:
                return self._opened(facts, 0, 0, key, [], MemorySource(b""), None)
            if key.envelope.multipart:
                assert trailer is not None
                return await self._multipart(
                    place, stored, key, facts, trailer, start, stop, first, first_at
                )
            if self._parts.entries:
                self._parts.forget(place)
            return await self._single(place, stored, key, facts, start, stop, first, first_at)
        except BaseException:
            key.data_key.close()
            raise

    def _known_trailer(
        self, place: ReadPlace, stored: Stored, key: RecoveredKey, asked: Asked | None
    ) -> Trailer | None:
        """Return the trailer for a range, from memory; all of an object is read with its own."""
        known = self._parts.trailer_of(place, stored, key)
        if known is None or asked is None:
            return None
        whole = (0, known.plain_size)
        return None if asked.resolve(known.plain_size) == whole else known

    async def known(
        self, ask: Ask, place: ReadPlace, stored: Stored, *, tags: bool
    ) -> tuple[RecoveredKey, ObjectFacts]:
        """Open the envelope of a stored version; the caller closes the data key.

        ``tags``: those in clear are wanted as well.
        """
        if stored.facts is None or not stored.facts.envelope:
            raise no_envelope()
        size = _plain_size(stored)
        key = await self._keys.recover(ask, stored.facts.envelope)
        if key.envelope.plain_size not in (None, size):
            key.data_key.close()
            raise Tampered("the stored length is not the one that was sealed", code="HY-3503")
        try:
            return key, facts_of(stored, key, size, *await tags_of(place, stored, key, wanted=tags))
        except BaseException:
            key.data_key.close()
            raise

    async def examine(self, ask: Ask, place: ReadPlace, stored: Stored) -> Examined:
        """Open envelope and trailer of a stored object, and nothing of its body.

        The caller closes the data key.
        """
        key, facts = await self.known(ask, place, stored, tags=True)
        try:
            trailer = await read_trailer(place, stored, key)
        except BaseException:
            key.data_key.close()
            raise
        return Examined(key, with_trailer(facts, trailer), trailer)

    def _opened(
        self,
        facts: ObjectFacts,
        start: int,
        stop: int,
        key: RecoveredKey,
        spans: Sequence[PartSpan],
        source: Source,
        stored: StoreSource | None,
        prove: Callable[[], None] = _nothing_to_prove,
    ) -> Opened:
        return Opened(
            facts=facts,
            start=start,
            stop=stop,
            key=key,
            spans=spans,
            source=source,
            stored=stored,
            prove=prove,
            rooms=self._rooms,
        )

    async def _single(
        self,
        place: ReadPlace,
        stored: Stored,
        key: RecoveredKey,
        facts: ObjectFacts,
        start: int,
        stop: int,
        first: bytes,
        first_at: int,
    ) -> Opened:
        size = facts.size
        plan = LAYOUT.plan_part(size, start, stop)
        full = start == 0 and stop == size
        from_header = plan.first_segment == 0
        sealed_start = 0 if from_header else plan.sealed_start
        sealed_stop = stored.size if full else plan.sealed_stop
        span = PartSpan(1, key.envelope.part_header, size, start, stop, from_header)
        if first_at <= sealed_start and sealed_stop <= first_at + len(first):
            here = memoryview(first)[sealed_start - first_at : sealed_stop - first_at]
            return Held(facts, key, span, plan, here, stored.size if full else None, self._rooms)
        source, rest = await self._source(place, stored, sealed_start, sealed_stop, first, first_at)

        def prove() -> None:
            length = stored.size - LAYOUT.part_sealed_size(size)
            raw = bytearray(length)
            if read_full(source, memoryview(raw)) != length:
                raise Tampered("the stored object is shorter than it should be")
            open_trailer(
                bytes(raw),
                key.data_key,
                sealed_size=stored.size,
                object_id=key.envelope.object_id,
                multipart=False,
                part_header=key.envelope.part_header,
            )

        return self._opened(
            facts, start, stop, key, [span], source, rest, prove if full else _nothing_to_prove
        )

    async def _multipart(
        self,
        place: ReadPlace,
        stored: Stored,
        key: RecoveredKey,
        facts: ObjectFacts,
        trailer: Trailer,
        start: int,
        stop: int,
        first: bytes,
        first_at: int,
    ) -> Opened:
        spans: list[PartSpan] = []
        plain_at = sealed_at = 0
        sealed_start = sealed_stop = -1
        full = start == 0 and stop == facts.size
        headers = self._parts.headers_of(place, stored, key)
        if headers is None:
            headers = {}
        for entry in trailer.entries:
            low = max(start - plain_at, 0)
            high = min(stop - plain_at, entry.plain_size)
            if low < high or (full and entry.plain_size == 0):
                if not entry.bound:
                    raise Refused(
                        "The object has a part that is not bound to its upload.",
                        code="HY-3502",
                        next_step="write the object anew",
                    )
                plan = LAYOUT.plan_part(entry.plain_size, low, high)
                from_header = bool(spans) or plan.first_segment == 0
                if sealed_start < 0:
                    sealed_start = sealed_at + (0 if from_header else plan.sealed_start)
                sealed_stop = sealed_at + plan.sealed_stop
                span = PartSpan(
                    entry.part_number,
                    b"",
                    entry.plain_size,
                    low,
                    high,
                    from_header,
                    entry.part_id,
                )
                if not from_header:
                    header = headers.get(entry.part_number)
                    if header is None:
                        header = await self._header(place, stored, sealed_at)
                    check_part_header(header, span)
                    headers[entry.part_number] = header
                    span = span._replace(header=header)
                spans.append(span)
            plain_at += entry.plain_size
            sealed_at += LAYOUT.part_sealed_size(entry.plain_size)
        source, rest = await self._source(place, stored, sealed_start, sealed_stop, first, first_at)
        return self._opened(facts, start, stop, key, spans, source, rest)

    async def _header(self, place: ReadPlace, stored: Stored, at: int) -> bytes:
        _, header = await place.store.read_whole(
            place.bucket, place.name, Span(at, at + HEADER_BYTES), stored.etag, stored.version_id
        )
        return header

    async def _source(
        self, place: ReadPlace, stored: Stored, start: int, stop: int, first: bytes, first_at: int
    ) -> tuple[Source, StoreSource | None]:
        """Return a source of sealed ``[start, stop)``, using the bytes already read."""
        at_hand = b""
        if first_at <= start < first_at + len(first):
            at_hand = first[start - first_at : stop - first_at]
        missing = start + len(at_hand)
        if missing >= stop:
            return MemorySource(at_hand), None
        if stop - missing <= WHOLE_BODY_BYTES_MAX:
            _, rest = await same_version(
                place.store.read_whole(
                    place.bucket, place.name, Span(missing, stop), stored.etag, stored.version_id
                )
            )
            return Chain([MemorySource(at_hand), MemorySource(rest)]), None
        source = await same_version(
            place.store.read(
                place.bucket, place.name, Span(missing, stop), stored.etag, stored.version_id
            )
        )
        return Chain([MemorySource(at_hand), Cut(source, stop - missing)]), source


def _plain_size(stored: Stored) -> int:
    try:
        return LAYOUT.object_plain_size(stored.size)
    except Malformed as error:
        raise Tampered(
            "the stored length is not that of a sealed object", code="HY-3503"
        ) from error


def _range(
    asked: Asked | None, size: int, trailer: Trailer | None, part_number: int | None
) -> tuple[int, int]:
    if part_number is not None:
        assert trailer is not None
        at = 0
        for entry in trailer.entries:
            if entry.part_number == part_number:
                return at, at + entry.plain_size
            at += entry.plain_size
        raise Malformed("The requested partnumber is not satisfiable", reason="InvalidPartNumber")
    return (0, size) if asked is None else asked.resolve(size)
