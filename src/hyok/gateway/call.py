"""One request on its way through the door, and what every handler is given."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from hyok.s3.elements import DECLARATION
from hyok.vocabulary import Ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from hyok.gateway.admission import Admission
    from hyok.gateway.port import Exchange, Pieces, Wire
    from hyok.gateway.trace import Trace
    from hyok.objects.bucket_states import BucketStates
    from hyok.objects.listing import Listings
    from hyok.objects.multipart import MultipartVault
    from hyok.objects.registry import BucketKeeper, BucketRegistry
    from hyok.objects.vault import ObjectVault
    from hyok.objects.version_listing import VersionListings
    from hyok.policy.classify import Judged
    from hyok.s3.operations import Operation
    from hyok.s3.request import S3Request
    from hyok.sigv4.verify import Verified
    from hyok.vocabulary import Bucket, ClassificationName, DataSubject, Principal, Sink


@dataclass(frozen=True, slots=True)
class NewBuckets:
    """Where and as what a bucket is made when the client does not say."""

    store: str
    classification: ClassificationName


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with.  Made once by wiring."""

    admission: Admission
    vault: ObjectVault
    multipart: MultipartVault
    listings: Listings
    versions: VersionListings
    states: BucketStates
    buckets: BucketRegistry
    keeper: BucketKeeper
    new_buckets: NewBuckets
    region: str
    patience_seconds: float  # after these, who waits for long work gets white space


def frame(request_id: str, host_id: str, at_ms: int) -> list[tuple[str, str]]:
    """Return the headers that every answer carries."""
    return [
        ("x-amz-request-id", request_id),
        ("x-amz-id-2", host_id),
        ("date", http_date(at_ms // 1000)),
        ("server", "hyok"),
    ]


@lru_cache(maxsize=256)  # requests of one second share it, and objects written together
def http_date(seconds: int) -> str:
    """Return unix seconds as headers carry times."""
    return formatdate(seconds, usegmt=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What long work comes to: a document, and the headers of an answer that was not begun."""

    document: bytes
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Call:
    """One admitted request.  What follows ``trace`` is noted for the log on the way."""

    exchange: Exchange
    request: S3Request
    request_id: str
    host_id: str
    at_ms: int
    trace: Trace
    principal: Principal | None = None
    verified: Verified | None = None
    operation: Operation | None = None
    action: str = ""
    bucket: Bucket | None = None
    classification: str = ""
    unsealed: bool = False  # what is handed out stands in clear at the store
    started: bool = False
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    waiting: Pieces | None = None  # what a client is kept waiting with
    cross_origin: Sequence[tuple[str, str]] = ()  # headers for a browser, on whatever is answered

    def ask(
        self,
        *,
        action: str = "",
        bucket: Bucket | None = None,
        key: str | None = None,
        classification: ClassificationName | None = None,
        scope_label: str = "",
        subject: DataSubject | None = None,
    ) -> Ask:
        """Return the question to custody; what is not given is the request's own."""
        assert self.principal is not None
        return Ask(
            principal=self.principal,
            action=action or self.action,
            bucket=bucket or self.bucket,
            key=self.request.key if key is None else key,
            request_id=self.request_id,
            origin=self.exchange.head.peer,
            at_ms=self.at_ms,
            classification=classification,
            trace_id=self.trace.trace_id,
            parent_span_id=self.trace.parent_span_id,
            scope_label=scope_label,
            subject=subject,
        )

    def ask_to_write(self, judged: Judged, key: str | None = None) -> Ask:
        """Return the question of who writes an object that was judged so."""
        return self.ask(
            key=key,
            classification=judged.classification,
            scope_label=judged.scope_label,
            subject=judged.subject,
        )

    def frame(self, headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return headers with those that every answer carries."""
        own = frame(self.request_id, self.host_id, self.at_ms)
        return [*own, *self.cross_origin, *headers]

    async def answer(
        self,
        status: int,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | memoryview = b"",
    ) -> None:
        """Send the whole answer."""
        self.started = True
        self.status = status
        self.bytes_out = len(body)
        await self.exchange.respond(status, self.frame(headers), body)

    async def answer_xml(self, status: int, document: bytes) -> None:
        """Send a document."""
        await self.answer(status, [("content-type", "application/xml")], document)

    async def answer_when_done(self, work: Awaitable[Outcome], patience_seconds: float) -> None:
        """Send the document that ``work`` comes to, with status 200.

        A client whose patience is at its end is sent the head and then white space, as S3 does: so
        what follows may be an error as well, and headers that only the outcome knows are missing.

        Raises:
            HyokError: whatever ``work`` raises, also after the answer has begun.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task], timeout=patience_seconds)
            if not task.done() and (pieces := await self._keep_waiting()) is not None:
                with suppress(ConnectionError):  # the work is finished for whoever asks later
                    while not task.done():
                        await pieces.write(b" ")
                        await asyncio.wait([task], timeout=patience_seconds)
            outcome = await task
        except BaseException:
            task.cancel()
            raise
        document = outcome.document
        if self.waiting is None:
            xml = ("content-type", "application/xml")
            await self.answer(200, [xml, *outcome.headers], document)
        else:
            await self.end_waiting(document)

    async def _keep_waiting(self) -> Pieces | None:
        headers = self.frame([("content-type", "application/xml")])
        self.waiting = await self.exchange.respond_in_pieces(200, headers)
        if self.waiting is not None:
            self.started, self.status = True, 200
            await self.waiting.write(DECLARATION.encode())
        return self.waiting

    async def end_waiting(self, document: bytes) -> None:
        """Give who was kept waiting the document, whose declaration was sent already."""
        assert self.waiting is not None
        rest = document.removeprefix(DECLARATION.encode())
        self.bytes_out = len(rest)
        waiting, self.waiting = self.waiting, None
        with suppress(ConnectionError):
            await waiting.end(rest)

    def begin(
        self, wire: Wire, status: int, headers: Sequence[tuple[str, str]], length: int
    ) -> Sink:
        """Start an answer whose body follows.  In a pump thread."""
        self.started = True
        self.status = status
        self.bytes_out = length
        return wire.start(status, self.frame(headers), length)
