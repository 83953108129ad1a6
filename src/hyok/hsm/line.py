"""Lines: connections of this process to one agent, each with one question under way.

A thread of the agent waits at each line, so a question wakes the one that answers it and no other
(docs/adr/0043 has what was measured against it).
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import cast

from typing_extensions import override

from hyok.errors import Malformed
from hyok.hsm.semaphore import Semaphore
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
        self._held = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._number = 0
        self.open = True
        self.until = inf
        """When the question under way has taken too long."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of another class

    @override
    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        at = 0
        try:
            while len(held) - at >= LENGTH.size:
                start = at + LENGTH.size
                stop = start + body_bytes(held[at:start], ANSWER_BYTES_MAX)
                if stop > len(held):
                    break
                self._take(decode_answer(held[start:stop]))
                at = stop
        except Malformed:
            self.close()
        self._held = held[at:]

    def _take(self, answer: Answer) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done() or answer.number != self._number:
            raise Malformed("an answer to no question")
        waiting.set_result(answer)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._fail(LineBroken("the HSM agent ended while it had the question"))

    def late(self) -> None:
        """Tell who waits that its time is up."""
        self._fail(LineSlow("the HSM agent did not answer in time"))

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def ask(
        self, loop: asyncio.AbstractEventLoop, verb: Verb, fields: tuple[bytes, ...]
    ) -> asyncio.Future[Answer]:
        """Send a question; return the answer to come."""
        if self._transport is None or not self.open:
            raise LineBroken("the HSM agent ended before it had the question")
        self._number = (self._number + 1) & 0xFFFFFFFF
        waiting = self._waiting = loop.create_future()
        self._transport.write(encode_question(Question(self._number, verb, fields)))
        return waiting

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()


class AgentLines:
    """At most ``lines_max`` connections to the agent at one socket, opened as they are needed."""

    def __init__(self, socket_path: str, lines_max: int) -> None:
        self._socket_path = socket_path
        self._idle: list[_Line] = []
        self._room = Semaphore(lines_max)
        self._deadlines = _Deadlines()

    async def ask(self, verb: Verb, fields: tuple[bytes, ...], seconds: float) -> Answer:
        """Return the agent's answer, within ``seconds`` once a line is free.

        Raises:
            LinesBusy: none became free within ``seconds``: our load, not the agent's fault.
            LineUnreachable: the question was not asked.
            LineBroken: it was, and the agent ended.
            LineSlow: it was, and no answer came.
        """
        try:
            await self._room.acquire(seconds)
        except TimeoutError as error:
            raise LinesBusy("no connection to the HSM agent became free in time") from error
        try:
            line = self._idle_line() or await self._new_line(seconds)
            loop = asyncio.get_running_loop()
            self._deadlines.add(loop, line, seconds)
            try:
                answer = await line.ask(loop, verb, fields)
            except BaseException:
                # A late answer must meet a closed line, not the next question.
                line.close()
                raise
            finally:
                self._deadlines.lines.discard(line)
            self._idle.append(line)
            return answer
        finally:
            self._room.release()

    def _idle_line(self) -> _Line | None:
        # The one used last is the likeliest to be alive.
        while self._idle:
            line = self._idle.pop()
            if line.open:
                return line
        return None

    async def _new_line(self, seconds: float) -> _Line:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(seconds, CONNECT_SECONDS_MAX)):
                _, line = await loop.create_unix_connection(_Line, self._socket_path)
        except (OSError, TimeoutError) as error:
            raise LineUnreachable("no HSM agent listens") from error
        return line

    def close(self) -> None:
        """Close every line that nobody holds."""
        self._deadlines.close()
        while self._idle:
            self._idle.pop().close()


class _Deadlines:
    """One timer for all lines: nearly every answer comes long before it would ring."""

    def __init__(self) -> None:
        self.lines: set[_Line] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = inf

    def add(self, loop: asyncio.AbstractEventLoop, line: _Line, seconds: float) -> None:
        """Have a line told when its question has taken so long."""
        line.until = loop.time() + seconds
        self.lines.add(line)
        if line.until < self._rings_at:
            self._ring_at(loop, line.until)

    def _ring_at(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        self.close()
        self._rings_at = until
        self._timer = loop.call_at(until, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self.close()
        now = loop.time()
        for line in self.lines:
            if line.until <= now:
                line.until = inf  # once
                line.late()
        left = min((line.until for line in self.lines), default=inf)
        if left < inf:
            self._ring_at(loop, left)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = None, inf
