"""S3Store: any S3 endpoint as a place for sealed bytes.

Every request is our own, signed with our own credentials; nothing of a client's request is passed
on.  What a store cannot do atomically is refused, never imitated with two requests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.backends import s3_answers as answers
from hyok.backends import s3_wire as wire
from hyok.backends.port import (
    ALWAYS,
    NO_LOCK,
    WHOLE,
    Condition,
    Stored,
    StoredPart,
    StoreFeatures,
    StoreListing,
)
from hyok.backends.s3_abilities import KnownAbilities
from hyok.backends.s3_bodies import (
    S3ObjectSink,
    S3PartSink,
    S3Source,
    bounds,
    check_download,
    check_version,
    etag_of,
    missing,
    part_query,
    put_result,
    read_headers,
    version_query,
)
from hyok.backends.s3_copy import S3Copy
from hyok.backends.s3_endpoint import Endpoint, md5_of
from hyok.backends.s3_split import SplitSink
from hyok.backends.s3_subresources import Subresources
from hyok.backends.s3_trailer import may_trail
from hyok.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.backends.port import (
        Deleted,
        Span,
        StoredFacts,
        StoredUpload,
        StoreSink,
        StoreSource,
    )
    from hyok.backends.s3_abilities import Decided, Races
    from hyok.backends.s3_trailer import Outgoing
    from hyok.http1.client import Pool
    from hyok.sigv4.sign import Signer

_TOKEN_MARK = "\0"  # noqa: S105 - a mark in our paging tokens, no secret
_LAST_CODE_POINT = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much goes into one request, in bytes."""

    single_put_bytes_max: int = 5 << 30
    split_part_bytes: int = 1 << 30


