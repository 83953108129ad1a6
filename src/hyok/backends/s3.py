"""S3Store: any S3 endpoint as a place for sealed bytes.

Every request is our own, signed with our own credentials; nothing of a client's request is passed
on.  What a store cannot do atomically is refused, never imitated with two requests.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.backends import s3_wire as wire
from hyok.backends.port import ALWAYS, WHOLE, Stored, StoredPart, StoreFeatures, StoreListing
from hyok.backends.s3_names import ALL_NAMES, NameRules, probe_names
from hyok.backends.s3_trailer import PAYLOAD as TRAILER_PAYLOAD
from hyok.backends.s3_trailer import TrailedUpload, render, trailer_headers, wire_length
from hyok.errors import Conflict, HyokError, NotFound, Refused, Unavailable
from hyok.sigv4.canonical import render_query
from hyok.sigv4.sign import UNSIGNED_PAYLOAD, Signer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.backends.port import (
        Condition,
        Span,
        StoredFacts,
        StoredUpload,
        StoreSink,
        StoreSource,
    )
    from hyok.backends.s3_trailer import Outgoing
    from hyok.http1.client import Download, Pool, Response

SPLIT_PART_BYTES = 1 << 30
"""A single PUT too long for the store goes up in parts of this length (format.md §8, Sizes)."""

_TOKEN_MARK = "\0"  # noqa: S105 - a mark in our paging tokens, no secret
_LAST_CODE_POINT = "\U0010ffff"
_EMPTY_SHA256 = sha256(b"").hexdigest()


class S3Store:
    """The port `ObjectStore` over one endpoint.

    Args:
        pool: connections to the endpoint; its own time-outs.
        host: the Host header, with a port that is not the default.
        credentials: returns the signer to use now; may wait for a refresh.
        virtual_host: address buckets as ``bucket.host``.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        host: str,
        credentials: Callable[[], Awaitable[Signer]],
        virtual_host: bool = False,
    ) -> None:
        self._pool = pool
        self._host = host
        self._credentials = credentials
        self._virtual_host = virtual_host
        self._rules: NameRules = ALL_NAMES
        self._probed: set[str] = set()
        self._conditional: bool | None = None
        self._lock = asyncio.Lock()
        self.features = StoreFeatures(
            keeps_metadata=True, conditional_put=True, conditional_copy=False
        )

    # -- one request ----------------------------------------------------------------------------

    async def _head_of(
        self,
        method: str,
        bucket: str,
        name: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        payload: str,
    ) -> tuple[str, list[tuple[str, str]]]:
        """Return target and signed headers."""
        signer = await self._credentials()
        host = f"{bucket}.{self._host}" if self._virtual_host and bucket else self._host
        path = wire.path_of(bucket, name, virtual_host=self._virtual_host)
        signed = signer.sign(method, host, path, query, headers, payload, datetime.now(UTC))  # noqa: TID251 - a shell
        target = f"{path}?{render_query(query)}" if query else path
        return target, [("host", host), *headers.items(), *signed.items()]

    async def _request(
        self,
        method: str,
        bucket: str,
        name: str = "",
        *,
        query: list[tuple[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | bytearray | memoryview = b"",
        missing: str = "NoSuchKey",
    ) -> Response:
        """Return a successful answer.

        Raises:
            HyokError: as `s3_wire.error_of` reads the store's refusal.
        """
        payload = sha256(body).hexdigest() if len(body) else _EMPTY_SHA256
        target, lines = await self._head_of(
            method, bucket, name, query or [], headers or {}, payload
        )
        answer = await self._pool.request(method, target, lines, body)
        if answer.status // 100 != 2:
            raise wire.error_of(wire.failure_of(answer.status, answer.body), missing)
        return answer

    # -- what this store can do -----------------------------------------------------------------

    def check_name(self, name: str) -> None:
        """See the port; what is not known yet is asked again, and known, before bytes are sent."""
        self._rules.check(name)

    async def _prepare(self, bucket: str, name: str, condition: Condition = ALWAYS) -> None:
        """Know the store's limits before the first write to a bucket; then hold to them."""
        if name.startswith(".hyok/"):
            return
        if bucket not in self._probed:
            async with self._lock:
                if bucket not in self._probed:
                    self._rules = await probe_names(self, bucket)
                    self._conditional = await self._probe_conditions(bucket)
                    trailers = await self._probe_trailers(bucket)
                    self.features = replace(self.features, trailing_checksum=trailers)
                    self._probed.add(bucket)
        self._rules.check(name)
        if condition != ALWAYS and not self._conditional:
            raise Refused(
                "The store behind this bucket cannot write conditionally.", reason="NotImplemented"
            )

    async def _probe_conditions(self, bucket: str) -> bool:
        """Does the store decide If-None-Match and If-Match itself?  Tried, not guessed."""
        name = f".hyok/probe/{secrets.token_hex(8)}"
        absent = {"if-none-match": "*"}
        try:
            await self._request("PUT", bucket, name, headers=absent, body=b"1")
            for headers in (absent, {"if-match": '"00000000000000000000000000000000"'}):
                try:
                    await self._request("PUT", bucket, name, headers=headers, body=b"2")
                except Conflict:
                    continue
                return False
        except Refused:
            return False
        finally:
            with suppress(HyokError):
                await self._request("DELETE", bucket, name)
        return True

    async def _probe_trailers(self, bucket: str) -> bool:
        """Does the store check a trailing checksum, and take the framing off the body?"""
        name = f".hyok/probe/{secrets.token_hex(8)}"
        body = b"trailing checksum"
        headers = trailer_headers(len(body))

        async def send(encoded: bytes) -> int:
            target, lines = await self._head_of("PUT", bucket, name, [], headers, TRAILER_PAYLOAD)
            return (await self._pool.request("PUT", target, lines, encoded)).status

        try:
            if await send(render(body, damage=True)) // 100 == 2 or await send(render(body)) != 200:
                return False
            return (await self._request("GET", bucket, name)).body == body
        except HyokError:
            return False
        finally:
            with suppress(HyokError):
                await self._request("DELETE", bucket, name)

    # -- objects ---------------------------------------------------------------------------------

    async def put_whole(
        self,
        bucket: str,
        name: str,
        body: bytes | bytearray | memoryview,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> Stored:
        await self._prepare(bucket, name, condition)
        headers = wire.facts_headers(facts) | wire.condition_headers(condition)
        answer = await self._request(
            "PUT", bucket, name, headers=headers, body=body, missing="NoSuchBucket"
        )
        return _put_result(name, answer, len(body), facts)

    async def put(
        self,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> StoreSink:
        await self._prepare(bucket, name, condition)
        if size > self.features.single_put_bytes_max:
            return _SplitSink(self, bucket, name, size, facts, condition)
        headers = wire.facts_headers(facts) | wire.condition_headers(condition)
        upload = await self._upload(bucket, name, [], headers, size)
        return _ObjectSink(upload, name, size, facts)

    async def _upload(
        self,
        bucket: str,
        name: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        size: int,
    ) -> Outgoing:
        # A content-encoding of the client's own would have to be joined with aws-chunked.
        if not self.features.trailing_checksum or "content-encoding" in headers:
            target, lines = await self._head_of(
                "PUT", bucket, name, query, headers, UNSIGNED_PAYLOAD
            )
            return await self._pool.upload("PUT", target, lines, size)
        headers = headers | trailer_headers(size)
        target, lines = await self._head_of("PUT", bucket, name, query, headers, TRAILER_PAYLOAD)
        return TrailedUpload(await self._pool.upload("PUT", target, lines, wire_length(size)), size)

    async def head(self, bucket: str, name: str) -> Stored:
        answer = await self._request("HEAD", bucket, name)
        return wire.stored_of(name, answer.headers, wire.total_size(200, answer.headers))

    async def read_whole(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> tuple[Stored, bytes]:
        answer = await self._request("GET", bucket, name, headers=_read_headers(span, if_match))
        size = wire.total_size(answer.status, answer.headers)
        stored = wire.stored_of(name, answer.headers, size)
        body = answer.body
        if answer.status == 200 and span != WHOLE:
            start, stop = _bounds(span, size)  # the store ignored the range
            body = body[start:stop]
        return stored, body

    async def read(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> StoreSource:
        target, lines = await self._head_of(
            "GET", bucket, name, [], _read_headers(span, if_match), _EMPTY_SHA256
        )
        download = await self._pool.download("GET", target, lines)
        if download.status // 100 != 2:
            raise wire.error_of(wire.failure_of(download.status, await download.whole()))
        if download.status == 200 and span not in (WHOLE, type(span)()):
            download.close()
            raise Unavailable("The store ignores ranges.", reason="ServiceUnavailable")
        try:
            size = wire.total_size(download.status, download.headers)
            stored = wire.stored_of(name, download.headers, size)
            await download.prepare()
        except BaseException:
            download.close()
            raise
        return _S3Source(stored, download)

    async def delete(self, bucket: str, name: str, condition: Condition = ALWAYS) -> None:
        await self._prepare(bucket, name, condition)
        try:
            await self._request("DELETE", bucket, name, headers=wire.condition_headers(condition))
        except NotFound as error:
            if error.reason != "NoSuchKey":
                raise

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing:
        query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(limit))]
        if prefix:
            query.append(("prefix", prefix))
        if delimiter:
            query.append(("delimiter", delimiter))
        if after.startswith(_TOKEN_MARK):
            query.append(("continuation-token", after[1:]))
        elif after:
            # A common prefix stands for everything below it.
            rolled = delimiter and after.endswith(delimiter) and after != prefix
            query.append(("start-after", after + _LAST_CODE_POINT if rolled else after))
        answer = await self._request("GET", bucket, query=query, missing="NoSuchBucket")
        page, token = wire.parse_listing(answer.body, prefix)
        return replace(page, next_after=_TOKEN_MARK + token if token else "")

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        return await self.copy(bucket, name, bucket, name, facts, if_match)

    async def copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition = ALWAYS,
    ) -> Stored:
        await self._prepare(to_bucket, to_name, condition)
        headers = wire.facts_headers(facts) | wire.condition_headers(condition)
        headers |= {
            "x-amz-copy-source": wire.path_of(bucket, name, virtual_host=False),
            "x-amz-metadata-directive": "REPLACE",
            "x-amz-copy-source-if-match": f'"{if_match}"',
        }
        answer = await self._request("PUT", to_bucket, to_name, headers=headers)
        wire.parse_etag(answer.body, "CopyObjectResult")
        return await self.head(to_bucket, to_name)

    # -- uploads ---------------------------------------------------------------------------------

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        await self._prepare(bucket, name)
        answer = await self._request(
            "POST",
            bucket,
            name,
            query=[("uploads", "")],
            headers=wire.facts_headers(facts),
            missing="NoSuchBucket",
        )
        return wire.parse_upload_id(answer.body)

    async def put_part_whole(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        number: int,
        body: bytes | bytearray | memoryview,
    ) -> StoredPart:
        answer = await self._request(
            "PUT",
            bucket,
            name,
            query=_part_query(upload_id, number),
            body=body,
            missing="NoSuchUpload",
        )
        return StoredPart(number, _etag(answer), len(body))

    async def put_part(
        self, bucket: str, name: str, upload_id: str, number: int, size: int
    ) -> _S3PartSink:
        query = _part_query(upload_id, number)
        return _S3PartSink(await self._upload(bucket, name, query, {}, size), number, size)

    async def list_parts(
        self, bucket: str, name: str, upload_id: str, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredPart]:
        query = [
            ("uploadId", upload_id),
            ("part-number-marker", str(after)),
            ("max-parts", str(min(limit, 1000))),
        ]
        answer = await self._request("GET", bucket, name, query=query, missing="NoSuchUpload")
        return wire.parse_parts(answer.body)[0]

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition = ALWAYS,
    ) -> Stored:
        await self._prepare(bucket, name, condition)
        answer = await self._request(
            "POST",
            bucket,
            name,
            query=[("uploadId", upload_id)],
            headers=wire.condition_headers(condition),
            body=wire.render_complete(parts),
            missing="NoSuchUpload",
        )
        wire.parse_etag(answer.body, "CompleteMultipartUploadResult")
        return await self.head(bucket, name)

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        await self._request(
            "DELETE", bucket, name, query=[("uploadId", upload_id)], missing="NoSuchUpload"
        )

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]:
        query = [("uploads", ""), ("prefix", prefix), ("max-uploads", str(min(limit, 1000)))]
        answer = await self._request("GET", bucket, query=query, missing="NoSuchBucket")
        return wire.parse_uploads(answer.body)

    # -- buckets ---------------------------------------------------------------------------------

    async def create_bucket(self, bucket: str) -> None:
        try:
            await self._request("PUT", bucket)
        except Conflict as error:
            if error.reason != "BucketAlreadyOwnedByYou" and not await self.has_bucket(bucket):
                raise

    async def delete_bucket(self, bucket: str) -> None:
        await self._request("DELETE", bucket, missing="NoSuchBucket")

    async def has_bucket(self, bucket: str) -> bool:
        try:
            await self._request("HEAD", bucket, missing="NoSuchBucket")
        except NotFound:
            return False
        return True

    async def list_buckets(self) -> Sequence[str]:
        names: list[str] = []
        token = ""
        while True:
            query = [("continuation-token", token)] if token else []
            answer = await self._request("GET", "", query=query)
            found, token = wire.parse_buckets(answer.body)
            names += found
            if not token:
                return sorted(names)

    async def sweep(self) -> int:
        return 0  # an upload that broke off never became an object

    async def close(self) -> None:
        await self._pool.close()


def _part_query(upload_id: str, number: int) -> list[tuple[str, str]]:
    return [("partNumber", str(number)), ("uploadId", upload_id)]


def _etag(answer: Response) -> str:
    etag = answer.headers.get("etag", "").strip('"')
    if not etag:
        raise Unavailable("The store's answer has no ETag.", reason="ServiceUnavailable")
    return etag


def _put_result(name: str, answer: Response, size: int, facts: StoredFacts) -> Stored:
    found = wire.stored_of(name, answer.headers, size)
    return replace(found, etag=_etag(answer), facts=facts)


def _read_headers(span: Span, if_match: str) -> dict[str, str]:
    headers = {"if-match": f'"{if_match}"'} if if_match else {}
    if span.suffix:
        headers["range"] = f"bytes=-{span.suffix}"
    elif span.start or span.stop is not None:
        last = "" if span.stop is None else str(span.stop - 1)
        headers["range"] = f"bytes={span.start}-{last}"
    return headers


def _bounds(span: Span, size: int) -> tuple[int, int]:
    if span.suffix:
        return max(0, size - span.suffix), size
    return span.start, size if span.stop is None else min(span.stop, size)


class _S3Source:
    """A stored body on its way in."""

    def __init__(self, stored: Stored, download: Download) -> None:
        self.stored = stored
        self._download = download

    def read_into(self, buffer: memoryview) -> int:
        return self._download.read_into(buffer)

    def close(self) -> None:
        self._download.close()


class _S3PartSink:
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
            raise wire.error_of(wire.failure_of(answer.status, answer.body), "NoSuchUpload")
        return StoredPart(self._number, _etag(answer), self._size)

    def abort(self) -> None:
        self._upload.abort()


class _ObjectSink:
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
            raise wire.error_of(wire.failure_of(answer.status, answer.body), "NoSuchBucket")
        return _put_result(self._name, answer, self._size, self._facts)

    def abort(self) -> None:
        self._upload.abort()


class _SplitSink:
    """One object longer than a single PUT may be, as a multipart upload of the same bytes.

    Runs in a pump thread and asks the loop for each part's connection.
    """

    def __init__(
        self,
        store: S3Store,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._name = name
        self._left = size
        self._facts = facts
        self._condition = condition
        self._loop = asyncio.get_running_loop()
        self._upload_id = ""
        self._parts: list[StoredPart] = []
        self._part: _S3PartSink | None = None
        self._part_left = 0

    def write(self, view: memoryview) -> None:
        while view:
            if self._part is None:
                self._begin_part()
            assert self._part is not None
            piece = view[: self._part_left]
            self._part.write(piece)
            self._part_left -= len(piece)
            view = view[len(piece) :]
            if not self._part_left:
                self._parts.append(self._part.commit())
                self._part = None

    def _begin_part(self) -> None:
        if not self._upload_id:
            self._upload_id = asyncio.run_coroutine_threadsafe(
                self._store.begin_upload(self._bucket, self._name, self._facts), self._loop
            ).result()
        size = min(self._left, SPLIT_PART_BYTES)
        self._part = asyncio.run_coroutine_threadsafe(
            self._store.put_part(
                self._bucket, self._name, self._upload_id, len(self._parts) + 1, size
            ),
            self._loop,
        ).result()
        self._part_left = size
        self._left -= size

    def commit(self) -> Stored:
        assert not self._left
        assert self._part is None
        return asyncio.run_coroutine_threadsafe(
            self._store.complete_upload(
                self._bucket, self._name, self._upload_id, self._parts, self._condition
            ),
            self._loop,
        ).result()

    def abort(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.abort()
        upload_id, self._upload_id = self._upload_id, ""
        if upload_id:
            self._loop.call_soon_threadsafe(self._forget, upload_id)

    def _forget(self, upload_id: str) -> None:
        async def forget() -> None:
            with suppress(HyokError):
                await self._store.abort_upload(self._bucket, self._name, upload_id)

        self._forgetting = self._loop.create_task(forget())
