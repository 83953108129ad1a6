"""AuditRows: the audit log of several hosts in PostgreSQL; fills `hyok.audit.shared.SharedLog`.

Handing in needs no order with anybody, so these transactions take no lock of the installation: any
number of hosts commit side by side.  Making the log longer does: there the sequencer compares size
and epoch with what it last saw and sets them, in the transaction that adds the records.  The
advisory lock only spares the others the attempt.

Source: PostgreSQL's manual, 13.3.2 "Row-Level Locks" and 13.3.5 "Advisory Locks".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import delete, func, insert, make_url, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from hyok.database.config import check_url
from hyok.database.engine import BUSY_SECONDS_MAX, Database, translated
from hyok.database.postgresql import APART, GONE_SECONDS_MAX, engines
from hyok.database.tables import (
    audit_checkpoints,
    audit_chunks,
    audit_hosts,
    audit_log,
    audit_runs,
    audit_waiting,
)
from hyok.errors import Conflict, HyokError, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from hyok.audit.rows import Batch, Chunk, Run
    from hyok.audit.shared import Head, Registered

T = TypeVar("T")

SEQUENCER_LOCK = 0x68796F6B61
"""Advisory lock of the session that puts records in order: "hyoka" in ASCII."""

THREADS = 4
BATCHES_OF_A_HOST = 64
HOST_KEPT_MS = 30 * 86_400_000
"""Records are kept this long for a host that does not say how far it has come."""


class AuditRows:
    """Safe from several threads, but `lead`, `retire` and `extend` are for one.

    Args:
        url: of PostgreSQL.
        kinds: what the rows are made into: the values of `hyok.audit`, which stands above.
        clock_ms: unix time in milliseconds.
    """

    def __init__(
        self,
        url: str,
        kinds: tuple[
            Callable[..., Batch],
            Callable[..., Chunk],
            Callable[..., Head],
            Callable[..., Registered],
        ],
        clock_ms: Callable[[], int],
    ) -> None:
        self._url = url
        self._batch, self._chunk, self._head, self._registered = kinds
        self._clock_ms = clock_ms
        writer, self._reader = engines(make_url(check_url(url)), THREADS, BUSY_SECONDS_MAX)
        self._engine = writer.execution_options(**{APART: True})
        self._leading: Connection | None = None
        self._epoch = 0
        self._is_migrated = False

    def _run(self, act: Callable[[Connection], T]) -> T:
        with translated(), self._engine.begin() as connection:
            # Whatever the server's default is: a commit that was answered is on its disk.
            connection.execute(text("SET LOCAL synchronous_commit = on"))
            return act(connection)

    def _read(self, act: Callable[[Connection], T]) -> T:
        with translated(), self._reader.connect() as connection, connection.begin():
            return act(connection)

    # ── a host hands in ─────────────────────────────────────────────────────────────────────

    def begin_run(self, run: Run) -> Run:
        """See `SharedLog`.  Makes the tables where they are missing."""
        if not self._is_migrated:
            database = Database(self._url, threads=1)
            try:
                database.migrate()
            finally:
                database.close()
            self._is_migrated = True

        def act(connection: Connection) -> int:
            mine = audit_runs.c.host == run.host
            # Waits for transactions that hold a run of this host in `hand_in`.
            connection.execute(update(audit_runs).where(mine).values(closed=True))
            last = connection.scalar(select(func.max(audit_runs.c.number)).where(mine)) or 0
            number = max(last, run.after[0]) + 1
            connection.execute(
                insert(audit_runs).values(
                    run=run.run,
                    host=run.host,
                    name=run.name,
                    number=number,
                    public_key=run.public_key,
                    document="",
                    closed=False,
                )
            )
            return number

        return replace(run, number=self._run(act))

    def hand_in(self, batch: Batch, *, again: bool) -> None:
        """See `SharedLog`."""

        def act(connection: Connection) -> None:
            is_open = connection.scalar(
                select(audit_runs.c.run)
                .where(audit_runs.c.run == batch.run, audit_runs.c.closed.is_(False))
                .with_for_update(read=True)
            )
            if is_open is None:
                raise _superseded()
            row = {
                "run": batch.run,
                "batch": batch.number,
                "at_ms": batch.at_ms,
                "lines": batch.lines,
                "signature": batch.signature,
                "refused": False,
            }
            kept = upsert(audit_waiting).values(**row).on_conflict_do_nothing()
            is_new = connection.scalar(kept.returning(audit_waiting.c.run)) is not None
            if not is_new and not (again and self._is_there(connection, batch)):
                raise _occupied(batch.number)

        self._run(act)

    @staticmethod
    def _is_there(connection: Connection, batch: Batch) -> bool:
        found = connection.scalar(
            select(audit_waiting.c.signature).where(
                audit_waiting.c.run == batch.run, audit_waiting.c.batch == batch.number
            )
        )
        return bool(found == batch.signature)

    def vouch(self, run: str, document: str) -> None:
        """See `SharedLog`."""
        change = update(audit_runs).where(audit_runs.c.run == run).values(document=document)
        self._run(lambda connection: connection.execute(change))

    # ── one of them puts in order ───────────────────────────────────────────────────────────

    def lead(self, size: int, signed: int) -> Head | None:
        """See `SharedLog`."""
        if self._leading is not None:
            return self._still(self._leading)
        with translated():
            connection = self._engine.connect()
        try:
            with translated():
                head = self._take_over(connection, size, signed)
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        if head is None:
            connection.close()
        else:
            self._leading, self._epoch = connection, head.epoch
        return head

    def _take_over(self, connection: Connection, size: int, signed: int) -> Head | None:
        asked = text("SELECT pg_try_advisory_lock(:lock)")
        with connection.begin():
            if not connection.scalar(asked, {"lock": SEQUENCER_LOCK}):
                return None
        # The lock is the session's: a host that is gone must not keep it for hours.
        for name, value in (("idle", GONE_SECONDS_MAX), ("interval", 2), ("count", 3)):
            with connection.begin():
                connection.execute(text(f"SET tcp_keepalives_{name} = {int(value)}"))
        with connection.begin():
            first = {"log": 1, "size": size, "epoch": 0, "signed": signed}
            connection.execute(upsert(audit_log).values(**first).on_conflict_do_nothing())
            more = update(audit_log).values(epoch=audit_log.c.epoch + 1)
            row = connection.execute(more.returning(audit_log.c.size, audit_log.c.epoch)).one()
        return self._head(row.size, row.epoch)

    def _still(self, connection: Connection) -> Head | None:
        """Return the head if this session is there and nobody took over; else stop leading."""
        try:
            with translated(), connection.begin():
                row = connection.execute(select(audit_log.c.size, audit_log.c.epoch)).one()
        except HyokError:
            self.retire()
            raise
        if row.epoch != self._epoch:
            self.retire()
            return None
        return self._head(row.size, row.epoch)

    def retire(self) -> None:
        """See `SharedLog`."""
        connection, self._leading = self._leading, None
        self._epoch = 0
        if connection is not None:
            connection.invalidate()  # the session ends, and with it the lock
            connection.close()

    def waiting(self, limit: int) -> Sequence[Batch]:
        """See `SharedLog`."""
        place = (
            func.row_number()
            .over(
                partition_by=audit_runs.c.host,
                order_by=(audit_runs.c.number, audit_waiting.c.batch),
            )
            .label("place")
        )
        ranked = (
            select(audit_waiting, place)
            .join(audit_runs, audit_runs.c.run == audit_waiting.c.run)
            .where(audit_waiting.c.refused.is_(False))
            .subquery()
        )
        asked = select(ranked).where(ranked.c.place <= limit)
        return self._read(
            lambda connection: [
                self._batch(row.run, row.batch, row.at_ms, row.lines, row.signature)
                for row in connection.execute(asked)
            ]
        )

    def registered(self, runs: Sequence[str]) -> Sequence[Registered]:
        """See `SharedLog`."""
        known = (audit_runs.c.run, audit_runs.c.host, audit_runs.c.number, audit_runs.c.document)
        asked = select(*known).where(audit_runs.c.run.in_(runs))
        return self._read(
            lambda connection: [self._registered(*row) for row in connection.execute(asked)]
        )

    def extend(
        self,
        head: Head,
        chunk: Chunk | None,
        done: Sequence[tuple[str, int]],
        refused: Sequence[tuple[str, int]],
    ) -> Head:
        """See `SharedLog`."""
        size = chunk.last if chunk is not None else head.size

        def act(connection: Connection) -> None:
            mine = (audit_log.c.size == head.size, audit_log.c.epoch == head.epoch)
            if connection.execute(update(audit_log).where(*mine).values(size=size)).rowcount != 1:
                raise _not_leading()
            if chunk is not None:
                connection.execute(
                    insert(audit_chunks).values(
                        first_seq=chunk.first,
                        records=chunk.records,
                        lines=chunk.lines,
                        previous=chunk.previous,
                        state=chunk.state,
                        run=chunk.run,
                        signature=chunk.signature,
                    )
                )
            for run, batch in done:
                connection.execute(delete(audit_waiting).where(*_at(run, batch)))
            for run, batch in refused:
                connection.execute(
                    update(audit_waiting).where(*_at(run, batch)).values(refused=True)
                )

        self._run(act)
        return self._head(size, head.epoch)

    # ── all of them follow ──────────────────────────────────────────────────────────────────

    def head(self) -> Head | None:
        """See `SharedLog`."""
        asked = select(audit_log.c.size, audit_log.c.epoch)
        row = self._read(lambda connection: connection.execute(asked).one_or_none())
        return None if row is None else self._head(row.size, row.epoch)

    def chunks(self, after: int, limit: int) -> Sequence[Chunk]:
        """See `SharedLog`."""
        last = audit_chunks.c.first_seq + audit_chunks.c.records - 1
        asked = select(audit_chunks).where(last > after).order_by(audit_chunks.c.first_seq)
        return self._chunks(asked.limit(limit))

    def newest_chunk(self) -> Chunk | None:
        """See `SharedLog`."""
        asked = select(audit_chunks).order_by(audit_chunks.c.first_seq.desc()).limit(1)
        return next(iter(self._chunks(asked)), None)

    def _chunks(self, asked: Select[tuple[object, ...]]) -> Sequence[Chunk]:
        return self._read(
            lambda connection: [self._chunk(*row) for row in connection.execute(asked)]
        )

    def notes(self, after: int) -> Sequence[str]:
        """See `SharedLog`."""
        asked = (
            select(audit_checkpoints.c.note)
            .where(audit_checkpoints.c.size > after)
            .order_by(audit_checkpoints.c.size)
        )
        return self._read(lambda connection: list(connection.scalars(asked)))

    def publish(self, note: str, size: int) -> None:
        """See `SharedLog`."""

        def act(connection: Connection) -> None:
            mine = (audit_log.c.epoch == self._epoch, audit_log.c.size >= size)
            change = update(audit_log).where(*mine, audit_log.c.signed < size).values(signed=size)
            if connection.execute(change).rowcount != 1:
                raise _not_leading()
            connection.execute(insert(audit_checkpoints).values(size=size, note=note))

        self._run(act)

    def report(self, host: str, name: str, seq: int, covered: int) -> None:
        """See `SharedLog`."""
        told = {"name": name, "seq": seq, "covered": covered, "seen_ms": self._clock_ms()}
        row = upsert(audit_hosts).values(host=host, **told)
        row = row.on_conflict_do_update(index_elements=["host"], set_=told)
        self._run(lambda connection: connection.execute(row))

    def clean(self) -> None:
        """See `SharedLog`.  The newest chunk and checkpoint stay: the next ones stand on them."""
        since = self._clock_ms() - HOST_KEPT_MS

        def act(connection: Connection) -> None:
            connection.execute(delete(audit_hosts).where(audit_hosts.c.seen_ms < since))
            least = select(func.min(audit_hosts.c.seq), func.min(audit_hosts.c.covered))
            seq, covered = connection.execute(least).one()
            signed = connection.scalar(select(audit_log.c.signed))
            if seq is None or signed is None:
                return
            last = audit_chunks.c.first_seq + audit_chunks.c.records - 1
            newest = select(func.max(audit_chunks.c.first_seq)).scalar_subquery()
            connection.execute(
                delete(audit_chunks).where(
                    last <= min(seq, covered, signed), audit_chunks.c.first_seq < newest
                )
            )
            old = audit_checkpoints.c.size < min(covered, signed)
            connection.execute(delete(audit_checkpoints).where(old))
            used = (select(audit_chunks.c.run), select(audit_waiting.c.run))
            connection.execute(
                delete(audit_runs).where(
                    audit_runs.c.closed, *(audit_runs.c.run.not_in(runs) for runs in used)
                )
            )

        if self._leading is not None:
            self._run(act)

    def close(self) -> None:
        """Let go of every connection."""
        self.retire()
        self._engine.dispose()


def _at(run: str, batch: int) -> tuple[ColumnElement[bool], ...]:
    return (audit_waiting.c.run == run, audit_waiting.c.batch == batch)


def _not_leading() -> Conflict:
    return Conflict(
        "Another host puts the audit log in order now.",
        reason="OperationAborted",
        code="HY-5124",
        effect="Nothing was added by this one.",
    )


def _superseded() -> Conflict:
    return Conflict(
        "A later audit writer of the same host began.",
        code="HY-5123",
        effect="This one ends; what it was handed and did not confirm is not kept.",
        next_step="give each host an audit.host of its own",
    )


def _occupied(number: int) -> Tampered:
    return Tampered(
        f"Another batch than this host's stands in the audit log's rows as its batch {number}.",
        code="HY-5120",
        effect="Nothing is acknowledged.",
        next_step="docs/operate.md, 'The rows of the audit log were changed'",
    )
