"""One S3 endpoint: requests of our own, signed with our own credentials.

Nothing of a client's request is passed on.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import md5, sha256
from typing import TYPE_CHECKING

from hyok.backends import s3_answers as answers
from hyok.backends import s3_wire as wire
from hyok.backends.s3_errors import error_of, failure_of
from hyok.backends.s3_trailer import PAYLOAD as TRAILER_PAYLOAD
from hyok.backends.s3_trailer import TrailedUpload, framed, trailer_headers, wire_length
from hyok.sigv4.canonical import render_query
from hyok.sigv4.sign import UNSIGNED_PAYLOAD, Signer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.backends.port import Condition, StoredPart
    from hyok.backends.s3_trailer import Outgoing
    from hyok.http1.client import Download, Pieces, Pool, Response

COPY_BYTES_PER_SECOND_MIN = 10 << 20
"""A store that copies slower than this is taken for one that hangs."""

COMPLETE_SECONDS_MAX = 300.0
"""Joining thousands of parts takes a store minutes (Amazon S3 API, CompleteMultipartUpload)."""

_EMPTY_SHA256 = sha256(b"").hexdigest()
_ONCE = frozenset({"if-match", "if-none-match", "x-amz-copy-source-if-match"})


def md5_of(body: bytes | bytearray | memoryview) -> str:
    """Return the value of Content-MD5; stores that keep locks demand it."""
    return b64encode(md5(body, usedforsecurity=False).digest()).decode()


class Endpoint:
    """Signed requests to one endpoint.

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
        self.server = ""  # what the store last said of itself; often its version

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

    async def request(
        self,
        method: str,
        bucket: str,
        name: str = "",
        *,
        query: list[tuple[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | bytearray | memoryview = b"",
        missing: str = "NoSuchKey",
        deadline: float | None = None,
        trailer: bool = False,
    ) -> Response:
        """Return a successful answer.

        Args:
            method: of the request.
            bucket: the backend's bucket; empty: the endpoint itself.
            name: the object's name; empty: the bucket itself.
            query: parameters, not encoded.
            headers: beside those that sign it.
            body: all of it.
            missing: what a bare 404 stands for.
            deadline: seconds to the whole answer; None: the pool's own.
            trailer: the body's checksum follows it, in place of a digest that signs it.

        Raises:
            HyokError: as `s3_errors.error_of` reads the store's refusal.
        """
        headers = headers or {}
        sent: bytes | bytearray | memoryview | Pieces = body
        if trailer:
            headers = headers | trailer_headers(len(body))
            payload, sent = TRAILER_PAYLOAD, framed(body)
        else:
            payload = sha256(body).hexdigest() if len(body) else _EMPTY_SHA256
        target, lines = await self._head_of(method, bucket, name, query or [], headers, payload)
        # Sent over a connection that died, these may have been done: a second one would meet the
        # first, and lose against it or do it again.
        once = method == "POST" or (method in {"PUT", "DELETE"} and not _ONCE.isdisjoint(headers))
        answer = await self._pool.request(method, target, lines, sent, deadline=deadline, once=once)
        if answer.status // 100 != 2:
            raise error_of(failure_of(answer.status, answer.body, answer.headers), missing)
        self.server = answer.headers.get("server", "")  # an error may be that of a proxy before it
        return answer

    def seconds_for(self, size: int) -> float:
        """Return how long the store may take to copy so many bytes on its own side."""
        return self._pool.seconds_max + size / COPY_BYTES_PER_SECOND_MIN

    async def send_document(
        self,
        method: str,
        bucket: str,
        name: str,
        query: list[tuple[str, str]],
        body: bytes,
        *,
        headers: dict[str, str] | None = None,
        missing: str = "NoSuchKey",
    ) -> Response:
        """As `request`, with an XML document and the digest of it that some stores demand."""
        lines = {"content-md5": md5_of(body), "content-type": "application/xml"} | (headers or {})
        return await self.request(
            method, bucket, name, query=query, headers=lines, body=body, missing=missing
        )

    async def send_framed(self, bucket: str, name: str, size: int, encoded: Pieces) -> None:
        """PUT a body that is framed for a trailer already.

        Args:
            bucket: the backend's bucket.
            name: the object's name.
            size: length of the body inside the frames, in bytes.
            encoded: frames and trailer, as they go out.

        Raises:
            HyokError: as `request`.
        """
        target, lines = await self._head_of(
            "PUT", bucket, name, [], trailer_headers(size), TRAILER_PAYLOAD
        )
        answer = await self._pool.request("PUT", target, lines, encoded)
        if answer.status // 100 != 2:
            raise error_of(failure_of(answer.status, answer.body, answer.headers), "NoSuchBucket")

    async def upload(
        self,
        bucket: str,
        name: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        size: int,
        *,
        trailer: bool,
    ) -> Outgoing:
        """Return a body of ``size`` bytes on its way out; with a checksum behind it or without."""
        if not trailer:
            target, lines = await self._head_of(
                "PUT", bucket, name, query, headers, UNSIGNED_PAYLOAD
            )
            return await self._pool.upload("PUT", target, lines, size)
        headers = headers | trailer_headers(size)
        target, lines = await self._head_of("PUT", bucket, name, query, headers, TRAILER_PAYLOAD)
        return TrailedUpload(await self._pool.upload("PUT", target, lines, wire_length(size)), size)

    async def download(
        self, bucket: str, name: str, query: list[tuple[str, str]], headers: dict[str, str]
    ) -> Download:
        """Return an answer to GET, whatever its status, with its body still to come."""
        target, lines = await self._head_of("GET", bucket, name, query, headers, _EMPTY_SHA256)
        return await self._pool.download("GET", target, lines)

    async def begin_upload(self, bucket: str, name: str, headers: dict[str, str]) -> str:
        """Return the id of a new upload in parts."""
        answer = await self.request(
            "POST", bucket, name, query=[("uploads", "")], headers=headers, missing="NoSuchBucket"
        )
        return answers.parse_upload_id(answer.body)

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition,
    ) -> tuple[str, str]:
        """Join the parts; return the object's ETag and, where the store tells it, version id."""
        answer = await self.request(
            "POST",
            bucket,
            name,
            query=[("uploadId", upload_id)],
            headers=wire.condition_headers(condition),
            body=wire.render_complete(parts),
            missing="NoSuchUpload",
            deadline=COMPLETE_SECONDS_MAX,
        )
        etag = answers.parse_etag(answer.body, "CompleteMultipartUploadResult")
        return etag, answer.headers.get(wire.VERSION, "")

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        """Give up an upload and its parts."""
        query = [("uploadId", upload_id)]
        await self.request("DELETE", bucket, name, query=query, missing="NoSuchUpload")

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()
