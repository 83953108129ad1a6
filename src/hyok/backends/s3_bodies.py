"""Bodies on their way into and out of an S3 store, and what its answers say of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyok.backends import s3_wire as wire
from hyok.backends.port import WHOLE, Stored, StoredPart
from hyok.backends.s3_answers import broken
from hyok.backends.s3_errors import error_of, failure_of
from hyok.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import Span, StoredFacts
    from hyok.backends.s3_trailer import Outgoing
    from hyok.http1.client import Download, Response


def part_query(upload_id: str, number: int) -> list[tuple[str, str]]:
    return [("partNumber", str(number)), ("uploadId", upload_id)]


_VERSION_ID = re.compile(r"[A-Za-z0-9._~+=-]{1,1024}")
"""What ids of versions are made of; anything else could be taken for a path by a store."""


def version_query(version_id: str) -> list[tuple[str, str]]:
    """Return the query that names a version; empty for the newest.

    Raises:
        NotFound: no store makes such an id.
    """
    if version_id and not _VERSION_ID.fullmatch(version_id):
        raise NotFound("The specified version does not exist.", reason="NoSuchVersion")
    return [("versionId", version_id)] if version_id else []


def missing(version_id: str) -> str:
    """Return what is missing where a store says no more than 404."""
    return "NoSuchVersion" if version_id else "NoSuchKey"


def check_version(version_id: str, headers: Mapping[str, str]) -> None:
    """Return quietly if the answer is of the version that was asked for.

    Raises:
        NotFound: it is not; some stores pass over the id in a bucket that never had versions.
    """
    told = headers.get(wire.VERSION, "")
    if version_id and told != version_id and (version_id, told) != ("null", ""):
        raise NotFound("The specified version does not exist.", reason="NoSuchVersion")


def etag_of(answer: Response) -> str:
    etag = answer.headers.get("etag", "").strip('"')
    if not etag:
        raise broken("it has no ETag")
    return etag


def put_result(name: str, answer: Response, size: int, facts: StoredFacts) -> Stored:
    return Stored(
        name=name,
        etag=etag_of(answer),
        size=size,
        modified_ms=wire.written_ms(answer.headers),
        facts=facts,
        version_id=answer.headers.get(wire.VERSION, ""),
        tag_count=len(facts.tags),
    )


def read_headers(span: Span, if_match: str) -> dict[str, str]:
    headers = {"if-match": f'"{if_match}"'} if if_match else {}
    if span.suffix:
        headers["range"] = f"bytes=-{span.suffix}"
    elif span.start or span.stop is not None:
        last = "" if span.stop is None else str(span.stop - 1)
        headers["range"] = f"bytes={span.start}-{last}"
    return headers


def bounds(span: Span, size: int) -> tuple[int, int]:
    if span.suffix:
        return max(0, size - span.suffix), size
    return span.start, size if span.stop is None else min(span.stop, size)


async def check_download(download: Download, span: Span, version_id: str) -> None:
    """Return quietly if the answer is the span that was asked for.

    Raises:
        HyokError: as the store says, or it ignores ranges.
    """
    if download.status // 100 != 2:
        body = await download.whole()
        failure = failure_of(download.status, body, download.headers)
        raise error_of(failure, missing(version_id))
    if download.status == 200 and span != WHOLE:
        raise Unavailable("The store ignores ranges.", reason="ServiceUnavailable", lasting=True)
    check_version(version_id, download.headers)


class S3Source:
    """A stored body on its way in."""

    def __init__(self, stored: Stored, download: Download) -> None:
        self.stored = stored
        self._download = download

    def read_into(self, buffer: memoryview) -> int:
        return self._download.read_into(buffer)

    def close(self) -> None:
        self._download.close()


class S3PartSink:
    """One part on its way out."""

    def __init__(self, upload: Outgoing, number: int, size: int) -> None:
        self._upload = upload
        self._number = number
        self._size = size

    def write(self, view: memoryview) -> None:
        self._upload.write(view)

    def commit(self) -> StoredPart:
        answer = self._upload.finish()
        if answer.status // 100 != 2:
            raise error_of(failure_of(answer.status, answer.body, answer.headers), "NoSuchUpload")
        return StoredPart(self._number, etag_of(answer), self._size)

    def abort(self) -> None:
        self._upload.abort()


class S3ObjectSink:
    """One object on its way out."""

    def __init__(self, upload: Outgoing, name: str, size: int, facts: StoredFacts) -> None:
        self._upload = upload
        self._name = name
        self._size = size
        self._facts = facts

    def write(self, view: memoryview) -> None:
        self._upload.write(view)

    def commit(self) -> Stored:
        answer = self._upload.finish()
        if answer.status // 100 != 2:
            raise error_of(failure_of(answer.status, answer.body, answer.headers), "NoSuchBucket")
        return put_result(self._name, answer, self._size, self._facts)

    def abort(self) -> None:
        self._upload.abort()