class S3Store(Subresources):
    """The port `ObjectStore` over one endpoint.

    Args:
        pool: connections to the endpoint; its own time-outs.
        host: the Host header, with a port that is not the default.
        credentials: returns the signer to use now; may wait for a refresh.
        virtual_host: address buckets as ``bucket.host``.
        sizes: what the store takes in one request.
        races: where what races at the store showed is kept; None: nowhere.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        host: str,
        credentials: Callable[[], Awaitable[Signer]],
        virtual_host: bool = False,
        sizes: Sizes | None = None,
        races: Races | None = None,
    ) -> None:
        self._endpoint = Endpoint(
            pool=pool, host=host, credentials=credentials, virtual_host=virtual_host
        )
        super().__init__(self._endpoint)
        self._sizes = sizes or Sizes()
        self._known = KnownAbilities(
            self,
            self._endpoint,
            StoreFeatures(
                keeps_metadata=True,
                conditional_put=False,
                conditional_copy=False,
                single_put_bytes_max=self._sizes.single_put_bytes_max,
            ),
            races=races,
        )

    # -- what this store can do -----------------------------------------------------------------

    @property
    def features(self) -> StoreFeatures:
        return self._known.features

    async def features_of(self, bucket: str) -> StoreFeatures:
        return await self._known.features_of(bucket)

    async def changes_tags(self, bucket: str) -> bool:
        return await self._known.changes_tags(bucket)

    def check_name(self, name: str) -> None:
        """See the port; what is not known yet is asked again, and known, before bytes are sent."""
        self._known.rules.check(name)

    # -- objects ---------------------------------------------------------------------------------

    async def put_whole(
        self,
        bucket: str,
        name: str,
        body: bytes | bytearray | memoryview,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> Stored:
        await self._known.prepare(bucket, name, condition, "put")
        headers = wire.facts_headers(facts) | wire.condition_headers(condition)
        if facts.lock != NO_LOCK or self._known.locks_all(bucket):
            headers["content-md5"] = md5_of(body)
        answer = await self._endpoint.request(
            "PUT",
            bucket,
            name,
            headers=headers,
            body=body,
            missing="NoSuchBucket",
            trailer=self._known.takes_trailers(bucket) and may_trail(headers, len(body)),
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
        if size > self._sizes.single_put_bytes_max:
            await self._known.prepare(bucket, name, condition, "complete")
            part_bytes = self._sizes.split_part_bytes
            return SplitSink(self, bucket, name, size, facts, condition, part_bytes)
        await self._known.prepare(bucket, name, condition, "put")
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
        trailer = self._known.takes_trailers(bucket) and may_trail(headers)
        return await self._endpoint.upload(bucket, name, query, headers, size, trailer=trailer)

    async def head(self, bucket: str, name: str, version_id: str = "") -> Stored:
        headers = await self._head(bucket, name, version_id)
        return wire.stored_of(name, headers, wire.total_size(200, headers))

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
        try:
            await check_download(download, span, version_id)
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
        await self._known.prepare(bucket, name, condition, "delete")
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
        sent = after[1:] if after.startswith(_TOKEN_MARK) else ""
        page, token = answers.parse_listing(answer.body, prefix, sent)
        return replace(page, next_after=_TOKEN_MARK + token if token else "")

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        return await self._copy((bucket, name), (bucket, name), facts, if_match, None)

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
        source, target = (bucket, name), (to_bucket, to_name)
        return await self._copy(source, target, facts, if_match, condition, version_id)

    async def _copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        facts: StoredFacts,
        if_match: str,
        condition: Condition | None,
        version_id: str = "",
    ) -> Stored:
        """Copy; a ``condition`` of None is the version read, and its tags go along."""
        told = await self._head(*source, version_id)
        found = wire.stored_of(source[1], told, wire.total_size(200, told))
        if if_match and found.etag != if_match:
            raise Conflict("The object was replaced meanwhile.", reason="PreconditionFailed")
        long = found.size > self._sizes.single_put_bytes_max
        kind: Decided = "complete" if long else "copy"
        tags = "COPY" if condition is None and not facts.tags else "REPLACE"
        if condition is None:
            decided = await self._known.decides(target[0], kind)
            condition = Condition(if_match=if_match) if decided else ALWAYS
            if long and found.tag_count and not facts.tags:
                facts = replace(facts, tags=await self.tags(*source, found.version_id))
        await self._known.prepare(*target, condition, kind)
        headers = wire.facts_headers(facts) | (wire.carried(told) if source == target else {})
        named = wire.source_headers(*source, if_match or found.etag, version_id)
        copying = S3Copy(self._endpoint, named, target, found.size, headers)
        if long:
            made = await copying.in_parts(condition, self._sizes.split_part_bytes)
        else:
            made = await copying.at_once(condition, tags)
        return await self._written(*target, *made)

    async def _written(self, bucket: str, name: str, etag: str, version_id: str) -> Stored:
        """Return what was just written, of which the store told the ETag.

        Somebody may have replaced or removed it since: then only that ETag is known of ours.
        """
        try:
            found = await self.head(bucket, name, version_id)
        except NotFound:
            return Stored(name, etag, 0, 0, version_id=version_id)
        if found.etag == etag:
            return found
        return Stored(name, etag, 0, found.modified_ms, version_id=version_id)

    # -- uploads ---------------------------------------------------------------------------------

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        await self._known.prepare(bucket, name)
        return await self._endpoint.begin_upload(bucket, name, wire.facts_headers(facts))

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
            trailer=self._known.takes_trailers(bucket) and may_trail({}, len(body)),
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
        return answers.parse_parts(answer.body)

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition = ALWAYS,
    ) -> Stored:
        await self._known.prepare(bucket, name, condition, "complete")
        made = await self._endpoint.complete_upload(bucket, name, upload_id, parts, condition)
        return await self._written(bucket, name, *made)

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        await self._endpoint.abort_upload(bucket, name, upload_id)

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]:
        query = [("uploads", ""), ("prefix", prefix), ("max-uploads", str(min(limit, 1000)))]
        answer = await self._endpoint.request("GET", bucket, query=query, missing="NoSuchBucket")
        return answers.parse_uploads(answer.body)

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
            found, token = answers.parse_buckets(answer.body, token)
            names += found
            if not token:
                return sorted(names)

    async def sweep(self) -> int:
        return 0  # an upload that broke off never became an object

    async def close(self) -> None:
        await self._endpoint.close()
