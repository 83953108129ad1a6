"""CheckpointThread: makes checkpoints while the log is written, beside it and never in its way.

The writer's batches do not wait for it.  While the HSM is away it goes on following the log and
signs when the HSM is back.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hyok.audit.keeper import TreeKeeper
from hyok.audit.tiles import PROBLEM, folder_of, pinned_keys
from hyok.errors import HyokError, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hyok.audit.port import CheckpointSigner

LOOK_SECONDS = 0.25
PAUSE_SECONDS_MIN = 1.0
"""Between two checkpoints, however many records come: the HSM has other work."""

RETRY_SECONDS = 5.0
STOP_SECONDS_MAX = 8.0
"""How long the last checkpoint may take; the supervisor waits a little longer for the writer."""


@dataclass(frozen=True, slots=True)
class CheckpointRules:
    """When a checkpoint is due: after so many records, or when one has waited so long."""

    origin: str
    records: int = 1000
    seconds: float = 60.0


class SharedCheckpoints(Protocol):
    """How the hosts of one log share its checkpoints; see `hyok.audit.shared.SharedLog`."""

    def is_my_turn(self) -> bool:
        """Is this host the one that signs now?"""
        ...

    def notes(self, after: int) -> Sequence[str]: ...

    def publish(self, note: str, size: int) -> None: ...


class CheckpointThread:
    """Follows the log at ``log``; ``durable`` tells how many of its bytes are on disk.

    ``signer`` is called once, in the thread: what it imports must not hold up the writer's start.
    None: nobody signs, and only tiles are kept.  ``shared``: of a log that several hosts write;
    then one of them signs, and the others take its checkpoints.
    """

    def __init__(
        self,
        log: Path,
        durable: Callable[[], int],
        rules: CheckpointRules,
        signer: Callable[[], CheckpointSigner] | None,
        shared: SharedCheckpoints | None = None,
    ) -> None:
        self._shared = shared
        self._log, self._durable, self._rules = log, durable, rules
        self._make_signer = signer
        self._signer: CheckpointSigner | None = None
        self._keeper: TreeKeeper | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-tree", daemon=True)
        self._waiting_since: float | None = None
        self._not_before = 0.0
        self._told = ""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Take in what is left, make a last checkpoint if that is quick, and end."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        while True:
            last = self._stopping.wait(LOOK_SECONDS)
            try:
                self._look(last=last)
            except Tampered as error:
                self._tell(error)
                note_problem(self._log, error)
                return  # whoever looks into it starts the writer again
            except (HyokError, OSError) as error:
                self._tell(error)
                self._not_before = time.monotonic() + RETRY_SECONDS
                if isinstance(error, OSError):
                    self._keeper = None  # begin again from what is on disk
            if last:
                return

    def _look(self, *, last: bool) -> None:
        if self._keeper is None:
            if time.monotonic() < self._not_before and not last:
                return
            self._keeper = TreeKeeper(self._log, self._rules.origin)
        keeper = self._keeper
        if self._shared is not None and not self._take_notes(keeper, self._shared):
            return
        keeper.follow(self._durable())
        if keeper.size == keeper.covered:
            self._waiting_since = None
            return
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        due = keeper.size - keeper.covered >= self._rules.records
        due = due or now - self._waiting_since >= self._rules.seconds
        if last or (due and now >= self._not_before):
            self._seal(keeper)

    @property
    def covered(self) -> int:
        """How many records the newest checkpoint has; 0: none is known yet."""
        return self._keeper.covered if self._keeper is not None else 0

    def _take_notes(self, keeper: TreeKeeper, shared: SharedCheckpoints) -> bool:
        """Keep what other hosts signed; say whether it is this one's turn to sign."""
        notes = shared.notes(keeper.covered)
        keys = pinned_keys(self._log) if notes else ()
        for note in notes:
            if not keys or not keeper.take(note, keys, self._durable()):
                return False
        return shared.is_my_turn()

    def _seal(self, keeper: TreeKeeper) -> None:
        if self._make_signer is None:
            keeper.flush()
            self._not_before = time.monotonic() + self._rules.seconds
            return
        if self._signer is None:
            self._signer = self._make_signer()
        publish = self._shared.publish if self._shared is not None else _keep_here
        made = keeper.make_checkpoint(self._signer, time.time_ns() // 1_000_000, publish)
        self._waiting_since = None
        self._not_before = time.monotonic() + PAUSE_SECONDS_MIN
        (keeper.folder.path / PROBLEM).unlink(missing_ok=True)
        if self._told:
            tell("audit.checkpoint_made_again", records=made.head.size)
            self._told = ""

    def _tell(self, error: Exception) -> None:
        """Say what is wrong, once for each cause."""
        said = error.explain() if isinstance(error, HyokError) else str(error)
        if isinstance(error, NotFound) and error.code == "HY-2103":
            said += " Next: hyok audit key --create"
        if said != self._told:
            self._told = said
            tell("audit.checkpoint_failed", cause=said)


def _keep_here(_note: str, _size: int) -> None:
    """Tell nobody."""


def note_problem(log: Path, error: Tampered) -> None:
    """Leave word for `hyok doctor`."""
    folder = folder_of(log)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / PROBLEM).write_text(error.explain() + "\n")
    except OSError as failed:
        tell("audit.problem_not_noted", cause=str(failed))


def tell(event: str, **fields: object) -> None:
    """Say something on standard error, for the process's log."""
    # One write per line: other processes share this descriptor.
    os.write(2, (json.dumps({"event": event, **fields}) + "\n").encode())
