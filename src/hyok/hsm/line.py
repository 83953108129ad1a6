"""AgentLine: this process's connection to one agent, with many questions under way.

The questions of one turn of the event loop leave in one write, and the answers that have come are
read at once: waking a process costs more than a question does.  Answers come in any order and are
matched by number.

Source: docs/adr/0043.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import cast

from typing_extensions import override

from hyok.errors import Malformed
from hyok.hsm.wire import (
    ANSWER_BYTES_MAX,
    LENGTH,
    Answer,
    Question,
    Verb,
    body_bytes,
    decode_answer,
    encode_question,
)

CONNECT_SECONDS_MAX = 1.0
_NUMBERS = 1 << 32


class LineUnreachable(Exception):
    """Nothing listens there: the question was not asked."""


class LineBroken(Exception):
    """The agent ended, or answered nonsense, while it had the question."""


class LineSlow(Exception):
    """No answer came in time; the agent may still be at it."""


class LineBusy(Exception):
    """As many questions as may be were under way all the time: this one was not asked."""


class _Connection(asyncio.Protocol):
    """One connection; `open` as long as it takes questions."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._unsent: list[bytes] = []
        # By number: who waits, and until when.  One that nobody waits for any more stays until it
        # is answered, so that a late answer is not taken for nonsense.
        self._asked: dict[int, tuple[asyncio.Future[Answer], float]] = {}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = inf
        self.open = True

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of another class

    def ask(self, verb: Verb, fields: tuple[bytes, ...], seconds: float) -> asyncio.Future[Answer]:
        """Return the answer to come; `LineSlow` if none does within ``seconds``."""
        self._number = (self._number + 1) % _NUMBERS
        answer: asyncio.Future[Answer] = self._loop.create_future()
        until = self._loop.time() + seconds
        self._asked[self._number] = (answer, until)
        # One timer for all: nearly every answer comes long before it would ring.
        if until < self._rings_at:
            self._ring_at(until)
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(encode_question(Question(self._number, verb, fields)))
        return answer

    def _send(self) -> None:
        if self._transport is not None and self._unsent:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    @override
    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= LENGTH.size:
                start = at + LENGTH.size
                stop = start + body_bytes(data[at:start], ANSWER_BYTES_MAX)
                if stop > end:
                    break
                self._take(decode_answer(data[start:stop]))
                at = stop
        except Malformed:
            self.close()
            return
        self._rest = data[at:]
        if not self.open:
            self._close_if_done()

    def _take(self, answer: Answer) -> None:
        asked = self._asked.pop(answer.number, None)
        if asked is None:
            raise Malformed("an answer to no question")
        if not asked[0].done():
            asked[0].set_result(answer)

    def _ring_at(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = until
        self._timer = self._loop.call_at(until, self._ring) if until < inf else None

    def _ring(self) -> None:
        """Tell those whose time is up.

        The others go on, and the next question takes a new connection: something may be wrong with
        this one alone.
        """
        now, first = self._loop.time(), inf
        for answer, until in self._asked.values():
            if answer.done():
                continue
            if until <= now:
                answer.set_exception(LineSlow("the HSM agent did not answer in time"))
                self.open = False
            else:
                first = min(first, until)
        self._timer = None
        self._ring_at(first)
        if not self.open:
            self._close_if_done()

    def _close_if_done(self) -> None:
        if all(answer.done() for answer, _ in self._asked.values()):
            self.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def close(self) -> None:
        """Break the connection: whoever still waits is told."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self.open = False
        self._ring_at(inf)
        asked, self._asked = self._asked, {}
        for answer, _ in asked.values():
            if not answer.done():
                answer.set_exception(LineBroken("the HSM agent ended while it had the question"))


class AgentLine:
    """The connection to the agent at one socket, made at need; ``calls_max`` questions at once."""

    def __init__(self, socket_path: str, calls_max: int) -> None:
        self._socket_path = socket_path
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._room = asyncio.Semaphore(calls_max)

    async def ask(self, verb: Verb, fields: tuple[bytes, ...], seconds: float) -> Answer:
        """Return the agent's answer, within ``seconds`` once there is room for the question.

        Raises:
            LineBusy: there was none within ``seconds``: our load, not the agent's fault.
            LineUnreachable: the question was not asked.
            LineBroken: it was, and the agent ended.
            LineSlow: it was, and no answer came.
        """
        try:
            await take_room(self._room, seconds)
        except TimeoutError as error:
            raise LineBusy("no question of ours was answered in time") from error
        try:
            connection = self._connection
            if connection is None or not connection.open:
                connection = await self._connected(seconds)
            return await connection.ask(verb, fields, seconds)
        finally:
            self._room.release()

    async def _connected(self, seconds: float) -> _Connection:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        try:
            async with asyncio.timeout(seconds):
                # One who gives up waiting must not break the others' attempt.
                return await asyncio.shield(self._connecting)
        except (OSError, TimeoutError) as error:
            raise LineUnreachable("no HSM agent listens") from error

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                loop = asyncio.get_running_loop()
                _, made = await loop.create_unix_connection(_Connection, self._socket_path)
            self._connection = made
            return made
        finally:
            self._connecting = None

    def close(self) -> None:
        """Break the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()


async def take_room(room: asyncio.Semaphore, seconds: float) -> None:
    """Take one of what a semaphore has.

    Raises:
        TimeoutError: none became free within ``seconds``.
    """
    if not room.locked():  # then it is had at once, and a timer would cost more than all the rest
        await room.acquire()
        return
    async with asyncio.timeout(seconds):
        await room.acquire()
