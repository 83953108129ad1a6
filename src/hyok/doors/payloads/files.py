"""Files: a body of any length sealed into a file of its own, and opened again, as it streams.

In this order, which is what a caller sees refused: bucket and name, length, policy, key, and what
the file says of itself.  A file is bound to its bucket and its name.

Source: docs/keyservices/payloads.md; docs/adr/0039-sealed-files-at-a-door.md.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hyok.doors.payloads import wire
from hyok.doors.payloads.calls import DOOR
from hyok.doors.payloads.refusals import (
    invalid_file,
    invalid_request,
    length_required,
    unknown_bucket,
)
from hyok.envelope.sealed_file import FILE_BLOCK_BYTES
from hyok.errors import Malformed, NotFound, Refused, Tampered
from hyok.objects.facts import PutFacts
from hyok.objects.sealed_files import HELD_BYTES_MAX
from hyok.policy.classify import judge
from hyok.s3.names import check_key
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hyok.doors.bearers import Holder
    from hyok.doors.port import StreamExchange, Wire
    from hyok.objects.sealed_files import SealedFiles
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Bucket, Sink

SEALED_TYPE = "application/vnd.hyok.sealed-file"
PLAIN_TYPE = "application/octet-stream"
ACTIONS = {wire.Operation.SEAL: "file:seal", wire.Operation.OPEN: "file:open"}
_OTHER_KEY = "HY-2106"
"""The code of a KEK that is not the one of its name: no fault of the file's."""

_MEDIA_TYPE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}").fullmatch

Headers = list[tuple[str, str]]


class Buckets(Protocol):
    """Finds buckets; `hyok.objects.registry` does."""

    async def get(self, bucket_id: str) -> Bucket: ...


