"""Answers of a peer, read on the loop; and the one error for a peer that gives none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hyok.errors import Unavailable
from hyok.http1.connection import READ_BUFFER_BYTES
from hyok.http1.heads import END, parse_response
from hyok.http1.transfer import Chunked, Counted

if TYPE_CHECKING:
    from hyok.http1.connection import Connection
    from hyok.http1.heads import ResponseHead
    from hyok.http1.transfer import Framing

RESPONSE_BYTES_MAX = 64 << 20
STRAIGHT_BYTES_MAX = 2 << 20
"""A body of this length gets its room at once; a longer one as it comes, since a peer may lie."""


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Stale(Exception):
    """The peer closed before it answered at all."""


def gone(
    error: BaseException | None = None, *, untouched: bool = False, lasting: bool = False
) -> Unavailable:
    """Return the error of a peer that does not answer, or not as HTTP says."""
    failure = Unavailable(
        "The store does not answer.",
        reason="ServiceUnavailable",
        code="HY-4001",
        untouched=untouched,
        lasting=lasting,
    )
    failure.__cause__ = error
    return failure


def framing_of(method: str, answer: ResponseHead) -> Framing | None:
    """Return how the body is framed; None: it goes to the end of the connection."""
    if method == "HEAD" or answer.status in {204, 304}:
        return Counted(0)
    if answer.chunked:
        return Chunked()
    if answer.content_length is not None:
        return Counted(answer.content_length)
    return None


async def read_head(connection: Connection, until: float) -> ResponseHead:
    """Return the head of the answer that is no 100 Continue.

    Raises:
        Stale: the peer closed before its first byte.
        Unavailable: it closed amid the head, or sent none.
        OSError: it broke the connection, or is too slow.
    """
    while True:
        raw = connection.take_past(END, READ_BUFFER_BYTES - 1)
        if raw is not None:
            answer = parse_response(raw)
            if 100 <= answer.status < 200:
                continue
            return answer
        if connection.held_bytes >= READ_BUFFER_BYTES - 1:
            raise gone()
        if not await connection.more(until):
            if connection.held_bytes:
                raise gone()
            raise Stale


async def read_body(
    connection: Connection, method: str, answer: ResponseHead, until: float
) -> bytes:
    """Return the whole body.

    Raises:
        Unavailable: it is cut short, or too long.
        Malformed: its chunks are no chunks.
        OSError: the peer broke the connection, or is too slow.
    """
    framing = framing_of(method, answer)
    if isinstance(framing, Counted) and framing.left <= STRAIGHT_BYTES_MAX:
        return await _read_counted(connection, framing.left, until)
    whole = bytearray()
    while framing is None or not framing.done:
        held = connection.held()
        skip, take = framing.plan(held) if framing is not None else (0, len(held))
        whole += held[skip : skip + take]
        held.release()
        connection.consume(skip + take)
        if framing is not None and take:
            framing.took(take)
        if len(whole) > RESPONSE_BYTES_MAX:
            raise gone(lasting=True)
        if not skip + take and not await connection.more(until):
            if framing is None:
                break
            raise gone()
    return bytes(whole)


async def _read_counted(connection: Connection, length: int, until: float) -> bytes:
    if (held := connection.take(length)) is not None:  # as most are
        return bytes(held)
    room = memoryview(bytearray(length))
    at = connection.take_into(room)
    while at < length:
        count = await connection.read_into(room[at:], until)
        if not count:
            raise gone()
        at += count
    return bytes(room)
