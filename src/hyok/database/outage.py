"""Outage: while a database is away, one call at a time tries it and all others are told at once.

Else each call waits out its own timeout, calls stand in line for the threads, and a client that
needs several answers waits for the sum of them.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRY_AGAIN_SECONDS = 0.5
"""Between the end of a call that found the database away and the next that tries it."""


def unavailable() -> Unavailable:
    """Return the error of a database that does not answer."""
    return Unavailable(
        "The database does not answer.",
        reason="ServiceUnavailable",
        code="HY-3101",
        effect="Nothing was changed.",
        next_step="hyok doctor",
    )


class Outage:
    """What is known of a database that did not answer.  For calls from many threads.

    Args:
        judge: returns what others are told because a call ended with this error; None: it says
            nothing about the database.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        judge: Callable[[Exception], Unavailable | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._judge = judge
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._away: Unavailable | None = None
        self._try_at = 0.0
        self._trying = False

    @property
    def is_known(self) -> bool:
        """Whether the last call of `passed` found no answer."""
        return self._away is not None

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Run a call that waits for no other writer, so that its failure is the database's.

        Raises:
            Unavailable: an earlier call found the database away, and it is not yet time to try.
        """
        with self._lock:
            self._check()
            mine = self._trying = self._away is not None
        away: Unavailable | None = None
        try:
            yield
        except Exception as error:
            away = self._judge(error)
            raise
        finally:
            # Whatever it ended with, also what no handler catches: a trial that never ended would
            # keep everybody else away for good.
            if mine or away is not None or self._away is not None:
                with self._lock:
                    self._trying = self._trying and not mine
                    self._away = away
                    if away is not None:
                        self._try_at = self._monotonic() + TRY_AGAIN_SECONDS

    def check(self) -> None:
        """Raise what an earlier call found, when it is not yet time to try again."""
        if self._away is not None:
            with self._lock:
                self._check()

    def _check(self) -> None:
        if self._away is not None and (self._trying or self._monotonic() < self._try_at):
            raise copy(self._away)  # a traceback belongs to one thread
