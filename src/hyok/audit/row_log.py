"""RowLog: this host's records on their way into a log that several hosts write.

It takes the place of `LogFile` under the writer's batches: `append` returns once the batch is
committed.  A batch whose commit nobody heard of is handed in again, the same bytes under the same
number, before anything else, so that it comes into the log once.

Beside the log it remembers, without waiting for the disk, which batch was committed last: the next
run states it, so that a batch which was taken out of the rows meanwhile is missed.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hyok.audit.file import GAP, START, STOP, canonical, ours
from hyok.audit.rows import Run, run_of, sign_batch
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hyok.audit.rows import Batch, Spot
    from hyok.audit.shared import SharedLog


def host_id(name: str, log: Path) -> str:
    """Return what tells this host's writer from all others."""
    return sha256(f"{name}\0{log.resolve()}".encode()).hexdigest()[:32]


class RowLog:
    """Blocking.  `append` and what it calls are for one thread; the rest for any.

    Args:
        shared: where the rows are.
        memory: the file that remembers.
        host: as `host_id` returns it.
        name: the host's, for people.
        handed_in: called after each commit.

    Raises, from `begin`, `append` and `end`:
        Conflict: a later writer of this host began (code HY-5123); this one must end.
        Tampered: another batch stands in the place of this one's (code HY-5120).
    """

    def __init__(
        self,
        shared: SharedLog,
        memory: Path,
        host: str,
        name: str,
        handed_in: Callable[[], None] = lambda: None,
    ) -> None:
        self._shared, self._host, self.name = shared, host, name
        self._memory = _Memory(memory, host)
        self._handed_in = handed_in
        self._key = Ed25519PrivateKey.generate()
        self._unsure: Batch | None = None
        self._next = 1
        self._at_ms = 0
        self.run: Run | None = None  # once it began

    @property
    def key(self) -> Ed25519PrivateKey:
        """This run's key: what the sequencer adds is signed with it as well."""
        return self._key

    def begin(self) -> None:
        """Begin this run, if it did not: say so in the log, and that something may be missing.

        Raises:
            Unavailable: the database does not answer.
        """
        if self.run is not None:
            return
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        run = Run(secrets.token_hex(16), self._host, self.name, 0, public, self._memory.last)
        run = self._shared.begin_run(run)
        was_clean = self._memory.clean
        self._memory.began(run)
        self.run = run
        now = _now_ms()
        gap = [] if was_clean else [ours(now, GAP, "failed")]
        self._write([*gap, ours(now, START, "done")])

    def end(self, at_ms: int) -> None:
        """Say that the writer ended by itself; raises as `append`."""
        self.append([ours(at_ms, STOP, "done")], sync=True)
        self._memory.ended()

    def append(self, records: Sequence[Mapping[str, object]], *, sync: bool) -> None:
        """Hand in all records; they are durable on return, whatever ``sync`` says.

        Raises:
            Unavailable: the database did not answer, and the records must count as not kept.  They
                may come into the log all the same.
        """
        del sync
        self.begin()
        self._settle()
        if records:
            self._write(records)

    def sync(self) -> None:
        """Do nothing: what was committed is on the database's disk."""

    def _settle(self) -> None:
        if self._unsure is not None:
            self._hand_in(self._unsure, again=True)

    def _write(self, records: Sequence[Mapping[str, object]]) -> None:
        assert self.run is not None
        lines = [canonical({**record, "host": self.name}) for record in records]
        # Never back: the order of the batches is that of their numbers.
        self._at_ms = max(self._at_ms, _now_ms())
        batch = sign_batch(self._key, self.run.run, self._next, self._at_ms, lines)
        self._next += 1
        self._hand_in(batch, again=False)

    def _hand_in(self, batch: Batch, *, again: bool) -> None:
        assert self.run is not None
        try:
            self._shared.hand_in(batch, again=again)
        except Unavailable:
            self._unsure = batch
            raise
        self._unsure = None
        self._memory.committed((self.run.number, batch.number))
        self._handed_in()

    def unvouched(self) -> Sequence[Run]:
        """Return the runs of this host that the log's key did not vouch for yet."""
        return self._memory.unvouched()

    def was_vouched(self, run: Run) -> None:
        """Note that it did."""
        self._memory.was_vouched(run)


class _Memory:
    """What this host remembers from one run to the next.  Safe from several threads.

    Lost or older than it should be, it only leaves out what could have been noticed.
    """

    def __init__(self, path: Path, host: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._host = host
        self.last: Spot = (0, 0)
        self.clean = True
        self._runs: list[Run] = []
        raw = os.pread(self._descriptor, 1 << 20, 0)
        try:
            kept = json.loads(raw) if raw else {}
            if kept.get("host") == host:  # else the folder was copied from another host
                self.last = (int(kept["last"][0]), int(kept["last"][1]))
                self.clean = bool(kept["clean"])
                self._runs = [run_of(one) for one in kept["unvouched"]]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            self.clean = False

    def began(self, run: Run) -> None:
        with self._lock:
            self._runs.append(run)
            self.clean = False
            self._write()
            os.fsync(self._descriptor)  # once a run: after a power cut it did not end well

    def committed(self, spot: Spot) -> None:
        with self._lock:
            self.last = spot
            self._write()

    def ended(self) -> None:
        with self._lock:
            self.clean = True
            self._write()

    def unvouched(self) -> Sequence[Run]:
        with self._lock:
            return tuple(self._runs)

    def was_vouched(self, run: Run) -> None:
        with self._lock:
            self._runs = [one for one in self._runs if one.run != run.run]
            self._write()

    def _write(self) -> None:
        told = {
            "host": self._host,
            "last": list(self.last),
            "clean": self.clean,
            "unvouched": [run.document() for run in self._runs],
        }
        raw = json.dumps(told).encode()
        os.pwrite(self._descriptor, raw, 0)
        os.ftruncate(self._descriptor, len(raw))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
