"""SharedLog: what the hosts of one log keep in a database of theirs.  A port.

`hyok.database.audit_rows` fills it.  Blocking; every method is one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.audit.rows import Batch, Chunk, Run


@dataclass(frozen=True, slots=True)
class Head:
    """How long the log is, and the number of the sequencer that may make it longer."""

    size: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A run as the database has it: nothing but the document proves anything."""

    run: str
    host: str
    number: int
    document: str  # empty: nobody vouched for it yet


class SharedLog(Protocol):
    """Raises, from its methods, Unavailable: the database does not answer."""

    # ── a host hands in ─────────────────────────────────────────────────────────────────────

    def begin_run(self, run: Run) -> Run:
        """Begin a run; return it with its number.

        From then on no earlier run of this host can hand anything in, not even in a transaction
        that a killed process left on its way.
        """
        ...

    def hand_in(self, batch: Batch, *, again: bool) -> None:
        """Keep a batch; on return it is durable.

        ``again``: it may be there already, since the last attempt ended nobody knows how.

        Raises:
            Conflict: a later run of this host began (code HY-5123).
            Tampered: another batch stands in its place (code HY-5120).
        """
        ...

    def vouch(self, run: str, document: str) -> None:
        """Keep what the log's key signed of a run."""
        ...

    # ── one of them puts in order ───────────────────────────────────────────────────────────

    def lead(self, size: int, signed: int) -> Head | None:
        """Become the sequencer, or stay it; None: another host is.

        ``size`` and ``signed``: where a log goes on that the database does not know yet.
        """
        ...

    def retire(self) -> None:
        """Let another host be the sequencer."""
        ...

    def waiting(self, limit: int) -> Sequence[Batch]:
        """Return batches that wait for their place: of each host all, or the first of them."""
        ...

    def registered(self, runs: Sequence[str]) -> Sequence[Registered]:
        """Return what is known of these runs."""
        ...

    def extend(
        self,
        head: Head,
        chunk: Chunk | None,
        done: Sequence[tuple[str, int]],
        refused: Sequence[tuple[str, int]],
    ) -> Head:
        """Make the log longer by a chunk, and take away what is in it now.

        Raises:
            Conflict: the log is not ``head`` any more: there is another sequencer.
        """
        ...

    # ── all of them follow ──────────────────────────────────────────────────────────────────

    def head(self) -> Head | None:
        """Return how long the log is; None: nobody began it here."""
        ...

    def chunks(self, after: int, limit: int) -> Sequence[Chunk]:
        """Return the chunk that holds the record behind ``after``, and those that follow it."""
        ...

    def newest_chunk(self) -> Chunk | None:
        """Return the last chunk; None: there is none yet."""
        ...

    def notes(self, after: int) -> Sequence[str]:
        """Return the checkpoints of more than ``after`` records, oldest first."""
        ...

    def publish(self, note: str, size: int) -> None:
        """Give the others a checkpoint.

        Raises:
            Conflict: this host is not the sequencer any more, or a later one is there.
        """
        ...

    def report(self, host: str, name: str, seq: int, covered: int) -> None:
        """Say how far this host's file has come."""
        ...

    def clean(self) -> None:
        """Remove what every host has in its file, if this one is the sequencer."""
        ...

    def close(self) -> None: ...
