"""Forwarder: one export, from the log to its receiver, for as long as the process lives.

Read, send, wait for the acknowledgement, put the cursor on disk: in this order, so what a crash
leaves undone is done again and nothing is left out.  A receiver that is away is tried again, ever
less often.  A log that does not go on where it was left stops the export until somebody looked.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from typing import TYPE_CHECKING

from hyok.audit.cursor import Cursor
from hyok.audit.follow import LogFollower, Place, last_place
from hyok.errors import HyokError, Malformed, Tampered, Unavailable

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from hyok.audit.cursor import CursorFile
    from hyok.audit.formats.port import Format
    from hyok.audit.sinks.port import Sink

LOOK_SECONDS = 0.25
RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 60.0
STOPPED_SECONDS = 60.0
"""Between two looks at a log that did not hold together: it may have been put back."""


class Forwarder:
    """Keeps one receiver up to date.

    Args:
        name: of the export.
        log: the audit log.
        cursor: how far it came.
        render: what the receiver gets for a record.
        sink: the receiver.
        begin: where an export without a cursor begins: ``oldest`` or ``newest`` record.
        batch_records: at most so many records in a batch.
        resend_seconds: after a failure, what was acknowledged so short before is sent again: the
            receiver may have had it in memory only.
        tell: called with an event and fields for the process's log.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        cursor: CursorFile,
        render: Format,
        sink: Sink,
        *,
        begin: str = "oldest",
        batch_records: int = 500,
        resend_seconds: float = 0.0,
        tell: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self.name = name
        self._log, self._cursor, self._format, self._sink = log, cursor, render, sink
        self._begin, self._batch, self._resend_seconds = begin, batch_records, resend_seconds
        self._tell = tell
        self._follower = LogFollower(log)
        self._place: Place | None = None
        self._acknowledged: deque[tuple[float, Place]] = deque()
        self._pause = RETRY_SECONDS_MIN
        self._said = ""

    def run(self, stopping: threading.Event) -> None:
        """Export until ``stopping``."""
        try:
            while not stopping.is_set():
                stopping.wait(self._attempt())
        finally:
            self._follower.close()
            self._sink.close()
            self._cursor.close()

    def _attempt(self) -> float:
        """Take one step; return the seconds to wait before the next."""
        try:
            sent = self.step()
        except (Tampered, Malformed) as error:
            self._failed(error, stopped=True)
            return STOPPED_SECONDS
        except (HyokError, OSError, EOFError, zlib.error) as error:
            self._failed(error, stopped=False)
            pause, self._pause = self._pause, min(2 * self._pause, RETRY_SECONDS_MAX)
            return pause
        return 0.0 if sent else LOOK_SECONDS

    def step(self) -> int:
        """Export one batch; return how many records the receiver has more.

        Raises:
            Unavailable: the receiver did not acknowledge.
            Tampered: the log does not go on where it was left.
            Malformed: the cursor cannot be read.
        """
        if self._place is None:
            self._place = self._first_place()
        entries = self._follower.read(self._place, self._batch)
        if not entries:
            return 0
        rendered = (self._format.render(entry) for entry in entries)
        messages = [message for message in rendered if message is not None]
        if messages:
            try:
                self._sink.send(messages)
            except Unavailable:
                self._step_back()
                raise
        self._place = entries[-1].place
        self._remember(self._place)
        self._cursor.save(Cursor(self._place, self._acknowledged[0][1]))
        self._succeeded(len(messages))
        return len(entries)

    def _first_place(self) -> Place:
        kept = self._cursor.load()
        if kept is None:
            place = last_place(self._log) if self._begin == "newest" else Place()
            kept = Cursor(place, place)
            self._cursor.save(kept)
        self._acknowledged.append((0.0, kept.resend_from))
        return kept.place

    def _remember(self, place: Place) -> None:
        """Keep what was acknowledged lately, and one place before that."""
        now = time.monotonic()
        self._acknowledged.append((now, place))
        # Counted back from the newest acknowledgement, not from a failure: when the receiver died
        # is not known before something is sent again.
        while len(self._acknowledged) > 1 and (
            now - self._acknowledged[1][0] >= self._resend_seconds
        ):
            self._acknowledged.popleft()

    def _step_back(self) -> None:
        """Go back to before what the receiver acknowledged last."""
        place = self._acknowledged[0][1]
        self._acknowledged.clear()
        self._acknowledged.append((0.0, place))
        if place != self._place:
            self._place = place
            self._cursor.save(Cursor(place, place))

    def _succeeded(self, messages: int) -> None:
        status = self._cursor.status
        if self._said:
            self._tell("audit.export_goes_on", export=self.name)
        self._said, self._pause = "", RETRY_SECONDS_MIN
        self._cursor.tell(
            sent_ms=time.time_ns() // 1_000_000,
            sent_records=status.sent_records + messages,
            failing_since_ms=0,
            error="",
            stopped=False,
        )

    def _failed(self, error: Exception, *, stopped: bool) -> None:
        said = error.explain() if isinstance(error, HyokError) else str(error) or repr(error)
        since = self._cursor.status.failing_since_ms or time.time_ns() // 1_000_000
        if said != self._said:
            self._tell("audit.export_failed", export=self.name, cause=said)
        self._said = said
        try:
            self._cursor.tell(failing_since_ms=since, error=said, stopped=stopped)
        except OSError as failed:  # the disk is full: the next attempt may tell
            self._tell("audit.export_status_not_written", export=self.name, cause=str(failed))
