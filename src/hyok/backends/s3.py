"""S3Store: any S3 endpoint as a place for sealed bytes.

Every request is our own, signed with our own credentials; nothing of a client's request is passed
on.  What a store cannot do atomically is refused, never imitated with two requests.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.backends import s3_wire as wire
from hyok.backends.own_objects import erase_deleted
from hyok.backends.port import (
    ALWAYS,
    NO_LOCK,
    WHOLE,
    Stored,
    StoredPart,
    StoreFeatures,
    StoreListing,
)
from hyok.backends.s3_bodies import (
    S3ObjectSink,
    S3PartSink,
    S3Source,
    bounds,
    check_version,
    etag_of,
    missing,
    part_query,
    put_result,
    read_headers,
    version_query,
)
from hyok.backends.s3_endpoint import Endpoint, md5_of
from hyok.backends.s3_keeping import PROBE_PREFIX, probe_keeping, probe_tags
from hyok.backends.s3_names import ALL_NAMES, PLAIN_NAMES, NameRules, probe_names
from hyok.backends.s3_probe import probe_conditions, probe_trailers
from hyok.backends.s3_split import SplitSink
from hyok.backends.s3_subresources import Subresources
from hyok.errors import Conflict, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.backends.port import (
        Condition,
        Deleted,
        Span,
        StoredFacts,
        StoredUpload,
        StoreSink,
        StoreSource,
    )
    from hyok.backends.s3_trailer import Outgoing
    from hyok.http1.client import Pool
    from hyok.sigv4.sign import Signer

_TOKEN_MARK = "\0"  # noqa: S105 - a mark in our paging tokens, no secret
_LAST_CODE_POINT = "\U0010ffff"


class S3Store(Subresources):
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
        self._endpoint = Endpoint(
            pool=pool, host=host, credentials=credentials, virtual_host=virtual_host
        )
        self._rules: NameRules = ALL_NAMES
        self._probed: set[str] = set()
        self._with_md5: set[str] = set()
        self._conditional: bool | None = None
        self._lock = asyncio.Lock()
        super().__init__(self._endpoint)
        self.features = StoreFeatures(
            keeps_metadata=True, conditional_put=True, conditional_copy=False
        )

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
                    await self._probe(bucket)
                    self._probed.add(bucket)
        self._rules.check(name)
        if condition != ALWAYS and not self._conditional:
            raise Refused(
                "The store behind this bucket cannot write conditionally.", reason="NotImplemented"
            )

    async def _probe(self, bucket: str) -> None:
        """Ask and try what the store can do; nothing of it stays in the bucket."""
        kept = await probe_keeping(self, bucket)
        self.features = replace(
            self.features, versioning=kept.versioning, object_lock=kept.object_lock
        )
        if kept.locks_all:
            # What is tried here could not be taken away again: what another bucket of this store
            # showed holds, and without one nothing out of the ordinary is taken for possible.
            if self._conditional is None:
                self._rules = PLAIN_NAMES
            self._with_md5.add(bucket)
            return
        self._rules = await probe_names(self, bucket)
        self._conditional = await probe_conditions(self._endpoint, bucket)
        trailers = await probe_trailers(self._endpoint, bucket)
        tags = await probe_tags(self._endpoint, bucket)
        self.features = replace(self.features, trailing_checksum=trailers, tags=tags)
        if kept.versions:
            await erase_deleted(self, bucket, PROBE_PREFIX)

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
        if facts.lock != NO_LOCK or bucket in self._with_md5:
            headers["content-md5"] = md5_of(body)
        answer = await self._endpoint.request(
            "PUT", bucket, name, headers=headers, body=body, missing="NoSuchBucket"
        )
        return put_result(name, answer, len(body), facts)

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
            return SplitSink(self, bucket, name, size, facts, condition)
        headers = wire.facts_headers(facts) | wire.condition_headers(condition)
        upload = await self._upload(bucket, name, [], headers, size)
        return S3ObjectSink(upload, name, size, facts)

    async def _upload(
        self,
        bucket: str,
        name: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        size: int,
    ) -> Outgoing:
        # A content-encoding of the client's own would have to be joined with aws-chunked.
        trailer = self.features.trailing_checksum and "content-encoding" not in headers
        return await self._endpoint.upload(bucket, name, query, headers, size, trailer=trailer)

    async def head(self, bucket: str, name: str, version_id: str = "") -> Stored:
        answer = await self._endpoint.request(
            "HEAD", bucket, name, query=version_query(version_id), missing=missing(version_id)
        )
        check_version(version_id, answer.headers)
        return wire.stored_of(name, answer.headers, wire.total_size(200, answer.headers))

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]:
        answer = await self._endpoint.request(
            "GET",
            bucket,
            name,
            query=version_query(version_id),
            headers=read_headers(span, if_match),
            missing=missing(version_id),
        )
        check_version(version_id, answer.headers)
        size = wire.total_size(answer.status, answer.headers)
        stored = wire.stored_of(name, answer.headers, size)
        body = answer.body
        if answer.status == 200 and span != WHOLE:
            start, stop = bounds(span, size)  # the store ignored the range
            body = body[start:stop]
        return stored, body

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> StoreSource:
        download = await self._endpoint.download(
            bucket, name, version_query(version_id), read_headers(span, if_match)
        )
        if download.status // 100 != 2:
            headers, body = download.headers, await download.whole()
            failure = wire.failure_of(download.status, body, headers)
            raise wire.error_of(failure, missing(version_id))
        if download.status == 200 and span not in (WHOLE, type(span)()):
            download.close()
            raise Unavailable("The store ignores ranges.", reason="ServiceUnavailable")
        try:
            check_version(version_id, download.headers)
            size = wire.total_size(download.status, download.headers)
            stored = wire.stored_of(name, download.headers, size)
            await download.prepare()
        except BaseException:
            download.close()
            raise
        return S3Source(stored, download)

    async def delete(
        self,
        bucket: str,
        name: str,
        condition: Condition = ALWAYS,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> Deleted:
        await self._prepare(bucket, name, condition)
        return await self._delete(
            bucket, name, condition, version_id, bypass_governance=bypass_governance
        )

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
        answer = await self._endpoint.request("GET", bucket, query=query, missing="NoSuchBucket")
        page, token = wire.parse_listing(answer.body, prefix)
        return replace(page, next_after=_TOKEN_MARK + token if token else "")

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        # The tags go along; those of new facts replace them.
        directive = "REPLACE" if facts.tags else "COPY"
        return await self._copy(
            bucket, name, bucket, name, facts, if_match, ALWAYS, "", tagging=directive
        )

    async def copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition = ALWAYS,
        version_id: str = "",
    ) -> Stored:
        return await self._copy(
            bucket, name, to_bucket, to_name, facts, if_match, condition, version_id
        )

    async def _copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition,
        version_id: str,
        *,
        tagging: str = "REPLACE",
    ) -> Stored:
        await self._prepare(to_bucket, to_name, condition)
        headers = wire.facts_headers(facts) | wire.condition_headers(condition)
        headers |= {
            "x-amz-copy-source": wire.path_of(bucket, name, virtual_host=False)
            + wire.version_suffix(version_id),
            "x-amz-metadata-directive": "REPLACE",
            "x-amz-tagging-directive": tagging,
        }
        if if_match:
            headers["x-amz-copy-source-if-match"] = f'"{if_match}"'
        answer = await self._endpoint.request(
            "PUT", to_bucket, to_name, headers=headers, missing=missing(version_id)
        )
        wire.parse_etag(answer.body, "CopyObjectResult")
        return await self.head(to_bucket, to_name, answer.headers.get(wire.VERSION, ""))

    # -- uploads ---------------------------------------------------------------------------------

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        await self._prepare(bucket, name)
        answer = await self._endpoint.request(
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
        answer = await self._endpoint.request(
            "PUT",
            bucket,
            name,
            query=part_query(upload_id, number),
            body=body,
            missing="NoSuchUpload",
        )
        return StoredPart(number, etag_of(answer), len(body))

    async def put_part(
        self, bucket: str, name: str, upload_id: str, number: int, size: int
    ) -> S3PartSink:
        query = part_query(upload_id, number)
        return S3PartSink(await self._upload(bucket, name, query, {}, size), number, size)

    async def list_parts(
        self, bucket: str, name: str, upload_id: str, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredPart]:
        query = [
            ("uploadId", upload_id),
            ("part-number-marker", str(after)),
            ("max-parts", str(min(limit, 1000))),
        ]
        answer = await self._endpoint.request(
            "GET", bucket, name, query=query, missing="NoSuchUpload"
        )
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
        answer = await self._endpoint.request(
            "POST",
            bucket,
            name,
            query=[("uploadId", upload_id)],
            headers=wire.condition_headers(condition),
            body=wire.render_complete(parts),
            missing="NoSuchUpload",
        )
        wire.parse_etag(answer.body, "CompleteMultipartUploadResult")
        return await self.head(bucket, name, answer.headers.get(wire.VERSION, ""))

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        await self._endpoint.request(
            "DELETE", bucket, name, query=[("uploadId", upload_id)], missing="NoSuchUpload"
        )

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]:
        query = [("uploads", ""), ("prefix", prefix), ("max-uploads", str(min(limit, 1000)))]
        answer = await self._endpoint.request("GET", bucket, query=query, missing="NoSuchBucket")
        return wire.parse_uploads(answer.body)

    # -- buckets ---------------------------------------------------------------------------------

    async def create_bucket(self, bucket: str, *, object_lock: bool = False) -> None:
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if object_lock else {}
        try:
            await self._endpoint.request("PUT", bucket, headers=headers)
        except Conflict as error:
            if error.reason != "BucketAlreadyOwnedByYou" and not await self.has_bucket(bucket):
                raise

    async def has_bucket(self, bucket: str) -> bool:
        try:
            await self._endpoint.request("HEAD", bucket, missing="NoSuchBucket")
        except NotFound:
            return False
        return True

    async def list_buckets(self) -> Sequence[str]:
        names: list[str] = []
        token = ""
        while True:
            query = [("continuation-token", token)] if token else []
            answer = await self._endpoint.request("GET", "", query=query)
            found, token = wire.parse_buckets(answer.body)
            names += found
            if not token:
                return sorted(names)

    async def sweep(self) -> int:
        return 0  # an upload that broke off never became an object

    async def close(self) -> None:
        await self._endpoint.close()
