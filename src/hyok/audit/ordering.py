"""OrderThread: brings this host's file up to the one log, and puts records in order in its turn.

One host at a time is the sequencer; which one, the database says.  Every host writes what was put
in order into a file of its own, so these files are the same, byte by byte, and everything that
reads a log reads them.  Only what a sequencer signed whose run the log's key vouches for comes in,
and only behind the very line that it was put behind.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from hyok.audit.follow import last_place
from hyok.audit.order import put_in_order
from hyok.audit.rows import check_chunk, line_hash, sign_chunk, state_of, vouch, vouched
from hyok.audit.sealing import note_problem, tell
from hyok.audit.tiles import pinned_keys
from hyok.errors import Conflict, HyokError, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hyok.audit.file import LogFile
    from hyok.audit.port import CheckpointSigner
    from hyok.audit.row_log import RowLog
    from hyok.audit.rows import Batch, Chunk, Run, Spot
    from hyok.audit.shared import Head, SharedLog

LOOK_SECONDS = 0.25
RETRY_SECONDS = 1.0
LEAD_SECONDS = 1.0
"""How often a host tries whether it is its turn."""

VOUCH_SECONDS = 5.0
REPORT_SECONDS = 5.0
BATCHES_OF_A_HOST = 64
CHUNKS_AT_ONCE = 16
STOP_SECONDS_MAX = 2.0


class OrderThread:
    """Owns the host's file while it runs.

    Args:
        path: the file.
        log: the same, open and locked.
        shared: what the hosts share.
        mine: this host's run.
        signer: returns the log's key; called once, in the thread.
        installation: its name, in what the key signs.
        covered: returns how many records the newest checkpoint in this host's folder has.
        wake: set when there is something to put in order.
    """

    def __init__(
        self,
        path: Path,
        log: LogFile,
        shared: SharedLog,
        mine: RowLog,
        signer: Callable[[], CheckpointSigner],
        installation: str,
        covered: Callable[[], int],
        wake: threading.Event,
    ) -> None:
        self._path, self._log, self._shared, self._mine = path, log, shared, mine
        self._make_signer, self._installation, self._covered = signer, installation, covered
        self._signer: CheckpointSigner | None = None
        self._last_hash = last_place(path).sha256
        self._known: dict[str, Run] = {}
        self._vouch_at = self._report_at = self._lead_at = 0.0
        self.leading = False
        self._wake = wake
        self._stopping = False
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="audit-order", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Put in order what is left if it is this host's turn, and end.  It stays the sequencer."""
        self._stopping = True
        self._wake.set()
        self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        is_well = False
        try:
            is_well = self._turns()
        finally:
            if not is_well:  # what the file holds is unknown, or a bug: the process must end
                self._retire()
                os.kill(os.getpid(), signal.SIGTERM)

    def _turns(self) -> bool:
        """Take turns until the end; say whether the process may go on."""
        while True:
            last = self._stopping
            pause = LOOK_SECONDS
            try:
                self.look()
                if self._told:
                    tell("audit.order_goes_on")
                self._told = ""
            except Tampered as error:
                self._failed(error)
                note_problem(self._path, error)
                self._retire()
                return True  # whoever looks into it starts the writer again
            except HyokError as error:
                self._failed(error)
                pause = RETRY_SECONDS
            except OSError as error:
                tell("audit.disk_failed", cause=str(error))
                return False
            if last:
                return True
            self._wake.wait(pause)
            self._wake.clear()

    def look(self) -> None:
        """Take one turn.

        Raises:
            Tampered: rows or file are not what they must be (codes HY-5120, HY-5121, HY-5122).
            Unavailable: the database does not answer, or the disk is full.
            OSError: the disk failed.
        """
        if self._mine.run is None:
            return  # the tables may not be there yet
        self._vouch()
        self.copy()
        try:
            head = self._lead()
            while head is not None and (longer := self._order(head)) is not None:
                head = longer
                self.copy()
        except Conflict:
            self._retire()  # another host was faster: it has the turn
        if time.monotonic() >= self._report_at:
            self._report_at = time.monotonic() + REPORT_SECONDS
            run = self._mine.run
            self._shared.report(run.host, run.name, self._log.seq, self._covered())
            self._shared.clean()

    def _vouch(self) -> None:
        """Have the log's key sign what names the keys of this host's runs."""
        unvouched = self._mine.unvouched()
        if not unvouched or time.monotonic() < self._vouch_at:
            return
        try:
            if self._signer is None:
                self._signer = self._make_signer()
            for run in unvouched:
                document = vouch(run, self._signer, self._installation, _now_ms())
                self._shared.vouch(run.run, document)
                self._mine.was_vouched(run)
        except (HyokError, OSError) as error:
            if isinstance(error, Tampered):
                raise
            self._vouch_at = time.monotonic() + VOUCH_SECONDS
            self._failed(error)

    # ── from the rows into the file ─────────────────────────────────────────────────────────

    def copy(self) -> None:
        """Write into this host's file what was put in order since; raises as `look`."""
        while (head := self._shared.head()) is not None and head.size != self._log.seq:
            if head.size < self._log.seq:
                raise _not_one(
                    f"this host's file has {self._log.seq} records and the log {head.size}"
                )
            chunks = self._shared.chunks(self._log.seq, CHUNKS_AT_ONCE)
            runs = self._runs([chunk.run for chunk in chunks])
            if not chunks:
                raise _gone(self._log.seq + 1)
            for chunk in chunks:
                if chunk.run not in runs:
                    return  # the log's public key is not known here yet
                self._add(chunk, runs[chunk.run])

    def _add(self, chunk: Chunk, run: Run) -> None:
        lines = check_chunk(chunk, run)
        have = self._log.seq - chunk.first + 1  # of its records
        if have < 0:
            raise _gone(self._log.seq + 1)
        before = line_hash(lines[have - 1]) if have else chunk.previous
        if before != self._last_hash:
            raise _not_one(f"record {self._log.seq} of this host's file is not that of the log")
        self._log.add(b"".join(lines[have:]), len(lines) - have, sync=True)
        self._last_hash = line_hash(lines[-1])

    def _runs(self, names: Sequence[str], *, strict: bool = True) -> Mapping[str, Run]:
        """Return those of the runs that the log's key vouches for.

        ``strict``: a document that is not signed by it stops this host; else its run is a
        stranger's, and waits for ever.
        """
        unknown = sorted({name for name in names if name not in self._known})
        keys = pinned_keys(self._path) if unknown else ()
        for found in self._shared.registered(unknown) if keys else ():
            if not found.document:
                continue
            try:
                run = vouched(found.document, keys)
            except Tampered:
                if strict:
                    raise
                continue
            if run.run == found.run:
                self._known[run.run] = run
        return {name: self._known[name] for name in names if name in self._known}

    # ── from what waits into the rows ───────────────────────────────────────────────────────

    def _lead(self) -> Head | None:
        """Return the log's head if it is this host's turn to make it longer."""
        mine = self._mine.run
        if mine is None or mine.run not in self._runs([mine.run]):
            return None
        if not self.leading and time.monotonic() < self._lead_at and not self._stopping:
            return None
        self._lead_at = time.monotonic() + LEAD_SECONDS
        head = self._shared.lead(self._log.seq, self._covered())
        if head is not None and head.size != self._log.seq:
            self.copy()
        self.leading = head is not None and head.size == self._log.seq
        return head if self.leading else None

    def _order(self, head: Head) -> Head | None:
        """Put in order what waits; return the head behind it, or None: nothing came of it."""
        batches = self._shared.waiting(BATCHES_OF_A_HOST)
        if not batches:
            return None
        names = [batch.run for batch in batches]
        runs = self._runs(names, strict=False)
        made = put_in_order(
            self._state(head), head.size + 1, batches, runs, self._unvouched(batches), _now_ms()
        )
        if not made.done and not made.refused:
            return None
        chunk = None
        if made.lines:
            assert self._mine.run is not None
            chunk = sign_chunk(
                self._mine.key,
                self._mine.run.run,
                head.size + 1,
                made.lines,
                self._last_hash,
                made.state,
            )
        if made.refused:
            tell("audit.rows_refused", batches=len(made.refused))
        return self._shared.extend(head, chunk, made.done, made.refused)

    def _unvouched(self, batches: Sequence[Batch]) -> Mapping[str, int]:
        """Return the earliest run of each host that nobody vouched for and that has batches."""
        names = [batch.run for batch in batches if batch.run not in self._known]
        earliest: dict[str, int] = {}
        for found in self._shared.registered(names) if names else ():
            earliest[found.host] = min(found.number, earliest.get(found.host, found.number))
        return earliest

    def _state(self, head: Head) -> Mapping[str, Spot]:
        newest = self._shared.newest_chunk()
        if newest is None:
            return {}
        run = self._runs([newest.run]).get(newest.run)
        if run is None or newest.last != head.size:
            if self._shared.head() != head:
                raise Conflict("another host puts the log in order now", code="HY-5124")
            raise _not_one(f"the log has {head.size} records and its rows end with {newest.last}")
        check_chunk(newest, run)
        return state_of(newest)

    def _retire(self) -> None:
        self.leading = False
        self._shared.retire()

    def _failed(self, error: HyokError | OSError) -> None:
        said = error.explain() if isinstance(error, HyokError) else str(error)
        if isinstance(error, NotFound) and error.code == "HY-2103":
            said += " Next: hyok audit key --create"
        if said != self._told:
            self._told = said
            tell("audit.order_failed", cause=said)


def _not_one(said: str) -> Tampered:
    return Tampered(
        said,
        code="HY-5121",
        effect="Records are kept in the database; this host's file does not go on.",
        next_step="docs/operate.md, 'The rows of the audit log were changed'",
    )


def _gone(seq: int) -> Tampered:
    return Tampered(
        f"record {seq} of the audit log is not in the database any more",
        code="HY-5122",
        effect="Records are kept in the database; this host's file does not go on.",
        next_step="stop this host, copy the log and its .tree folder from another one, start it",
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
