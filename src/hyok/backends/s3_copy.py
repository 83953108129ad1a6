"""S3Copy: sealed bytes copied inside the store, at once or, where that is too much, in parts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hyok.backends import s3_answers as answers
from hyok.backends import s3_wire as wire
from hyok.backends.port import StoredPart
from hyok.backends.s3_bodies import part_query
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hyok.backends.port import Condition
    from hyok.backends.s3_endpoint import Endpoint

PARTS_MAX = 10_000
COPIES_AT_ONCE = 4


def boundaries(size: int, part_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield ``[start, stop)`` of each part: of ``part_bytes``, or more where 10,000 do not do."""
    part_bytes = max(part_bytes, -(-size // PARTS_MAX))
    for start in range(0, size, part_bytes):
        yield start, min(start + part_bytes, size)


class S3Copy:
    """One version of an object on its way to another name, or to new facts of its own.

    Args:
        endpoint: the store.
        source: headers that name the source and its version.
        target: bucket and name.
        size: of the source, in bytes.
        headers: the facts of the target.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        source: Mapping[str, str],
        target: tuple[str, str],
        size: int,
        headers: Mapping[str, str],
    ) -> None:
        self._endpoint = endpoint
        self._source = source
        self._target = target
        self._size = size
        self._headers = headers
        self._room = asyncio.Semaphore(COPIES_AT_ONCE)

    async def at_once(self, condition: Condition, tags: str) -> tuple[str, str]:
        """Copy with one request and return the new ETag and version id.

        ``tags``: COPY those of the source, or REPLACE them by those of the headers.

        Raises:
            Conflict: the source was replaced, or the condition does not hold.
        """
        answer = await self._endpoint.request(
            "PUT",
            *self._target,
            headers={
                **self._headers,
                **self._source,
                **wire.condition_headers(condition),
                "x-amz-metadata-directive": "REPLACE",
                "x-amz-tagging-directive": tags,
            },
            deadline=self._endpoint.seconds_for(self._size),
        )
        etag = answers.parse_etag(answer.body, "CopyObjectResult")
        return etag, answer.headers.get(wire.VERSION, "")

    async def in_parts(self, condition: Condition, part_bytes: int) -> tuple[str, str]:
        """Copy part by part, the boundaries being our own; return the new ETag and version id.

        Parts of the sealed format may lie across them (format.md §9).

        Raises:
            Conflict: the source was replaced on the way, or the condition does not hold.
        """
        upload_id = await self._endpoint.begin_upload(*self._target, dict(self._headers))
        copies = [
            asyncio.create_task(self._part(upload_id, number, start, stop))
            for number, (start, stop) in enumerate(boundaries(self._size, part_bytes), 1)
        ]
        try:
            parts = await asyncio.gather(*copies)
            return await self._endpoint.complete_upload(*self._target, upload_id, parts, condition)
        except BaseException:
            # A copy still under way would leave bytes in an upload that is given up.
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            with suppress(HyokError):
                await self._endpoint.abort_upload(*self._target, upload_id)
            raise

    async def _part(self, upload_id: str, number: int, start: int, stop: int) -> StoredPart:
        async with self._room:
            answer = await self._endpoint.request(
                "PUT",
                *self._target,
                query=part_query(upload_id, number),
                headers={
                    **self._source,
                    "x-amz-copy-source-range": f"bytes={start}-{stop - 1}",
                },
                missing="NoSuchUpload",
                deadline=self._endpoint.seconds_for(stop - start),
            )
        etag = answers.parse_etag(answer.body, "CopyPartResult")
        return StoredPart(number, etag, stop - start)
