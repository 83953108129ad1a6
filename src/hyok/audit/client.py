"""JournalClient: the `Journal` port over the writer's socket.

Records are sent in order and not waited for one by one.  What was not confirmed when a connection
broke is sent again on the next, so a record may stand in the log twice but is never missing.
Those of many requests go out together: each writing wakes the writer, which costs more than the
record itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from hyok.audit.record import render
from hyok.audit.wire import BATCHED, DURABLE, KEPT
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.audit.record import AuditRecord

DEADLINE_SECONDS = 2.0

UNCONFIRMED_SECONDS_MAX = 0.5
"""Once the oldest record has waited this long, new ones wait for their own answer, whatever their
class: together with the writer's own delay a crash loses no more than one second."""

UNCONFIRMED_MAX = 10_000

GATHER_SECONDS = 0.005
"""How long records that nobody waits for are gathered before they are sent."""

RECONNECT_SECONDS_MIN = 0.02
RECONNECT_SECONDS_MAX = 0.5


@dataclass(slots=True, eq=False)
class _Sent:
    """A record that the writer has not confirmed."""

    message: bytes
    at: float
    answer: asyncio.Future[bool] | None  # None: nobody waits


class JournalClient:
    """One worker's line to the audit writer.  Bound to the loop that first uses it."""

    def __init__(self, socket_path: Path, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._path = str(socket_path)
        self._deadline_seconds = deadline_seconds
        self._unconfirmed: deque[_Sent] = deque()
        self._unsent: list[bytes] = []  # the last of the unconfirmed
        self._sending: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sends_soon = False
        self._line: _Line | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._refused = False
        self._closed = False

    async def record(self, record: AuditRecord, *, durable: bool) -> None:
        """Hand over one record; see `Journal.record`."""
        if self._closed or len(self._unconfirmed) >= UNCONFIRMED_MAX:
            raise _unavailable()
        must_wait = durable or self._refused or self._is_behind()
        sent = _Sent((DURABLE if durable else BATCHED) + render(record), time.monotonic(), None)
        if must_wait:
            loop = asyncio.get_running_loop()
            sent.answer = loop.create_future()
            if self._timer is None:
                # One for all: nearly every answer comes long before it would ring.
                self._timer = loop.call_later(self._deadline_seconds, self._ring)
        self._unconfirmed.append(sent)
        if self._line is not None:
            self._unsent.append(sent.message)
            self._send_later(soon=must_wait)
        else:
            self._connect()
        if sent.answer is not None and not await sent.answer:
            raise _unavailable()

    def _send_later(self, *, soon: bool) -> None:
        """Send what was gathered; ``soon``: together with the other requests of this turn."""
        if self._sending is not None:
            if self._sends_soon or not soon:
                return
            self._sending.cancel()
        loop = asyncio.get_running_loop()
        self._sends_soon = soon
        self._sending = (
            loop.call_soon(self._send) if soon else loop.call_later(GATHER_SECONDS, self._send)
        )

    def _send(self) -> None:
        self._sending = None
        if self._line is not None and self._unsent:
            self._line.write(b"".join(self._unsent))
        self._unsent.clear()

    def _ring(self) -> None:
        """Tell those whose time is up."""
        self._timer = None
        now = time.monotonic()
        for sent in self._unconfirmed:
            if sent.answer is None or sent.answer.done():
                continue
            left = sent.at + self._deadline_seconds - now
            if left > 0:  # they stand in the order of their times
                self._timer = asyncio.get_running_loop().call_later(left, self._ring)
                return
            sent.answer.set_exception(_unavailable())

    def _is_behind(self) -> bool:
        oldest = self._unconfirmed[0].at if self._unconfirmed else None
        return oldest is not None and time.monotonic() - oldest > UNCONFIRMED_SECONDS_MAX

    def _connect(self) -> None:
        if self._connecting is None and not self._closed:
            self._connecting = asyncio.get_running_loop().create_task(self._keep_trying())

    async def _keep_trying(self) -> None:
        loop = asyncio.get_running_loop()
        pause = RECONNECT_SECONDS_MIN
        try:
            while not self._closed:
                try:
                    await loop.create_unix_connection(lambda: _Line(self), self._path)
                except OSError:
                    pass
                else:
                    # A writer that was killed just now loses the line before we hear that it was
                    # made; whoever noticed that saw us trying.
                    if self._line is not None or not self._unconfirmed:
                        return
                await asyncio.sleep(pause)
                pause = min(2 * pause, RECONNECT_SECONDS_MAX)
        finally:
            self._connecting = None

    def line_made(self, line: _Line) -> None:
        """Send again what was not confirmed; drop what nobody waits for any more."""
        kept = (sent for sent in self._unconfirmed if sent.answer is None or not sent.answer.done())
        self._unconfirmed = deque(kept)
        self._line = line
        self._unsent.clear()
        if self._unconfirmed:
            line.write(b"".join(sent.message for sent in self._unconfirmed))

    def line_lost(self, line: _Line) -> None:
        """Go on with a new connection if anything is unconfirmed."""
        if self._line is line:
            self._line = None
            self._unsent.clear()
            if self._unconfirmed:
                self._connect()

    def answered(self, answers: bytes) -> None:
        """Match the writer's answers with the oldest records."""
        for answer in answers:
            if not self._unconfirmed:
                break
            sent = self._unconfirmed.popleft()
            # After a refusal that nobody waited for, the next ones wait for their answer.
            self._refused = answer != KEPT
            if sent.answer is not None and not sent.answer.done():
                sent.answer.set_result(answer == KEPT)

    async def close(self) -> None:
        """Wait until everything is confirmed, no longer than the deadline; then hang up.

        Raises:
            Unavailable: some records were never confirmed.
        """
        until = time.monotonic() + self._deadline_seconds
        while self._unconfirmed and time.monotonic() < until:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.005)
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.close()
        if self._unconfirmed:
            raise _unavailable()


class _Line(asyncio.Protocol):
    """One connection to the writer."""

    def __init__(self, client: JournalClient) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not `isinstance`: uvloop's transports are no subclasses of asyncio.Transport.
        self._transport = transport  # type: ignore[assignment]  # a stream transport, by contract
        self._client.line_made(self)

    @override
    def data_received(self, data: bytes) -> None:
        self._client.answered(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._client.line_lost(self)

    def write(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.write(message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _unavailable() -> Unavailable:
    return Unavailable(
        "The audit log does not take records.",
        reason="ServiceUnavailable",
        code="HY-5101",
        effect="What cannot be recorded is not done.",
        next_step="hyok doctor",
    )
