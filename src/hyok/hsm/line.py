"""Lines: connections of this process to one agent, each with one question under way."""

from __future__ import annotations

import asyncio
from collections import deque
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


class LineUnreachable(Exception):
    """Nothing listens there: the question was not asked."""


class LineBroken(Exception):
    """The agent ended, or answered nonsense, while it had the question."""


class LineSlow(Exception):
    """No answer came in time; the agent may still be at it."""


class LinesBusy(Exception):
    """Every line of ours was in use all the time: the question was not asked."""


class _Line(asyncio.Protocol):
    """One connection.  Whoever holds it out of `AgentLines` is the only one to ask."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._bytes = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None
        self._number = 0
        self.open = True

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of another class

    @override
    def data_received(self, data: bytes) -> None:
        self._bytes += data
        try:
            self._take_answers()
        except Malformed:
            self.close()

    def _take_answers(self) -> None:
        while len(self._bytes) >= LENGTH.size:
            end = LENGTH.size + body_bytes(bytes(self._bytes[: LENGTH.size]), ANSWER_BYTES_MAX)
            if len(self._bytes) < end:
                return
            answer = decode_answer(bytes(self._bytes[LENGTH.size : end]))
            del self._bytes[:end]
            waiting, self._waiting = self._waiting, None
            if waiting is None or answer.number != self._number:
                # An answer to nobody: it must never be taken for the answer to the next question.
                raise Malformed("an answer came to a question that was not asked")
            if not waiting.done():
                waiting.set_result(answer)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(LineBroken("the HSM agent ended during the call"))

    def ask(self, verb: Verb, fields: tuple[bytes, ...]) -> asyncio.Future[Answer]:
        assert self._transport is not None
        assert self._waiting is None, "one question at a time"
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(encode_question(Question(self._number, verb, fields)))
        return self._waiting

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()


class AgentLines:
    """At most ``lines_max`` connections to the agent at one socket, opened as they are needed."""

    def __init__(self, socket_path: str, lines_max: int) -> None:
        self._socket_path = socket_path
        self._idle: deque[_Line] = deque()
        self._room = asyncio.Semaphore(lines_max)

    async def ask(self, verb: Verb, fields: tuple[bytes, ...], seconds: float) -> Answer:
        """Return the agent's answer, within ``seconds`` once a line is free.

        Raises:
            LinesBusy: none became free within ``seconds``: our load, not the agent's fault.
            LineUnreachable: the question was not asked.
            LineBroken: it was, and the agent ended.
            LineSlow: it was, and no answer came.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._room.acquire()
        except TimeoutError as error:
            raise LinesBusy("no connection to the HSM agent became free in time") from error
        try:
            return await self._ask(verb, fields, seconds)
        finally:
            self._room.release()

    async def _ask(self, verb: Verb, fields: tuple[bytes, ...], seconds: float) -> Answer:
        line: _Line | None = None
        try:
            async with asyncio.timeout(seconds):
                try:
                    line = await self._line()
                    answer = await line.ask(verb, fields)
                except BaseException:
                    # A late answer must meet a closed line, not the next question.
                    if line is not None:
                        line.close()
                    raise
                self._idle.append(line)
                return answer
        except TimeoutError as error:
            raise LineSlow("the HSM agent did not answer in time") from error

    async def _line(self) -> _Line:
        # The one used last is the likeliest to be alive.
        while self._idle:
            line = self._idle.pop()
            if line.open:
                return line
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                _, line = await loop.create_unix_connection(_Line, self._socket_path)
        except (OSError, TimeoutError) as error:
            raise LineUnreachable("no HSM agent listens") from error
        return line

    def close(self) -> None:
        """Close every line that nobody holds."""
        while self._idle:
            self._idle.pop().close()
