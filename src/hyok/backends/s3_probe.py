"""What an S3 store can do beyond keeping bytes: tried under the reserved prefix, not guessed.

A condition counts as decided when a wrong ETag is refused, the right one is taken, and of several
writers at once exactly one wins, round after round: some stores look first and write later, and
then two writers both believe that they were alone.  A race can show that, and never the opposite;
the more rounds, the surer.  What one writer alone can see is tried in every bucket; the races may
be those of another bucket of the store (`s3_trial_file.py`).
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from hyok.backends import s3_answers as answers
from hyok.backends import s3_wire as wire
from hyok.backends.port import Condition, StoredPart
from hyok.backends.s3_bodies import etag_of, part_query
from hyok.backends.s3_findings import is_unfinished
from hyok.backends.s3_trailer import framed
from hyok.errors import Conflict, HyokError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from typing import TypeAlias

    from hyok.backends.s3_endpoint import Endpoint

    Write: TypeAlias = Callable[[Condition], Awaitable[None]]

PROBE_PREFIX = ".hyok/probe/"
RACERS = 4
ROUNDS = 2
COMPLETE_ROUNDS = 4
"""SeaweedFS 4.48 lets several of four Completes win in more than half of the races, two a round."""

_ABSENT = Condition(absent=True)
_PRESENT = Condition(exists=True)
_WRONG = Condition(if_match="0" * 32)


@asynccontextmanager
async def _place(endpoint: Endpoint, bucket: str) -> AsyncIterator[str]:
    """Give a name for a trial and remove what stands there afterwards."""
    name = PROBE_PREFIX + secrets.token_hex(8)
    try:
        yield name
    finally:
        with suppress(HyokError):
            await endpoint.request("DELETE", bucket, name)


async def _wins(write: Awaitable[object]) -> bool:
    try:
        await write
    except Conflict:
        return False
    return True


async def _race(writers: Sequence[Write], condition: Condition) -> bool:
    """Send all at once; return whether exactly one won."""
    racing = [_wins(write(condition)) for write in writers]
    # All are awaited, also when one fails: none may land after the trial was cleared away.
    results = await asyncio.gather(*racing, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return sum(map(bool, results)) == 1


async def _decides(
    endpoint: Endpoint,
    bucket: str,
    make: Callable[[str], Awaitable[Write]],
    rounds: int,
) -> bool:
    """Try a kind of write; ``make`` readies one of a name, so that the race is of that alone.

    Without ``rounds`` there is no race: one writer tries what it can see alone.
    """
    for _ in range(rounds or 1):
        async with _place(endpoint, bucket) as name:
            if not await (
                _round(endpoint, bucket, name, make)
                if rounds
                else _alone(endpoint, bucket, name, make)
            ):
                return False
    return True


async def _etag(endpoint: Endpoint, bucket: str, name: str) -> Condition:
    return Condition(if_match=etag_of(await endpoint.request("HEAD", bucket, name)))


async def _round(
    endpoint: Endpoint, bucket: str, name: str, make: Callable[[str], Awaitable[Write]]
) -> bool:
    if not await _race([await make(name) for _ in range(RACERS)], _ABSENT):
        return False
    if await _wins((await make(name))(_WRONG)):
        return False
    writers = [await make(name) for _ in range(RACERS)]
    return await _race(writers, await _etag(endpoint, bucket, name))


async def _alone(
    endpoint: Endpoint, bucket: str, name: str, make: Callable[[str], Awaitable[Write]]
) -> bool:
    if not await _wins((await make(name))(_ABSENT)):
        return False
    for wrong in (_ABSENT, _WRONG):
        if await _wins((await make(name))(wrong)):
            return False
    return await _wins((await make(name))(await _etag(endpoint, bucket, name)))


async def probe_put(endpoint: Endpoint, bucket: str, *, alone: bool = False) -> bool:
    """Does the store decide the condition of a PUT?  ``alone``: as far as one writer can see."""

    async def make(name: str) -> Write:
        # Bodies that differ: of equal ones the ETag would hold for the next writer as well.
        body = secrets.token_bytes(8)

        async def write(condition: Condition) -> None:
            headers = wire.condition_headers(condition)
            await endpoint.request("PUT", bucket, name, headers=headers, body=body)

        return write

    return await _decides(endpoint, bucket, make, 0 if alone else ROUNDS)


async def probe_rare(endpoint: Endpoint, bucket: str) -> bool:
    """Does the store heed If-Match: * and If-None-Match with an ETag on a PUT?

    No race can show it, since several writers at once may all be right.  A store that `probe_put`
    saw to decide is believed to take these in the same step.
    """
    async with _place(endpoint, bucket) as name:

        async def put(condition: Condition) -> str:
            headers = wire.condition_headers(condition)
            body = secrets.token_bytes(8)
            return etag_of(await endpoint.request("PUT", bucket, name, headers=headers, body=body))

        if await _wins(put(_PRESENT)):
            return False
        await put(Condition(not_match=_WRONG.if_match))
        etag = await put(_PRESENT)
        if await _wins(put(Condition(not_match=etag))):
            return False
        await put(Condition(not_match=_WRONG.if_match))
        return True


async def probe_copy(endpoint: Endpoint, bucket: str, *, alone: bool = False) -> bool:
    """Does the store decide a condition at the destination of a copy?"""
    async with AsyncExitStack() as sources:

        async def make(name: str) -> Write:
            source = await sources.enter_async_context(_place(endpoint, bucket))
            await endpoint.request("PUT", bucket, source, body=secrets.token_bytes(8))
            from_there = {"x-amz-copy-source": wire.path_of(bucket, source, virtual_host=False)}

            async def write(condition: Condition) -> None:
                headers = from_there | wire.condition_headers(condition)
                answer = await endpoint.request("PUT", bucket, name, headers=headers)
                answers.parse_etag(answer.body, "CopyObjectResult")

            return write

        return await _decides(endpoint, bucket, make, 0 if alone else ROUNDS)


async def probe_complete(endpoint: Endpoint, bucket: str, *, alone: bool = False) -> bool:
    """Does the store decide a condition when an upload in parts is completed?"""
    begun: list[tuple[str, str]] = []

    async def make(name: str) -> Write:
        upload = await endpoint.begin_upload(bucket, name, {})
        begun.append((name, upload))
        query = part_query(upload, 1)
        body = secrets.token_bytes(8)
        part = await endpoint.request("PUT", bucket, name, query=query, body=body)
        parts = [StoredPart(1, etag_of(part), len(body))]

        async def write(condition: Condition) -> None:
            await endpoint.complete_upload(bucket, name, upload, parts, condition)

        return write

    try:
        return await _decides(endpoint, bucket, make, 0 if alone else COMPLETE_ROUNDS)
    finally:
        for name, upload in begun:
            with suppress(HyokError):
                await endpoint.abort_upload(bucket, name, upload)


async def probe_delete(endpoint: Endpoint, bucket: str) -> bool:
    """Does the store decide If-Match of a DELETE?  One that ignores it deletes, and is seen to."""
    async with _place(endpoint, bucket) as name:
        etag = etag_of(await endpoint.request("PUT", bucket, name, body=b"1"))
        try:
            await endpoint.request("DELETE", bucket, name, headers=wire.condition_headers(_WRONG))
        except Conflict:
            pass
        else:
            return False
        await endpoint.request("HEAD", bucket, name)
        right = wire.condition_headers(Condition(if_match=etag))
        await endpoint.request("DELETE", bucket, name, headers=right)
        return True


async def probe_trailers(endpoint: Endpoint, bucket: str) -> bool:
    """Does the store check a trailing checksum, and take the framing off the body?"""
    body = b"trailing checksum"
    async with _place(endpoint, bucket) as name:
        try:
            await endpoint.send_framed(bucket, name, len(body), framed(body, damage=True))
        except HyokError as error:
            if is_unfinished(error):
                raise
        else:
            return False
        await endpoint.send_framed(bucket, name, len(body), framed(body))
        return (await endpoint.request("GET", bucket, name)).body == body