@dataclass(slots=True)
class Job:
    """One request for a file, on its way."""

    exchange: StreamExchange
    holder: Holder
    operation: wire.Operation
    request_id: str
    headers: Headers  # of every answer of this door
    begun: bool = False  # the answer's head is out: nothing can be said any more but to break off


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that was held; what was streamed is None."""

    body: bytes | bytearray
    content_type: str


class Files:
    """Seals and opens files at this door.

    Args:
        sealed: what seals and opens.
        buckets: finds the bucket that a caller names.
        classifications: say what a name in a bucket is.
        clock_ms: unix time in milliseconds.
    """

    def __init__(
        self,
        sealed: SealedFiles,
        *,
        buckets: Buckets,
        classifications: Classifications,
        clock_ms: Callable[[], int],
    ) -> None:
        self._sealed = sealed
        self._buckets = buckets
        self._classifications = classifications
        self._clock_ms = clock_ms

    async def answer(self, job: Job) -> Whole | None:
        """Return what answers a request, or None where it was sent as it came.

        Raises:
            Malformed, Refused, NotFound, Unavailable: with `Job.begun` the answer cannot say so.
        """
        ask = await self._ask(job)
        length = job.exchange.content_length
        if length is None:
            raise length_required()
        if job.operation is wire.Operation.SEAL:
            return await self._seal(job, ask, length)
        return await self._open(job, ask, length)

    async def _ask(self, job: Job) -> Ask:
        named, name = wire.parse_place(job.exchange.head.target)
        principal = job.holder.principal
        try:
            bucket = await self._buckets.get(named)
        except NotFound:
            raise unknown_bucket() from None
        # By name: an app for keys that may use every bucket of its tenant was not meant to.
        if bucket.tenant != principal.tenant or bucket.bucket_id not in principal.buckets:
            raise unknown_bucket()
        try:
            check_key(name)
        except (Malformed, Refused) as error:
            raise invalid_request(str(error)) from error
        classification, scope_label = None, ""
        if job.operation is wire.Operation.SEAL:
            judged = judge(self._classifications, bucket, name, {}, {})
            classification, scope_label = judged.classification, judged.scope_label
        return Ask(
            principal=principal,
            action=ACTIONS[job.operation],
            bucket=bucket,
            key=name,
            request_id=job.request_id,
            origin=job.exchange.head.peer,
            at_ms=self._clock_ms(),
            classification=classification,
            scope_label=scope_label,
            door=DOOR,
        )

    async def _seal(self, job: Job, ask: Ask, length: int) -> Whole | None:
        headers = job.exchange.head.headers
        said = next((value for name, value in headers if name == b"content-type"), b"")
        facts = PutFacts({"content-type": _media_type(said.decode("latin-1"))})
        sealing = await self._sealed.seal(ask, length, facts)
        end = _End(job, lambda: self._sealed.sealed(sealing))
        try:
            if length <= WHOLE_BODY_BYTES_MAX:
                made = sealing.whole(await job.exchange.read_whole(length))
                await end.record()
                return Whole(made, SEALED_TYPE)

            def work(wire: Wire) -> None:
                sealing.pour(wire.source, lambda: end.begin(wire, SEALED_TYPE, sealing.size))
                wire.finish()

            await job.exchange.pump(work)
        except BaseException as error:
            if not end.recorded:
                await self._sealed.failed(sealing, error)
            raise
        finally:
            sealing.close()
        return None

    async def _open(self, job: Job, ask: Ask, length: int) -> Whole | None:
        rest = length - FILE_BLOCK_BYTES
        if rest < 0:
            raise invalid_file()
        if rest <= HELD_BYTES_MAX:
            raw = bytes(await job.exchange.read_whole(length))
            block, held = raw[:FILE_BLOCK_BYTES], raw[FILE_BLOCK_BYTES:]
        else:
            block, held = await _front(job.exchange), None
        try:
            opening = await self._sealed.open(ask, block, rest, held)
        except Malformed as error:
            raise invalid_file() from error
        except Tampered as error:
            raise _of_file(error) from error
        # What an object of the S3 door was said to be comes from elsewhere: it must fit a header.
        kind = _media_type(opening.opened.facts.headers.get("content-type", ""))
        end = _End(job, lambda: self._sealed.opened(opening))
        try:
            if held is not None:
                plain = opening.whole()
                await end.record()
                return Whole(plain, kind)

            def work(wire: Wire) -> None:
                opening.pour(wire.source, lambda: end.begin(wire, kind, opening.size))
                wire.finish()

            await job.exchange.pump(work)
        except BaseException as error:
            if not end.recorded:
                await self._sealed.failed(opening, error)
            if isinstance(error, Tampered):
                raise _of_file(error) from error
            raise
        finally:
            await opening.close()
        return None


class _End:
    """The closing record of a file, and the sink that waits for it before its last bytes.

    So no answer is whole without its record; one whose record fails stays short.
    """

    def __init__(self, job: Job, conclude: Callable[[], Coroutine[object, object, None]]) -> None:
        self._job = job
        self._conclude = conclude
        self._loop = asyncio.get_running_loop()
        self._sink: Sink | None = None
        self._left = 0
        self.recorded = False

    async def record(self) -> None:
        """Write it; durable on return where the classification is write-ahead."""
        await self._conclude()
        self.recorded = True

    def begin(self, wire: Wire, kind: str, size: int) -> Sink:
        """Begin the answer, in a pump thread."""
        self._job.begun = True
        self._sink = wire.start(200, [*self._job.headers, *of_body(kind)], size)
        self._left = size
        return self

    def write(self, view: memoryview) -> None:
        """Send these bytes; the last ones when the record stands."""
        assert self._sink is not None
        self._left -= len(view)
        if not self._left:
            asyncio.run_coroutine_threadsafe(self.record(), self._loop).result()
        self._sink.write(view)


def of_body(kind: str) -> Headers:
    """Return the headers of a file, or of what was in one: bytes of somebody else's."""
    return [("content-type", kind), ("x-content-type-options", "nosniff")]


async def _front(exchange: StreamExchange) -> bytes:
    block = b""
    while len(block) < FILE_BLOCK_BYTES:
        block += await exchange.read_some(FILE_BLOCK_BYTES - len(block))
    return block


def _of_file(error: Tampered) -> Malformed | Tampered:
    return error if error.code == _OTHER_KEY else invalid_file()


def _media_type(said: str) -> str:
    """Return what a body is said to be, if a header can say it; else that it is octets."""
    return said if _MEDIA_TYPE(said) else PLAIN_TYPE
